"""The context ladder: one session whose prefix at each depth is a prefix of the next, in the model's own tokens."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from kvassay.errors import ConfigError
from kvassay.session.corpus import Corpus
from kvassay.session.excerpts import MIN_LINES, Excerpt
from kvassay.session.exchanges import Exchange
from kvassay.session.generator import Worker
from kvassay.session.scene import Scene
from kvassay.session.tools import TOOLS
from kvassay.types import Message, Tool

Count = Callable[[Sequence[Message], Sequence[Tool]], int]

_TOLERANCE = 0.02
_MAX_FITS = 5
_CLOSING_TOKENS = 260  # what the last reading of a rung needs at least
_LONGEST_CLOSING_TOKENS = 700
_PAD_LINES = 24
_CAUTION = 1.15  # ids and tables make more tokens than code does
_CHARS_PER_TOKEN = 3.2  # first guess for code; corrected with every count
_CHARS_PER_MESSAGE = 40  # what a template puts around a message or call


@dataclass(frozen=True, slots=True)
class Rung:
    """The session at one depth: its first ``n_messages`` messages make ``prompt_tokens`` tokens."""

    depth: int
    n_messages: int
    prompt_tokens: int
    scene: Scene


@dataclass(frozen=True, slots=True)
class Ladder:
    """A session up to the deepest rung. ``sha256`` covers its messages and tools."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    rungs: tuple[Rung, ...]
    sha256: str


def climb(*, seed: int, tools: Sequence[Tool] | None, corpus: Corpus, depths: Sequence[int], count: Count) -> Ladder:
    """Build the session. ``depths`` are prompt tokens in front of the question, each hit within 2 %; ``count`` returns
    the prompt tokens of rendered messages and tools in the model's own tokenizer; ``tools`` None means ours.

    Raises ConfigError where a depth is less than system prompt, tools and one short reading need, where depths lie too
    close together, where there is no tool, or where the corpus is used up.
    """
    used = tuple(TOOLS if tools is None else tools)
    if not used:
        raise ConfigError("A session needs at least one tool.", hint="Leave --tools out to use kvassay's own.")
    worker = Worker(seed=seed, tools=used, corpus=corpus)
    builder = _Builder(worker, count)
    rungs = tuple(builder.rung(depth) for depth in sorted(set(depths)))
    messages = tuple(worker.messages)
    return Ladder(messages, used, rungs, hashlib.sha256(repr((messages, used)).encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class _Fit:
    """A closing reading that was tried, and the prompt tokens it makes."""

    excerpt: Excerpt
    exchange: Exchange
    tokens: int


class _Builder:
    """Grows a worker's session to depths, calling the costly count as rarely as it can."""

    def __init__(self, worker: Worker, count: Count) -> None:
        self._worker = worker
        self._count = count
        self._rate = _CHARS_PER_TOKEN
        self._chars = self._tokens = self._opened = self._rungs = 0

    def rung(self, depth: int) -> Rung:
        if not self._opened:
            self._worker.accept()  # the opening: without its ids there is nothing to ask back
            self._opened = self._tokens = self._measure(())
        while self._room(depth, self._worker.upcoming) > 0:
            self._grow(depth)
        while depth - self._tokens > _LONGEST_CLOSING_TOKENS:
            self._pad()
        fit = self._fit(depth)
        if abs(fit.tokens - depth) > _TOLERANCE * depth:
            raise self._missed(depth, fit)
        self._worker.close(fit.excerpt, fit.exchange)
        self._note(fit.tokens, _chars(fit.exchange.messages))
        self._rungs += 1
        return Rung(depth, len(self._worker.messages), fit.tokens, self._worker.scene())

    def _grow(self, depth: int) -> None:
        """Accept exchanges until an estimate says that the depth is near, then count."""
        # before anything but the opening was counted, this tokenizer's rate is a guess
        chars, slack = 0, (0.12 if self._chars else 0.6) * (depth - self._tokens)
        while not chars or self._room(depth, self._worker.upcoming) > slack:
            size = _chars(self._worker.upcoming.messages)
            chars += size
            self._tokens += round(size / self._rate)
            self._worker.accept()
        self._note(self._measure(()), chars)

    def _pad(self) -> None:
        """Read a little where the upcoming exchange is too long for the room left."""
        excerpt = self._worker.closing().cut(_PAD_LINES)
        exchange = self._worker.reading(excerpt)
        self._worker.close(excerpt, exchange)
        self._note(self._measure(()), _chars(exchange.messages))

    def _note(self, tokens: int, chars: int) -> None:
        """Take over a count, and what it says about characters per token over all that came after the opening."""
        self._tokens = tokens
        self._chars += chars
        self._rate = self._chars / (tokens - self._opened)

    def _room(self, depth: int, exchange: Exchange) -> float:
        """Tokens left at this depth after an exchange and a short closing reading, by estimate."""
        return depth - self._tokens - _CLOSING_TOKENS - _CAUTION * _chars(exchange.messages) / self._rate

    def _fit(self, depth: int) -> _Fit:
        """The closing reading cut to as many lines as hit the depth best (regula falsi over its lines)."""
        whole = self._worker.closing()
        ends = list(accumulate((len(line) + 1 for line in whole.lines), initial=0))
        bare = _chars(self._worker.reading(whole.cut(0)).messages)
        rate, at, tokens = self._rate, -bare, self._tokens
        fits: dict[int, _Fit] = {}
        while len(fits) < _MAX_FITS:
            target = at + (depth - tokens) * rate
            n_lines = min(range(MIN_LINES, len(ends)), key=lambda n: abs(ends[n] - target))
            if n_lines in fits:
                break
            excerpt = whole.cut(n_lines)
            exchange = self._worker.reading(excerpt)
            measured = self._measure(exchange.messages)
            fits[n_lines] = _Fit(excerpt, exchange, measured)
            rate = (ends[n_lines] - at) / ((measured - tokens) or 1)
            at, tokens = ends[n_lines], measured
        return min(fits.values(), key=lambda fit: abs(fit.tokens - depth))

    def _measure(self, more: Sequence[Message]) -> int:
        return self._count((*self._worker.messages, *more), self._worker.desk.tools)

    def _missed(self, depth: int, fit: _Fit) -> ConfigError:
        if fit.tokens < depth:
            return ConfigError(f"No session of {depth} tokens could be made: {fit.tokens} came nearest.")
        needed = math.ceil(fit.tokens / 50) * 50
        why = "lies too close to the one before it" if self._rungs else "is too small for system prompt and tools"
        return ConfigError(
            f"Depth {depth} {why}: with the least history that can follow, the prompt has {fit.tokens} tokens.",
            hint=f"The smallest depth is {needed}.",
        )


def _chars(messages: Sequence[Message]) -> int:
    """Characters that messages add to a prompt, by estimate."""
    said = sum(len(m.content) + sum(len(repr(c.arguments)) + len(c.name) for c in m.tool_calls) for m in messages)
    return said + _CHARS_PER_MESSAGE * len(messages)
