"""A text with a role for every character, and how JSON is painted on it: well-formed, cut off or broken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from kvassay.dialect.base import Declared
from kvassay.dialect.schema import ANYTHING, Schema


class TokenRole(StrEnum):
    """What a position of a turn's text is for. PUNCTUATION is also tags, markers and fences around calls."""

    TOOL = "tool"
    PARAMETER = "parameter"
    STRING = "string"
    NUMBER = "number"
    ENUM = "enum"
    PUNCTUATION = "punctuation"
    PROSE = "prose"


class Canvas:
    """The roles of a text's characters, prose at first."""

    def __init__(self, text: str, tools: Declared) -> None:
        self.text = text
        self.tools = tools
        self.roles = [TokenRole.PROSE] * len(text)

    def paint(self, start: int, end: int, role: TokenRole) -> None:
        """Give text[start:end] a role."""
        self.roles[start:end] = [role] * (end - start)

    def arguments_of(self, tool: str) -> Schema:
        """The schema of a tool's arguments."""
        declared = self.tools.get(tool)
        return Schema(declared, declared) if isinstance(declared, Mapping) else ANYTHING


class Sense(Enum):
    """What a JSON value is: a call (or a list of them), a tool's name, data of arguments, or wrapping around these."""

    CALL = auto()
    NAME = auto()
    DATA = auto()
    WRAPPING = auto()


@dataclass(slots=True)
class _Frame:
    """An open object or list. ``key`` is the member whose value comes next."""

    is_object: bool
    sense: Sense
    schema: Schema
    key: str | None = None


_TOKEN = re.compile(
    r'(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<quote>"?))|(?P<number>-?\d[\w.+-]*)|(?P<word>[^\W\d]\w*)'
    r"|(?P<open>[{\[])|(?P<close>[}\]])|(?P<comma>,)|(?P<colon>:)|.",
    re.DOTALL,
)
_WORDS = frozenset({"true", "false", "null", "True", "False", "None"})
_NAME = re.compile(r'"name"\s*+:\s*+"([^"\\]*)"')
_NAME_CHARS = 2000  # how far into a call's object its name may stand
_CALL_MEMBERS = {"name": Sense.NAME, "arguments": Sense.DATA, "parameters": Sense.DATA, "function": Sense.CALL}


def paint_json(canvas: Canvas, start: int, sense: Sense, schema: Schema, *, stop: re.Pattern[str]) -> int:
    """Paint the JSON value that begins at ``start``; where it ends, at the latest where ``stop`` matches between its
    tokens. Total: broken JSON is painted as far as its tokens tell.
    """
    painter = _Painter(canvas, sense, schema)
    position = start
    while position < len(canvas.text) and not stop.match(canvas.text, position):
        token = _TOKEN.match(canvas.text, position)
        assert token is not None  # noqa: S101 (the last alternative takes any character)
        position = token.end()
        if painter.take(token):
            break
    return position


@dataclass(slots=True)
class _Painter:
    canvas: Canvas
    sense: Sense
    schema: Schema
    frames: list[_Frame] = field(default_factory=list)

    def take(self, token: re.Match[str]) -> bool:
        """Paint one token; whether the value ends with it."""
        kind = token.lastgroup if token.lastgroup != "quote" else "string"
        self.canvas.paint(token.start(), token.end(), TokenRole.PUNCTUATION)
        if kind == "open":
            self._open(token)
            return False
        if kind == "close":
            self.frames[-1:] = []
        elif kind == "comma" and self.frames:
            self.frames[-1].key = None
        elif kind in {"string", "number", "word"}:
            self._scalar(token, kind)
        return not self.frames and not token[0].isspace()

    def _open(self, token: re.Match[str]) -> None:
        sense, schema = self._place()
        is_object = token[0] == "{"
        if is_object and sense is Sense.CALL:
            schema = self._called(token.start())
        self.frames.append(_Frame(is_object, sense, schema))

    def _place(self) -> tuple[Sense, Schema]:
        """Sense and schema of the value that comes next."""
        if not self.frames:
            return self.sense, self.schema
        frame = self.frames[-1]
        if not frame.is_object:
            return frame.sense, frame.schema.element() if frame.sense is Sense.DATA else frame.schema
        key = frame.key or ""
        if frame.sense is Sense.CALL:
            return _CALL_MEMBERS.get(key, Sense.WRAPPING), frame.schema
        return frame.sense, frame.schema.member(key) if frame.sense is Sense.DATA else frame.schema

    def _called(self, start: int) -> Schema:
        """The argument schema of the call that begins here: by the first name in it that is declared."""
        names = _NAME.finditer(self.canvas.text, start, start + _NAME_CHARS)
        return next((self.canvas.arguments_of(name[1]) for name in names if name[1] in self.canvas.tools), ANYTHING)

    def _scalar(self, token: re.Match[str], kind: str) -> None:
        quoted = kind == "string"
        start = token.start() + quoted
        end = token.end() - len(token["quote"] or "")
        frame = self.frames[-1] if self.frames else None
        if frame and frame.is_object and frame.key is None:
            frame.key = self.canvas.text[start:end]
            role = TokenRole.PARAMETER if frame.sense is Sense.DATA else TokenRole.PUNCTUATION
        else:
            role = _role(token[0], kind, *self._place())
        self.canvas.paint(start, end, role)


def _role(text: str, kind: str, sense: Sense, schema: Schema) -> TokenRole:
    if sense in {Sense.NAME, Sense.CALL}:  # a call that is only a word names its tool
        return TokenRole.TOOL
    if sense is Sense.WRAPPING:
        return TokenRole.PUNCTUATION
    return scalar_role(text, kind, schema)


def scalar_role(text: str, kind: str, schema: Schema) -> TokenRole:
    """The role of an argument's value: an enum by its schema, and by itself true, false and null."""
    if schema.is_enum or (kind == "word" and text in _WORDS):
        return TokenRole.ENUM
    return TokenRole.NUMBER if kind == "number" else TokenRole.STRING
