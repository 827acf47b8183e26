"""When a rung of an arm may end: as soon as its verdict stands, by evidence that may be looked at after every round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from kvassay.assay.records import Design
from kvassay.assay.schedule import Slot
from kvassay.stats.eprocess import harm_e_value, within_margin_e_value
from kvassay.types import Channel, Role

Right = Mapping[tuple[int, str], bool | None]
"""One arm's outcomes on the main channel by (depth, probe id); None where infrastructure failed."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The stopping rule of a run, fixed before trial 1.

    A rung (one candidate at one depth) ends after the round in which harm is shown there with e ≥ ``claims`` / α, which
    stands whatever the other ``claims`` − 1 rungs show (e-Bonferroni), or a loss of the margin is excluded with
    e ≥ 1 / α. Both are anytime-valid (stats/eprocess.py), so that ending early costs no level.
    """

    alpha: float
    margin: float
    claims: int

    def decided(self, lost: int, gained: int, pairs: int) -> bool:
        """Whether so many pairs settle a rung."""
        return (
            harm_e_value(lost, gained) >= self.claims / self.alpha
            or within_margin_e_value(lost, gained, pairs, margin=self.margin) >= 1 / self.alpha
        )


def rule_of(design: Design) -> Rule | None:
    """The rule under which a run's candidates stop; None where every probe is asked."""
    if design.stopping == "fixed":
        return None
    candidates = sum(arm.role in (Role.CANDIDATE, Role.CONTROL) for arm in design.arms)
    return Rule(design.alpha, design.margin, claims=max(1, candidates * len(design.depths)))


def main_channel(design: Design) -> Channel:
    """The channel that the verdict rests on: raw where it was asked for, else the whole parsed reply."""
    return Channel.RAW if "raw" in design.channels else Channel.PLAIN


def wanted(slots: Sequence[Slot], rule: Rule | None, reference: Right, own: Right) -> Iterator[Slot]:
    """The slots that an arm asks under the rule, given what is known so far: rounds follow each other until the rung
    is decided by complete rounds. Resuming a run therefore finds the same end as the run that was stopped.
    """
    for _, rung in groupby(slots, key=lambda slot: slot.depth):
        cells: Counter[tuple[bool, bool]] = Counter()
        for _, members in groupby(rung, key=lambda slot: slot.round):
            if rule and rule.decided(cells[True, False], cells[False, True], cells.total()):
                break
            asked = list(members)
            yield from asked
            cells.update(_pairs({(slot.depth, slot.probe) for slot in asked}, reference, own))


def _pairs(places: set[tuple[int, str]], reference: Right, own: Right) -> Iterator[tuple[bool, bool]]:
    for place in places:
        before, now = reference.get(place), own.get(place)
        if before is not None and now is not None:
            yield before, now
