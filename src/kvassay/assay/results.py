"""From a stored run to its verdict: the primary endpoint is "the call is right" on the run's main channel."""

from __future__ import annotations

from kvassay.assay.agenda import agenda
from kvassay.assay.design import arm_of
from kvassay.assay.stopping import main_channel
from kvassay.assay.stored import StoredRun
from kvassay.backend.catalog import CATALOG
from kvassay.types import Role
from kvassay.verdict import Measurements, Outcomes, Verdict, judge


def outcomes_of(run: StoredRun) -> Outcomes:
    """Right or wrong for each trial of the main channel. Raises StoreMismatch where arms were not asked the same."""
    run.check_prompts()
    found = run.outcomes(main_channel(run.record.manifest.design))
    return {(key.arm, key.depth, key.probe): kind.right for key, kind in found}


def verdict_of(run: StoredRun) -> Verdict:
    """Judge a run as far as it has come."""
    design = run.record.manifest.design
    by_role = {arm.role: arm for arm in design.arms}
    repeat = by_role.get(Role.REPEAT)
    return judge(
        outcomes_of(run),
        reference=design.reference.label,
        repeat=repeat.label if repeat else None,
        candidates=[arm for arm in design.arms if arm.role == Role.CANDIDATE],
        control=by_role.get(Role.CONTROL),
        depths=design.depths,
        alpha=design.alpha,
        margin=design.margin,
        anytime=design.stopping == "anytime",
        measured=measurements_of(run),
    )


def measurements_of(run: StoredRun) -> Measurements:
    """What the store tells beside outcomes: whether arms differ from the reference at all, times, what was spared."""
    design = run.record.manifest.design
    reference = design.reference.label
    others = [arm for arm in design.arms if arm.role in (Role.CANDIDATE, Role.CONTROL)]
    likeness = {arm.label: run.likeness(reference, arm.label) for arm in others}
    mean_s = {arm: seconds / count for arm, count, seconds in run.answer_times(main_channel(design))}
    return Measurements(
        identical={arm: seen.compared for arm, seen in likeness.items() if seen.compared == seen.identical > 0},
        unchecked=tuple(arm for arm, seen in likeness.items() if arm in mean_s and not seen.compared),
        pair_s={arm: mean_s[reference] + mean_s[arm] for arm in mean_s if arm != reference},
        stated=tuple(dict.fromkeys(boot.arm for boot in run.boots() if boot.facts.stated_by_user)),
        spared={arm.label: agenda(run, arm_of(arm)).spared for arm in others},
        computed=CATALOG[design.backend].computed,
        clean=CATALOG[design.backend].clean,
    )
