"""mini-swe-agent's trajectories: one JSON document with ``messages``, ``info`` and ``trajectory_format``.

Read by: mini-swe-agent 2.4.6 (``agents/default.py``, ``models/utils/actions_*.py``): native calls, the Responses API,
and, as in version 1, commands in a fenced block, each of which becomes a call of ``bash``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, read_message, result, take_apart, usage_at
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import at, int_at, list_at, object_at, sorted_calls, text_at, unix_s
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.responses import Turns
from kvassay.session.importers.source import Importer, Sample, one_file
from kvassay.session.importers.text_calls import fenced_command
from kvassay.session.transcript import Facts, Item, Oddity, Said
from kvassay.types import JsonObject, JsonValue, Message, Tool

AGENT = "mini-swe-agent"
_TOLD = re.compile(r"\s*<returncode>(-?\d{1,9})</returncode>")  # where only the model was told
_BASH = Tool(
    "bash",
    "Execute a bash command",
    {
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The bash command to execute"}},
        "required": ["command"],
    },
)


def _recognises(sample: Sample) -> bool:
    named = sample.first("trajectory_format")
    if named is not None:
        return str(named.value).startswith("mini-swe-agent")
    info = sample.first("info")
    return info is not None and "messages" in sample.keys and "mini_version" in object_at(info.value)


def _read(path: Path) -> Iterator[Item]:
    yield Facts(tools=(_BASH,))
    yield from with_system_apart(_Trajectory().items(path))


class _Trajectory:
    def __init__(self) -> None:
        self._turns = Turns()
        self._acted = False  # the last turn's command stood in its text

    def items(self, path: Path) -> Iterator[Item]:
        for piece in read_pieces(path):
            if isinstance(piece, Oddity):
                yield piece
            elif piece.key == "info":
                yield Facts(model=text_at(piece.value, "config", "model", "model_name"))
            elif piece.key == "messages":
                yield from self._tell(object_at(piece.value), _stamp(piece.value, piece.place))
        yield from self._turns.end()

    def _tell(self, wire: JsonObject, stamp: Stamp) -> Iterator[Item]:
        role = text_at(wire, "role")
        if wire.get("object") == "response":
            for item in list_at(wire, "output"):
                yield from self._turns.take(item, stamp)
            yield from self._turns.end()
        elif role is None:
            yield from (_failed(item, wire) for item in self._turns.take(wire, stamp))
        elif role == "exit":
            return
        elif role == "user" and self._acted:
            self._acted = False
            parts = take_apart(wire.get("content"), stamp)
            yield _failed(result(None, parts.text, stamp, failed=None), wire)
        else:
            for told in read_message(wire, stamp):
                yield self._with_command(told) if role == "assistant" else _failed(told, wire)

    def _with_command(self, item: Item) -> Item:
        if not isinstance(item, Said) or item.message.tool_calls or item.poisoned:
            self._acted = False
            return item
        text, raw = fenced_command(item.message.content)
        self._acted = bool(raw)
        return replace(item, message=Message("assistant", text, sorted_calls(raw).good))


def _failed(item: Item, wire: JsonObject) -> Item:
    if not isinstance(item, Said) or item.message.role != "tool":
        return item
    code = int_at(wire, "extra", "returncode")
    told = _TOLD.match(item.message.content)
    if code is None and told:
        code = int(told[1])
    return item if code is None else replace(item, failed=code != 0)


def _stamp(wire: JsonValue, place: str) -> Stamp:
    response = object_at(wire, "extra", "response") or object_at(wire)
    choice = next(iter(list_at(response, "choices")), None)
    return Stamp(
        place,
        unix_s(at(wire, "extra", "timestamp")),
        usage_at(response.get("usage")),
        text_at(choice, "finish_reason"),
        text_at(response, "model"),
    )


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
