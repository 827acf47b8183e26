"""Whether a stored verdict answers what is asked now, so that nothing is measured twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kvassay.assay.records import Design
from kvassay.plan.evidence import Judged
from kvassay.verdict import State


@dataclass(frozen=True, slots=True)
class Question:
    """What a verdict must speak of: this machine and back end, these probes, these depths (0: stand-alone cases), this
    margin and level.
    """

    backend: str
    hardware: str
    families: tuple[str, ...]
    suite_sha256: str | None
    levels: tuple[int, ...]
    probes_per_family: int
    seed: int
    depths: tuple[int, ...]
    margin: float
    alpha: float


def known(found: Iterable[Judged], question: Question) -> dict[str, Judged]:
    """By pair, the stored verdicts that answer the question: later over earlier, but never undecided over decided."""
    answers: dict[str, Judged] = {}
    for one in found:
        before = answers.get(one.arm.arm)
        if answers_it(one, question) and (_decided(one) or before is None or not _decided(before)):
            answers[one.arm.arm] = one
    return answers


def answers_it(found: Judged, question: Question) -> bool:
    """Whether measuring again could tell nothing else.

    Harm stands wherever it was shown, unless a greater margin would now allow it. "Within margin" must have been shown
    under a margin and a level no laxer, and as deep. An undecided run answers only the very same probes.
    """
    design, state = found.design, found.arm.state
    if _who(design) != (question.backend, question.hardware) or _what(design) != _asked(question):
        return False
    if state is State.DEGRADED:
        return design.margin >= question.margin and design.alpha <= question.alpha
    strict = design.margin <= question.margin and design.alpha <= question.alpha
    deep = max(design.depths, default=0) >= max(question.depths, default=0)
    return strict and deep and (state.is_within or _same_probes(design, question))


def _decided(found: Judged) -> bool:
    return found.arm.state is not State.INCONCLUSIVE


def _who(design: Design) -> tuple[str, str]:
    return design.backend, design.hardware


def _what(design: Design) -> tuple[object, ...]:
    return design.families, design.suite_sha256, design.levels


def _asked(question: Question) -> tuple[object, ...]:
    return question.families, question.suite_sha256, question.levels


def _same_probes(design: Design, question: Question) -> bool:
    enough = design.probes_per_family >= question.probes_per_family
    return enough and design.seed == question.seed and {*design.depths} == {*question.depths}
