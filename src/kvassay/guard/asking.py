"""One HTTP request → what was asked, in kvassay's words. Pure, total, linear in the body's size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import cast

from kvassay import fields
from kvassay.guard.contract import Api, Asked
from kvassay.guard.history import read_history
from kvassay.guard.keys import session_key
from kvassay.guard.loose import field_count, storable
from kvassay.guard.offers import read_offers
from kvassay.types import JsonObject, JsonValue

_ENDPOINTS = {"/chat/completions": Api.CHAT, "/responses": Api.RESPONSES, "/messages": Api.MESSAGES}
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict")
_NAME_CHARS = 200
_VOLATILE = frozenset({"metadata", "client_metadata", "user", "safety_identifier", "request_id"})


def api_of(path: str) -> Api | None:
    """The API behind a request's path: ``/v1/chat/completions``, with or without ``/v1`` or another prefix."""
    plain = path.partition("?")[0].partition("#")[0].rstrip("/")
    return next((api for ending, api in _ENDPOINTS.items() if plain.endswith(ending)), None)


def read_request(path: str, headers: Mapping[str, str], body: bytes) -> Asked | None:
    """Read a request for a turn; None for anything else, and for what no server would understand. Never raises."""
    api = api_of(path)
    parsed = _object(body) if api else None
    if api is None or parsed is None or not isinstance(parsed.get(_conversation(api)), list | str):
        return None
    try:
        return _asked(api, path, headers, parsed, body)
    except RecursionError:  # nested beyond what can be walked: no agent's request
        return None


def _asked(api: Api, path: str, headers: Mapping[str, str], parsed: JsonObject, body: bytes) -> Asked:
    history, offers = read_history(api, parsed), read_offers(parsed)
    key = session_key(headers, parsed, history.messages)
    return Asked(
        api=api,
        path=path,
        model=storable(fields.text(parsed, "model"), _NAME_CHARS),
        stream=parsed.get("stream") is True,
        session=key.value,
        session_by=key.source,
        messages=tuple(history.messages),
        tools=offers.tools,
        digest=_digest(parsed, body),
        body=body,
        unjudged=offers.unjudged,
        failed_ids=frozenset(history.failed_ids),
        poisoned=tuple(history.poisoned),
        previous_response_id=fields.text(parsed, "previous_response_id") or None,
        partial=history.partial,
        max_tokens=next((n for key in _LIMITS if (n := field_count(parsed, key)) is not None), None),
        include_usage=fields.section(parsed, "stream_options").get("include_usage") is True,
        choices=field_count(parsed, "n") or 1,
    )


def _conversation(api: Api) -> str:
    return "input" if api is Api.RESPONSES else "messages"


def _object(body: bytes) -> JsonObject | None:
    try:
        parsed = cast("JsonValue", json.loads(body.decode()))
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _digest(parsed: JsonObject, body: bytes) -> str:
    """Names the question: the body without what says who asks and when."""
    if not _VOLATILE.isdisjoint(parsed):
        body = json.dumps({key: value for key, value in parsed.items() if key not in _VOLATILE}).encode()
    return hashlib.blake2b(body, digest_size=16).hexdigest()
