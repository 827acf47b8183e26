"""A replay's timeline in words and in signs, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.report.replay_view import ReplayCell, ReplayRow, ReplayView
from kvassay.report.words import OUTCOMES
from kvassay.types import OutcomeClass, Role

LEGEND = "✓ right  ✗ wrong  ! wrong, other irreversible call  ○ excluded  · not asked"
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


def _others(view: ReplayView, row: ReplayRow, reference: str) -> Iterator[str]:
    if row.role == Role.REFERENCE or not any(cell.kind for cell in row.cells):
        return
    if row.first_other is None:
        yield f"no irreversible call that neither {reference} nor the recording made"
        return
    cell, turn = row.cells[row.first_other], view.turns[row.first_other]
    graded = "graded right" if cell.kind is OutcomeClass.CORRECT else "graded wrong"
    where = "answers" if view.is_one_turn else "turns"
    at = f"with seed {turn.seed}" if turn.seed else "greedily" if view.is_one_turn else f"at turn {turn.number}"
    yield (
        f"irreversible calls that neither {reference} nor the recording made in {row.others} of {len(row.cells)} "
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
