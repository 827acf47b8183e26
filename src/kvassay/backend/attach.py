"""A llama-server that runs already, reached by its URL. The user says its KV pair: no endpoint reveals it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import httpx

from kvassay.address import server_url
from kvassay.backend.base import Boot, Listener, Progress, silent
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.backend.llama_http import LlamaBoot, connect
from kvassay.backend.props import props_facts
from kvassay.errors import BootFailed, ConfigError
from kvassay.types import Arm

API_KEY_VARIABLE = "KVASSAY_API_KEY"
KEYS = f"Put the server's key into the environment variable {API_KEY_VARIABLE}."
_CHECK_S = 30.0


def api_key() -> str | None:
    """The key that the user put into the environment, without the line end that comes of reading it from a file.

    Raises ConfigError, which doesn't show it, for what can't stand in an HTTP header.
    """
    key = os.environ.get(API_KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"the key in {API_KEY_VARIABLE} holds characters that can't be sent",
            hint="A key is printable ASCII: was it copied with a quotation mark or a line end in it?",
        )
    return key or None


@dataclass(frozen=True, slots=True)
class SomebodysServer:
    """The host of an attached boot: no log, and nothing that we may end."""

    url: str

    def log(self) -> str:
        return ""

    def last_words(self) -> tuple[str, ...]:
        return ()

    def exit_reason(self) -> str:
        return f"at {self.url} went away"

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Attach:
    """Each boot is a connection to the arm's ``endpoint``, or to ``url`` where the arm names none.

    The API key, if the server wants one, is taken from the environment variable KVASSAY_API_KEY.
    """

    url: str | None = None
    model_sha256: str | None = None

    @property
    def name(self) -> str:
        return "attach"

    @property
    def cache_types(self) -> tuple[str, ...]:
        return LLAMA_TYPES

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        """Raises ConfigError without a URL, BootFailed where nothing answers, BackendError where it isn't llama.cpp,
        ContextExceeded where its context is too small.
        """
        url = base_url(arm.endpoint or self.url)
        listener(Progress("starting", note=f"reaching {url}"))
        client = connect(url, api_key=api_key())
        try:
            _check_health(client, url)
            told = props_facts(client, context_tokens=context_tokens)
        except BaseException:
            client.close()
            raise
        listener(Progress("ready"))
        facts = replace(
            told,
            backend=self.name,
            model_sha256=self.model_sha256,
            k_type=arm.kv.k,
            v_type=arm.kv.v,
            stated_by_user=True,
        )
        return LlamaBoot(client, facts, SomebodysServer(url))


def base_url(url: str | None) -> str:
    """The server's root: people paste the OpenAI base URL, which ends in /v1."""
    if not url:
        raise ConfigError("no URL of a running server was given", hint="For example http://127.0.0.1:8080.")
    return server_url(url, keys=KEYS).removesuffix("/v1")


def _check_health(client: httpx.Client, url: str) -> None:
    try:
        status = client.get("/health", timeout=_CHECK_S).status_code
    except httpx.HTTPError as error:
        raise BootFailed(f"nothing answers at {url} ({error})", hint="Is llama-server running there?") from error
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        raise BootFailed(f"the server at {url} is still loading its model", hint="Try again when it is ready.")
