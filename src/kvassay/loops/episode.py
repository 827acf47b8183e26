"""One episode: the model acts on a task's files, turn by turn, until it is done or nothing more can come of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from kvassay.backend.base import Boot, Sampling
from kvassay.dialect.faults import fault_class
from kvassay.dialect.turn import from_raw
from kvassay.grade.channels import prompt_truncated
from kvassay.grade.degenerate import degenerate
from kvassay.grade.exchanges import read_exchanges
from kvassay.grade.grader import form_fault
from kvassay.grade.loops import WARN, Loop, LoopKind, failing_turns, find_loops, recovers, resent
from kvassay.loops.actions import Bench, Result, carry_out, cut
from kvassay.loops.replies import Unread, Voice, Wrong
from kvassay.loops.tasks import Task
from kvassay.loops.workspace import Workspace
from kvassay.types import Call, JsonObject, Message, OutcomeClass, ParseFault, Timings, Tool, ToolCall, Turn

_EXCHANGES = 64


class Ending(StrEnum):
    """How an episode ended. ``INFRASTRUCTURE`` is nobody's failure: the pair is dropped."""

    DONE = "done"
    GAVE_UP = "gave up"  # it made no call any more, and the end state was not reached
    LOOPED = "looped"  # a loop went round often enough to step in
    TURNS = "out of turns"
    CONTEXT = "out of context"
    ABORTED = "aborted"  # the agent itself stops after so many unreadable calls
    INFRASTRUCTURE = "infrastructure"

    @property
    def done(self) -> bool | None:
        """Whether the task was done; None where the infrastructure failed."""
        return None if self is Ending.INFRASTRUCTURE else self is Ending.DONE


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: what was said, what came of it. ``outcome`` is the form's class (M1–M7, M10), M8 for an edit whose old
    text is not in the file, else ``correct``; ``failed`` that a call was wrong in any way. ``replies`` are the results
    of ``calls`` in order, or the reply to what could not be read. ``loops`` were running when the turn had ended.
    """

    text: str
    calls: tuple[Call, ...]
    replies: tuple[str, ...]
    outcome: OutcomeClass
    detail: str
    failed: bool
    wrong: tuple[str, ...] = ()
    loops: tuple[Loop, ...] = ()
    recovered: bool = False
    resent: bool = False
    timings: Timings | None = None
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Episode:
    """``missing`` is what was not as it must be at the end, in words."""

    task: str
    ending: Ending
    steps: tuple[Step, ...]
    missing: tuple[str, ...] = ()

    @property
    def loops(self) -> dict[LoopKind, int]:
        """Each kind of loop that was seen, with how often it went round at most."""
        seen: dict[LoopKind, int] = {}
        for loop in (loop for step in self.steps for loop in step.loops):
            seen[loop.kind] = max(seen.get(loop.kind, 0), loop.count)
        return dict(sorted(seen.items()))

    @property
    def timings(self) -> Timings:
        """The server's counts over all turns."""
        every = [step.timings for step in self.steps if step.timings]
        return Timings(
            sum(one.cached_tokens for one in every),
            sum(one.processed_tokens for one in every),
            sum(one.prompt_ms for one in every),
            sum(one.predicted_tokens for one in every),
            sum(one.predicted_ms for one in every),
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the same for every episode of a run. ``context_tokens`` is the server's room."""

    tools: tuple[Tool, ...]
    voice: Voice
    native: str | None
    sampling: Sampling
    turns: int
    context_tokens: int


def play(boot: Boot, history: Sequence[Message], task: Task, rules: Rules) -> Episode:
    """Let the model act after ``history``, whose last message is the task's. It ends with the turn after which the end
    state is reached, whatever the model would have done next.

    Raises BackendError where the server fails.
    """
    with Workspace(task.files) as workspace:
        bench = Bench(workspace, task, rules.voice, {tool.name: tool for tool in rules.tools})
        play_ = _Play(boot, bench, rules, list(history), len(history) - 1)
        ending = play_.run()
        missing = task.missing(workspace.files())
    return Episode(task.id, ending, tuple(play_.steps), () if ending.done else missing)


@dataclass(slots=True)
class _Play:
    """An episode under way. Its own messages begin at ``start``: what the session in front did is no loop of it."""

    boot: Boot
    bench: Bench
    rules: Rules
    messages: list[Message]
    start: int
    steps: list[Step] = field(default_factory=list)
    failed_ids: set[str] = field(default_factory=set)
    resends: int = 0  # how often the request was sent again just now
    failing: int = 0
    streak: int = 0
    streak_tool: str = ""
    calls: int = 0

    def run(self) -> Ending:
        for _ in range(self.rules.turns):
            ending = self._turn()
            if ending is not None:
                return ending
        return Ending.TURNS

    def _turn(self) -> Ending | None:
        tokens = self.boot.tokenize(self.boot.render(self.messages, self.rules.tools))
        if len(tokens) + self.rules.sampling.max_tokens > self.rules.context_tokens:
            return Ending.CONTEXT
        again = self.resends
        started = time.perf_counter()
        answer = self.boot.complete(tokens, self.rules.sampling)
        wall_s = time.perf_counter() - started
        turn = from_raw(answer.text, answer.stop, native=self.rules.native, tools=self.rules.tools)
        unread = next((fault for fault in turn.faults if _is_unread(fault)), None)
        step = self._unread(turn, unread) if unread else self._act(turn)
        step = replace(step, timings=answer.timings, wall_s=wall_s)
        if prompt_truncated(len(tokens), answer.timings.prompt_tokens):
            self.steps.append(step)
            return Ending.INFRASTRUCTURE
        return self._ended(self._judged(step, again), called=bool(unread or turn.calls))

    def _act(self, turn: Turn) -> Step:
        results = [carry_out(call, self.bench) for call in turn.calls]
        made = [ToolCall(self._new_id(), _sendable(call.name), _arguments(call)) for call in turn.calls]
        said = _sendable(turn.content if made else turn.text)
        self.messages.append(Message("assistant", said, tuple(made)))
        for call, result in zip(made, results, strict=True):
            self.messages.append(Message("tool", _sendable(result.text), tool_call_id=call.id))
            if result.wrong:
                self.failed_ids.add(call.id)
        return self._step(turn, results)

    def _unread(self, turn: Turn, fault: ParseFault) -> Step:
        """A call that can't be read, treated as the agent does. Nothing of the turn is carried out."""
        voice = self.rules.voice
        if voice.unread is Unread.RESEND:
            self.resends += 1
            return replace(self._step(turn, []), failed=True, resent=True)
        tool = _sendable(_named_in(turn.text))
        reply = cut(_sendable(voice.say(Wrong.MALFORMED, tool=tool, text=fault.text, problem=fault.detail)))
        made = ToolCall(self._new_id(), "invalid", {"tool": tool, "error": reply})
        rewritten = voice.unread is Unread.REWRITE
        said = Message("assistant", _sendable(turn.content if rewritten else turn.text), (made,) if rewritten else ())
        self.messages += [said, Message("tool", reply, tool_call_id=made.id if rewritten else None)]
        self.failed_ids.add(made.id)
        return replace(self._step(turn, [Result(reply, Wrong.MALFORMED)]), failed=True)

    def _step(self, turn: Turn, results: Sequence[Result]) -> Step:
        wrong = tuple(result.wrong.value for result in results if result.wrong)
        kind, detail = _outcome(turn, results, self.bench, self.rules.sampling.max_tokens)
        replies = tuple(result.text for result in results)
        return Step(turn.text, turn.calls, replies, kind, detail, failed=bool(wrong), wrong=wrong)

    def _judged(self, step: Step, again: int) -> Step:
        """The step with its loops and its recovery, by the rules of live sessions."""
        recovered = bool(step.calls) and recovers(self.failing, failed=step.failed)  # giving up mends nothing
        self.failing = self.failing + 1 if step.failed else 0
        self.resends = self.resends if step.resent else 0
        self._note_streak(step)
        return replace(step, loops=tuple(self._loops(again)), recovered=recovered)

    def _note_streak(self, step: Step) -> None:
        tool = step.calls[0].name if step.calls else ""
        bad = step.outcome is not OutcomeClass.CORRECT
        self.streak = (self.streak if tool == self.streak_tool else 0) + 1 if bad else 0
        self.streak_tool = tool

    def _loops(self, again: int) -> Iterator[Loop]:
        found = find_loops(read_exchanges(self.messages[self.start :], limit=_EXCHANGES, failed_ids=self.failed_ids))
        yield from found
        if again:
            yield resent(again)
        if self.streak >= WARN and not any(loop.kind is LoopKind.CORRECTION for loop in found):
            yield failing_turns(self.streak, self.streak_tool)

    def _ended(self, step: Step, *, called: bool) -> Ending | None:
        self.steps.append(step)
        if not self.bench.task.missing(self.bench.workspace.files()):
            return Ending.DONE
        if not called:
            return Ending.GAVE_UP
        limit = self.rules.voice.resends
        if limit is not None and self.resends > limit:
            return Ending.ABORTED
        return Ending.LOOPED if any(loop.act for loop in step.loops) else None

    def _new_id(self) -> str:
        self.calls += 1
        return f"loop{self.calls:05d}"


def _sendable(text: str) -> str:
    """Text that a request can hold: half of a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _arguments(call: Call) -> JsonObject:
    arguments: JsonObject = json.loads(_sendable(json.dumps(call.arguments, ensure_ascii=False)))
    return arguments


def _is_unread(fault: ParseFault) -> bool:
    """Whether an agent takes it for a call at all: what leaked into the text is an answer in words to it."""
    return fault_class(fault.kind) is OutcomeClass.JSON_INVALID


def _named_in(text: str) -> str:
    """The tool that an unreadable call seems to name, for the reply; "" where nothing tells."""
    _, found, rest = text.partition('"name"')
    return rest.partition('"')[2].partition('"')[0] if found else ""


def _outcome(turn: Turn, results: Sequence[Result], bench: Bench, max_tokens: int) -> tuple[OutcomeClass, str]:
    fault = degenerate(turn, max_tokens=max_tokens) if turn.faults or not turn.calls else None
    fault = fault or form_fault(turn, bench.tools)
    if fault:
        return fault.kind, fault.detail
    missed = next((result for result in results if result.wrong is Wrong.NO_MATCH), None)
    return (OutcomeClass.VERBATIM_MISS, missed.text) if missed else (OutcomeClass.CORRECT, "")
