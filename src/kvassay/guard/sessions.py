"""Sessions: what is remembered of each, bounded, and to which one a request belongs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from kvassay.grade.exchanges import Exchange
from kvassay.guard.contract import Asked
from kvassay.guard.detector import Detector

_OPENING = 4  # of the assistant's messages: enough to tell conversations with one beginning apart
_SIBLINGS = 16  # conversations with one beginning that are kept apart


@dataclass(slots=True)
class Session:
    """What is remembered of a session: of its newest request, the number of messages, the ``opening`` (hashes of the
    assistant's first messages) and the ``digest``; ``answered`` is the digest of the newest that was answered.
    ``failing`` counts failed turns in a row; ``streak`` those of ``streak_tool``,
    as they came from the model; ``tail`` are exchanges, kept only where the client sends its history in part.
    """

    id: str
    turns: int = 0
    length: int = 0
    opening: tuple[str, ...] = ()
    digest: str = ""
    answered: str = ""
    in_trouble: bool = False
    resent: int = 0
    failing: int = 0
    streak: int = 0
    streak_tool: str = ""
    tail: tuple[Exchange, ...] = ()
    detector: Detector | None = None


@dataclass(slots=True)
class Sessions:
    """The newest ``limit`` sessions, the least recently used forgotten first."""

    limit: int
    _known: OrderedDict[str, Session] = field(default_factory=OrderedDict)
    _siblings: OrderedDict[str, list[str]] = field(default_factory=OrderedDict)
    _born: int = 0

    def __len__(self) -> int:
        return len(self._known)

    def of(self, asked: Asked) -> Session:
        """The session that a request belongs to, begun if need be."""
        opening = _opening(asked)
        session = self._by_id(asked.session) if asked.session_by != "prefix" else self._by_talk(asked, opening)
        session.length, session.opening, session.digest = len(asked.messages), opening, asked.digest
        self._known.move_to_end(session.id)
        while len(self._known) > self.limit:
            self._known.popitem(last=False)
        return session

    def _by_id(self, id_: str) -> Session:
        return self._known.setdefault(id_, Session(id_))

    def _by_talk(self, asked: Asked, opening: tuple[str, ...]) -> Session:
        """Among conversations with this beginning, the longest that this one goes on; else a new one."""
        siblings = self._siblings.setdefault(asked.session, [])
        self._siblings.move_to_end(asked.session)
        while len(self._siblings) > self.limit:
            self._siblings.popitem(last=False)
        fits = [known for known in self._alive(siblings) if _goes_on(known, asked, opening)]
        if fits:
            return max(fits, key=lambda known: known.length)
        self._born += bool(siblings)
        id_ = f"{asked.session}-{self._born}" if siblings else asked.session
        siblings[:] = [*siblings[-_SIBLINGS + 1 :], id_]
        return self._by_id(id_)

    def _alive(self, siblings: list[str]) -> Iterator[Session]:
        return (self._known[id_] for id_ in siblings if id_ in self._known)


def _goes_on(known: Session, asked: Asked, opening: tuple[str, ...]) -> bool:
    shared = min(len(known.opening), len(opening))
    if known.opening[:shared] != opening[:shared]:
        return False
    length = len(asked.messages)
    return length > known.length or known.digest == asked.digest or (length == known.length and known.in_trouble)


def _opening(asked: Asked) -> tuple[str, ...]:
    said = [message for message in asked.messages if message.role == "assistant"]
    texts = (f"{message.content}\0{message.tool_calls}" for message in said[:_OPENING])
    return tuple(_hash(text) for text in texts)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
