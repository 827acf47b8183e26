"""SWE-agent's trajectories (``*.traj``): one JSON document with ``trajectory``, ``history`` and ``info``.

Read by: the SWE-agent sources (``sweagent/types.py``; release 1 is not on the package index, sweagent 0.0.1 there
writes the older form without native calls). A history without native calls has its actions as text: each becomes a
call of ``bash``, and the observation after it that call's result. Demonstrations are told, as the model saw
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, assistant, read_message, result, take_apart
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import RawCall, at, list_at, text_at
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.source import Importer, Sample, one_file
from kvassay.session.pieces import Piece
from kvassay.session.transcript import Facts, Item, Oddity
from kvassay.types import JsonObject

AGENT = "swe-agent"


def _recognises(sample: Sample) -> bool:
    step, entry = sample.first("trajectory"), sample.first("history")
    stepped = step is not None and at(step.value, "action") is not None and at(step.value, "observation") is not None
    return stepped or (entry is not None and text_at(entry.value, "role") is not None and "agent" in _keys(entry))


def _keys(piece: Piece) -> set[str]:
    return set(piece.value) if isinstance(piece.value, dict) else set()


def _read(path: Path) -> Iterator[Item]:
    yield from with_system_apart(_items(path))


def _items(path: Path) -> Iterator[Item]:
    acted = False
    for piece in read_pieces(path):
        if isinstance(piece, Oddity):
            yield piece
        elif piece.key == "environment" and isinstance(piece.value, str):
            yield Facts(title=piece.value)
        elif piece.key == "history" and isinstance(piece.value, dict):
            entry, stamp = piece.value, Stamp(piece.place)
            if text_at(entry, "role") == "assistant":
                acted = not list_at(entry, "tool_calls") and bool(text_at(entry, "action"))
                yield from _turn(entry, stamp)
            else:
                yield from _heard(entry, stamp, acted=acted)
                acted = False
        elif piece.key == "history":
            yield Oddity("damaged", "history entry", piece.place)


def _turn(entry: JsonObject, stamp: Stamp) -> Iterator[Item]:
    action = text_at(entry, "action")
    if list_at(entry, "tool_calls") or not action:
        yield from read_message(entry, stamp)
    else:
        thought = text_at(entry, "thought")
        text = thought if thought is not None else take_apart(entry.get("content"), stamp).text
        yield assistant(text, [RawCall("", "bash", {"command": action.strip()})], stamp)


def _heard(entry: JsonObject, stamp: Stamp, *, acted: bool) -> Iterator[Item]:
    ids = [id_ for id_ in list_at(entry, "tool_call_ids") if isinstance(id_, str)]
    if ids or acted:
        parts = take_apart(entry.get("content"), stamp)
        yield from parts.oddities
        yield result(ids[0] if ids else None, parts.text, stamp, failed=None)
    else:
        yield from read_message(entry, stamp)


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
