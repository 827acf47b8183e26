"""The contract of an executor: where a run's boots take place, and how many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kvassay.backend.base import Backend
from kvassay.executor.recipe import Recipe
from kvassay.settings import RunSettings

Visit = Callable[[], None]
"""One arm's part of a run: its server is started and asked what the store does not hold yet."""


class Executor(Protocol):
    """One run's executor. Whatever it does, the store, the stopping rule and the grading stay with the driver."""

    @property
    def hardware(self) -> str:
        """The hardware that the run's boots use, in one line for the manifest."""
        ...

    @property
    def retries(self) -> int:
        """How often a boot is started again after its worker was lost."""
        ...

    def fit(self, settings: RunSettings) -> RunSettings:
        """The settings as this executor can run them. Raises ConfigError for those that it can't."""
        ...

    def backend(self, recipe: Recipe) -> Backend:
        """The back end whose boots take place where this executor puts them."""
        ...

    def walk(self, first: Visit, others: Sequence[Visit]) -> None:
        """Make every visit, ``first`` to its end before any other begins. Raises what a visit raised first; visits
        that have not begun by then are left out.
        """
        ...
