"""Which headers go through a proxy, and which request targets do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from multidict import CIMultiDict, MultiMapping

RawHeaders = Iterable[tuple[bytes, bytes]]

# RFC 9110, 7.6.1: these speak of one connection. The upstream's Host is its own; Expect is answered by us.
_ONE_CONNECTION = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect",
    b"host",
})  # fmt: skip
_SINGLE = ("Host", "Origin", "Sec-Fetch-Site")
_DOTS = re.compile(r"(?:^|[/\\])\.{1,2}(?:[/\\;]|$)")
_UNENCODED = re.compile(r"[\x00-\x20\x7f#]")
_ENCODED_TIMES = 3  # a dot hidden behind more percent signs is no reader's dot


def passed_on(raw: RawHeaders, *, without: frozenset[bytes] = frozenset()) -> CIMultiDict[str]:
    """The headers that go to the other side: all of them, in their order, repeated ones too, except those of one
    connection and those ``without`` (lower case). A name is spelled as it was, a repeated one as it was first (aiohttp
    takes another spelling for a correction).
    """
    pairs = [(name, value, name.lower()) for name, value in raw]
    named = {
        word.strip().lower() for _, value, lower in pairs if lower == b"connection" for word in value.split(b",")
    } - {b"close", b"keep-alive"}
    spelled: dict[bytes, bytes] = {}
    return CIMultiDict(
        (_text(spelled.setdefault(lower, name)), _text(value))
        for name, value, lower in pairs
        if lower not in _ONE_CONNECTION and lower not in without and lower not in named
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def target_fault(target: str) -> str:
    """Why a request target is refused, "" if it is not: only ``/path?query`` that means the same to every reader."""
    path = target.partition("?")[0]
    if not target.startswith("/"):
        return "the request target must be a path, such as /v1/chat/completions"
    if _UNENCODED.search(target):
        return "the request target holds a character that must be percent-encoded"
    for _ in range(_ENCODED_TIMES):
        path = unquote(path) if "%" in path else path
        if _DOTS.search(path) or "\x00" in path:
            return "the request path holds '.' or '..' segments, or a NUL"
    return ""


def coding_fault(codings: Sequence[str], *, old: bool) -> str:
    """Why a message with these Transfer-Encoding headers is refused, "" if it is not. We take off ``chunked`` and could
    not pass another coding on; HTTP/1.0 (``old``) has none (RFC 9112, 6.1).
    """
    if not codings:
        return ""
    if old:
        return "an HTTP/1.0 message has no Transfer-Encoding"
    return "" if [coding.strip().lower() for coding in codings] == ["chunked"] else "Transfer-Encoding is not chunked"


def head_fault(headers: MultiMapping[str], *, old: bool) -> str:
    """Why a request with these headers is refused, "" if it is not. What the gate judges by must stand there once."""
    repeated = next((name for name in _SINGLE if len(headers.getall(name, ())) > 1), "")
    if repeated:
        return f"the header {repeated} is repeated"
    return coding_fault(headers.getall("Transfer-Encoding", ()), old=old)
