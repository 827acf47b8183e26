"""Recorded sessions of coding agents: one file per agent's format, told apart by content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kvassay.errors import UsageError
from kvassay.session.importers import (
    chat,
    claude_code,
    cline,
    codex,
    mini_swe_agent,
    openclaw,
    opencode,
    openhands,
    pi,
    qwen_code,
    request,
    swe_agent,
)
from kvassay.session.importers.source import Importer, Source, sample
from kvassay.session.transcript import Transcript, collected

__all__ = ["IMPORTERS", "Source", "choose", "load", "recognised", "sessions_in"]

# The first that recognises a file reads it: the particular before the general.
_MODULES = (
    openclaw,
    pi,
    claude_code,
    codex,
    qwen_code,
    opencode,
    cline,
    mini_swe_agent,
    swe_agent,
    openhands,
    request,
    chat,
)
IMPORTERS: dict[str, Importer] = {module.AGENT: module.IMPORTER for module in _MODULES}


_MOST_SHOWN = 8


def recognised(path: Path) -> Importer | None:
    """The importer that a file's content calls for. Raises OSError where it can't be read."""
    seen = sample(path)
    return next((importer for importer in IMPORTERS.values() if importer.recognises(seen)), None)


def sessions_in(path: Path) -> Iterator[Source]:
    """The sessions of one file; none where no importer recognises it. Raises OSError where it can't be read."""
    importer = recognised(path)
    if importer:
        yield from importer.sessions(path)


def choose(path: Path, id_: str | None = None) -> Source:
    """One session of a file; of a store that holds several, the one whose id is ``id_``, or begins with it.

    Raises UsageError where the file can't be read, holds no session, or more than one that could be meant.
    """
    try:
        found = [source for source in sessions_in(path) if source.id.startswith(id_ or "")]
        sources = [source for source in found if source.id == id_] or found
    except OSError as error:
        raise UsageError(f"{str(path)!r} can't be read: {error.strerror}.") from error
    if not sources:
        raise UsageError(
            f"No session {id_!r} was found in {str(path)!r}."
            if id_
            else f"{str(path)!r} holds no session we can read.",
            hint=f"Formats: {', '.join(IMPORTERS)}. See what is there: kvassay sessions {path}",
        )
    if len(sources) > 1:
        ids = ", ".join(source.id for source in sources[:_MOST_SHOWN])
        raise UsageError(f"{str(path)!r} holds {len(sources)} sessions.", hint=f"Say which, by its id: {ids}.")
    return sources[0]


def load(source: Source) -> Transcript:
    """Read a whole session into memory. Raises UsageError where the file can't be read to its end."""
    try:
        return collected(source.agent, source.path, source.read())
    except OSError as error:
        raise UsageError(f"{source.path}: can't be read: {error.strerror}") from error
