"""Each turn's grade, loops, recoveries and alarms, session by session. No clock and no randomness inside."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from kvassay.grade.exchanges import Exchange, read_exchanges
from kvassay.grade.loops import WARN, Loop, LoopKind, failing_turns, find_loops, recovers, resent
from kvassay.guard.contract import NO_REPLY, Alarm, Asked, Expected, Limits, Observed, Replied
from kvassay.guard.detector import Detector, learnt, stated
from kvassay.guard.grading import grade_turn
from kvassay.guard.sessions import Session, Sessions
from kvassay.types import Outcome

_OK = 200
# The server asks for another try, or nobody answered: sending it again is right.
_PASSING = frozenset({NO_REPLY, 408, 425, 429, 502, 503, 504, 529})


@dataclass(slots=True)
class _Model:
    """What is known of a model: its first turns, then the test against them."""

    turns: int = 0
    failures: int = 0
    detector: Detector | None = None


class Monitor:
    """Watches sessions. Give it every request and its reply; `observe` needs the whole reply and may take a while (it
    reads the history): call it where no client waits.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._sessions = Sessions(self._limits.sessions)
        self._models: OrderedDict[str, _Model] = OrderedDict()

    def __len__(self) -> int:
        """How many sessions are remembered."""
        return len(self._sessions)

    def expect(self, asked: Asked) -> Expected:
        """What a request alone shows, before it goes on. Asking twice makes no difference."""
        session = self._sessions.of(asked)
        return Expected(
            session.id, session.turns + 1, (*find_loops(self._history(session, asked)), *_resent(session, asked))
        )

    def observe(
        self,
        asked: Asked,
        replied: Replied,
        at_s: float,
        *,
        counted_tokens: int | None = None,
        second_try: bool = False,
    ) -> Observed:
        """Take a turn into account. ``at_s`` is the caller's clock; ``counted_tokens`` as in `grade_turn`.

        ``second_try`` is the guard's own request for a turn already observed: it is graded, and a good one ends that
        turn's trouble, but it is neither the agent sending its request again nor another turn of the model's.
        """
        session = self._sessions.of(asked)
        grade = grade_turn(asked, replied, counted_tokens=counted_tokens)
        seen = Observed(
            session=session.id,
            turn_index=session.turns,
            at_s=at_s,
            model=asked.model or replied.model,
            depth_tokens=counted_tokens if replied.prompt_tokens is None else replied.prompt_tokens,
            outcome=grade.outcome,
            skipped=grade.skipped,
        )
        if second_try:
            _settle(session, grade.outcome)
            return seen
        return self._counted(session, asked, replied, seen)

    def _counted(self, session: Session, asked: Asked, replied: Replied, seen: Observed) -> Observed:
        history = self._history(session, asked)
        loops = (*find_loops(history), *_resent(session, asked))
        outcome = seen.outcome
        self._remember(session, asked, replied, history, outcome)
        judged = outcome if asked.tools and outcome is not None and not outcome.kind.is_infrastructure else None
        return replace(
            seen,
            turn_index=session.turns,
            loops=(*loops, *_streak(session, loops)),
            recovered=judged is not None and _recovers(session, failed=not judged.correct),
            alarms=() if judged is None else tuple(self._alarms(session, seen.model, judged)),
        )

    def _history(self, session: Session, asked: Asked) -> tuple[Exchange, ...]:
        limit = self._limits.exchanges
        unread = {poison.call_id: poison.text for poison in asked.poisoned if poison.call_id}
        fresh = read_exchanges(asked.messages, limit=limit, failed_ids=asked.failed_ids, unread=unread)
        return (*session.tail, *(exchange.seal() for exchange in fresh))[-limit:] if asked.partial else fresh

    def _remember(
        self, session: Session, asked: Asked, replied: Replied, history: tuple[Exchange, ...], outcome: Outcome | None
    ) -> None:
        session.resent = session.resent + 1 if _again(session, asked) else 0
        session.turns += 1
        session.answered = asked.digest
        bad = outcome is not None and not outcome.correct
        session.in_trouble = (bad or replied.status != _OK) and replied.status not in _PASSING
        session.tail = history if asked.partial else ()
        if outcome is not None and asked.tools:
            tool = replied.calls[0].name if replied.calls else ""
            failed = bad and not outcome.kind.is_infrastructure
            session.streak = (session.streak if tool == session.streak_tool else 0) + 1 if failed else 0
            session.streak_tool = tool

    # ----------------------------------------------------------------------- alarms

    def _alarms(self, session: Session, name: str, outcome: Outcome) -> Iterator[Alarm]:
        failed, model = not outcome.correct, self._model(name)
        if model.detector is None:
            model.turns, model.failures = model.turns + 1, model.failures + failed
            model.detector = self._tested(model)
            return
        before, model.detector = model.detector, model.detector.seen(failed=failed)
        yield from _fired("model", name, before, model.detector)
        held = session.detector or Detector(model.detector.rate, model.detector.threshold)
        session.detector = held.seen(failed=failed)
        yield from _fired("session", session.id, held, session.detector)

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            rate, alpha = self._limits.baseline_rate, self._limits.false_alarm_rate
            model = _Model(detector=None if rate is None else stated(rate, false_alarm_rate=alpha))
            self._models[name] = model
        self._models.move_to_end(name)
        while len(self._models) > self._limits.models:
            self._models.popitem(last=False)
        return model

    def _tested(self, model: _Model) -> Detector | None:
        if model.turns < self._limits.baseline_turns:
            return None
        return learnt(model.failures, model.turns, false_alarm_rate=self._limits.false_alarm_rate)


def _fired(scope: Literal["session", "model"], subject: str, before: Detector, after: Detector) -> Iterator[Alarm]:
    if after.fired and not before.fired:
        detail = f"{after.failures} of {after.turns} turns failed; the baseline is at most {after.rate:.1%}"
        yield Alarm(scope, subject, after.turns, after.failures, after.rate, after.evidence, detail)


def _settle(session: Session, outcome: Outcome | None) -> None:
    """A second try that went well gave the client a good turn: no trouble, and no run of failures, goes on."""
    if outcome is not None and outcome.correct:
        session.in_trouble, session.failing, session.streak = False, 0, 0


def _again(session: Session, asked: Asked) -> bool:
    return session.in_trouble and session.answered == asked.digest


def _resent(session: Session, asked: Asked) -> Iterator[Loop]:
    """L4: the question that just went wrong, asked again unchanged."""
    if _again(session, asked):
        yield resent(session.resent + 1)


def _streak(session: Session, loops: tuple[Loop, ...]) -> Iterator[Loop]:
    """L2 as the model's own replies show it: clients that rewrite or drop bad calls leave no trace in the history."""
    count, known = session.streak, any(loop.kind is LoopKind.CORRECTION for loop in loops)
    if count >= WARN and not known:
        yield failing_turns(count, session.streak_tool)


def _recovers(session: Session, *, failed: bool) -> bool:
    """R: a fine turn that ends a run of one or two failed ones: the first failure was mended within two turns."""
    run = session.failing
    session.failing = run + 1 if failed else 0
    return recovers(run, failed=failed)
