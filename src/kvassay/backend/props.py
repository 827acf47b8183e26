"""What a llama-server tells about itself by HTTP: ``/props`` and ``/slots``. Cache types are not among it."""

from __future__ import annotations

import httpx

from kvassay.backend.llama_wire import too_long
from kvassay.errors import BackendError
from kvassay.types import BootFacts


def props_facts(client: httpx.Client, *, context_tokens: int) -> BootFacts:
    """The facts of ``/props``.

    Raises BackendError where this is no llama.cpp server, ContextExceeded where a slot holds less than
    ``context_tokens``.
    """
    try:
        response = client.get("/props")
    except httpx.HTTPError as error:
        raise BackendError(f"{client.base_url} stopped answering ({error})") from error
    if response.status_code in (401, 403):
        raise BackendError(
            f"{client.base_url} wants an API key", hint="Put the key into the environment variable KVASSAY_API_KEY."
        )
    props = _json(response)
    settings = props.get("default_generation_settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("n_ctx"), int) or props.get("role") == "router":
        raise BackendError(
            f"{client.base_url} does not answer like a llama.cpp server (no usable /props)",
            hint="Another engine is named with --backend ('kvassay backends' lists them); a router can't be measured.",
        )
    if settings["n_ctx"] < context_tokens:
        raise too_long(context_tokens, settings["n_ctx"])
    return BootFacts(
        backend="",
        build=_text(props, "build_info"),
        model_path=_text(props, "model_path"),
        context_tokens=settings["n_ctx"],
        slots=int(str(props.get("total_slots", 1))),
        chat_template=_text(props, "chat_template") or "",
    )


def _json(response: httpx.Response) -> dict[str, object]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if response.is_success and isinstance(body, dict) else {}


def _text(props: dict[str, object], key: str) -> str | None:
    value = props.get(key)
    return value if isinstance(value, str) else None
