"""The token-level evidence as every report shows it, and as the terminal writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvassay.assay.evidence import TrialEvidence
from kvassay.assay.evidence_summary import (
    ROLE_WORDS,
    ArmEvidence,
    did_not_engage,
    perplexity_sentence,
    summarise,
)
from kvassay.assay.floor import Floor
from kvassay.assay.passage import PassageScore, PerplexityRatio, perplexity_ratio
from kvassay.backend.base import MOST_LISTED
from kvassay.dialect.canvas import TokenRole


class Calls(NamedTuple):
    """An arm's right calls of those graded."""

    correct: int
    asked: int


@dataclass(frozen=True, slots=True)
class PassageView:
    """An arm's perplexity of the short text beside its calls."""

    arm: str
    ratio: PerplexityRatio
    sentence: str


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """All that a report shows token by token. ``roles`` are those that occur, in their order. ``findings`` name arms
    that equal the reference to the last digit. ``resolution``: divergences (nats) below it are rounding of the
    server's, None where it was not measured. ``tail``: the reference's lists go on until this probability is left, None
    where they hold ``top_n`` tokens.
    """

    arms: tuple[ArmEvidence, ...]
    roles: tuple[TokenRole, ...]
    passages: tuple[PassageView, ...]
    findings: tuple[str, ...]
    top_n: int
    resolution: float | None
    tail: float | None = None

    @property
    def most_listed(self) -> int:
        """How many tokens a list with a ``tail`` holds at most."""
        return MOST_LISTED

    @property
    def role_words(self) -> dict[TokenRole, str]:
        """The roles that occur, in words."""
        return {role: ROLE_WORDS[role] for role in self.roles}


def build_evidence(
    trials: Iterable[TrialEvidence],
    *,
    arms: Sequence[str],
    reference: str,
    top_n: int,
    floors: Sequence[Floor] = (),
    passages: Mapping[str, PassageScore] | None = None,
    calls: Mapping[str, Calls] | None = None,
    repeat: str | None = None,
    tail: float | None = None,
    levels: Mapping[str, int] | None = None,
) -> EvidenceView | None:
    """Sum up a run's evidence in one pass; None where there is none at all.

    ``arms`` are the labels of all arms but the reference, in the run's order; ``passages`` the scores of the short
    text by label, the reference's among them; ``calls`` the right calls by label. ``repeat`` is the second boot, which
    may well equal the reference to the last digit. ``levels``: probe → its difficulty.
    """
    resolution = max((floor.excess for floor in floors), default=None)
    summed = summarise(trials, arms=arms, resolution=resolution or 0.0, levels=levels)
    told = tuple(arm for arm in summed if arm.positions)
    beside = tuple(_passages(passages or {}, calls or {}, arms=arms, reference=reference))
    if not told and not beside:
        return None
    return EvidenceView(
        arms=told,
        roles=tuple(role for role in TokenRole if any(arm.cell(None, role) for arm in told)),
        passages=beside,
        findings=tuple(finding for arm in told if arm.arm != repeat and (finding := did_not_engage(arm))),
        top_n=top_n,
        resolution=resolution,
        tail=tail,
    )


def _passages(
    passages: Mapping[str, PassageScore], calls: Mapping[str, Calls], *, arms: Sequence[str], reference: str
) -> Iterator[PassageView]:
    for arm in arms:
        if reference in passages and arm in passages and arm in calls:
            ratio = perplexity_ratio(passages[reference], passages[arm])
            yield PassageView(arm, ratio, f"{arm}: {perplexity_sentence(ratio, **calls[arm]._asdict())}")


# --------------------------------------------------------------------------- the terminal


def evidence_lines(evidence: EvidenceView) -> Iterator[str]:
    """What the numbers say, one sentence a line."""
    yield from evidence.findings
    for arm in evidence.arms:
        yield arm.text
        if left := left_out(arm):
            yield left
    for passage in evidence.passages:
        yield passage.sentence


def left_out(arm: ArmEvidence) -> str:
    """What of an arm was not compared; empty where all was."""
    if not arm.hidden and not arm.unreached:
        return ""
    return (
        f"Not compared under {arm.arm}: {arm.hidden:,} parts of characters that the server doesn't report, "
        f"{arm.unreached:,} tokens beyond the budget of requests."
    )
