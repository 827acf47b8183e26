"""In which order the pairs that fit are worth measuring, and why each stands where it stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from kvassay.plan.capability import Where
from kvassay.plan.evidence import Evidence, Grade
from kvassay.plan.planner import REFERENCE, Row, precision
from kvassay.plan.view import Entry


class Standing(IntEnum):
    """What is known in favour of a pair, the best first."""

    WITHIN_MARGIN = 0
    PUBLISHED = 1
    NOT_MEASURED = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that fits. ``caution`` says why it ``runs_badly``, or that nobody knows where its attention runs; ``why``
    says what the place in the order rests on.
    """

    row: Row
    standing: Standing
    runs_badly: bool
    caution: str
    why: str

    @property
    def name(self) -> str:
        return str(self.row.kv)


@dataclass(frozen=True, slots=True)
class Left:
    """A pair that is no candidate, and the reason."""

    row: Row
    why: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """``candidates`` from the most promising on; ``left_out`` in the plan's order."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[Left, ...]


def ranking(entries: Sequence[Entry], *, device: str, wanted: int) -> Ranking:
    """Order the pairs of a plan.

    Those that would run badly on ``device`` stand last. Then: proven within the margin on this machine, published, not
    measured. Then more bits first: the weaker side's, K's, V's; K is the more delicate half wherever both were
    measured. Refused pairs, those that don't hold the ``wanted`` context, and those measured worse are left out.
    """
    quantised = [entry for entry in entries if entry.row.kv != REFERENCE]
    left = {id(entry): reason for entry in quantised if (reason := _objection(entry, wanted))}
    found = [_candidate(entry, device) for entry in quantised if id(entry) not in left]
    return Ranking(
        tuple(sorted(found, key=_place)),
        tuple(Left(entry.row, left[id(entry)]) for entry in quantised if id(entry) in left),
    )


def roomier(entries: Sequence[Entry], chosen: Row, *, device: str) -> Entry | None:
    """The next smaller pair that holds more context than ``chosen``, where it may run and was not measured worse.

    One that would run badly is named only where there is no other.
    """
    more = [
        entry
        for entry in entries
        if entry.row.max_context > chosen.max_context and not _refusal(entry) and not _is_broken(entry.evidence)
    ]
    return min(more, key=lambda entry: (_runs_badly(entry, device), *_size(entry.row)), default=None)


def _place(candidate: Candidate) -> tuple[float, ...]:
    return (candidate.runs_badly, candidate.standing, *_size(candidate.row))


def _size(row: Row) -> tuple[float, ...]:
    """More bits first."""
    return tuple(-bits for bits in precision(row))


def _objection(entry: Entry, wanted: int) -> str:
    """Why a pair is no candidate; empty where it is one."""
    if reason := _refusal(entry):
        return f"refused: {reason}"
    if not entry.row.fits:
        reach = f"it reaches {entry.row.max_context:,}" if entry.row.max_context else "it doesn't fit at all"
        return f"does not hold {wanted:,} tokens: {reach}"
    return entry.evidence.words if _is_broken(entry.evidence) else ""


def _refusal(entry: Entry) -> str:
    return entry.row.refused or (entry.attention.why if entry.attention.where == Where.REFUSED else "")


def _is_broken(evidence: Evidence) -> bool:
    return evidence.is_worse and not evidence.is_within


def _candidate(entry: Entry, device: str) -> Candidate:
    badly = _runs_badly(entry, device)
    caution = _attention(entry) if badly or entry.attention.where == Where.UNKNOWN else ""
    parts = (entry.evidence.words, f"Put last: {caution}" if badly else caution[:1].upper() + caution[1:])
    why = ". ".join(part.rstrip(".") for part in parts if part)
    return Candidate(entry.row, _standing(entry.evidence), badly, caution, f"{why}.")


def _attention(entry: Entry) -> str:
    where = {Where.UNKNOWN: "where attention runs is not known", Where.CPU: "attention runs on the CPU"}
    return f"{where.get(Where(entry.attention.where), 'attention runs slowly')}. {entry.attention.why}"


def _runs_badly(entry: Entry, device: str) -> bool:
    """On the CPU's own device the CPU is no handicap: there is nothing better."""
    return entry.attention.is_bad and entry.attention.where != device


def _standing(evidence: Evidence) -> Standing:
    if evidence.is_within:
        return Standing.WITHIN_MARGIN
    return Standing.PUBLISHED if evidence.grade is Grade.PUBLISHED else Standing.NOT_MEASURED
