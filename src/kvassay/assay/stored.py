"""A stored run as read back: everything above the trials can be recomputed from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kvassay.assay import codec
from kvassay.assay.records import EpisodeRow, ProbeRecord, RungRecord, RunRecord, SessionRecord
from kvassay.errors import StoreError, StoreMismatch
from kvassay.types import BootRecord, Channel, Outcome, OutcomeClass, Timings, Trial, TrialKey
from kvassay.wire import message_from_json, probe_from_json, tool_from_json

TRIAL_COLUMNS = (
    "arm, depth, probe, channel, boot, outcome, detail, edit_distance, turn, reply, cached_tokens, processed_tokens, "
    "prompt_ms, predicted_tokens, predicted_ms, wall_s, prompt_sha256, prompt_tokens, tokens"
)


class Likeness(NamedTuple):
    """Of so many answers of two arms, how many have the same log-probabilities to the last digit."""

    compared: int
    identical: int


class StoredRun:
    """One run as read from a store: everything above the trials can be recomputed from it."""

    def __init__(self, db: sqlite3.Connection, path: Path, record: RunRecord) -> None:
        self._db, self._path, self.record = db, path, record

    def _rows(self, query: str, *values: object) -> Iterator[tuple]:  # type: ignore[type-arg]  # sqlite rows
        with told(self._path):
            yield from self._db.execute(query, (self.record.id, *values))

    def boots(self) -> tuple[BootRecord, ...]:
        """Every boot, in the order of their start."""
        rows = self._rows(
            "select id, arm, facts, started_at, ended_at, processed_tokens, bound_tokens, server_s, error, evidence_s "
            "from boots where run = ? order by id"
        )
        return tuple(BootRecord(boot, arm, codec.facts_from_json(facts), *rest) for boot, arm, facts, *rest in rows)

    def session(self) -> SessionRecord:
        """The deepest session and its rungs."""
        rungs = self._rows(
            "select depth, n_messages, prompt_tokens, prefix_text from rungs where run = ? order by depth"
        )
        ((messages, tools),) = self._rows("select messages, tools from runs where id = ?")
        return SessionRecord(
            messages=tuple(message_from_json(item) for item in codec.load_list(messages)),
            tools=tuple(tool_from_json(item) for item in codec.load_list(tools)),
            rungs=tuple(RungRecord(*row) for row in rungs),
        )

    def asked(self) -> tuple[tuple[int, str], ...]:
        """Depth and id of every probe, in the order in which they were written."""
        return tuple(self._rows("select depth, id from probes where run = ? order by position"))

    def probes(self) -> Iterator[ProbeRecord]:
        """The probes in the order in which they were drawn."""
        rows = self._rows(
            "select depth, probe, prompt_sha256, prompt_tokens, suffix_text, prefix_chars "
            "from probes where run = ? order by position"
        )
        for depth, probe, *rest in rows:
            yield ProbeRecord(depth, probe_from_json(codec.load_object(probe)), *rest)

    def done(self) -> frozenset[TrialKey]:
        """The keys of all stored trials."""
        rows = self._rows("select arm, depth, probe, channel from trials where run = ?")
        return frozenset(TrialKey(arm, depth, probe, Channel(channel)) for arm, depth, probe, channel in rows)

    def episodes(self) -> Iterator[EpisodeRow]:
        """Every closed loop, in a fixed order."""
        rows = self._rows("select arm, depth, task, boot, done, ending, body from episodes where run = ?")
        for arm, depth, task, boot, done, ending, body in rows:
            yield EpisodeRow(arm, depth, task, boot, None if done is None else bool(done), ending, body)

    def played(self) -> frozenset[tuple[str, int, str]]:
        """Arm, depth and task of each stored closed loop."""
        return frozenset(self._rows("select arm, depth, task from episodes where run = ?"))

    def counts(self) -> dict[str, tuple[int, int]]:
        """Of each arm that was asked anything, how many trials were right and how many there are; of a run of closed
        loops, how many were done.
        """
        rows = self._rows(
            "select arm, sum(good), count(*) from (select run, arm, outcome = 'correct' as good from trials "
            "union all select run, arm, coalesce(done, 0) from episodes) where run = ? group by arm"
        )
        return {arm: (good, asked) for arm, good, asked in rows}

    def evidence(self) -> Iterator[tuple[TrialKey, bytes]]:
        """The packed token-level evidence of each trial that has any."""
        for arm, depth, probe, rows in self._rows("select arm, depth, probe, rows from evidence where run = ?"):
            yield TrialKey(arm, depth, probe, Channel.RAW), rows

    def readings(self) -> list[tuple[str, str]]:
        """Each boot's arm and what it told beside its trials, as JSON, in the order of their start."""
        query = (
            "select boots.arm, reading from readings join boots on boots.id = boot "
            "where readings.run = ? order by boots.id"
        )
        return list(self._rows(query))

    def check_prompts(self) -> None:
        """Raise StoreMismatch where a trial was asked other prompt tokens than its probe's, the same for every arm."""
        query = (
            "select t.arm, t.depth, t.probe from trials t join probes p "
            "on p.run = t.run and p.depth = t.depth and p.id = t.probe "
            "where t.run = ? and t.prompt_sha256 <> p.prompt_sha256"
        )
        for arm, depth, probe in self._rows(query):
            raise StoreMismatch(
                f"{arm} was asked other prompt tokens than the other arms in {probe!r} at {depth} tokens",
                hint="These trials can't be compared; the file was changed by hand, or by a fault of kvassay.",
            )

    def likeness(self, reference: str, arm: str) -> Likeness:
        """How many raw answers of two arms have log-probabilities that are equal to the last digit, as far as the
        other arm's lists go: the reference's may be longer (``Design.evidence_tail``).
        """
        query = (
            "select a.positions, iif(a.positions = b.positions, null, b.positions) from trials a join trials b "
            "on b.run = a.run and b.depth = a.depth and b.probe = a.probe and b.channel = a.channel "
            "where a.run = ? and a.arm = ? and b.arm = ? and a.positions not null and b.positions not null"
        )
        pairs = self._rows(query, reference, arm)
        equal = [other is None or _as_far_as_it_goes(own, other) for own, other in pairs]
        return Likeness(len(equal), sum(equal))

    def answer_times(self, channel: Channel) -> list[tuple[str, int, float]]:
        """Each arm's number of trials on a channel and the seconds they took."""
        query = "select arm, count(*), sum(wall_s) from trials where run = ? and channel = ? group by arm"
        return list(self._rows(query, channel))

    def outcomes(self, channel: Channel) -> Iterator[tuple[TrialKey, OutcomeClass]]:
        """Key and outcome class of each trial of one channel."""
        rows = self._rows("select arm, depth, probe, outcome from trials where run = ? and channel = ?", channel)
        for arm, depth, probe, outcome in rows:
            yield TrialKey(arm, depth, probe, channel), OutcomeClass(outcome)

    def trials(self) -> Iterator[Trial]:
        """Every trial, log-probabilities left out, in a fixed order."""
        rows = self._rows(f"select {TRIAL_COLUMNS} from trials where run = ?")  # noqa: S608  a constant
        return (_trial(row) for row in rows)

    def trial(self, key: TrialKey) -> Trial | None:
        """One trial with its log-probabilities, or None."""
        rows = self._rows(
            f"select {TRIAL_COLUMNS}, positions from trials "  # noqa: S608  a constant
            "where run = ? and arm = ? and depth = ? and probe = ? and channel = ?",
            key.arm, key.depth, key.probe, key.channel,
        )  # fmt: skip
        return next((_trial(row) for row in rows), None)


def _as_far_as_it_goes(own: bytes, other: bytes) -> bool:
    """Whether each list of ``other`` is in the list of ``own`` at its place, number for number."""
    try:
        pairs = zip(codec.positions_in(own), codec.positions_in(other), strict=True)
        return all(mine.token_id == its.token_id and {*its.top} <= {*mine.top} for mine, its in pairs)
    except ValueError:  # one answer is longer
        return False


def _trial(row: Sequence) -> Trial:  # type: ignore[type-arg]  # an sqlite row of TRIAL_COLUMNS
    (arm, depth, probe, channel, boot, outcome, detail, distance, turn, reply, *timings, wall_s, sha, tokens, said) = (
        row[:19]
    )
    blob = row[19] if len(row) > 19 else None  # noqa: PLR2004  the column after TRIAL_COLUMNS
    return Trial(
        key=TrialKey(arm, depth, probe, Channel(channel)),
        boot=boot,
        turn=codec.turn_from_json(turn),
        outcome=Outcome(OutcomeClass(outcome), detail, distance),
        timings=None if timings[0] is None else Timings(*timings),
        wall_s=wall_s,
        prompt_sha256=sha,
        prompt_tokens=tokens,
        positions=codec.unpack_positions(blob) if blob else (),
        reply=codec.reply_from_json(reply) if reply else None,
        tokens=codec.unpack_tokens(said) if said else (),
    )


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's errors in the user's words."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "full" in text:
            hint = "Every finished trial is kept. Free some space, then go on with --resume."
        elif "not a database" in text or "malformed" in text:
            hint = "The file is not a store, or is damaged. Choose another with --store FILE."
        elif "unable to open" in text:
            hint = "If its folder can't be written: copy it to one that can, with the -wal file beside it, if any."
        else:
            hint = "Choose another place with --store FILE; finished trials are kept."
        raise StoreError(f"the store {str(path)!r} can't be used: {text}", hint=hint) from None
