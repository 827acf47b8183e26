"""Calls that an agent has its model write as text: Cline's XML and the fenced command of SWE-agents."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvassay.session.importers.fields import RawCall
from kvassay.types import JsonObject

_FENCED = re.compile(r"```(?:bash|sh|shell|mswea_bash_command)?[ \t]*\n(.*?)\n?```", re.DOTALL)
# Free text may hold tags of its own: it ends at its last closing tag.
_GREEDY = frozenset({"content", "diff", "result", "response", "command", "arguments"})


class Written(NamedTuple):
    """A turn's text without its calls, and the calls."""

    text: str
    calls: tuple[RawCall, ...]


def xml_calls(text: str, tools: frozenset[str]) -> Written:
    """Read ``<tool><parameter>value</parameter></tool>``, as Cline's ``parse-assistant-message`` does: every value is a
    string without the line ends around it; a call without its closing tag is not one.
    """
    calls: list[RawCall] = []
    names = "|".join(map(re.escape, sorted(tools)))
    pattern = re.compile(rf"<({names})>(.*?)</\1>", re.DOTALL)

    def take(match: re.Match[str]) -> str:
        calls.append(RawCall("", match[1], _parameters(match[2])))
        return ""

    rest = pattern.sub(take, text) if tools else text
    return Written(rest.strip() if calls else text, tuple(calls))


def _parameters(body: str) -> JsonObject:
    found: JsonObject = {}
    at = 0
    while opened := re.compile(r"<([a-z_]+)>").search(body, at):
        closing = f"</{opened[1]}>"
        end = body.rfind(closing) if opened[1] in _GREEDY else body.find(closing, opened.end())
        if end < opened.end():
            break
        found[opened[1]] = body[opened.end() : end].strip()
        at = end + len(closing)
    return found


def fenced_command(text: str) -> Written:
    """Read the one fenced command of a turn; several or none are no call, as these agents have it."""
    found = list(_FENCED.finditer(text))
    if len(found) != 1:
        return Written(text, ())
    rest = f"{text[: found[0].start()]}{text[found[0].end() :]}".strip()
    return Written(rest, (RawCall("", "bash", {"command": found[0][1].strip()}),))
