"""A whole session with its secrets and names masked, before anything of it is asked, stored or shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from kvassay.session.redact import Redactor
from kvassay.session.transcript import Branch, Compaction, Entry, Transcript
from kvassay.types import JsonObject, Tool


def masked(transcript: Transcript, redactor: Redactor) -> Transcript:
    """The session as it may be shown: messages, system prompt, tools, title and places masked."""
    return replace(
        transcript,
        path=Path(redactor.text(str(transcript.path))),
        title=redactor.text(transcript.title),
        cwd=transcript.cwd and redactor.text(transcript.cwd),
        system=transcript.system and redactor.text(transcript.system),
        tools=transcript.tools and masked_tools(transcript.tools, redactor),
        entries=tuple(_entry(entry, redactor) for entry in transcript.entries),
    )


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
