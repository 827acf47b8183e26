"""The judgement of a run of closed loops: fewer tasks done, more loops, and what can't be said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kvassay.assay.records import ArmSpec, Design
from kvassay.loops.episode import Episode
from kvassay.stats.power import more_pairs
from kvassay.types import Role
from kvassay.verdict import Effect, Outcomes, State
from kvassay.verdict.controls import Controls, read_controls
from kvassay.verdict.effects import by_arm
from kvassay.verdict.judging import judge_under
from kvassay.verdict.sentences import listed, points, subject

Endpoint: TypeAlias = Literal["done", "free of loops"]
Played: TypeAlias = Mapping[tuple[str, int, str], Episode]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said of one arm on one endpoint, over the same tasks under the reference and under the arm."""

    arm: str
    endpoint: Endpoint
    state: State
    effect: Effect
    sentence: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """``headline`` first; ``claims`` of each candidate (done, then loops); ``notes`` say what limits them. ``fault``
    says why nothing can be relied on; empty where it can.
    """

    headline: str
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    fault: str = ""

    def of(self, arm: str, endpoint: Endpoint) -> Claim | None:
        """The claim on one arm; None for references."""
        return next((claim for claim in self.claims if (claim.arm, claim.endpoint) == (arm, endpoint)), None)


def judge_loops(played: Played, design: Design, *, planned: int) -> Judgement:
    """Judge every candidate against the reference, task by task, at the run's level and margin.

    Two endpoints: the task is done (the primary one), and no loop was seen; each at level alpha by itself, over all
    candidates together (Holm), for the number of tasks fixed beforehand. The states are those of `kvassay.verdict`.
    """
    done: Outcomes = {place: episode.ending.done for place, episode in played.items()}
    free: Outcomes = {
        place: None if episode.ending.done is None else not episode.loops for place, episode in played.items()
    }
    primary, second = _Terms(done, design), _Terms(free, design)
    claims = [*_claims("done", primary), *_claims("free of loops", second)]
    claims.sort(key=lambda claim: [spec.label for spec in design.arms].index(claim.arm))
    fault = primary.fault
    return Judgement(
        headline=_headline(claims, primary, fault),
        claims=tuple(claims),
        notes=tuple(_notes(primary, second, planned)),
        fault=fault,
    )


class _Terms:
    """One endpoint's outcomes with the run's terms and controls."""

    def __init__(self, outcomes: Outcomes, design: Design) -> None:
        roles = {spec.role: spec for spec in design.arms}
        repeat = roles.get(Role.REPEAT)
        self.design = design
        self.candidates = [spec for spec in design.arms if spec.role == Role.CANDIDATE]
        self.reference = design.reference.label
        self.controls: Controls = read_controls(
            by_arm(outcomes),
            reference=self.reference,
            repeat=repeat.label if repeat else None,
            candidates=[spec.label for spec in self.candidates],
            depths=design.depths,
            alpha=design.alpha,
            margin=design.margin,
            control=roles.get(Role.CONTROL),
        )
        self.verdict = judge_under(self.controls, outcomes, self.candidates, control=roles.get(Role.CONTROL))

    @property
    def fault(self) -> str:
        if self.controls.model_fails:
            good = sum(tally.right for tally in self.controls.tallies)
            count = sum(tally.trials for tally in self.controls.tallies)
            return f"the model itself does {good} of {count} tasks at {self.reference}"
        return "too many episodes fell to infrastructure faults" if self.controls.invalid else ""


def _claims(endpoint: Endpoint, terms: _Terms) -> Iterator[Claim]:
    for spec in terms.candidates:
        found = terms.verdict.of(spec.label)
        assert found is not None  # noqa: S101  judge tells every candidate
        yield Claim(spec.label, endpoint, found.state, found.overall, _sentence(spec, endpoint, found.overall, terms))


def _sentence(spec: ArmSpec, endpoint: Endpoint, effect: Effect, terms: _Terms) -> str:
    name = subject(spec, terms.controls)
    if not effect.pairs:
        return f"{name}: not measured (0 tasks)."
    seen, margin = _counts(endpoint, effect), points(terms.controls)
    worse = {"done": "does fewer tasks", "free of loops": "runs into loops more often"}[endpoint]
    loss = {"done": "no loss of done tasks", "free of loops": "no more loops"}[endpoint]
    match effect.state:
        case State.DEGRADED:
            return f"{name} {worse}: {seen}."
        case State.BOTH:
            return f"{name} {worse}, but by less than {margin}: {seen}."
        case State.WITHIN_MARGIN:
            return f"{name}: {loss} beyond {margin} ({seen})."
        case State.INCONCLUSIVE:
            return f"{name}: {_undecided(endpoint, effect, terms)}."


def _undecided(endpoint: Endpoint, effect: Effect, terms: _Terms) -> str:
    seen, controls = _counts(endpoint, effect), terms.controls
    if terms.fault:
        return f"no verdict, {seen}; {terms.fault}"
    if controls.is_noisy:
        return f"no verdict, {seen}; a second boot of {terms.reference} differs in as many tasks as the margin allows"
    if controls.is_blind:
        return f"no verdict, {seen}; the positive control {controls.control_label} does not show"
    still_open = sum(not arm.state.is_worse for arm in terms.verdict.arms)
    missing = more_pairs(
        effect.lost, effect.gained, effect.pairs, margin=controls.margin, alpha=controls.alpha, claims=still_open
    )
    return f"undecided, {seen}; about {missing} more tasks would settle it"


def _counts(endpoint: Endpoint, effect: Effect) -> str:
    """``14 of 20 done → 3 of 20``; loops are counted where they are, not where they are not."""
    before, after, n = effect.reference_correct, effect.candidate_correct, effect.pairs
    if endpoint == "done":
        return f"{before} of {n} done → {after} of {n}"
    return f"loops in {n - before} of {n} → {n - after} of {n}"


def _headline(claims: Sequence[Claim], terms: _Terms, fault: str) -> str:
    if not any(claim.effect.pairs for claim in claims):
        return "Nothing to judge yet: 0 tasks under both the reference and a candidate."
    if terms.controls.model_fails:
        return f"Neither K nor V: {fault}. The tasks, not the cache, are being measured."
    if fault:
        return f"This run is invalid: {fault}."
    harm = [claim.sentence for claim in claims if claim.state.is_worse]
    if harm:
        return " ".join(harm)
    fine = [claim for claim in claims if claim.endpoint == "done" and claim.state.is_within]
    rest = [claim.sentence for claim in claims if claim.endpoint == "done" and not claim.state.is_within]
    margin = points(terms.controls)
    told = [f"No loss of done tasks beyond {margin}: {listed(claim.arm for claim in fine)}."] if fine else []
    return " ".join([*told, *rest])


def _notes(primary: _Terms, second: _Terms, planned: int) -> Iterator[str]:
    controls = primary.controls
    for tally in controls.tallies:
        if tally.is_weak and not controls.model_fails:
            yield (
                f"The model itself does only {tally.right} of {tally.trials} tasks at {primary.reference}, "
                f"{tally.depth:,} tokens deep: little is left to lose."
            )
    yield from _repeat(primary, second)
    if controls.control is not None:
        shows = "does not show" if controls.is_blind else "shows"
        yield f"The positive control {controls.control_label} {shows} ({_counts('done', controls.control)})."
    if hit := [arm for arm in controls.dropped if arm.dropped]:
        arms = listed(f"{arm.dropped} of {arm.pairs} pairs of {arm.arm}" for arm in hit)
        yield f"Infrastructure faults took {arms}: they are left out."
    if short := [f"{arm} {count} of {planned}" for arm, count in controls.asked.items() if count < planned]:
        yield f"Incomplete, judged on what exists (episodes played): {listed(short)}."
    yield (
        "Tasks are played greedily, each once an arm; an episode ends with the turn that reaches its end state. "
        "Loops are a second endpoint, at its own level."
    )


def _repeat(primary: _Terms, second: _Terms) -> Iterator[str]:
    repeat, loops = primary.controls.repeat, second.controls.repeat
    if repeat is None or loops is None:
        yield f"No second boot of {primary.reference} was compared (0 tasks): the noise floor is unknown."
        return
    yield (
        f"A second boot of {primary.reference} differed in {repeat.lost + repeat.gained} of {repeat.pairs} tasks done "
        f"and in {loops.lost + loops.gained} of {loops.pairs} on loops: that is the noise floor."
    )
