"""The session as it grows: one exchange after another, seeded, never the same source line twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from kvassay.session import exchanges
from kvassay.session.corpus import Corpus
from kvassay.session.excerpts import Excerpt, Reader
from kvassay.session.exchanges import Desk, Exchange
from kvassay.session.scene import Fact, FileView, Scene
from kvassay.session.tools import SYSTEM_PROMPT
from kvassay.types import Message, Tool

_CLOSING_LINES = 120
_FIRST_LINES, _LAST_LINES = 14, 56
_KINDS: tuple[Callable[[Desk], Exchange | None], ...] = (
    exchanges.searching,
    exchanges.editing,
    exchanges.ticket,
    exchanges.definitions,
    exchanges.editing,
    exchanges.listing,
    exchanges.job,
)


class Worker:
    """A coding agent at work. ``upcoming`` is the next exchange, ``accept`` makes it part of the session."""

    def __init__(self, *, seed: int, tools: Sequence[Tool], corpus: Corpus) -> None:
        rng = random.Random(seed)  # noqa: S311  # reproducible, not secret
        self.desk = Desk(tools, Reader(corpus, rng), rng)
        self.messages: list[Message] = [Message("system", SYSTEM_PROMPT)]
        self._views: dict[str, FileView] = {}
        self._facts: list[Fact] = []
        self._step = 0
        self.upcoming = exchanges.opening(self.desk)

    def accept(self) -> None:
        """Add the upcoming exchange and prepare the one after it."""
        self.add(self.upcoming)
        self._step += 1
        self.upcoming = self._next()

    def closing(self) -> Excerpt:
        """The stretch a rung may end with: as long as it gets, of a file the upcoming exchange does not touch."""
        return self.desk.reader.peek(
            _CLOSING_LINES, avoid=frozenset(self.upcoming.touched), at_least=_CLOSING_LINES * 3 // 4
        )

    def reading(self, excerpt: Excerpt) -> Exchange:
        """How the reading of a stretch would look here; nothing is used up."""
        dice = random.Random(len(self.messages))  # noqa: S311
        return exchanges.reading(replace(self.desk, rng=dice), excerpt)

    def close(self, excerpt: Excerpt, exchange: Exchange) -> None:
        """End a rung with the reading of this stretch."""
        self._show(excerpt)
        self.desk.calls += 1
        self.add(exchange)

    def add(self, exchange: Exchange) -> None:
        base = len(self.messages)
        self.messages += exchange.messages
        self._facts += [replace(fact, message=base + fact.message) for fact in exchange.facts]
        for path, message in exchange.touched.items():
            self._views[path] = FileView(path, *self.desk.reader.shown(path), base + message)

    def scene(self) -> Scene:
        """What the session has established so far."""
        return Scene(tuple(self.messages), tuple(self.desk.tools), tuple(self._views.values()), tuple(self._facts))

    def _next(self) -> Exchange:
        if self._step == 1 and (found := exchanges.definitions(self.desk)):
            return found
        if self._step % 2 and self.desk.open_files:
            made = _KINDS[self._step // 2 % len(_KINDS)](self.desk)
            if made is not None:
                return made
        return self._read()

    def _read(self) -> Exchange:
        desk = self.desk
        again = desk.open_files[-1] if desk.open_files and desk.rng.random() < 0.3 else None  # noqa: PLR2004
        excerpt = desk.reader.peek(desk.rng.randrange(_FIRST_LINES, _LAST_LINES), after=again)
        self._show(excerpt)
        make = exchanges.wrong_path if desk.rng.random() < 0.1 else exchanges.reading  # noqa: PLR2004
        return make(desk, excerpt)

    def _show(self, excerpt: Excerpt) -> None:
        self.desk.reader.take(excerpt)
        if excerpt.path in self.desk.open_files:
            self.desk.open_files.remove(excerpt.path)
        self.desk.open_files.append(excerpt.path)
