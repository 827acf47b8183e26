"""The address of somebody's running server, as every command reads it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from kvassay.errors import ConfigError

_MAY_HOLD_A_KEY = re.compile("[@?#]")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


def server_url(text: str, *, keys: str) -> str:
    """A server's base URL, ``http(s)://host[:port][/prefix]``, without slashes at its end.

    Raises ConfigError for anything else. Addresses are shown and stored: one with a user, a password or a query is
    refused and not repeated; the hint ``keys`` says where keys go instead.
    """
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    secret = bool(_MAY_HOLD_A_KEY.search(text))
    if wrong or _BLANK.search(text):
        shown = "the address given" if secret else repr(text)
        bare = text and not secret and ":/" not in text
        hint = f"Did you mean http://{text}?" if bare else "Write for example http://127.0.0.1:8080."
        raise ConfigError(f"{shown} is no server's address", hint=hint)
    if secret:
        raise ConfigError(
            f"the address of {parts.hostname!r} holds a user or password, or a query; addresses are shown and stored",
            hint=keys,
        )
    return text.rstrip("/")
