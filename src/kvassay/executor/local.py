"""The executor that needs nothing: one boot after the other on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvassay import host
from kvassay.backend.base import Backend
from kvassay.executor.base import Visit
from kvassay.executor.recipe import Recipe
from kvassay.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Local:
    """Boots in the order drawn, each alone on the machine. There is no worker that could be lost."""

    retries: int = 0

    @property
    def hardware(self) -> str:
        return host.hardware()

    def fit(self, settings: RunSettings) -> RunSettings:
        return settings

    def backend(self, recipe: Recipe) -> Backend:
        return recipe.here()

    def walk(self, first: Visit, others: Sequence[Visit]) -> None:
        for visit in (first, *others):
            visit()


LOCAL = Local()
"""It holds nothing: one serves all runs."""
