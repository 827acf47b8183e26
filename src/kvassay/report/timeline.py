"""A replay's timeline in words and in signs, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvassay.assay.records import ArmSpec
from kvassay.report.replay_view import ReplayCell, ReplayRow, ReplayView
from kvassay.report.words import OUTCOMES
from kvassay.types import OutcomeClass, Role
from kvassay.verdict.sentences import listed

LEGEND = "✓ right  ✗ wrong  ! wrong, other irreversible call  ○ excluded  · not asked"
ONE_TURN = "Same prompt, same seeds, same build: only the KV types differ."
_GAP = 2
_LEAST_CELLS = 10


def cell_sign(cell: ReplayCell) -> str:
    """One cell in one sign."""
    if cell.kind is None:
        return "·"
    if cell.kind.is_infrastructure:
        return "○"
    if cell.kind is OutcomeClass.CORRECT:
        return "✓"
    return "!" if cell.other else "✗"


def cell_class(cell: ReplayCell) -> str:
    """One cell's class in the reports' style sheet."""
    return {"✓": "right", "○": "excluded", "·": "none"}.get(cell_sign(cell), "wrong")


class Right(NamedTuple):
    """How many of an arm's graded answers were right."""

    correct: int
    graded: int

    def __str__(self) -> str:
        return f"{self.correct} of {self.graded}"


def counted(row: ReplayRow) -> Right:
    """The row's answers; excluded ones are not graded."""
    kinds = [cell.kind for cell in row.cells if cell.kind and not cell.kind.is_infrastructure]
    return Right(kinds.count(OutcomeClass.CORRECT), len(kinds))


def turn_sentence(view: ReplayView, arms: Sequence[ArmSpec]) -> str:
    """Of one turn asked many times: how often the reference was right, and how often each pair that changes both K and
    V, and the worst candidate where it is worse than these.
    """
    rows = {row.arm: row for row in view.rows}
    reference = next(arm for arm in arms if arm.role == Role.REFERENCE)
    others = [arm for arm in arms if arm.role == Role.CANDIDATE]
    pairs = [arm for arm in others if arm.k != reference.k and arm.v != reference.v]
    worst = min(others, key=lambda arm: counted(rows[arm.label]).correct, default=reference)
    if all(counted(rows[arm.label]).correct > counted(rows[worst.label]).correct for arm in pairs) and others:
        pairs.append(worst)
    told = ", ".join(f"{counted(rows[arm.label])} under {arm.label}" for arm in pairs)
    of_reference = f"{counted(rows[reference.label])} answers right under {reference.label}"
    return f"Turn {view.turns[0].number}: {', '.join(filter(None, (of_reference, told)))}."


def told_apart(view: ReplayView) -> int:
    """Of one turn asked many times: the column that shows best what the K/V types do, where the reference is right and
    the most others are wrong; the greedy one where the reference is right in none.
    """
    rows = [row for row in view.rows if row.role != Role.REPEAT]
    reference = next(row for row in rows if row.role == Role.REFERENCE)

    def lost(column: int) -> int:
        if reference.cells[column].kind is not OutcomeClass.CORRECT:
            return -1
        return sum(cell_class(row.cells[column]) == "wrong" for row in rows)

    return max(range(len(view.turns)), key=lost)


def cell_words(view: ReplayView, at: int, cell: ReplayCell) -> str:
    """One cell in words: which turn, what came out, what else was done."""
    turn = view.turns[at]
    which = f"turn {turn.number}" if not view.is_one_turn else "greedy" if turn.seed is None else f"seed {turn.seed}"
    said = "not asked" if cell.kind is None else OUTCOMES[cell.kind]
    extra = [f"other irreversible call: {one}" for one in cell.other] + [f"repeated: {one}" for one in cell.repeats]
    return "; ".join([f"{which}, {turn.prompt_tokens:,} tokens: {said}", *extra])


def strip_lines(view: ReplayView, width: int) -> Iterator[str]:
    """A row of signs for each arm, in blocks that fit the width, each under the turns that it shows."""
    label = max(len(row.arm) for row in view.rows)
    room = max(_LEAST_CELLS, width - label - _GAP)
    for start in range(0, len(view.turns), room):
        yield f"{'':{label + _GAP}}{_span(view, start, min(start + room, len(view.turns)))}"
        for row in view.rows:
            signs = "".join(map(cell_sign, row.cells[start : start + room]))
            yield f"{row.arm:<{label}}{'':{_GAP}}{signs}"
    yield LEGEND


def _span(view: ReplayView, start: int, end: int) -> str:
    if view.is_one_turn:
        greedy = "greedy, " if view.turns[start].seed is None else ""
        return f"turn {view.turns[0].number}: {greedy}seeds to {view.turns[end - 1].seed}"
    first, last = view.turns[start], view.turns[end - 1]
    least, most = (pick(turn.prompt_tokens for turn in view.turns[start:end]) for pick in (min, max))
    return f"turns {first.number} to {last.number}, {least:,} to {most:,} tokens"


def row_sentences(view: ReplayView) -> Iterator[str]:
    """What each arm did that can't be taken back, against the reference; its commonest answers to one turn."""
    reference = next(row.arm for row in view.rows if row.role == Role.REFERENCE)
    for row in view.rows:
        parts = [*_others(view, row, reference), *_repeats(row)]
        if parts:
            yield f"{row.arm}: {'; '.join(parts)}."
    asked = [row for row in view.rows if row.role != Role.REFERENCE and any(cell.kind for cell in row.cells)]
    if clean := [row.arm for row in asked if row.first_other is None]:
        yield f"No irreversible call that neither {reference} nor the recording made: {listed(clean)}."


def _others(view: ReplayView, row: ReplayRow, reference: str) -> Iterator[str]:
    if row.role == Role.REFERENCE or row.first_other is None:
        return
    cell, turn = row.cells[row.first_other], view.turns[row.first_other]
    graded = "graded right" if cell.kind is OutcomeClass.CORRECT else "graded wrong"
    where = "answers" if view.is_one_turn else "turns"
    asked = sum(other.kind is not None for other in row.cells)
    at = f"with seed {turn.seed}" if turn.seed else "greedily" if view.is_one_turn else f"at turn {turn.number}"
    yield (
        f"irreversible calls that neither {reference} nor the recording made in {row.others} of {asked} "
        f"{where}, first {at} ({cell.other[0]}, {graded})"
    )


def _repeats(row: ReplayRow) -> Iterator[str]:
    if row.repeats:
        yield f"{row.repeats} irreversible call{'s' if row.repeats > 1 else ''} repeated that had been done already"


def answer_lines(view: ReplayView) -> Iterator[str]:
    """Of one turn asked many times: each arm's commonest answers."""
    for row in view.rows:
        for answer in row.answers:
            yield f"{row.arm}: {answer.count} × {'right' if answer.correct else 'wrong'}: {answer.words}"
