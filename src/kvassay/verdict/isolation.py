"""The isolation: what K costs, what V costs, what only both cost, and whether any of it grows with the context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvassay.assay.records import ArmSpec
from kvassay.probe.sampled import scenario_of
from kvassay.stats.factorial import Factorial, FactorialEffect, Observation, Term, factorial
from kvassay.stats.multiplicity import holm
from kvassay.units import signed_points
from kvassay.verdict.controls import Controls
from kvassay.verdict.effects import Trials
from kvassay.verdict.sentences import listed

_ALPHA = 0.05
"""How often a run may say of any half, wrongly, that its effect changes with the context."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """One 2×2 of arms, as far as it was run: ``k`` and ``v`` are the types against the reference's, None for a half
    that was not varied; ``arms`` the candidates in it. ``sentences`` say in words what ``found`` holds in numbers.
    ``stopped_early`` marks arms whose number of probes depended on their answers: their intervals are approximate.
    """

    k: str | None
    v: str | None
    rotation: bool
    arms: tuple[str, ...]
    found: Factorial
    sentences: tuple[str, ...]
    stopped_early: bool


class _Square(NamedTuple):
    """``base`` is the arm that neither half is varied in."""

    base: str
    k: str | None
    v: str | None
    rotation: bool
    cells: tuple[tuple[ArmSpec, bool, bool], ...]  # arm, K varied, V varied


def isolate(trials: Mapping[str, Trials], candidates: Sequence[ArmSpec], controls: Controls) -> tuple[Isolation, ...]:
    """The isolations that a run's candidates allow: one for each pair that changes both halves, and one for what was
    only run alone; what length alone costs is said in the first. Clusters are scenarios: a probe at all depths where it
    was asked, all answers to one turn.
    """
    squares = _squares(candidates, controls)
    found = [(square, factorial(list(_observations(trials, square, controls)))) for square in squares]
    found = [(square, effects) for square, effects in found if _tells(effects)] or found[:1]
    changing = _changing(found)
    return tuple(
        Isolation(
            k=square.k,
            v=square.v,
            rotation=square.rotation,
            arms=tuple(spec.label for spec, _, _ in square.cells),
            found=effects,
            sentences=(*_sentences(square, effects, changing), *(_length(square, effects) if nth == 0 else ())),
            stopped_early=any(controls.measured.spared.get(spec.label) for spec, _, _ in square.cells),
        )
        for nth, (square, effects) in enumerate(found)
        if effects.effects
    )


def _squares(candidates: Sequence[ArmSpec], controls: Controls) -> Iterator[_Square]:
    k_ref, v_ref = controls.plain_types
    for rotation in dict.fromkeys(spec.rotation for spec in candidates):
        arms = {(spec.k, spec.v): spec for spec in candidates if spec.rotation is rotation}
        base = controls.reference
        if (k_ref, v_ref) != controls.reference_types:
            if (k_ref, v_ref) not in arms:
                continue
            base = arms.pop((k_ref, v_ref)).label
        joint = [pair for pair in arms if pair[0] != k_ref and pair[1] != v_ref]
        k_alone = [k for k, v in arms if v == v_ref and k not in {pair[0] for pair in joint}]
        v_alone = [v for k, v in arms if k == k_ref and v not in {pair[1] for pair in joint}]
        rest = [(k, k if k in v_alone else v_ref) for k in k_alone]
        rest += [(k_ref, v) for v in v_alone if v not in k_alone]
        for k, v in (*joint, *rest):
            varied = {(k, v_ref): (True, False), (k_ref, v): (False, True), (k, v): (k != k_ref, v != v_ref)}
            cells = tuple((arms[pair], *halves) for pair, halves in varied.items() if pair in arms)
            yield _Square(base, k if k != k_ref else None, v if v != v_ref else None, rotation, cells)


def _observations(trials: Mapping[str, Trials], square: _Square, controls: Controls) -> Iterator[Observation]:
    """The base's trials and the candidates', at the judged depths, infrastructure faults left out."""
    cells = [(square.base, False, False), *((spec.label, k, v) for spec, k, v in square.cells)]
    for arm, k, v in cells:
        for (depth, probe), right in trials.get(arm, {}).items():
            if right is not None and depth in controls.depths:
                yield Observation(k, v, depth, scenario_of(probe), right)


def _tells(found: Factorial) -> bool:
    """Whether anything of K and V is identified, and not only what the context costs the reference."""
    return any(effect.term is not Term.DEPTH for effect in found.effects)


def _changing(found: Sequence[tuple[_Square, Factorial]]) -> dict[str, float]:
    """The adjusted p-value of each half's change with the context. Every half of a run is a claim (Holm), tested twice,
    of which the greater p counts: by the clustered t test, and by the random one, which knows no distribution.
    """
    p_values: dict[str, float] = {}
    for square, effects in found:
        for term, effect in _with_depth(effects):
            half = _half(term, square)
            p_values[half] = max(effect.p_value, effect.random_p or 0.0, p_values.get(half, 0.0))
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _sentences(square: _Square, found: Factorial, changing: Mapping[str, float]) -> Iterator[str]:
    costs = [f"{_half(term, square)} {_points(effect)}" for term in (Term.K, Term.V) if (effect := found.of(term))]
    if costs:
        together = found.of(Term.K_V)
        extra = f"; both together {_points(together)} beyond the sum" if together else ""
        yield f"{listed(costs)} points of right calls against {square.base}{extra}."
    for term, effect in _with_depth(found):
        half = _half(term, square)
        growth = _growth(effect, changing[half], found.of(term), found.of(Term.DEPTH))
        yield f"Per doubling of the context {half} changes by {_points(effect)} points: {growth}."


def _length(square: _Square, found: Factorial) -> Iterator[str]:
    """What is the same in every square."""
    if alone := found.of(Term.DEPTH):
        yield f"Length alone changes {square.base} by {_points(alone)} points per doubling."


def _with_depth(found: Factorial) -> Iterator[tuple[Term, FactorialEffect]]:
    for half, term in ((Term.K, Term.K_DEPTH), (Term.V, Term.V_DEPTH)):
        if effect := found.of(term):
            yield half, effect


def _growth(
    effect: FactorialEffect, adjusted_p: float, main: FactorialEffect | None, alone: FactorialEffect | None
) -> str:
    """What a change with the context means for "the damage grows with the context". A half that isn't shown to lose
    over all depths has no damage to speak of. A loss can't exceed what the base has left: where length alone takes of
    that too, it is said beside a loss that shrinks, which then is no sign of recovery.
    """
    if adjusted_p > _ALPHA:
        lone = f" (adjusted p = {adjusted_p:.3f})" if not effect.low <= 0 <= effect.high else ""
        return f"that it grows with the context is not shown{lone}"
    if effect.effect < 0:
        if main is not None and main.low > 0:
            return "what it gains shrinks with the context"
        shown = main is not None and main.high < 0
        return "the damage grows with the context" if shown else "it does worse the longer the context"
    if main is None or main.high >= 0:
        return "there is no damage that grows"
    less = ", as does what there is to lose" if alone is not None and alone.high < 0 else ""
    return f"the loss shrinks with the context{less}"


def _half(term: Term, square: _Square) -> str:
    name = square.k if term is Term.K else square.v
    return f"{term} at {name}" + ("" if square.rotation else " without rotation")


def _points(effect: FactorialEffect) -> str:
    low, value, high = map(signed_points, (effect.low, effect.effect, effect.high))
    return f"{value} ({low} … {high})"
