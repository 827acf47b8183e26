"""Synthetic outcomes of a run: so many probes a depth, so many right under the reference, so many lost and gained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kvassay.assay.records import ArmSpec
from kvassay.verdict import Outcomes, Verdict, judge
from kvassay.verdict.controls import NOT_MEASURED, Measurements

REFERENCE, REPEAT = "f16/f16", "f16/f16 #2"


@dataclass(frozen=True, slots=True)
class Flips:
    """What becomes of the reference's outcomes in another arm; ``asked`` None means all probes."""

    lost: int = 0
    gained: int = 0
    faults: int = 0
    asked: int | None = None


Arms: TypeAlias = Mapping[str, Flips | Mapping[int, Flips]]
SAME = Flips()


def spec(label: str) -> ArmSpec:
    """The candidate that a label names."""
    pair, _, rotation = label.partition(" ")
    k, v = pair.split("/")
    return ArmSpec(label=label, role="candidate", k=k, v=v, rotation=rotation != "norot")


def outcomes_of(
    right: Mapping[int, int], probes: int, arms: Arms, reference: Flips = SAME, *, alike: bool = False
) -> Outcomes:
    """Outcomes of the reference, right on the first ``right`` probes of each depth, and of ``arms`` beside it. Each
    depth has probes of its own, or all have the same (``alike``).

    Lost pairs come from the front of the right ones, gained from the front of the wrong ones, faults from the back.
    """
    found: dict[tuple[str, int, str], bool | None] = {}
    for label, flips in {REFERENCE: reference, **arms}.items():
        for depth, hits in right.items():
            here = flips if isinstance(flips, Flips) else flips[depth]
            lost = set(range(here.lost))
            gained = set(range(hits, hits + here.gained))
            for i in range(probes if here.asked is None else here.asked):
                outcome = (i < hits and i not in lost) or i in gained
                probe = f"probe-{i}" if alike else f"probe-{i}@{depth}"
                found[label, depth, probe] = None if i >= probes - here.faults else outcome
    return found


def judged(
    right: Mapping[int, int] | int,
    arms: Arms,
    *,
    probes: int = 60,
    repeat: Flips | None = SAME,
    planned: tuple[str, ...] = (),
    depths: tuple[int, ...] = (),
    reference: Flips = SAME,
    measured: Measurements = NOT_MEASURED,
    alike: bool = False,
) -> Verdict:
    """The verdict over such a run at α .05 and a margin of 5 points; ``planned`` arms and ``depths`` have no trial."""
    by_depth = {2048: right} if isinstance(right, int) else right
    every = arms if repeat is None else {**arms, REPEAT: repeat}
    return judge(
        outcomes_of(by_depth, probes, every, reference, alike=alike),
        reference=REFERENCE,
        repeat=None if repeat is None else REPEAT,
        candidates=[spec(label) for label in (*arms, *planned)],
        depths=(*by_depth, *depths),
        alpha=0.05,
        margin=0.05,
        measured=measured,
    )
