"""What each character and each token of a turn is for: tool name, parameter name, value, punctuation or prose.

Reads every format of this package at once and takes what it finds: broken and cut calls have roles too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from kvassay.dialect import bare, reader
from kvassay.dialect.base import Declared
from kvassay.dialect.canvas import Canvas, Sense, TokenRole, paint_json, scalar_role
from kvassay.dialect.catalog import markers
from kvassay.dialect.schema import ANYTHING, Schema

__all__ = ["RoleSpan", "TokenRole", "roles_of_tokens", "spans"]


class RoleSpan(NamedTuple):
    """A stretch of text, end excluded, and its role."""

    start: int
    end: int
    role: TokenRole


def spans(text: str, tools: Declared) -> tuple[RoleSpan, ...]:
    """The roles of a turn's text as adjoining stretches from its beginning to its end.

    ``tools`` tell enums from other strings, and calls from other JSON. Total: every text has roles.
    """
    found, start = [], 0
    for role, stretch in groupby(_roles(text, tools)):
        end = start + sum(1 for _ in stretch)
        found.append(RoleSpan(start, end, role))
        start = end
    return tuple(found)


def roles_of_tokens(pieces: Sequence[str], tools: Declared) -> tuple[TokenRole, ...]:
    """The role of each token, given the tokens' texts in order.

    A token over several roles has that of a name or value rather than punctuation, and punctuation rather than prose;
    of two names or values, the one with more characters. A token without text (the end of the turn, a part of a
    character) has the role of the character before it.
    """
    roles = _roles("".join(pieces), tools)
    ends = list(accumulate(map(len, pieces)))
    return tuple(_role_of(roles[end - len(piece) : end] or roles[max(0, end - 1) : end])
                 for piece, end in zip(pieces, ends, strict=True))  # fmt: skip


def _role_of(roles: Sequence[TokenRole]) -> TokenRole:
    told = [role for role in roles if role not in {TokenRole.PUNCTUATION, TokenRole.PROSE}]
    if told:
        return max(dict.fromkeys(told), key=told.count)
    return TokenRole.PUNCTUATION if TokenRole.PUNCTUATION in roles else TokenRole.PROSE


# --------------------------------------------------------------------------- the walk

# What begins something, by the names of its groups: the group without a `_` tells how it goes on, `NAME_…` is a tool's
# name. DeepSeek, Kimi, harmony and Mistral put the name in front of the JSON; so does GLM-4-0414, without any marker.
_HEADS = re.compile(
    r"(?P<think><think>|\[THINK\])"
    r"|(?P<named><｜tool▁call▁begin｜>(?:[^<\n]*<｜tool▁sep｜>(?P<name_v3>[^<{\s]+)\s*```(?:json)?|(?P<name_v31>[^<\n]*)"
    r"<｜tool▁sep｜>)\s*"
    r"|<\|tool_call_begin\|>\s*(?:functions\.)?(?P<name_kimi>[^\s:<]+)(?::\d+)?\s*(?:<\|tool_call_argument_begin\|>)?\s*"
    r"|to=functions\.(?P<name_harmony>[^\s<]+)[^<{\n]*(?:<\|(?:channel|constrain)\|>[^<{\n]*)*(?:<\|message\|>)?\s*"
    r"|\[TOOL_CALLS\]\s*(?P<name_mistral>[^\[\]{}\s<\"]+)(?:\[CALL_ID\][^\[\]{]*)?(?:\[ARGS\])?\s*)"
    r"|(?P<header><\|(?:start|channel)\|>[^<\n]*?(?=to=|<|$))"
    r"|(?P<element><function=(?P<name_function>[^<>\n]*)>"
    r"|<(?:｜DSML｜)?invoke\s+name=[\"']?(?P<name_invoke>[^<>\"'\n]*)[\"']?\s*>"
    r"|<tool_call>\s*(?P<name_glm>[^\s<>{\[\"]+)(?=\s*<arg_key>))"
    r"|(?P<parameter><parameter=(?P<key_function>[^<>\n]*)>"
    r"|<(?:｜DSML｜)?parameter\s+name=[\"']?(?P<key_invoke>[^<>\"'\n]*)[\"']?[^<>\n]*>"
    r"|<arg_key>(?P<key_glm>[^<]*)</arg_key>\s*<arg_value>)"
    r"|(?P<tagged>(?:<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>)\s*(?=[{\[]))"
    r"|(?P<python><\|python_tag\|>\s*(?:(?P<name_python>[A-Za-z_]\w*)\.call\(\s*)?)"
    r"|(?P<fence>```(?P<word>[\w+.-]*)\s*(?=[{\[]))"
    rf"|(?P<plain>^(?P<name_plain>[A-Za-z_][\w.-]*)\n\s*(?=\{{))|(?P<json>{bare.START})",
    re.MULTILINE,
)
_TAGS = (
    r"</?(?:｜DSML｜)?(?:tool_calls?|function_calls|invoke|parameter|function|arg_key|arg_value)>|</?minimax:tool_call>"
)
_MARK = re.compile(
    "|".join(
        [_TAGS, *map(re.escape, sorted((*markers(), *reader.MARKERS, *reader.END_OF_TURN), key=len, reverse=True))]
    )
)
_STOP = re.compile(rf"{_MARK.pattern}|```")
_NEXT = re.compile(rf"{_HEADS.pattern}|(?P<mark>{_MARK.pattern})", re.MULTILINE)
_THINK_END = re.compile(r"</think>|\[/THINK\]")
_VALUE_END = re.compile(
    r"(?P<tag></(?:｜DSML｜)?parameter>|</arg_value>)"
    r"(?=\s*(?:<(?:｜DSML｜)?parameter|</(?:｜DSML｜)?(?:invoke|function)|<arg_key>|</tool_call>|\Z))"
)
_ANY_VALUE_END = re.compile(r"</(?:｜DSML｜)?parameter>|</arg_value>|</(?:function|invoke|tool_call)>")
_FENCE_END = re.compile(r"\s*```")
_KEY = re.compile(r"\s*(?P<key>[A-Za-z_]\w*)\s*=\s*")
_CALL_WORDS = frozenset({"tool_call", "tool_calls", "tool", "function", "function_call", "function_calls"})
_BETWEEN = re.compile(r"(?:[\s;,]|```)*")
_SCALAR = re.compile(r"(?P<number>-?\d[\d.eE+-]*)|(?P<word>[A-Za-z]+)")


def _roles(text: str, tools: Declared) -> list[TokenRole]:
    painter = _Painter(Canvas(text, tools))
    position = 0
    while head := _NEXT.search(text, position):
        position = max(painter.take(head), head.start() + 1)
    _join(painter.canvas)
    return painter.canvas.roles


def _join(canvas: Canvas) -> None:
    """Blanks and separators between the parts of calls belong to them."""
    at = 0
    for role, stretch in groupby(list(canvas.roles)):
        end = at + sum(1 for _ in stretch)
        inside = at > 0 or end < len(canvas.roles)
        if role is TokenRole.PROSE and inside and _BETWEEN.fullmatch(canvas.text, at, end):
            canvas.paint(at, end, TokenRole.PUNCTUATION)
        at = end


class _Painter:
    """Paints what begins at a head and says where it ends; remembers the tool whose parameters come next."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.text = canvas.text
        self.arguments = ANYTHING

    def take(self, head: re.Match[str]) -> int:
        kinds: dict[str, Callable[[re.Match[str]], int]] = {
            "think": self._think, "named": self._named, "header": self._mark, "element": self._element,
            "parameter": self._parameter, "tagged": self._tagged, "python": self._python, "fence": self._fence,
            "plain": self._plain, "json": self._bare, "mark": self._mark,
        }  # fmt: skip
        kind = next(kind for kind in kinds if head[kind] is not None)
        return kinds[kind](head)

    def _mark(self, head: re.Match[str]) -> int:
        self.canvas.paint(*head.span(), TokenRole.PUNCTUATION)
        return head.end()

    def _think(self, head: re.Match[str]) -> int:
        """Thinking is prose, whatever stands in it; if it never ends, what stands in it is read."""
        self._mark(head)
        closing = _THINK_END.search(self.text, head.end())
        return self._mark(closing) if closing else head.end()

    def _name(self, head: re.Match[str]) -> str:
        """Paint the tool's name in a head; the name."""
        self._mark(head)
        for group, value in head.groupdict().items():
            if group.startswith("name_") and value is not None:
                self.canvas.paint(*head.span(group), TokenRole.TOOL)
                return value.strip()
        return ""

    def _named(self, head: re.Match[str]) -> int:
        return self._data(head.end(), self.canvas.arguments_of(self._name(head)))

    def _plain(self, head: re.Match[str]) -> int:
        return self._named(head) if head["name_plain"] in self.canvas.tools else head.end("name_plain")

    def _data(self, start: int, schema: Schema) -> int:
        """Paint a JSON value of data, if one begins here."""
        if not self.text.startswith(("{", "["), start):
            return start
        return paint_json(self.canvas, start, Sense.DATA, schema, stop=_STOP)

    def _call(self, start: int) -> int:
        return paint_json(self.canvas, start, Sense.CALL, ANYTHING, stop=_STOP)

    def _tagged(self, head: re.Match[str]) -> int:
        return self._call(self._mark(head))

    def _bare(self, head: re.Match[str]) -> int:
        meant = bare.meant(self.text, head.start(), self.canvas.tools)
        return self._call(head.start()) if meant else head.end()

    def _fence(self, head: re.Match[str]) -> int:
        if head["word"] not in _CALL_WORDS and not bare.meant(self.text, head.end(), self.canvas.tools):
            return head.end() + 1
        end = self._call(self._mark(head))
        closing = _FENCE_END.match(self.text, end)
        return self._mark(closing) if closing else end

    # ------------------------------------------------------------- markup and code

    def _element(self, head: re.Match[str]) -> int:
        self.arguments = self.canvas.arguments_of(self._name(head))
        return head.end()

    def _parameter(self, head: re.Match[str]) -> int:
        self._mark(head)
        group = next(group for group in ("key_function", "key_invoke", "key_glm") if head[group] is not None)
        self.canvas.paint(*head.span(group), TokenRole.PARAMETER)
        closing = _VALUE_END.search(self.text, head.end()) or _ANY_VALUE_END.search(self.text, head.end())
        end = closing.start() if closing else len(self.text)
        self._value(head.end(), end, self.arguments.member(head[group].strip()))
        return end

    def _value(self, start: int, end: int, schema: Schema) -> None:
        """An unquoted value: JSON if it looks like it and is not declared a string; blanks around it are framing."""
        self.canvas.paint(start, end, TokenRole.PUNCTUATION)
        raw = self.text[start:end]
        inner = raw.strip()
        begin = start + raw.find(inner)
        if inner.startswith(("{", "[")) and not schema.takes_text:
            self._data(begin, schema)
            return
        scalar = None if schema.takes_text else _SCALAR.fullmatch(inner)
        role = scalar_role(inner, (scalar.lastgroup if scalar else None) or "string", schema)
        self.canvas.paint(begin, begin + len(inner), role)

    def _python(self, head: re.Match[str]) -> int:
        """``tool.call(key=value)``, or code for the code tool, which is one string up to the end."""
        schema = self.canvas.arguments_of(self._name(head))
        closing = _MARK.search(self.text, head.end())
        end = closing.start() if closing else len(self.text)
        if head["name_python"] is None:
            self.canvas.paint(head.end(), end, TokenRole.STRING)
            return end
        position = head.end()
        for key in self._keywords(position, end):
            self.canvas.paint(position, key.end(), TokenRole.PUNCTUATION)
            self.canvas.paint(*key.span("key"), TokenRole.PARAMETER)
            position = paint_json(self.canvas, key.end(), Sense.DATA, schema.member(key["key"]), stop=_STOP)
        self.canvas.paint(position, end, TokenRole.PUNCTUATION)
        return end

    def _keywords(self, position: int, end: int) -> Iterator[re.Match[str]]:
        while position < end and (key := _KEY.match(self.text, position)):
            yield key
            position = key.end()
            while position < end and self.canvas.roles[position] is not TokenRole.PROSE:
                position += 1
            position += self.text.startswith(",", position)
