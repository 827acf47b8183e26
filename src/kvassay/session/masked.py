"""A whole session with its secrets and names masked, before anything of it is asked, stored or shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

from kvassay.session.redact import Redactor
from kvassay.session.transcript import Branch, Compaction, Entry, Said, Transcript
from kvassay.types import JsonObject, Message, Tool


def masked(transcript: Transcript, redactor: Redactor) -> Transcript:
    """The session as it may be shown: messages, system prompt, tools, id, title and places masked."""
    return replace(
        transcript,
        id=redactor.text(transcript.id),
        path=Path(redactor.text(str(transcript.path))),
        title=redactor.text(transcript.title),
        cwd=transcript.cwd and redactor.text(transcript.cwd),
        system=transcript.system and redactor.text(transcript.system),
        tools=transcript.tools and masked_tools(transcript.tools, redactor),
        entries=tuple(_entry(entry, redactor) for entry in transcript.entries),
    )


def redactor_for(transcript: Transcript) -> Redactor:
    """Masks what this session shows to be secret, and the names of whoever runs this and whoever recorded it."""
    places = filter(None, (str(transcript.path), transcript.cwd))
    return Redactor.of_this_machine().knowing(_texts(transcript), places=places)


def _texts(transcript: Transcript) -> Iterator[str]:
    yield transcript.system or ""
    for entry in transcript.entries:
        match entry:
            case Said():
                yield from _said(entry.message)
                yield from (call.arguments for call in entry.poisoned)
            case Compaction():
                yield from chain.from_iterable(map(_said, entry.replacement))


def _said(message: Message) -> Iterator[str]:
    yield message.content
    yield from (json.dumps(call.arguments, ensure_ascii=False) for call in message.tool_calls)


def masked_tools(tools: Sequence[Tool], redactor: Redactor) -> tuple[Tool, ...]:
    """Tools with their descriptions and schemas masked; names stay."""
    return tuple(
        Tool(tool.name, redactor.text(tool.description), cast("JsonObject", redactor.json(tool.parameters)))
        for tool in tools
    )


def _entry(entry: Entry, redactor: Redactor) -> Entry:
    match entry:
        case Branch():
            return entry
        case Compaction():
            return replace(entry, replacement=redactor.messages(entry.replacement))
    (message,) = redactor.messages([entry.message])
    calls = tuple(replace(call, arguments=redactor.text(call.arguments)) for call in entry.poisoned)
    return replace(entry, message=message, poisoned=calls)
