"""The address of somebody's running server, as every command reads it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import httpx

from kvassay.errors import ConfigError

_MAY_HOLD_A_KEY = re.compile("[@?#]")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


def server_url(text: str, *, keys: str) -> str:
    """A server's base URL, ``http(s)://host[:port][/prefix]``, without slashes at its end.

    Raises ConfigError for anything else. Addresses are shown and stored: one with a user, a password or a query is
    refused and not repeated; the hint ``keys`` says where keys go instead.
    """
    secret = bool(_MAY_HOLD_A_KEY.search(text))
    if not _is_address(text):
        bare = text and ":/" not in text and not secret and _is_address(f"http://{text}")
        hint = f"Did you mean http://{text}?" if bare else "Write for example http://127.0.0.1:8080."
        raise ConfigError(f"{shown(text)} is no server's address", hint=hint)
    if secret:
        raise ConfigError(
            f"the address of {urlsplit(text).hostname!r} holds a user or password, or a query; "
            "addresses are shown and stored",
            hint=keys,
        )
    return text.rstrip("/")


def shown(text: str) -> str:
    """How a message calls what somebody gave as an address: by itself, unless that may hold a key."""
    return "the address given" if _MAY_HOLD_A_KEY.search(text) else repr(text)


def _is_address(text: str) -> bool:
    """Whether a client can ask for it: hosts are read as httpx and sockets do, which raise for some (``a..b``)."""
    try:
        parts = urlsplit(text)
        httpx.URL(text).raw_host.decode().encode("idna")
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        return False
    return fits and not _BLANK.search(text)
