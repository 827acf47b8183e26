"""The judgement of a run: which claims stand, and the verdict that says them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kvassay.assay.records import ArmSpec
from kvassay.probe.sampled import scenario_of
from kvassay.stats.cluster import ClusteredDifference, clustered_difference
from kvassay.stats.multiplicity import holm
from kvassay.verdict.controls import NOT_MEASURED, Controls, Measurements, read_controls
from kvassay.verdict.effects import (
    Effect,
    Outcomes,
    State,
    Trials,
    by_arm,
    effect,
    flipped_probes,
    is_doubtful,
    over_depths,
    pair_up,
    paired,
    state_of,
)
from kvassay.verdict.headline import headline
from kvassay.verdict.isolation import Isolation, isolate
from kvassay.verdict.notes import notes
from kvassay.verdict.sensitivity import Multiplicity, Sensitivity, multiplicity, sensitivity
from kvassay.verdict.sentences import Finding, sentence


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """One arm's verdict: its state over all depths, one sentence with its numbers, the effects behind it.

    The effects speak of this suite; ``beyond`` is the difference for scenarios like these, clustered by scenario (a
    probe at all depths where it was asked), ``sensitivity`` what other methods say of ``overall`` and of each of
    ``by_depth``. No state rests on either.
    """

    arm: str
    state: State
    sentence: str
    overall: Effect
    by_depth: tuple[Effect, ...]
    beyond: ClusteredDifference
    sensitivity: tuple[Sensitivity, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """``headline`` is the one sentence to read first; ``notes`` say what limits it (weak reference, A/A flips,
    dropped pairs, arms not run); ``arms`` holds the candidates in the run's order, ``control`` is the positive control.
    ``fault`` says why nothing can be relied on (an invalid run, a model that fails by itself), empty where it can.
    ``anytime`` says what the states rest on; ``spared`` how many probes of each arm the stopping rule left out.
    ``isolation`` tells K, V and the context apart; ``multiplicity`` adjusts each candidate's harm for all of them.
    """

    headline: str
    notes: tuple[str, ...]
    arms: tuple[ArmVerdict, ...]
    control: ArmVerdict | None = None
    fault: str = ""
    anytime: bool = False
    spared: Mapping[str, int] = field(default_factory=dict)
    isolation: tuple[Isolation, ...] = ()
    multiplicity: tuple[Multiplicity, ...] = ()

    def of(self, arm: str) -> ArmVerdict | None:
        """The verdict on one arm; None for references."""
        return next((found for found in (*self.arms, self.control) if found and found.arm == arm), None)


def judge(
    outcomes: Outcomes,
    *,
    reference: str,
    repeat: str | None,
    candidates: Sequence[ArmSpec],
    depths: Sequence[int],
    alpha: float,
    margin: float,
    anytime: bool = False,
    control: ArmSpec | None = None,
    measured: Measurements = NOT_MEASURED,
) -> Verdict:
    """Judge the candidates of one run against its reference.

    ``outcomes`` maps (arm label, depth, probe id) to right or wrong, None where infrastructure failed; what is absent
    was not asked, and arms are judged on the pairs that exist. ``repeat`` is the label of the A/A boot, ``control``
    the positive control, if there are any. Claims of harm hold together at ``alpha`` over all candidates (Holm);
    ``margin`` is a proportion. ``anytime`` rests them on e-values, which may be looked at after every pair; otherwise
    they hold for a number of pairs fixed beforehand. The rules are in docs/design/statistics.md.
    """
    controls = read_controls(
        by_arm(outcomes),
        reference=reference,
        repeat=repeat,
        candidates=[spec.label for spec in candidates],
        depths=depths,
        alpha=alpha,
        margin=margin,
        anytime=anytime,
        control=control,
        measured=measured,
    )
    return judge_under(controls, outcomes, candidates, control=control)


def judge_under(
    controls: Controls, outcomes: Outcomes, candidates: Sequence[ArmSpec], *, control: ArmSpec | None = None
) -> Verdict:
    """The same for controls that have been read off these outcomes already."""
    trials = by_arm(outcomes)
    judged = _settle_all([_measure(trials, spec.label, controls) for spec in candidates], controls)
    still_open = sum(not arm.overall.state.is_worse for arm in judged)
    findings = [_finding(spec, arm, still_open, trials, controls) for spec, arm in zip(candidates, judged, strict=True)]
    return Verdict(
        headline=headline(findings, controls),
        notes=tuple(notes(findings, controls)),
        arms=tuple(_verdict(finding, arm, trials, controls) for finding, arm in zip(findings, judged, strict=True)),
        control=_control(trials, control, controls) if control else None,
        fault=controls.fault,
        anytime=controls.anytime,
        spared=controls.measured.spared,
        isolation=isolate(trials, candidates, controls),
        multiplicity=multiplicity([arm.overall for arm in judged], alpha=controls.alpha),
    )


def _control(trials: Mapping[str, Trials], spec: ArmSpec, controls: Controls) -> ArmVerdict:
    """The positive control, judged by itself: it is no claim of the run."""
    (arm,) = _settle_all([_measure(trials, spec.label, controls)], controls)
    return _verdict(_finding(spec, arm, 1, trials, controls), arm, trials, controls)


def _finding(
    spec: ArmSpec, arm: Measured, open_claims: int, trials: Mapping[str, Trials], controls: Controls
) -> Finding:
    counted = (found for found in arm.by_depth if found.pairs and found.depth in controls.depths)
    own, other = trials.get(controls.reference, {}), trials.get(spec.label, {})
    witnesses = flipped_probes(own, other, depths=controls.depths)
    return Finding(spec, arm.overall, tuple(counted), open_claims, witnesses)


def _verdict(finding: Finding, arm: Measured, trials: Mapping[str, Trials], controls: Controls) -> ArmVerdict:
    label = finding.spec.label
    differences: defaultdict[Hashable, list[float]] = defaultdict(list)
    own, other = trials.get(controls.reference, {}), trials.get(label, {})
    for (_, probe), before, now in paired(own, other, depths=controls.depths):
        differences[scenario_of(probe)].append(now - before)
    level = 1 - 2 * controls.alpha
    return ArmVerdict(
        arm=label,
        state=arm.overall.state,
        sentence=sentence(finding, controls),
        overall=arm.overall,
        by_depth=arm.by_depth,
        beyond=clustered_difference(differences, level=level),
        sensitivity=sensitivity((arm.overall, *arm.by_depth), own, other, depths=controls.depths, level=level),
    )


class Measured(NamedTuple):
    """One candidate's effects: over the judged depths together, and at each depth with trials of the reference."""

    overall: Effect
    by_depth: tuple[Effect, ...]


def _measure(trials: Mapping[str, Trials], arm: str, controls: Controls) -> Measured:
    own, other = trials.get(controls.reference, {}), trials.get(arm, {})
    alpha, margin, anytime = controls.alpha, controls.margin, controls.anytime

    def at(depth: int) -> Effect:
        pairs, dropped = pair_up(own, other, depths=[depth])
        return effect(pairs, arm=arm, alpha=alpha, margin=margin, depth=depth, dropped=dropped, anytime=anytime)

    overall = over_depths(own, other, arm=arm, depths=controls.depths, alpha=alpha, margin=margin, anytime=anytime)
    return Measured(overall, tuple(at(tally.depth) for tally in controls.tallies))


def _settle_all(measured: Sequence[Measured], controls: Controls) -> list[Measured]:
    adjusted = holm([arm.overall.harm_p for arm in measured])
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
    adjusted = dict(zip((found.depth for found in counted), holm([found.harm_p for found in counted]), strict=True))
    barred = controls.obstacle or overall.arm in controls.measured.identical
    settled = tuple(
        replace(
            found,
            state=state_of(
                worse=worse and adjusted.get(found.depth, 1.0) <= controls.alpha,
                within=found.state.is_within and not barred and found.depth in adjusted,
            ),
        )
        for found in by_depth
    )
    within = overall.state.is_within and not barred and not is_doubtful(counted, alpha=controls.alpha)
    return Measured(replace(overall, state=state_of(worse=worse, within=within)), settled)
