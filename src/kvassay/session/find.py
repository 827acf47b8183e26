"""From what a user calls a session, a file or an id, to the session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from kvassay.errors import UsageError
from kvassay.session.importers import Source, choose, sessions_in
from kvassay.session.places import session_files, usual_places
from kvassay.session.transcript import Facts

_HEAD_ITEMS = 20  # where formats that record their id have done so
_MOST_SHOWN = 5


def find(session: str) -> Source:
    """The session that is meant: a file, ``FILE#ID`` for one of several in a store, or an id (or its beginning) that
    `kvassay sessions` lists. Raises UsageError where there is none, or more than one.
    """
    try:
        by_file = _by_file(session)
    except OSError as error:
        raise UsageError(f"{session!r} can't be read: {error.strerror}.") from error
    if by_file:
        return by_file
    if len(Path(session).parts) > 1:
        raise UsageError(f"{session!r} does not exist.", hint="Give a session's file, or an id: kvassay sessions")
    return _by_id(session, session_files(chain.from_iterable(usual_places().values())))


def _by_file(session: str) -> Source | None:
    """The session of a file; None where there is none of that name. Raises OSError."""
    path = Path(session)
    if path.is_dir():
        raise UsageError(f"{session!r} is a folder.", hint=f"Name one session of it: kvassay sessions {session}")
    if path.is_file():
        return choose(path)
    if path.exists():
        raise UsageError(f"{session!r} is no file but a pipe or a device.", hint="Save the session as a file first.")
    file, hash_, id_ = session.rpartition("#")
    return choose(Path(file), id_) if hash_ and Path(file).is_file() else None


def _by_id(wanted: str, files: Iterable[Path]) -> Source:
    found = [(id_, source) for source in _sources(files) if (id_ := id_of(source)).startswith(wanted)]
    exact = [(id_, source) for id_, source in found if id_ == wanted]
    found = exact or found
    if not found:
        raise UsageError(
            f"There is no session {wanted!r} in the usual places, and no such file.",
            hint="See what there is: kvassay sessions --json",
        )
    if len(found) > 1:
        shown = ", ".join(id_ for id_, _ in found[:_MOST_SHOWN])
        raise UsageError(f"{len(found)} sessions begin with {wanted!r}.", hint=f"Say more of it: {shown} …")
    return found[0][1]


def _sources(files: Iterable[Path]) -> Iterator[Source]:
    for file in files:
        try:
            yield from sessions_in(file)
        except OSError:
            continue


def id_of(source: Source) -> str:
    """A session's id as `kvassay sessions` lists it, read from the session's beginning."""
    if source.id:
        return source.id
    heads = (item.id for item in islice(source.read(), _HEAD_ITEMS) if isinstance(item, Facts))
    return next((id_ for id_ in heads if id_), source.path.stem)
