"""One live turn → its outcome: the assay's own questions, without an expected answer (docs/design/guard.md)."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvassay.grade import Context
from kvassay.grade.channels import prompt_truncated
from kvassay.grade.degenerate import degenerate
from kvassay.grade.grader import form_fault
from kvassay.grade.server import http_outcome
from kvassay.guard.contract import NO_REPLY, Asked, Replied
from kvassay.guard.quotes import invented_place, misquote, needs_context
from kvassay.types import Outcome, OutcomeClass, Stop

_OK = 200

# Who may ask, how much and whether anybody is there: neither the model's nor the schema's fault.
_ELSEWHERE = frozenset({401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 425, 429, 499, 501, 502, 503, 504, 529})
_TOO_LONG = re.compile(
    r"exceed_context_size|context[_ ](?:length|size|window)|maximum context|prompt is too long"
    r"|too many (?:input )?tokens",
    re.IGNORECASE,
)


class Grade(NamedTuple):
    """The outcome, or None and why there is none."""

    outcome: Outcome | None
    skipped: str = ""


def grade_turn(asked: Asked, replied: Replied, *, counted_tokens: int | None = None) -> Grade:
    """Grade a live turn. Pure and total.

    ``correct`` says that nothing wrong is seen in it. ``counted_tokens`` is the prompt's size by the server's
    tokenizer, where somebody asked it: a server that read less than 0.9 of it cut the prompt (P0).
    """
    skipped = _skipped(replied)
    if skipped:
        return Grade(None, skipped)
    try:
        return Grade(_refusal(asked, replied) or _truncation(replied, counted_tokens) or _answer(asked, replied))
    except RecursionError:
        return Grade(Outcome(OutcomeClass.WRONG_TYPE, "the arguments are nested too deeply to be read"))


def _skipped(replied: Replied) -> str:
    if replied.cut:
        return "the reply was cut off"
    if replied.status == NO_REPLY:
        return "no reply came"
    if replied.status in _ELSEWHERE:
        return f"HTTP {replied.status}"
    if replied.status != _OK and _TOO_LONG.search(replied.error):
        return "the prompt is longer than the server's context"
    return "no reply in this API's shape" if replied.unread else ""


def _refusal(asked: Asked, replied: Replied) -> Outcome | None:
    refused = http_outcome(replied.turn, {tool.name: tool for tool in asked.tools})
    if refused is None or not asked.poisoned or refused.kind is OutcomeClass.JSON_INVALID:
        return refused
    first = asked.poisoned[0]
    detail = f"{refused.detail} (replayed arguments of {first.tool!r} are no JSON object)"
    return Outcome(OutcomeClass.HISTORY_POISONED, detail)


def _truncation(replied: Replied, counted: int | None) -> Outcome | None:
    read = replied.prompt_tokens
    if counted is None or read is None or not prompt_truncated(counted, read):
        return None
    return Outcome(OutcomeClass.PROMPT_TRUNCATED, f"the server read {read} of {counted} tokens")


def _answer(asked: Asked, replied: Replied) -> Outcome:
    turn = replied.turn
    fault = form_fault(turn, {tool.name: tool for tool in asked.tools})
    # A well-formed call that ended of itself may write a file as repetitive as it likes.
    sound = turn.calls and fault is None and turn.stop is not Stop.LIMIT
    looped = None if sound else degenerate(turn, max_tokens=asked.max_tokens or replied.completion_tokens or 0)
    return looped or fault or _ungrounded(asked, replied) or Outcome(OutcomeClass.CORRECT)


def _ungrounded(asked: Asked, replied: Replied) -> Outcome | None:
    """Quotes that are not in the file as last seen (M8), names that are slips of what was seen (M9)."""
    calls = [call for call in replied.turn.calls if needs_context(call)]
    if not calls:
        return None
    context = Context.from_messages(asked.messages, asked.tools)
    misses = (misquote(call, asked, context) for call in calls)
    strangers = (invented_place(call, asked, context) for call in calls)
    return next((found for found in (*misses, *strangers) if found), None)
