"""A stored turn handed to `kvassay replay`: the request with its answer behind it as one file, and the command."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import NamedTuple, cast

from kvassay import fields
from kvassay.errors import UsageError
from kvassay.guard.asking import read_request
from kvassay.guard.contract import Api, Asked, Replied, SaidCall
from kvassay.guard.replies import ReplyReader
from kvassay.guard.store import Bodies, read_turn
from kvassay.guard.turn_event import TurnEvent
from kvassay.probe.replay import askable
from kvassay.session.history import Moment, Room, moments
from kvassay.session.importers import choose, load
from kvassay.types import JsonObject, JsonValue

_BOUNDLESS = Room(1 << 60, lambda _message: 0)


class Handed(NamedTuple):
    """``text`` is the session's JSON, ``name`` its file's; ``command`` asks the turn again, "" where ``why_not`` says
    why it can't be.
    """

    name: str
    text: str
    command: str
    why_not: str


def hand_over(store: Path, number: int) -> Handed:
    """The stored turn of this number. Raises UsageError where it, or its bodies, are not kept; StoreError."""
    found = read_turn(store, number)
    if found is None or found[1] is None:
        kept = "holds no turn" if found is None else "keeps no bodies of turn"
        raise UsageError(f"{str(store)!r} {kept} {number}", hint="Bodies are kept by: kvassay guard --keep-bodies")
    return handed(found[0], found[1])


def handed(event: TurnEvent, bodies: Bodies) -> Handed:
    """A turn from what is stored of it. Raises UsageError where the request can't be read."""
    asked = read_request(event.path, {}, bodies.request.encode("utf-8", "replace"))
    if asked is None:
        raise UsageError(f"the request of turn {event.id} can't be read", hint="It is stored as it was sent.")
    reader = ReplyReader(asked)
    reader.feed(bodies.reply.encode("utf-8", "replace"))
    replied = reader.finish(event.status, complete=event.complete)
    name, text = f"turn-{event.id}.json", json.dumps(_session(asked, replied), ensure_ascii=False)
    last = _last(name, text)
    why_not = _why_not(asked, replied, last)
    command = (
        f"kvassay replay {name} --turn {last.number} --kv {event.kv or 'K/V'} MODEL" if last and not why_not else ""
    )
    return Handed(name, text, command, why_not)


def saved(handed_over: Handed, folder: Path) -> Path:
    """Write the file into a folder; one that is there is not replaced. Raises UsageError."""
    path = folder / handed_over.name
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(handed_over.text)
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} can't be written: {error.strerror}", hint="Move it, or go elsewhere."
        ) from None
    return path


def _why_not(asked: Asked, replied: Replied, last: Moment | None) -> str:
    if asked.partial:
        return "the client sent only a part of its history"
    if not replied.calls:
        return "its answer holds no call"
    if last is None or last.said.poisoned or not list(askable([last])):
        return "its answer did not end in well-formed calls"
    return ""


def _last(name: str, text: str) -> Moment | None:
    """The newest turn as `kvassay replay` reads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return max(moments(load(choose(path)), _BOUNDLESS), key=lambda moment: moment.number, default=None)


# --------------------------------------------------------------------------- the answer as the last turn


def _session(asked: Asked, replied: Replied) -> JsonObject:
    body = cast("JsonObject", json.loads(asked.body))
    key = "input" if asked.api is Api.RESPONSES else "messages"
    said = {Api.CHAT: _chat, Api.RESPONSES: _responses, Api.MESSAGES: _messages}[asked.api](replied)
    before: list[JsonValue] = (
        [{"role": "user", "content": body[key]}] if isinstance(body[key], str) else [*fields.sections(body, key)]
    )
    return {"model": asked.model, **body, key: [*before, *said]}  # first: importers tell a body by its beginning


def _chat(replied: Replied) -> list[JsonObject]:
    calls: list[JsonValue] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in replied.calls
    ]
    message: JsonObject = {"role": "assistant", "content": replied.turn.content}
    return [{**message, "tool_calls": calls} if calls else message]


def _responses(replied: Replied) -> list[JsonObject]:
    text: JsonObject = {"type": "output_text", "text": replied.turn.content}
    message: JsonObject = {"type": "message", "role": "assistant", "content": [text]}
    calls: list[JsonObject] = [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        for call in replied.calls
    ]
    return [message, *calls] if replied.turn.content else calls


def _messages(replied: Replied) -> list[JsonObject]:
    text: list[JsonValue] = [{"type": "text", "text": replied.turn.content}] if replied.turn.content else []
    calls = [{"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call)} for call in replied.calls]
    return [{"role": "assistant", "content": [*text, *calls]}]


def _input(call: SaidCall) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(call.arguments))
    except (ValueError, RecursionError):
        return call.arguments
