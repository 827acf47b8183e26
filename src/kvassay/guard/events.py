"""Server-sent events out of bytes: any chunking, any line ends, comments and pings; every byte stays accounted for.

Source: WHATWG HTML, "Server-sent events", 9.2.6 (interpreting an event stream).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_EVENT_BYTES = 16 << 20
"""An event longer than this is passed on in pieces, unread."""

_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(r"\r\n|\n|\r")
_OVERLAP = 3  # bytes of a blank line that may stand in front of a new chunk


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its bytes as they came, blank line included, its name, and its data (lines joined by a line feed; None
    where it has none: a comment, a ping). ``whole`` is False for a piece of an event that was too long.
    """

    raw: bytes
    name: str = ""
    data: str | None = None
    whole: bool = True


class EventSplitter:
    """Bytes in, whole events out; what is not yet whole stays in ``rest``."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._overlong = False

    @property
    def rest(self) -> bytes:
        return bytes(self._buffer)

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Add bytes; the events that became whole by them. Linear over all chunks together."""
        self._buffer += chunk
        events, start = [], 0
        while match := _BLANK_LINE.search(self._buffer, max(start, self._searched)):
            events.append(self._event(bytes(self._buffer[start : match.end()])))
            start = self._searched = match.end()
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - _OVERLAP)
        if len(self._buffer) > MAX_EVENT_BYTES:
            events.append(self._flushed())
        return events

    def _event(self, raw: bytes) -> ServerEvent:
        whole, self._overlong = not self._overlong, False
        return read_event(raw) if whole else ServerEvent(raw, whole=False)

    def _flushed(self) -> ServerEvent:
        raw = bytes(self._buffer[:-_OVERLAP])
        del self._buffer[:-_OVERLAP]
        self._searched, self._overlong = 0, True
        return ServerEvent(raw, whole=False)


def read_event(raw: bytes) -> ServerEvent:
    """Read one event's lines; fields other than ``event`` and ``data`` are of no use here, but for ``error``, in which
    llama.cpp sent what went wrong in a stream until September 2025 (llama.cpp PR 16109).
    """
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return ServerEvent(raw, "", raw[6:-2].decode("utf-8", "replace"))  # as almost all events are
    name, data = "", []
    for line in _LINE_END.split(raw.decode("utf-8", "replace").removeprefix("\ufeff")):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
        elif field == "error":
            name, data = field, [value.removeprefix(" ")]
    return ServerEvent(raw, name, "\n".join(data) if data else None)
