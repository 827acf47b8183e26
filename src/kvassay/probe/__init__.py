"""The questions at the end of a session: one file per family, drawn by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice

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


def draw(scene: Scene, *, families: Sequence[str], per_family: int, seed: int) -> tuple[Probe, ...]:
    """Distinct probes about a scene, ``per_family`` of each family, levels 1, 2, 3 in turn.

    Fewer come back where the scene or its tools don't hold enough to ask. Raises ConfigError for an unknown family.
    """
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"There is no probe family {unknown[0]!r}.", hint=f"Families: {', '.join(FAMILIES)}.")
    return tuple(
        probe for name in families for probe in islice(_distinct(FAMILIES[name], scene, per_family, seed), per_family)
    )


def _distinct(family: Family, scene: Scene, per_family: int, seed: int) -> Iterator[Probe]:
    """Probes by ascending seed, no question twice. The seed alone decides the level: an id means one probe."""
    asked: set[str] = set()
    for number in islice(count(seed * _SEEDS_PER_RUN), per_family * _TRIES_PER_PROBE):
        probe = family.make(scene, number, LEVELS[number % len(LEVELS)])
        if probe and probe.messages[-1].content not in asked:
            asked.add(probe.messages[-1].content)
            yield probe
