"""A replayed session turn by turn: each arm's answer to each turn, and what it did that can't be taken back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from kvassay.assay.prompts import history_of
from kvassay.assay.records import ArmSpec, Design, ProbeRecord, ReplayRecord, TurnRecord
from kvassay.grade.context import failed
from kvassay.grade.deeds import deed, executes, irreversible
from kvassay.probe.sampled import seed_of
from kvassay.report.source import RunSource
from kvassay.types import Call, Channel, JsonObject, Message, OutcomeClass, Probe, ToolCall, Trial
from kvassay.units import depth_words

_MOST_ANSWERS = 3
_CALL_CHARS = 90


@dataclass(frozen=True, slots=True)
class ReplayTurn:
    """One column: a turn, or one sampled answer to the one turn asked (``seed``, None for the greedy one).
    ``recorded`` says what the agent's model called then, ``succeeded`` whether all of it did (None: not recorded).
    """

    number: int
    seed: int | None
    probe: str
    depth: int
    prompt_tokens: int
    recorded: str
    succeeded: bool | None
    tags: tuple[str, ...]

    @property
    def name(self) -> str:
        """What stands at the column's head."""
        return str(self.number) if self.seed is None else f"s{self.seed}"


@dataclass(frozen=True, slots=True)
class ReplayCell:
    """One answer; ``kind`` None where it was not asked. ``other`` are its irreversible calls that neither the reference
    made at this turn nor the recorded model; ``repeats`` those that had been done already.
    """

    kind: OutcomeClass | None
    other: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayAnswer:
    """How often an arm gave one answer to a turn: its calls in words, and whether that was right."""

    words: str
    count: int
    correct: bool


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One arm: a cell for each column. ``first_other`` is the column (from 0) of its first irreversible call that is
    not the reference's; ``others`` and ``repeats`` count the turns with such calls and the repeated ones.
    ``answers`` are the commonest answers, where one turn was asked many times.
    """

    arm: str
    role: str
    cells: tuple[ReplayCell, ...]
    first_other: int | None
    others: int
    repeats: int
    answers: tuple[ReplayAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayView:
    """The timeline of a replayed session; ``notes`` say what limits it."""

    record: ReplayRecord
    turns: tuple[ReplayTurn, ...]
    rows: tuple[ReplayRow, ...]
    notes: tuple[str, ...]

    @property
    def is_one_turn(self) -> bool:
        return self.record.seeds > 0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the timeline keeps of a trial."""

    kind: OutcomeClass
    calls: tuple[Call, ...]


def build_replay(run: RunSource, record: ReplayRecord | None, design: Design, primary: Channel) -> ReplayView | None:
    """The timeline of a run; None where it replayed no session."""
    if record is None:
        return None
    probes, session = list(run.probes()), run.session()
    answers = {(t.key.arm, t.key.probe): _answer(t) for t in run.trials() if t.key.channel is primary}
    done = {probe.probe.id: done_before(history_of(session, probe.probe)) for probe in probes}
    reference = design.reference.label
    return ReplayView(
        record=record,
        turns=tuple(_turn(probe) for probe in probes),
        rows=tuple(_row(arm, probes, answers, done, reference, many=record.seeds > 0) for arm in design.arms),
        notes=(*_notes(record), *_ungrounded(probes)),
    )


def _answer(trial: Trial) -> _Answer:
    return _Answer(trial.outcome.kind, trial.turn.calls)


def _turn(record: ProbeRecord) -> ReplayTurn:
    results = [known["succeeded"] for known in _recorded(record.probe)]
    return ReplayTurn(
        number=record.probe.seed,
        seed=seed_of(record.probe.id),
        probe=record.probe.id,
        depth=record.depth,
        prompt_tokens=record.prompt_tokens,
        recorded="; ".join(words(_call(known)) for known in _recorded(record.probe)),
        succeeded=False if False in results else None if None in results else True,
        tags=record.probe.tags,
    )


def _recorded(probe: Probe) -> list[JsonObject]:
    return cast("list[JsonObject]", probe.key["recorded"])


def _call(known: JsonObject) -> Call:
    return Call(str(known["name"]), cast("JsonObject", known["arguments"]))


# --------------------------------------------------------------------------- rows


def _row(
    arm: ArmSpec,
    probes: Sequence[ProbeRecord],
    answers: dict[tuple[str, str], _Answer],
    done: dict[str, frozenset[str]],
    reference: str,
    *,
    many: bool,
) -> ReplayRow:
    own = [answers.get((arm.label, record.probe.id)) for record in probes]
    theirs = [answers.get((reference, record.probe.id)) for record in probes]
    cells = tuple(
        _cell(record.probe, mine, other, done[record.probe.id])
        for record, mine, other in zip(probes, own, theirs, strict=True)
    )
    others = [at for at, cell in enumerate(cells) if cell.other]
    return ReplayRow(
        arm=arm.label,
        role=arm.role,
        cells=cells,
        first_other=others[0] if others else None,
        others=len(others),
        repeats=sum(len(cell.repeats) for cell in cells),
        answers=tuple(_commonest(filter(None, own))) if many else (),
    )


def _cell(probe: Probe, mine: _Answer | None, reference: _Answer | None, done: frozenset[str]) -> ReplayCell:
    if mine is None:
        return ReplayCell(None)
    recorded = {deed(_call(known)) for known in _recorded(probe)}
    return ReplayCell(
        mine.kind,
        other=tuple(_others(mine.calls, recorded, reference)),
        repeats=tuple(_repeats(mine.calls, done, recorded)),
    )


def _others(calls: Iterable[Call], recorded: set[str], reference: _Answer | None) -> Iterator[str]:
    known = {deed(call) for call in reference.calls} if reference else None
    for call in calls:
        if known is not None and irreversible(call) and deed(call) not in known | recorded:
            yield words(call)


def _repeats(calls: Iterable[Call], done: frozenset[str], recorded: set[str]) -> Iterator[str]:
    """Irreversible calls that were done already, or twice in this answer; what was repeated then may be now."""
    seen = set(done - recorded)
    for call in calls:
        if irreversible(call):
            if deed(call) in seen:
                yield words(call)
            seen.add(deed(call))


def done_before(history: Iterable[Message]) -> frozenset[str]:
    """The irreversible calls of a history that would be done twice if they came again: every change that didn't fail,
    and every command since the last one: after a change, a command that is run again is no repetition.
    """
    changes: set[str] = set()
    commands: set[str] = set()
    pending: dict[str, ToolCall] = {}
    for message in history:
        pending |= {call.id: call for call in message.tool_calls if irreversible(call)}
        call = pending.pop(message.tool_call_id or "", None) if message.role == "tool" else None
        if call is None or failed(message.content):
            continue
        if executes(call):
            commands.add(deed(call))
        else:
            changes.add(deed(call))
            commands.clear()
    return frozenset(changes | commands)


def _commonest(answers: Iterable[_Answer]) -> Iterator[ReplayAnswer]:
    """Answers are the same where they call the same, however long; what is shown of them may look alike."""
    given = list(answers)
    said = {(_deeds(answer), answer.kind is OutcomeClass.CORRECT): _said(answer) for answer in given}
    counts = Counter((_deeds(answer), answer.kind is OutcomeClass.CORRECT) for answer in given)
    for key, count in counts.most_common(_MOST_ANSWERS):
        yield ReplayAnswer(said[key], count, correct=key[1])


def _deeds(answer: _Answer) -> tuple[str, ...]:
    return tuple(map(deed, answer.calls))


def _said(answer: _Answer) -> str:
    return "; ".join(map(words, answer.calls)) or "no call that can be read"


def words(call: Call | ToolCall) -> str:
    """A call on one short line."""
    arguments = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    text = f"{call.name}({arguments})"
    return text if len(text) <= _CALL_CHARS else f"{text[: _CALL_CHARS - 2]}…)"


# --------------------------------------------------------------------------- what limits it


def _notes(record: ReplayRecord) -> Iterator[str]:
    if record.seeds:
        yield (
            f"Turn {record.turns[0].number} alone was asked: once greedily, and {record.seeds} times sampled at "
            f"temperature {record.temperature:g} with seeds 1 to {record.seeds}, the same for every arm. The verdict "
            "speaks of this turn only."
        )
    else:
        yield (
            f"{len(record.turns)} of {record.askable_turns} askable turns (of {record.recorded_turns} recorded), "
            "spread over depth, each asked with its recorded history in front. The verdict speaks of this session; its "
            "turns are not independent of each other."
        )
        yield from _depths(record.turns)
    yield from _cuts(record)
    yield from _schemas(record)
    if record.redacted:
        yield "Secrets and names were masked before anything was asked: the original's tokens may fare otherwise."


def _ungrounded(probes: Sequence[ProbeRecord]) -> Iterator[str]:
    turns = {record.probe.seed for record in probes}
    free = {record.probe.seed for record in probes if not record.probe.key.get("asks_ground", True)}
    if free:
        where = "this turn" if turns == free and len(turns) == 1 else f"{len(free)} of {len(turns)} turns"
        yield (
            f"At {where} the recorded calls name paths or ids that had never occurred, so none is checked there: an "
            "answer that names an invented one counts as right."
        )


def _depths(turns: Sequence[TurnRecord]) -> Iterator[str]:
    groups = {depth: [turn.prompt_tokens for turn in turns if turn.depth == depth] for depth in
              sorted({turn.depth for turn in turns})}  # fmt: skip
    told = "; ".join(
        f"{depth_words(depth)}: {len(tokens)} turns from {min(tokens):,}" for depth, tokens in groups.items()
    )
    yield f"Depths are groups of turns, named by their deepest: {told}."


def _cuts(record: ReplayRecord) -> Iterator[str]:
    cut = [turn for turn in record.turns if turn.is_cut]
    if cut:
        cleared = sum(bool(turn.cleared) for turn in cut)
        dropped = sum(bool(turn.dropped) for turn in cut)
        whose = "the turn" if record.seeds else f"{len(cut)} of {len(record.turns)} turns"
        yield (
            f"The session is longer than the context of {record.context_tokens:,} tokens: in front of {whose} old tool "
            f"results were cleared (of {cleared}) or old messages left out (of {dropped})."
        )
    mended = sum(bool(turn.mended) for turn in record.turns)
    if mended:
        yield f"Calls that no server takes back were left out of the history of {mended} turns."


def _schemas(record: ReplayRecord) -> Iterator[str]:
    if record.reconstructed:
        refused = ", ".join(record.disproved)
        yield (
            f"Schemas reconstructed from the calls seen: {', '.join(record.reconstructed)}. They know types only, so "
            "that hallucinated parameters can't be seen on these tools; --tools FILE gives the agent's own."
            + (f" Declared, but refusing most recorded calls: {refused}." if refused else "")
        )
