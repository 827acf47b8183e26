"""The headline: is the run valid, does the model itself work, which half of the cache is to blame, what to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvassay.assay.records import ArmSpec
from kvassay.kv_cache import cache_types, pair_flags
from kvassay.verdict.controls import Controls
from kvassay.verdict.sentences import (
    Finding,
    Kind,
    Side,
    counts,
    kind_of,
    listed,
    no_loss,
    places,
    points,
    sentence,
    side_of,
    subject,
    undecided,
    verb,
)

_COMPUTED = (
    "The formats were computed in transformers: measure the one you choose on your own engine before you rely on it."
)
_BITS_PER_VALUE = {one.name: one.bits for one in (*cache_types("ggml"), *cache_types("exl3"))}


def headline(findings: Sequence[Finding], controls: Controls) -> str:
    """The sentences to read first."""
    measured = [finding for finding in findings if finding.overall.pairs]
    judgement = _judgement(measured, controls) if findings else _alone(controls)
    return " ".join([*_validity(controls), *judgement])


def _validity(controls: Controls) -> Iterator[str]:
    if controls.invalid:
        arms = listed(f"{arm.dropped} of {arm.pairs} pairs of {arm.arm}" for arm in controls.invalid)
        fault = "fell to infrastructure faults, more than 2 in 100"
        yield f"This run is invalid: {arms} {fault}. What follows is provisional."


def _alone(controls: Controls) -> Iterator[str]:
    yield f"Only the reference {controls.reference} was measured, {_by_itself(controls)}: no pair to judge."


def _by_itself(controls: Controls) -> str:
    """How often the reference was right, over all depths."""
    right = sum(tally.right for tally in controls.tallies)
    trials = sum(tally.trials for tally in controls.tallies)
    return f"{right} of {trials} right"


def _judgement(measured: Sequence[Finding], controls: Controls) -> Iterator[str]:
    if not measured:
        yield "Nothing to judge yet: 0 pairs of trials."
    elif controls.model_fails:
        yield f"Neither K nor V: the model itself fails at {controls.reference}, {_by_itself(controls)}."
    else:
        yield from _causes(measured, controls)
        yield _COMPUTED if controls.measured.computed else recommendation(measured, controls)


def _causes(measured: Sequence[Finding], controls: Controls) -> Iterator[str]:
    if len(measured) > 1 and all(kind_of(finding) is Kind.FINE for finding in measured):
        yield _all_fine(measured, controls)
        return
    by_side = {side: [f for f in measured if side_of(f.spec, controls) is side] for side in Side}
    alone = by_side[Side.K] + by_side[Side.V]
    together = [f for f in by_side[Side.JOINT] if kind_of(f).is_harm and not _is_explained(f, alone, controls)]
    # A half without harm is told in the sentence that blames it, and not again.
    told = {half.spec.label for f in together for half in _halves(f, alone, controls) if not kind_of(half).is_harm}
    halves = [[f for f in by_side[side] if f.spec.label not in told] for side in (Side.K, Side.V)]
    worst = min((kind_of(finding) for half in halves for finding in half), default=Kind.FINE)
    blames = [f"{sentence(f, controls)} {_blame(_halves(f, alone, controls), controls)}" for f in together]
    first = not together or worst < min(map(kind_of, together))
    of_halves = [text for half in halves for text in _group_sentences(half, controls)]
    yield from (*of_halves, *blames) if first else (*blames, *of_halves)
    if not any(kind_of(finding).is_harm for finding in measured):
        yield from _group_sentences(by_side[Side.JOINT], controls)


def _all_fine(measured: Sequence[Finding], controls: Controls) -> str:
    worst = min(measured, key=_difference)
    example = f"at worst, {subject(worst.spec, controls)}: {counts(worst.overall)}"
    claim = no_loss(controls)
    return f"{claim[0].upper()}{claim[1:]} in any of the {len(measured)} configurations ({example})."


def _group_sentences(findings: Sequence[Finding], controls: Controls) -> Iterator[str]:
    """The harmed arms of one half of the cache, or if there are none, what is known of the others."""
    harms = sorted({kind_of(finding) for finding in findings if kind_of(finding).is_harm})
    for kind in harms or (Kind.UNDECIDED, Kind.FINE):
        if group := [finding for finding in findings if kind_of(finding) is kind]:
            yield _group_sentence(group, kind, controls)


def _group_sentence(group: Sequence[Finding], kind: Kind, controls: Controls) -> str:
    if len(group) == 1:
        return sentence(group[0], controls)
    names = _group_subject([finding.spec for finding in group], controls)
    if kind.is_harm:  # shown by the mildest of the group, everything else by the worst
        mildest = max(group, key=_difference)
        return f"{names} {verb(kind, controls)} (at best, {mildest.spec.label}: {counts(mildest.overall)})."
    worst = min(group, key=_difference)
    known = f"{no_loss(controls)}, {counts(worst.overall)}" if kind is Kind.FINE else undecided(worst, controls)
    return f"{names} (at worst, {worst.spec.label}): {known}."


def _group_subject(specs: Sequence[ArmSpec], controls: Controls) -> str:
    head = {Side.K: "K at ", Side.V: "V at ", Side.JOINT: "Each of "}[side_of(specs[0], controls)]
    names = [subject(spec, controls).removeprefix(head).partition(" beside ") for spec in specs]
    if len({(beside, other) for _, beside, other in names}) == 1:  # what all stand beside is said once
        return head + listed(name for name, _, _ in names) + "".join(names[0][1:])
    return head + listed(map("".join, names))


def _difference(finding: Finding) -> float:
    return finding.overall.difference


# --------------------------------------------------------------------------- pairs of types that change both halves


def _halves(finding: Finding, alone: Sequence[Finding], controls: Controls) -> list[Finding]:
    """The arms that change only this pair's K, or only its V."""
    spec = finding.spec
    same_rotation = (half for half in alone if half.spec.rotation == spec.rotation)
    return [half for half in same_rotation if _has_half(spec, half.spec, side_of(half.spec, controls))]


def _has_half(spec: ArmSpec, half: ArmSpec, side: Side) -> bool:
    return half.k == spec.k if side is Side.K else half.v == spec.v


def _is_explained(finding: Finding, alone: Sequence[Finding], controls: Controls) -> bool:
    """One half alone does harm of the same kind, or a worse one."""
    return any(kind_of(half) <= kind_of(finding) for half in _halves(finding, alone, controls))


def _blame(halves: Sequence[Finding], controls: Controls) -> str:
    """Why the harm of a pair of types can't be laid on one half."""
    if not halves:
        return "Whether K or V does it was not measured: run each alone."
    seen = listed(f"{subject(half.spec, controls)} alone {counts(half.overall)}" for half in halves)
    kinds = {kind_of(half) for half in halves}
    if kinds == {Kind.FINE} and len(halves) == len((Side.K, Side.V)):
        return f"Only both together: {seen}, each {no_loss(controls)}."
    if any(kind.is_harm for kind in kinds):
        return f"That is more than one half alone does: {seen}."
    return f"Whether K or V does it is undecided: {seen}."


# --------------------------------------------------------------------------- what to run


def recommendation(findings: Sequence[Finding], controls: Controls) -> str:
    """The smallest pair of types that is within the margin, as its engine's flags; or that none is proven yet. One that
    is worse, though within the margin, is named only where there is no other.
    """
    whole = _bits(*controls.reference_types)
    smaller = [finding for finding in findings if 0 < _bits(finding.spec.k, finding.spec.v) < whole]
    within = [finding for finding in smaller if finding.overall.state.is_within]
    unharmed = [finding for finding in within if not finding.overall.state.is_worse]
    if not within:
        return f"No smaller configuration is proven to stay within {points(controls)} yet."
    # Of two equally small ones the one with the finer K: K is the more delicate half wherever it was measured.
    best = min(unharmed or within, key=lambda f: (_bits(f.spec.k, f.spec.v), -_BITS_PER_VALUE[f.spec.k]))
    k, v = best.spec.k, best.spec.v
    switch = "" if best.spec.rotation else "LLAMA_ATTN_ROT_DISABLE=1 and "
    where = places([effect.depth or 0 for effect in best.by_depth])
    saved = f"{100 * (1 - _bits(k, v) / whole):.0f} % smaller than {controls.reference}"
    but = ", not shown to be worse" if unharmed and unharmed != within else ""
    proof = f"the smallest configuration shown to stay within {points(controls)}{but} ({where})"
    return f"Run {switch}`{pair_flags(k, v)}`, {proof}: a KV cache about {saved}."


def _bits(k: str, v: str) -> float:
    """Bits for one K and one V value together; 0 for types of other engines than llama.cpp and ExLlamaV3."""
    return _BITS_PER_VALUE[k] + _BITS_PER_VALUE[v] if {k, v} <= _BITS_PER_VALUE.keys() else 0.0
