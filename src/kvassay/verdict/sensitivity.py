"""What other methods say of the same pairs, for comparison with other work: no state rests on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from kvassay.stats.multiplicity import e_bh, holm, holm_e
from kvassay.stats.paired import mcnemar_harm_midp, newcombe_interval
from kvassay.verdict.effects import Effect, Trials, flipped_probes, paired


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One effect by other methods; ``depth`` None means all judged depths together.

    ``mid_p`` is the one-sided mid-p McNemar test for harm; over several depths it counts probes, as the exact one does.
    ``newcombe_low``/``newcombe_high`` bound the difference at the level of the effect's own interval. They take pairs
    for independent: None over several depths where probes are asked at more than one.
    """

    depth: int | None
    mid_p: float
    newcombe_low: float | None
    newcombe_high: float | None


@dataclass(frozen=True, slots=True)
class Multiplicity:
    """One candidate's harm among all that the run planned.

    ``harm_p`` is the p-value of the run's rule, ``holm_p`` what Holm's adjustment makes of it: this one decides.
    ``closed_e`` is the e-value adjusted by closed testing (`kvassay.stats.multiplicity.holm_e`), against 1/alpha;
    ``e_bh``: e-BH at a false discovery rate of alpha would call the arm worse.
    """

    arm: str
    harm_p: float
    holm_p: float
    closed_e: float
    e_bh: bool


def sensitivity(
    effects: Iterable[Effect], reference: Trials, candidate: Trials, *, depths: Collection[int], level: float
) -> tuple[Sensitivity, ...]:
    """Each of one arm's effects by other methods, in their order; ``depths`` are those judged together."""
    return tuple(
        _by_other_methods(found, reference, candidate, depths if found.depth is None else [found.depth], level)
        for found in effects
    )


def _by_other_methods(
    found: Effect, reference: Trials, candidate: Trials, depths: Collection[int], level: float
) -> Sensitivity:
    probes = {pair.place[1] for pair in paired(reference, candidate, depths=depths)}
    both, neither = found.reference_correct - found.lost, found.pairs - found.reference_correct - found.gained
    independent = len(probes) == found.pairs
    interval = newcombe_interval(both, found.lost, found.gained, neither, level=level) if independent else None
    return Sensitivity(
        depth=found.depth,
        mid_p=mcnemar_harm_midp(*flipped_probes(reference, candidate, depths=depths)),
        newcombe_low=interval.low if interval else None,
        newcombe_high=interval.high if interval else None,
    )


def multiplicity(effects: Sequence[Effect], *, alpha: float) -> tuple[Multiplicity, ...]:
    """Harm in every candidate at once, from each one's effect over all depths; one without pairs counts too."""
    e_values = [found.harm_e for found in effects]
    adjusted = zip(
        effects,
        holm([found.harm_p for found in effects]),
        holm_e(e_values),
        e_bh(e_values, alpha=alpha),
        strict=True,
    )
    return tuple(
        Multiplicity(found.arm, found.harm_p, holm_p, closed_e, called) for found, holm_p, closed_e, called in adjusted
    )
