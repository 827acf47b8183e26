"""The questions at the end of a session: one file per family, drawn by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from kvassay.errors import ConfigError
from kvassay.probe import argument, confusable, edit, nested, no_tool, recall, replay
from kvassay.probe.base import LEVELS, Family, numbers_of
from kvassay.session.scene import Scene
from kvassay.types import Probe

__all__ = ["FAMILIES", "RECORDED", "Family", "draw", "family_named"]

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (recall, argument, edit, nested, confusable, no_tool)
}
RECORDED: dict[str, Family] = {family.name: family for family in (replay.FAMILY, replay.EDIT_FAMILY)}
"""The families that are made from recorded sessions, never drawn."""

_TRIES_PER_PROBE = 12


def family_named(name: str) -> Family | None:
    """A family of ours; None for a suite's."""
    return FAMILIES.get(name) or RECORDED.get(name)


def draw(
    scene: Scene,
    *,
    families: Sequence[str],
    per_family: int,
    seed: int,
    rung: int = 0,
    levels: Sequence[int] = LEVELS,
    form: str = "",
) -> tuple[Probe, ...]:
    """Distinct probes about a scene, ``per_family`` of each family, the ``levels`` in turn. Each ``rung`` of a ladder,
    counted from 0, has a draw of its own: no answer at one depth says anything of one at another. An id fixes the
    level, so that runs with other levels or numbers share probes. ``form`` shows how a call is written, for questions
    that want one: what is asked is which call, not whether its form is remembered from thousands of tokens ago.

    Fewer come back where the scene or its tools don't hold enough to ask. Raises ConfigError for an unknown family or
    level.
    """
    unknown = [name for name in families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"There is no probe family {unknown[0]!r}.", hint=f"Families: {', '.join(FAMILIES)}.")
    if not levels or not {*levels} <= {*LEVELS}:
        raise ConfigError(f"Levels {tuple(levels)!r} can't be drawn.", hint="Levels are 1 (easy), 2 and 3.")
    numbers = [number for number in numbers_of(seed, rung) if _level(number) in levels]
    tried = numbers[: per_family * _TRIES_PER_PROBE]
    drawn = (probe for name in families for probe in islice(_distinct(FAMILIES[name], scene, tried), per_family))
    return tuple(_formed(probe, form) for probe in drawn)


def _formed(probe: Probe, form: str) -> Probe:
    """The probe with the form of a call behind its question, where a call is what it wants."""
    if not form or not all(probe.expected):
        return probe
    *before, question = probe.messages
    said = f"{question.content}\nThe form of a call:\n{form}"
    return replace(probe, messages=(*before, replace(question, content=said)))


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
