"""Loops L1–L3 in the newest exchanges of a session (facts/failures.md; rules in docs/design/guard.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvassay.guard.contract import Loop, LoopKind
from kvassay.guard.exchanges import Exchange

WARN, ACT = 3, 5
"""How often the same must happen: 3 warn (opencode, OpenHands), 5 act (Cline, Qwen Code)."""

POLL_WARN, POLL_ACT = 10, 20
"""The same for a poll that is not told to wait: OpenClaw's limits."""

_PERIODS = (2, 3, 4)


def find_loops(exchanges: Sequence[Exchange]) -> tuple[Loop, ...]:
    """The loops that are running at the end of these exchanges (oldest first). What the user said anew ends a loop."""
    stretch = _stretch(exchanges)
    if not stretch:
        return ()
    return tuple(loop for loop in (_identical(stretch) or _cycle(stretch), _correction(stretch)) if loop)


def _stretch(exchanges: Sequence[Exchange]) -> Sequence[Exchange]:
    start = max((index for index, exchange in enumerate(exchanges) if exchange.opens), default=0)
    return exchanges[start:]


def _identical(stretch: Sequence[Exchange]) -> Loop | None:
    """L1: the last call and its result, again and again."""
    last = stretch[-1]
    count = _run(other.same(last) for other in reversed(stretch))
    return _loop(LoopKind.IDENTICAL, [last], count, f"the same call with the same result, {count} times")


def _cycle(stretch: Sequence[Exchange]) -> Loop | None:
    """L3: 2 to 4 exchanges that come back in the same order."""
    for period in _PERIODS:
        newest = stretch[-period:]
        pairs = zip(reversed(stretch[:-period]), reversed(stretch[period:]), strict=True)
        count = _run(older.same(newer) for older, newer in pairs) // period + 1
        detail = f"the same {period} calls with the same results, {count} times"
        if len(newest) == period and (loop := _loop(LoopKind.CYCLE, newest, count, detail)):
            return loop
    return None


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
