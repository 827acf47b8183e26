"""One JSON document, piece by piece, in memory bounded by its largest piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple, TextIO, cast

from kvassay.session.json_text import settled
from kvassay.types import JsonValue

_CHUNK_CHARS = 1 << 16
_MAX_VALUE_CHARS = 1 << 27  # what is longer is damage, such as a missing quotation mark
_GOES_ON = ("", *"+-.eE0123456789")  # a number may go on behind the buffer's end
_BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder()


class Piece(NamedTuple):
    """A member of the document's object, or, where that member (or the document) is an array, one item of it."""

    key: str  # "" in a document that is an array
    nth: int | None  # of an array's item, counted from 0
    value: JsonValue

    @property
    def place(self) -> str:
        return self.key if self.nth is None else f"{self.key}[{self.nth}]"


def pieces(text: TextIO) -> Iterator[Piece]:
    """Read an array's items, or an object's members with arrays among them item by item.

    Raises ValueError where the text is no JSON array or object, or ends early: after the pieces that could be read.
    """
    reader = _Reader(text)
    opened = reader.next_char()
    if opened == "[":
        for index, value in enumerate(reader.items()):
            yield Piece("", index, value)
    elif opened == "{":
        yield from _members(reader)
    else:
        raise ValueError("it is no JSON array or object")


def _members(reader: _Reader) -> Iterator[Piece]:
    while reader.goes_on("}"):
        key = reader.value()
        if not isinstance(key, str):
            raise ValueError("a member's name is no string")  # noqa: TRY004  the text is wrong, not a type of ours
        reader.expect(":")
        if reader.next_char(take=False) == "[":
            reader.next_char()
            for index, value in enumerate(reader.items()):
                yield Piece(key, index, value)
        else:
            yield Piece(key, None, reader.value())


class _Reader:
    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._fresh = True

    def items(self) -> Iterator[JsonValue]:
        """The items of the array that was just opened."""
        self._fresh = True
        while self.goes_on("]"):
            yield self.value()

    def goes_on(self, close: str) -> bool:
        """Step over a comma; False where the array or object ends instead."""
        if self._fresh:
            self._fresh = False
            if self.next_char(take=False) != close:
                return True
            self.next_char()
            return False
        char = self.next_char()
        if char not in (",", close):
            raise ValueError(f"{char!r} stands where , or {close} must")
        return char == ","

    def expect(self, char: str) -> None:
        found = self.next_char()
        if found != char:
            raise ValueError(f"{found!r} stands where {char} must")

    def next_char(self, *, take: bool = True) -> str:
        """The next character that is no blank. Raises ValueError at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._buffer):
                char = self._buffer[self._at]
                self._at += take
                return char
            self._more()

    def value(self) -> JsonValue:
        """The value that begins at the next character."""
        self.next_char(take=False)
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except RecursionError as error:
                raise ValueError("nested too deeply") from error
            except json.JSONDecodeError:
                if self._ended:
                    raise
            else:
                if self._ended or self._buffer[end : end + 1] not in _GOES_ON:
                    text = self._buffer[self._at : end]
                    self._at, self._fresh = end, False
                    return settled(text, cast("JsonValue", value))
            self._more()

    def _more(self) -> None:
        """Read on: always as much again as is unread, so that a long value is scanned a logarithmic number of times."""
        rest = self._buffer[self._at :]
        if self._ended:
            raise ValueError("it ends early")
        if len(rest) > _MAX_VALUE_CHARS:
            raise ValueError(f"a value does not end within {_MAX_VALUE_CHARS} characters")
        more = self._text.read(max(_CHUNK_CHARS, len(rest)))
        self._ended = not more
        self._buffer, self._at = rest + more, 0
