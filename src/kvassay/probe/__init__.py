"""The questions at the end of a session: one file per family, drawn by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from kvassay.errors import ConfigError
from kvassay.probe import argument, confusable, edit, nested, no_tool, recall
from kvassay.probe.base import LEVELS, Family
from kvassay.session.scene import Scene
from kvassay.types import Probe

__all__ = ["FAMILIES", "Family", "draw"]

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (recall, argument, edit, nested, confusable, no_tool)
}

_SEEDS_PER_RUN = 10_000
_TRIES_PER_PROBE = 12


def draw(
    scene: Scene, *, families: Sequence[str], per_family: int, seed: int, levels: Sequence[int] = LEVELS
) -> tuple[Probe, ...]:
    """Distinct probes about a scene, ``per_family`` of each family, the ``levels`` in turn. An id fixes the level, so
    that runs with other levels or numbers share probes.

    Fewer come back where the scene or its tools don't hold enough to ask. Raises ConfigError for an unknown family or
    level.
    """
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"There is no probe family {unknown[0]!r}.", hint=f"Families: {', '.join(FAMILIES)}.")
    if not levels or not {*levels} <= {*LEVELS}:
        raise ConfigError(f"Levels {tuple(levels)!r} can't be drawn.", hint="Levels are 1 (easy), 2 and 3.")
    numbers = [n for n in range(seed * _SEEDS_PER_RUN, (seed + 1) * _SEEDS_PER_RUN) if _level(n) in levels]
    tried = numbers[: per_family * _TRIES_PER_PROBE]
    return tuple(probe for name in families for probe in islice(_distinct(FAMILIES[name], scene, tried), per_family))


def _distinct(family: Family, scene: Scene, seeds: Sequence[int]) -> Iterator[Probe]:
    """Probes by ascending seed, no question twice."""
    asked: set[str] = set()
    for seed in seeds:
        probe = family.make(scene, seed, _level(seed))
        if probe and probe.messages[-1].content not in asked:
            asked.add(probe.messages[-1].content)
            yield probe


def _level(seed: int) -> int:
    return LEVELS[seed % len(LEVELS)]
