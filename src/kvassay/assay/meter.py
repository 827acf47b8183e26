"""How far a run is and how long the rest will take, from the server's own speeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kvassay.types import Timings

FIRST_GUESS_S = 5.0  # per trial, before the first one has ended


@dataclass(slots=True)
class Meter:
    """Counts of work done and left. Prompt tokens are those to be computed anew, caches taken into account;
    ``climbing`` is how many boots are asked at the moment.
    """

    total: int
    done: int
    tokens_left: int
    boots_left: int
    climbing: int = 0
    _tokens: int = 0
    _prompt_s: float = 0.0
    _answers: int = 0
    _answer_s: float = 0.0
    _boots: int = 0
    _boot_s: float = 0.0

    def boot(self, seconds: float) -> None:
        """A server is up."""
        self._boots += 1
        self._boot_s += seconds
        self.boots_left = max(0, self.boots_left - 1)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """While a boot is asked."""
        self.climbing += 1
        try:
            yield
        finally:
            self.climbing -= 1

    def prompt(self, timings: Timings | None) -> None:
        """A prompt was processed."""
        if timings is not None:
            self._tokens += timings.processed_tokens
            self._prompt_s += timings.prompt_ms / 1000
            self.tokens_left = max(0, self.tokens_left - timings.processed_tokens)

    def trial(self, timings: Timings | None, wall_s: float) -> None:
        """A trial is stored."""
        self.prompt(timings)
        self.done += 1
        self._answers += 1
        self._answer_s += wall_s - (timings.prompt_ms / 1000 if timings else 0.0)

    def leave_out(self, trials: int, tokens: int) -> None:
        """An arm won't be run, or not to its end."""
        self.total -= trials
        self.tokens_left = max(0, self.tokens_left - tokens)

    @property
    def eta_s(self) -> float:
        """Seconds that the rest will take at the mean speeds so far, with as many boots at once as now."""
        per_token_s = self._prompt_s / self._tokens if self._tokens else 0.0
        per_answer_s = self._answer_s / self._answers if self._answers else FIRST_GUESS_S
        per_boot_s = self._boot_s / self._boots if self._boots else 0.0
        answers_s = (self.total - self.done) * per_answer_s
        return (self.tokens_left * per_token_s + answers_s + self.boots_left * per_boot_s) / max(1, self.climbing)
