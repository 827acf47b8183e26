"""One turn against its probe: the outcome, by a fixed order of questions (docs/outcomes.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from kvassay.dialect.faults import fault_class
from kvassay.grade.context import Context
from kvassay.grade.degenerate import degenerate
from kvassay.grade.grounding import ungrounded, verbatim_miss
from kvassay.grade.schema import schema_fault
from kvassay.grade.server import http_outcome
from kvassay.grade.values import judge
from kvassay.types import Outcome, OutcomeClass, ParseFault, Probe, Stop, Tool, Turn

Check: TypeAlias = Callable[[Probe, Turn, Context], Outcome | None]


def grade(
    turn: Turn,
    probe: Probe,
    tools: Sequence[Tool],
    context: Context,
    *,
    check: Check | None = None,
    max_tokens: int,
) -> Outcome:
    """Classify one turn. Pure and total: whatever the model said, an outcome comes back.

    ``context`` holds everything in front of the answer, the probe's own messages included. ``check`` is the probe
    family's own question, asked of well-formed calls only; where it returns None, ``probe.expected`` decides.
    ``max_tokens`` is the limit under which the turn was generated.
    """
    declared = {tool.name: tool for tool in tools}
    refused = http_outcome(turn, declared)
    if refused:
        return refused
    looped = degenerate(turn, max_tokens=max_tokens)
    try:
        outcome = form_fault(turn, declared) or _answer(turn, probe, declared, context, check)
    except RecursionError:
        outcome = Outcome(OutcomeClass.WRONG_TYPE, "the arguments are nested too deeply to be read")
    # A right call that ended of itself is right, however repetitive the file it writes.
    right = outcome.correct and turn.stop is not Stop.LIMIT
    return looped if looped and not right else outcome


def form_fault(turn: Turn, tools: Mapping[str, Tool]) -> Outcome | None:
    """Find what is wrong with the form of a turn, right or not: M1, M2, M3, M7, M4, M5, M6; None where nothing is."""
    faults = (*map(_parse_fault, turn.faults), *_call_faults(turn, tools))
    return min(faults, key=lambda fault: _FORM_ORDER.index(fault.kind), default=None)


_FORM_ORDER = (
    OutcomeClass.JSON_INVALID,
    OutcomeClass.CALL_LEAKED,
    OutcomeClass.UNKNOWN_TOOL,
    OutcomeClass.EMPTY_ARGS,
    OutcomeClass.MISSING_REQUIRED,
    OutcomeClass.WRONG_TYPE,
    OutcomeClass.HALLUCINATED_PARAM,
)


def _parse_fault(fault: ParseFault) -> Outcome:
    return Outcome(fault_class(fault.kind), f"{fault.kind}: {fault.detail}")


def _call_faults(turn: Turn, tools: Mapping[str, Tool]) -> Iterator[Outcome]:
    for call in turn.calls:
        tool = tools.get(call.name)
        if tool is None:
            yield Outcome(OutcomeClass.UNKNOWN_TOOL, f"no tool is called {call.name!r}")
        elif fault := schema_fault(tool, call.arguments):
            yield fault


def _answer(turn: Turn, probe: Probe, tools: Mapping[str, Tool], context: Context, check: Check | None) -> Outcome:
    """Whether well-formed calls are the right ones, and if not, why: M8, M9, M11, M12."""
    checked = check(probe, turn, context) if check else None
    judged = checked or judge(turn.calls, probe.expected, tools)
    if judged.correct or checked:
        return judged
    misses = (verbatim_miss(call, context) for call in turn.calls)
    strangers = (ungrounded(call, context) for call in turn.calls)
    return next((found for found in (*misses, *strangers) if found), judged)
