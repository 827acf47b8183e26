"""What the guard is told: where it listens, whom it serves, how much it may hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from kvassay.errors import ConfigError
from kvassay.guard.contract import Action
from kvassay.guard.gate import hostname, is_loopback

PREFIX = "/__kvassay"
MIB = 1024 * 1024
_SHORTEST_TOKEN = 16
_PORTS = 65535
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to


class Address(NamedTuple):
    """Where a socket listens; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


DEFAULT_LISTEN = Address("127.0.0.1", 8484)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one client, or all of them, may take. ``idle_s`` is the longest silence of either side once a request is
    read (a prompt of 100k tokens may take minutes before its first token); ``request_s`` the longest within a request.
    ``patience_s`` is how long what is held back waits for the watching process; then it goes on as it is.
    """

    body_bytes: int = 256 * MIB
    watched_bytes: int = 32 * MIB
    waiting_bytes: int = 64 * MIB
    connections: int = 512
    request_s: float = 60.0
    connect_s: float = 10.0
    idle_s: float = 3600.0
    patience_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """One guard. ``page`` None serves the guard's own pages under ``PREFIX`` of the main address. ``count_tokens`` is
    whether the upstream's tokenizer may be asked; None: if it runs on this machine.
    """

    upstream: str
    listen: Address = DEFAULT_LISTEN
    page: Address | None = None
    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    kv: str = ""
    store: Path | None = None
    keep_days: float = 30.0
    keep_mb: float = 256.0
    keep_bodies: bool = False
    actions: frozenset[Action] = frozenset()
    fallback: str | None = None
    count_tokens: bool | None = None
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def counts_tokens(self) -> bool:
        """Whether the upstream's tokenizer is asked for lengths that its answers do not tell."""
        return is_loopback(urlsplit(self.upstream).hostname or "") if self.count_tokens is None else self.count_tokens

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < _SHORTEST_TOKEN:
            raise ConfigError(
                f"the token has {len(self.token)} characters, fewer than {_SHORTEST_TOKEN}",
                hint="Make one: python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        for server in filter(None, (self.upstream, self.fallback)):
            parts = urlsplit(server)
            if self.listen.port and parts.port == self.listen.port and _same_machine(parts.hostname, self.listen.host):
                raise ConfigError(f"{server!r} is the guard's own address", hint="Choose another --listen.")
        for place in (self.listen, self.page):
            if place is not None and self.token is None and not is_loopback(place.host):
                raise ConfigError(
                    f"listening on {str(place)!r} lets other machines in, and no token is set",
                    hint="Set one with --token (or KVASSAY_GUARD_TOKEN), or listen on 127.0.0.1.",
                )


def _same_machine(name: str | None, listen: str) -> bool:
    return name == listen or (is_loopback(name or "") and (is_loopback(listen) or listen in _EVERYWHERE))


def address(text: str) -> Address:
    """Read ``host:port``, ``[::1]:port`` or ``port``. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    name = hostname(host) if host else "127.0.0.1"
    if name is None or not (port.isascii() and port.isdigit()) or int(port) > _PORTS:
        raise ConfigError(f"{text!r} is no address to listen on", hint="Write for example 127.0.0.1:8484 or 8484.")
    return Address(name, int(port))


def host_name(text: str) -> str:
    """A host name as `Gate` compares it: lower case, without port and brackets. Raises ConfigError."""
    name = hostname(text)
    if name is None:
        raise ConfigError(f"{text!r} is no host name", hint="Write for example llm.lan.")
    return name


def origin(text: str) -> str:
    """A web origin, ``scheme://host[:port]``, as browsers send it. Raises ConfigError."""
    try:
        parts = urlsplit(text)
        wrong = not parts.scheme or not parts.netloc or parts.path not in ("", "/") or parts.query
    except ValueError:
        wrong = True
    if wrong:
        raise ConfigError(f"{text!r} is no web origin", hint="Write for example http://localhost:3000.")
    return f"{parts.scheme}://{parts.netloc}".lower()
