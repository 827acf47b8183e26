"""Writing small sessions, and reading them the way users do: by content, under any name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kvassay.session.importers import load, sessions_in
from kvassay.session.transcript import Said, Transcript
from kvassay.types import JsonObject, JsonValue, Message


def jsonl(folder: Path, *lines: object) -> Path:
    """A file of JSON lines; a string is written as it is."""
    path = folder / "some-file"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def document(folder: Path, value: JsonValue) -> Path:
    """A file of one JSON document."""
    path = folder / "some-file"
    path.write_text(json.dumps(value, indent=2))
    return path


def only(path: Path) -> Transcript:
    """The one session of a file."""
    (source,) = sessions_in(path)
    return load(source)


def said(transcript: Transcript) -> tuple[Said, ...]:
    """The transcript's messages with what was recorded about them."""
    return tuple(entry for entry in transcript.entries if isinstance(entry, Said))


def messages(transcript: Transcript) -> list[Message]:
    """The transcript's messages."""
    return [entry.message for entry in said(transcript)]


def oddities(transcript: Transcript) -> dict[str, int]:
    """How often which oddity was met."""
    return {count.name: count.count for count in transcript.oddities}


def chained(entries: Sequence[JsonObject], *, own: str = "id", parent: str = "parentId") -> list[JsonObject]:
    """Entries, each the child of the one before; those that say otherwise keep their word."""
    out: list[JsonObject] = []
    for number, entry in enumerate(entries):
        before: JsonValue = out[-1][own] if out else None
        out.append({own: f"e{number}", parent: before, **entry})
    return out
