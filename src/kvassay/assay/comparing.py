"""Two stored runs side by side: the same questions under another build, model, machine or rotation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from types import MappingProxyType

from kvassay.assay.records import ArmSpec, Design, Manifest
from kvassay.assay.results import outcomes_of
from kvassay.assay.stopping import main_channel
from kvassay.assay.stored import StoredRun
from kvassay.errors import StoreMismatch
from kvassay.stats.multiplicity import holm
from kvassay.verdict import Effect
from kvassay.verdict.controls import Dropped
from kvassay.verdict.effects import Trials, by_arm, is_doubtful, over_depths, state_of

SUBJECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "model": ("model_name", "model_sha256"),
        "build": ("backend", "build", "server_args"),
        "hardware": ("hardware", "threads"),
    }
)
"""What two runs may be compared for, and the fields of the design that say it."""

CHECKED = (
    "endpoint",
    "depths",
    "tools_sha256",
    "session_sha256",
    "prompts_sha256",
    "suite_sha256",
    "max_tokens",
    "dialect",
)
"""Fields of the design that must agree: the questions, and how answers are taken; and of ``channels`` the main one."""


STARTED = ("gpu_layers", "flash_attention", "device", "dtype")
"""Settings that say how servers are started and stand in no field of the design."""


class Change(StrEnum):
    """What can be said of an arm in the second run against the first."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "no difference beyond the margin"
    UNDECIDED = "undecided"
    INVALID = "invalid: infrastructure faults took more than 2 in 100 pairs"


@dataclass(frozen=True, slots=True)
class ArmChange:
    """One arm in both runs: ``effect`` is second run minus first; ``second`` is its name there."""

    first: str
    second: str
    effect: Effect
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """``differences`` are the fields of design and settings, arms apart, in which the runs differ, with both values;
    ``alone`` the arms of one run only.
    """

    differences: tuple[tuple[str, object, object], ...]
    arms: tuple[ArmChange, ...]
    alone: tuple[str, ...]
    alpha: float
    margin: float


def compare(first: StoredRun, second: StoredRun, *, allowed: Sequence[str] = ()) -> Comparison:
    """Compare the arms that two runs share, pair by pair, on the probes that both asked.

    Evidence is anytime-valid, both directions and all arms together at the first run's alpha (Holm). Raises
    StoreMismatch where the questions differ, or where more than one of ``SUBJECTS`` does and is not ``allowed``: then
    nobody could say which of them made the difference.
    """
    before, after = first.record.manifest.design, second.record.manifest.design
    _require_probes(first, second)
    _require_same_questions(before, after)
    _require_one_subject(before, after, allowed)
    matched = list(_matched(before.arms, after.arms))
    answers = by_arm(outcomes_of(first)), by_arm(outcomes_of(second))
    effects = [_effects(before, answers[0][one.label], answers[1][other.label]) for one, other in matched]
    adjusted = holm([found.harm_p for pair in effects for found in pair])
    arms = tuple(
        ArmChange(one.label, other.label, there, _change(there, back, adjusted[2 * at : 2 * at + 2], before.alpha))
        for at, ((one, other), (there, back)) in enumerate(zip(matched, effects, strict=True))
    )
    known = {arm.first for arm in arms} | {arm.second for arm in arms}
    alone = tuple(arm.label for arm in (*before.arms, *after.arms) if arm.label not in known)
    differing = tuple(_differences(first.record.manifest, second.record.manifest))
    return Comparison(differing, arms, alone, before.alpha, before.margin)


def _require_probes(*runs: StoredRun) -> None:
    for run in runs:
        if run.record.manifest.design.in_loops:
            raise StoreMismatch(
                f"run {run.record.id} is of closed loops: only runs of probes are compared",
                hint="Name another run of its store with STORE#N.",
            )


def _require_same_questions(before: Design, after: Design) -> None:
    wrong = [name for name in CHECKED if getattr(before, name) != getattr(after, name)]
    if main_channel(before) is not main_channel(after):
        wrong.append("channels")
    if wrong:
        raise StoreMismatch(
            "these runs did not ask the same, so they can't be compared:\n" + _lines(before, after, wrong),
            hint="Run the second one again with the settings of the first (same seed, depths, probes, tools, corpus).",
        )


def _require_one_subject(before: Design, after: Design, allowed: Sequence[str]) -> None:
    differing = [name for name, fields in SUBJECTS.items() if any(_differs(before, after, f) for f in fields)]
    if len(differing) > 1 and not {*differing} <= {*allowed}:
        fields = [field for name in differing for field in SUBJECTS[name] if _differs(before, after, field)]
        raise StoreMismatch(
            f"these runs differ in {' and '.join(differing)} at once:\n" + _lines(before, after, fields),
            hint="What made a difference could not be said. To see it all the same: "
            + " ".join(f"--allow {name}" for name in differing),
        )


def _matched(before: Sequence[ArmSpec], after: Sequence[ArmSpec]) -> Iterator[tuple[ArmSpec, ArmSpec]]:
    """Arms of the same name; else of the same types and role, where only the rotation differs."""
    for arm in before:
        same = [other for other in after if other.label == arm.label]
        alike = [o for o in after if (o.k, o.v, o.role) == (arm.k, arm.v, arm.role)]
        taken = {one.label for one in before}
        if found := same or [other for other in alike if other.label not in taken]:
            yield arm, found[0]


def _effects(design: Design, before: Trials, after: Trials) -> tuple[Effect, Effect]:
    """Second minus first, and the other way round."""
    return _effect(design, before, after, arm="second"), _effect(design, after, before, arm="first")


def _effect(design: Design, own: Trials, other: Trials, *, arm: str) -> Effect:
    """Over all depths, by the rules of a verdict: not within margin while one depth shows a loss that may exceed it."""
    judged = partial(over_depths, own, other, arm=arm, alpha=design.alpha, margin=design.margin, anytime=True)
    overall = judged(depths=design.depths)
    doubtful = is_doubtful((judged(depths=[depth]) for depth in design.depths), alpha=design.alpha)
    within = overall.state.is_within and not doubtful
    return replace(overall, state=state_of(worse=overall.state.is_worse, within=within))


def _change(there: Effect, back: Effect, adjusted: Sequence[float], alpha: float) -> Change:
    if Dropped(there.arm, there.dropped, there.dropped + there.pairs).is_too_many:
        return Change.INVALID
    worse_p, better_p = adjusted
    if worse_p <= alpha:
        return Change.WORSE
    if better_p <= alpha:
        return Change.BETTER
    both = there.state.is_within and back.state.is_within
    return Change.SAME if both else Change.UNDECIDED


def _differences(before: Manifest, after: Manifest) -> Iterator[tuple[str, object, object]]:
    """The subjects first; then what else may have made a difference, so that nothing is passed over in silence."""
    subjects = [name for fields in SUBJECTS.values() for name in fields]
    others = [name for name in Design.model_fields if name not in (*subjects, "arms")]
    for name in (*subjects, *others):
        if _differs(before.design, after.design, name):
            yield name, getattr(before.design, name), getattr(after.design, name)
    for name in STARTED:
        if before.settings.get(name) != after.settings.get(name):
            yield name, before.settings.get(name), after.settings.get(name)
    if before.kvassay_version != after.kvassay_version:
        yield "kvassay_version", before.kvassay_version, after.kvassay_version


def _differs(before: Design, after: Design, name: str) -> bool:
    return bool(getattr(before, name) != getattr(after, name))


def _lines(before: Design, after: Design, fields: Sequence[str]) -> str:
    return "\n".join(f"  {name}: {getattr(before, name)!r} and {getattr(after, name)!r}" for name in fields)
