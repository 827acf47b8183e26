"""Loops L1–L4 and recovery (R) over the turns of a session: live ones and closed ones are told by the same rules
(docs/design/guard.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kvassay.grade.exchanges import Exchange

WARN, ACT = 3, 5
"""How often the same must happen: 3 warn (opencode, OpenHands), 5 act (Cline, Qwen Code)."""

POLL_WARN, POLL_ACT = 10, 20
"""The same for a poll that is not told to wait: OpenClaw's limits."""

_NEWEST, _OFTEN = 10, 6
"""How many of the newest exchanges are the same, whatever lies between: Crush's limit."""

_RESENT_ACT = 3
_RECOVERY_TURNS = 2


class LoopKind(StrEnum):
    """Loops over several turns, facts/failures.md."""

    IDENTICAL = "L1"
    CORRECTION = "L2"
    CYCLE = "L3"
    RESENT = "L4"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that is running now. ``count`` is how often it went round; ``act`` says that this is often enough to step
    in, not only to warn.
    """

    kind: LoopKind
    tool: str
    count: int
    act: bool
    detail: str


def find_loops(exchanges: Sequence[Exchange]) -> tuple[Loop, ...]:
    """The loops that are running at the end of these exchanges (oldest first). What the user said anew ends a loop."""
    stretch = _stretch(exchanges)
    if not stretch:
        return ()
    again = _identical(stretch) or _cycle(stretch) or _often(stretch)
    return tuple(loop for loop in (again, _correction(stretch)) if loop)


def resent(count: int) -> Loop:
    """L4: a question that went wrong was sent again unchanged, ``count`` times on end."""
    detail = f"the same request again after an error, {count} times"
    return Loop(LoopKind.RESENT, "", count, count >= _RESENT_ACT, detail)


def failing_turns(count: int, tool: str) -> Loop:
    """L2 as the model's own turns show it, ``count`` failed ones on end: clients that rewrite or drop bad calls leave
    no trace in the history.
    """
    detail = f"{count} turns in a row failed{f' to call {tool}' if tool else ''}"
    return Loop(LoopKind.CORRECTION, tool, count, count >= ACT, detail)


def recovers(failing: int, *, failed: bool) -> bool:
    """R: a fine turn after ``failing`` failed ones on end: the first failure was mended within two turns."""
    return not failed and 1 <= failing <= _RECOVERY_TURNS


def _stretch(exchanges: Sequence[Exchange]) -> Sequence[Exchange]:
    start = max((index for index, exchange in enumerate(exchanges) if exchange.opens), default=0)
    return exchanges[start:]


def _identical(stretch: Sequence[Exchange]) -> Loop | None:
    """L1: the last call and its result, again and again."""
    last = stretch[-1]
    count = _run(other.same(last) for other in reversed(stretch))
    return _loop(LoopKind.IDENTICAL, [last], count, f"the same call with the same result, {count} times")


def _cycle(stretch: Sequence[Exchange]) -> Loop | None:
    """L3: several exchanges that come back in the same order, as many as have gone round three times."""
    for period in range(2, len(stretch) // WARN + 1):
        newest = stretch[-period:]
        pairs = zip(reversed(stretch[:-period]), reversed(stretch[period:]), strict=True)
        count = _run(older.same(newer) for older, newer in pairs) // period + 1
        detail = f"the same {period} calls with the same results, {count} times"
        if loop := _loop(LoopKind.CYCLE, newest, count, detail):
            return loop
    return None


def _often(stretch: Sequence[Exchange]) -> Loop | None:
    """L1 with other calls in between: most of the newest exchanges are the last one."""
    last = stretch[-1]
    count = sum(other.same(last) for other in stretch[-_NEWEST:])
    detail = f"the same call with the same result, {count} times in the last {_NEWEST} calls"
    return _loop(LoopKind.IDENTICAL, [last], count, detail) if count >= _OFTEN else None


def _loop(kind: LoopKind, exchanges: Sequence[Exchange], count: int, detail: str) -> Loop | None:
    """A loop if it went round often enough. Who waits for something that goes on is not in one."""
    polls = any(exchange.polls for exchange in exchanges)
    warn, act = (POLL_WARN, POLL_ACT) if polls else (WARN, ACT)
    if count < warn or any(exchange.waits for exchange in exchanges):
        return None
    return Loop(kind, exchanges[-1].tool, count, count >= act, detail)


def _correction(stretch: Sequence[Exchange]) -> Loop | None:
    """L2: failure after failure on one tool and target, with arguments that vary. Looking something up in between
    changes nothing; a change that succeeded is progress and ends it.
    """
    last = stretch[-1]
    if not last.failed or last.polls:
        return None
    failures = list(_failures(stretch))
    if len(failures) < WARN or all(failure.same_question(last) for failure in failures):
        return None
    detail = f"{len(failures)} failures in a row of {last.tool}{f' on {last.target}' if last.target else ''}"
    return Loop(LoopKind.CORRECTION, last.tool, len(failures), len(failures) >= ACT, detail)


def _failures(stretch: Sequence[Exchange]) -> Iterator[Exchange]:
    last = stretch[-1]
    for exchange in reversed(stretch):
        mine = (exchange.tool, exchange.target) == (last.tool, last.target)
        if exchange.changes or (mine and not exchange.failed):
            return
        if mine:
            yield exchange


def _run(holds: Iterator[bool]) -> int:
    count = 0
    for held in holds:
        if not held:
            break
        count += 1
    return count
