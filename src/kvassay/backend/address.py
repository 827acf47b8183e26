"""The address of somebody's running server."""

from __future__ import annotations

from urllib.parse import urlsplit

from kvassay.errors import ConfigError


def without_login(url: str) -> str:
    """The address itself. Raises ConfigError for one with a user or password in it: addresses are shown and stored."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all, which whoever opens it says
        return url
    if "@" in parts.netloc:
        raise ConfigError(
            f"the address of {parts.hostname!r} holds a user or password, and addresses are shown and stored",
            hint="Put the server's key into the environment variable KVASSAY_API_KEY.",
        )
    return url
