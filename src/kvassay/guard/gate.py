"""Who may pass: loopback names only, no web pages of other origins, and the token where one is set."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

TOKEN_HEADER = "X-Kvassay-Token"  # noqa: S105  a header's name
_KEY_HEADERS = ("Authorization", "X-Api-Key", "Api-Key")
_HOST = re.compile(r"(?:(?P<name>[\w.-]+)|\[(?P<ip>[0-9a-fA-F:.]+)\])(?::\d{1,5})?", re.ASCII)
_OWN_SITE = ("same-origin", "none")


class Passage(NamedTuple):
    """``status`` is 0 for a request that may pass; ``spent`` are the headers (lower case) that held our token and must
    not go further.
    """

    status: int
    reason: str = ""
    spent: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules for one listening address.

    ``hosts`` are names allowed in Host beside loopback ones (a browser fooled by DNS rebinding names the attacker's);
    ``origins`` are web origins, ``scheme://host[:port]``, whose pages may call. ``token`` None asks for none.
    """

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def admit(self, headers: Mapping[str, str], *, own: bool) -> Passage:
        """Judge a request by its headers. ``own`` is for the guard's own pages, where a browser's password prompt may
        bring the token.
        """
        if not self._host_allowed(headers.get("Host", "")):
            return Passage(421, f"Host {headers.get('Host', '')!r} is not this guard (allow it with --allow-host)")
        if reason := self._foreign_page(headers):
            return Passage(403, reason)
        if self.token is None:
            return Passage(0)
        return self._token(headers, own=own)

    def _host_allowed(self, host: str) -> bool:
        name = hostname(host)
        return name is not None and (self.token is not None or is_loopback(name) or name in self.hosts)

    def _foreign_page(self, headers: Mapping[str, str]) -> str:
        origin = headers.get("Origin")
        if origin in self.origins:
            return ""
        if origin is not None and not _same_place(origin, headers.get("Host", "")):
            return f"a web page of origin {origin!r} may not call this server (allow it with --allow-origin)"
        if (site := headers.get("Sec-Fetch-Site", "none")) not in _OWN_SITE:
            return f"a web page of another site may not call this server (Sec-Fetch-Site: {site})"
        return ""

    def _token(self, headers: Mapping[str, str], *, own: bool) -> Passage:
        names = (TOKEN_HEADER, *_KEY_HEADERS)
        right = [name for name in names if name in headers and self._right(_bare(headers[name], basic=own))]
        if right:
            return Passage(0, spent=frozenset(name.lower().encode() for name in (*right, TOKEN_HEADER)))
        return Passage(401, f"this guard wants its token: as the API key, or in the header {TOKEN_HEADER}")

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), (self.token or "").encode())


def hostname(host: str) -> str | None:
    """The name in a Host header or address ``name[:port]``, lower case, brackets and port off; None if it is none."""
    found = _HOST.fullmatch(host)
    return (found["name"] or found["ip"]).lower().rstrip(".") if found else None


@lru_cache(maxsize=64)
def is_loopback(name: str) -> bool:
    """Whether a host name or IP address is this machine's own loopback."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _same_place(origin: str, host: str) -> bool:
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and place.lower() == host.lower()


def _bare(value: str, *, basic: bool) -> str:
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic" and basic:
        try:
            return base64.b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")[2]
        except binascii.Error:
            return ""
    return value.strip()
