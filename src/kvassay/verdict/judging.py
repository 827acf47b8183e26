"""The judgement of a run: which claims stand, and the verdict that says them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from kvassay.assay.records import ArmSpec
from kvassay.stats.multiplicity import holm
from kvassay.verdict.controls import Controls, read_controls
from kvassay.verdict.effects import Effect, Outcomes, State, Trials, by_arm, effect, pair_up, state_of
from kvassay.verdict.headline import headline
from kvassay.verdict.notes import notes
from kvassay.verdict.sentences import Finding, sentence


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """One arm's verdict: its state over all depths, one sentence with its numbers, the effects behind it."""

    arm: str
    state: State
    sentence: str
    overall: Effect
    by_depth: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``headline`` is the one sentence to read first; ``notes`` say what limits it (weak reference, A/A flips,
    dropped pairs, arms not run); ``arms`` holds the candidates in the run's order.
    """

    headline: str
    notes: tuple[str, ...]
    arms: tuple[ArmVerdict, ...]


def judge(
    outcomes: Outcomes,
    *,
    reference: str,
    repeat: str | None,
    candidates: Sequence[ArmSpec],
    depths: Sequence[int],
    alpha: float,
    margin: float,
) -> Verdict:
    """Judge the candidates of one run against its reference.

    ``outcomes`` maps (arm label, depth, probe id) to right or wrong, None where infrastructure failed; what is absent
    was not asked, and arms are judged on the pairs that exist. ``repeat`` is the label of the A/A boot, if there is
    one. Claims of harm hold together at ``alpha`` over all candidates (Holm); ``margin`` is a proportion. The rules
    are in docs/design/statistics.md; they hold for a number of pairs fixed beforehand.
    """
    trials = by_arm(outcomes)
    controls = read_controls(
        trials,
        reference=reference,
        repeat=repeat,
        candidates=[spec.label for spec in candidates],
        depths=depths,
        alpha=alpha,
        margin=margin,
    )
    judged = _settle_all([_measure(trials, spec.label, controls) for spec in candidates], controls)
    findings = [
        Finding(spec, arm.overall, tuple(e for e in arm.by_depth if e.pairs and e.depth in controls.depths))
        for spec, arm in zip(candidates, judged, strict=True)
    ]
    return Verdict(
        headline=headline(findings, controls),
        notes=tuple(notes(findings, controls)),
        arms=tuple(
            ArmVerdict(finding.spec.label, arm.overall.state, sentence(finding, controls), arm.overall, arm.by_depth)
            for finding, arm in zip(findings, judged, strict=True)
        ),
    )


class Measured(NamedTuple):
    """One candidate's effects: over the judged depths together, and at each depth with trials of the reference."""

    overall: Effect
    by_depth: tuple[Effect, ...]


def _measure(trials: Mapping[str, Trials], arm: str, controls: Controls) -> Measured:
    own, other = trials.get(controls.reference, {}), trials.get(arm, {})

    def over(depths: Collection[int], depth: int | None) -> Effect:
        pairs, dropped = pair_up(own, other, depths=depths)
        return effect(pairs, arm=arm, alpha=controls.alpha, margin=controls.margin, depth=depth, dropped=dropped)

    return Measured(over(controls.depths, None), tuple(over([t.depth], t.depth) for t in controls.tallies))


def _settle_all(measured: Sequence[Measured], controls: Controls) -> list[Measured]:
    adjusted = holm([arm.overall.p_value for arm in measured])
    return [
        _settle(arm, worse=p_value <= controls.alpha, controls=controls)
        for arm, p_value in zip(measured, adjusted, strict=True)
    ]


def _settle(measured: Measured, *, worse: bool, controls: Controls) -> Measured:
    """The states that stand in the whole run: harm after Holm, "within margin" where no control forbids it.

    A depth is called worse only in an arm that is worse over all depths, after Holm over the judged depths. An arm is
    not within margin as a whole while one depth shows a loss (unadjusted: this only withholds the claim) that may
    exceed the margin.
    """
    overall, by_depth = measured
    counted = [found for found in by_depth if found.depth in controls.depths]
    adjusted = dict(zip((found.depth for found in counted), holm([found.p_value for found in counted]), strict=True))
    settled = tuple(
        replace(
            found,
            state=state_of(
                worse=worse and adjusted.get(found.depth, 1.0) <= controls.alpha,
                within=found.state.is_within and not controls.obstacle and found.depth in adjusted,
            ),
        )
        for found in by_depth
    )
    doubtful = any(found.p_value <= controls.alpha and not found.state.is_within for found in counted)
    within = overall.state.is_within and not controls.obstacle and not doubtful
    return Measured(replace(overall, state=state_of(worse=worse, within=within)), settled)
