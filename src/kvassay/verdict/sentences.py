"""One candidate's sentence: plain words first, its counts, never "no difference" for want of evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import partial

from kvassay.assay.records import ArmSpec
from kvassay.stats.paired import Flips
from kvassay.stats.power import NEVER, more_pairs
from kvassay.stats.stopping import Evidence, more_pairs_anytime
from kvassay.units import duration
from kvassay.verdict.controls import Controls
from kvassay.verdict.effects import Effect, State

BREAKS_BELOW = 0.5  # of the reference's right calls left


@dataclass(frozen=True, slots=True)
class Finding:
    """One candidate with its effects: over the judged depths together, and at each of them that has pairs.

    ``open_claims`` is how many candidates, this one included, are not shown to be worse: the next claim of harm stands
    at alpha divided by it (Holm). ``witnesses``: the probes that flipped over all judged depths, which is what
    the evidence of harm counts there.
    """

    spec: ArmSpec
    overall: Effect
    by_depth: tuple[Effect, ...]
    open_claims: int
    witnesses: Flips

    @property
    def harmed(self) -> tuple[Effect, ...]:
        """Where the harm sits: the depths found worse if others were not, else all depths together."""
        worse = tuple(effect for effect in self.by_depth if effect.state.is_worse)
        return worse if 0 < len(worse) < len(self.by_depth) else (self.overall,)


class Side(Enum):
    """Which half of the cache a candidate changes."""

    K = auto()
    V = auto()
    JOINT = auto()


class Kind(IntEnum):
    """What a sentence says of a finding, worst first."""

    BREAKS = auto()
    COSTS = auto()
    COSTS_LITTLE = auto()
    UNDECIDED = auto()
    FINE = auto()

    @property
    def is_harm(self) -> bool:
        return self <= Kind.COSTS_LITTLE


def sentence(finding: Finding, controls: Controls) -> str:
    """What is known of one candidate, in one sentence with its numbers."""
    name = subject(finding.spec, controls)
    if not finding.overall.pairs:
        return f"{name}: not measured (0 pairs)."
    kind = kind_of(finding)
    if kind.is_harm:
        return f"{name} {verb(kind, controls)}{_harm_counts(finding, controls)}."
    if kind is Kind.FINE:
        return f"{name}: {no_loss(controls)} ({counts(finding.overall)})."
    return f"{name}: {undecided(finding, controls)}."


def subject(spec: ArmSpec, controls: Controls) -> str:
    """``K at q4_0`` where only K differs from the reference, ``V at q4_0`` where only V does, else ``q4_0/q4_0``. Where
    the other half can't be as the reference has it: ``K at 4 beside V at 8``.
    """
    side, (k, v) = side_of(spec, controls), controls.plain_types
    names = {Side.K: f"K at {spec.k}", Side.V: f"V at {spec.v}", Side.JOINT: f"{spec.k}/{spec.v}"}
    if (k, v) != controls.reference_types:
        names |= {Side.K: f"{names[Side.K]} beside V at {v}", Side.V: f"{names[Side.V]} beside K at {k}"}
    return names[side] if spec.rotation else f"{names[side]} without rotation"


def side_of(spec: ArmSpec, controls: Controls) -> Side:
    """Which half of the cache ``spec`` changes against the reference, or where the engine can't leave the other half
    so, against the clean types.
    """
    k, v = controls.plain_types
    if (spec.k == k) == (spec.v == v):
        return Side.JOINT
    return Side.V if spec.k == k else Side.K


def kind_of(finding: Finding) -> Kind:
    """What to say of a finding; "breaks" is kept for losing more than half of what the reference had right."""
    state = finding.overall.state
    if state is State.DEGRADED:
        left = sum(effect.candidate_correct for effect in finding.harmed)
        before = sum(effect.reference_correct for effect in finding.harmed)
        return Kind.BREAKS if left < BREAKS_BELOW * before else Kind.COSTS
    other = {State.BOTH: Kind.COSTS_LITTLE, State.WITHIN_MARGIN: Kind.FINE, State.INCONCLUSIVE: Kind.UNDECIDED}
    return other[state]


def verb(kind: Kind, controls: Controls) -> str:
    """The words for a harm."""
    return {
        Kind.BREAKS: "breaks this model's tool calls",
        Kind.COSTS: "costs right tool calls",
        Kind.COSTS_LITTLE: f"costs right tool calls, but less than {points(controls)}",
    }[kind]


def undecided(finding: Finding, controls: Controls) -> str:
    """Why there is no verdict: an obstacle of the whole run, or about how many pairs are missing."""
    overall = finding.overall
    if overall.arm in controls.measured.identical:
        return f"no verdict, {counts(overall)}; it did not engage"
    if controls.obstacle:
        return f"no verdict, {counts(overall)}; {controls.obstacle}"
    hidden = [effect for effect in finding.by_depth if effect.harm_p <= min(controls.alpha, overall.harm_p)]
    if overall.low > -controls.margin:  # only a depth that looks worse keeps the arm from being cleared
        hidden = [at for at in finding.by_depth if at.harm_p <= controls.alpha and not at.state.is_within]
    if len(finding.by_depth) > 1 and hidden:  # worse at one depth, made up for at another: ask there, not everywhere
        worst = min(hidden, key=lambda effect: effect.harm_p)
        alone = worst.pairs + _missing(worst, finding, controls)
        return (
            f"undecided, {counts(overall)}, but it looks worse {at_each([worst])}; "
            f"about {alone} pairs at that depth alone would settle it"
        )
    missing = _missing(overall, finding, controls)
    if missing >= NEVER:
        return f"undecided, {counts(overall)}; at these rates no number of pairs would settle it"
    pair_s = controls.measured.pair_s.get(overall.arm)
    time = f" (some {duration(missing * pair_s)})" if pair_s else ""
    return f"undecided, {counts(overall)}; about {missing} more pairs would settle it{time}"


def _missing(effect: Effect, finding: Finding, controls: Controls) -> int:
    """About how many pairs until one of the run's own two rules decides on this effect."""
    own = Flips(effect.lost, effect.gained)
    witnesses, depths = (own, (effect,)) if effect.depth is not None else (finding.witnesses, finding.by_depth)
    at_depths = [Evidence(0.5 / len(depths), Flips(at.lost, at.gained)) for at in depths]
    ask = (
        partial(more_pairs_anytime, evidence=[Evidence(0.5, witnesses), *at_depths])
        if controls.anytime
        else partial(more_pairs, witnesses=witnesses)
    )
    return ask(
        effect.lost,
        effect.gained,
        effect.pairs,
        margin=controls.margin,
        alpha=controls.alpha,
        claims=finding.open_claims,
    )


def _harm_counts(finding: Finding, controls: Controls) -> str:
    if finding.harmed == (finding.overall,):
        return f": {counts(finding.overall)}"
    rest = [effect for effect in finding.by_depth if effect not in finding.harmed]
    clauses = [f" {at_each(finding.harmed)}"]
    if fine := [effect for effect in rest if effect.state.is_within]:
        clauses.append(f"{no_loss(controls)} {at_each(fine)}")
    if open_ := [effect for effect in rest if not effect.state.is_within]:
        clauses.append(f"undecided {at_each(open_)}")
    return "; ".join(clauses)


# --------------------------------------------------------------------------- the words all sentences share


def counts(effect: Effect) -> str:
    """``59 of 60 right → 0 of 60``: the reference, then the candidate."""
    return f"{effect.reference_correct} of {effect.pairs} right → {effect.candidate_correct} of {effect.pairs}"


def at_each(effects: Sequence[Effect]) -> str:
    """Each effect's depth with its counts."""
    return listed(f"{places([effect.depth or 0])} ({counts(effect)})" for effect in effects)


def places(depths: Sequence[int]) -> str:
    """``at 2,048 and 8,192 tokens``; depth 0 is a case without a session in front."""
    tokens = [f"{depth:,}" for depth in depths if depth]
    named = [f"at {listed(tokens)} tokens"] if tokens else []
    return listed([*named, *(["in stand-alone cases"] if 0 in depths else [])])


def no_loss(controls: Controls) -> str:
    """The claim of non-inferiority."""
    return f"no loss beyond {points(controls)}"


def points(controls: Controls) -> str:
    """The margin in percentage points."""
    number = f"{100 * controls.margin:g}"
    return f"{number} point" if number == "1" else f"{number} points"


def listed(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
