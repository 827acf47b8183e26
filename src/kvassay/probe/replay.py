"""Recorded turns as probes: the same prefix, graded by what the session proves, not against one exact answer.

A turn that ended in tool calls is asked again at its own depth. An answer is right where

- it makes a call, and every call fits its tool's schema (the grader's own questions: M1–M7),
- no call is one that the session shows to have failed (M12),
- the old text of an edit stands in the newest view of its file (M8), is not empty and stands there only once (M12),
- its paths and ids occurred before (M9).

M8 and M9 are asked only where the recorded call passes them: one that succeeded although our view of its file says
otherwise shows that the view is stale (a shell command changed the file), and what one may guess, another may.

A call equal to a recorded one that succeeded is right in any case. An answer without a call is M11: the
recorded turn shows that the work was not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from kvassay.grade import names
from kvassay.grade.context import Context, strings
from kvassay.grade.grounding import placeless, ungrounded, verbatim_miss
from kvassay.grade.schema import schema_fault
from kvassay.grade.values import json_equal
from kvassay.probe.base import Family
from kvassay.session.history import Moment
from kvassay.session.scene import Scene
from kvassay.session.toolbox import Toolbox
from kvassay.types import Call, JsonObject, JsonValue, Message, Outcome, OutcomeClass, Probe, ToolCall, Turn

NAME = "replay"
EDIT_NAME = "replay-edit"
_BROKEN_OFF = ("error", "aborted", "length", "max_tokens", "MAX_TOKENS")


@dataclass(frozen=True, slots=True)
class Quote:
    """Text that an edit quotes, and where the newest message that shows it stands: ``messages_back`` and ``chars_back``
    count from the end of the history (1: the last message; characters behind the quoted text).
    """

    parameter: str
    chars: int
    messages_back: int
    chars_back: int


@dataclass(frozen=True, slots=True)
class Replay:
    """One recorded turn, ready to be asked: ``moment.history`` stands in front, and the probe has no messages of its
    own, for the history ends with what the model answered. ``quotes`` are those of the natural family: edits that quote
    text seen earlier.
    """

    moment: Moment
    probe: Probe
    quotes: tuple[Quote, ...] = ()


# --------------------------------------------------------------------------- from a session to probes


def askable(moments: Iterable[Moment]) -> Iterator[Moment]:
    """The turns that can be asked: they ended in well-formed calls, were not broken off, and their history fits and
    does not end with the model's own words, which servers would go on with instead of answering.
    """
    for moment in moments:
        said = moment.said
        whole = said.stop_reason not in _BROKEN_OFF and not said.poisoned
        asks = bool(moment.history) and moment.history[-1].role != "assistant"
        if said.message.tool_calls and whole and moment.fits and asks:
            yield moment


def spread(moments: Sequence[Moment], n: int) -> tuple[Moment, ...]:
    """Select ``n`` turns whose depths lie as evenly as the session allows, in the session's order.

    That order is prefix-stable: each history begins with the one before, except across compactions and cuts.
    """
    if n >= len(moments):
        return tuple(moments)
    by_depth = sorted(range(len(moments)), key=lambda at: moments[at].history_tokens)
    low, high = (moments[by_depth[at]].history_tokens for at in (0, -1))
    chosen: set[int] = set()
    for step in range(n):
        target = low + (high - low) * step / max(n - 1, 1)
        free = (at for at in by_depth if at not in chosen)
        chosen.add(min(free, key=lambda at: abs(moments[at].history_tokens - target)))
    return tuple(moments[at] for at in sorted(chosen))


def replay(moment: Moment, box: Toolbox) -> Replay:
    """Make the probe of one turn. Linear in the history's size."""
    recorded = moment.said.message.tool_calls
    context = Context.from_messages(moment.history, box.tools)
    quotes = tuple(found for call in recorded for found in quotes_of(call, moment.history))
    results = outcomes_of(moment)
    calls: list[JsonValue] = [
        {"name": call.name, "arguments": call.arguments, "succeeded": results[at]} for at, call in enumerate(recorded)
    ]
    plain = [Call(call.name, call.arguments) for call in recorded]
    went_well = [call for call, good in zip(plain, results, strict=True) if good]
    missed = any(verbatim_miss(call, context) for call in went_well)
    key: JsonObject = {
        "turn": moment.number,
        "recorded": calls,
        "asks_view": not missed,
        "asks_place": not missed and not any(placeless(call, context) for call in went_well),
        "asks_ground": not any(ungrounded(call, context) for call in plain),
        "quotes": [_quote_json(quote) for quote in quotes],
    }
    probe = Probe(
        id=f"{EDIT_NAME if quotes else NAME}/{moment.number}",
        family=EDIT_NAME if quotes else NAME,
        seed=moment.number,
        messages=(),
        expected=(),
        key=key,
        tags=tuple(_tags(moment, box, context)),
    )
    return Replay(moment, probe, quotes)


def outcomes_of(moment: Moment) -> tuple[bool | None, ...]:
    """For each recorded call whether it succeeded; None where the agent recorded no flag, or no result."""
    flags: dict[str, bool | None] = {}
    unnamed: list[bool | None] = []
    for answer in moment.answers:
        flag = None if answer.failed is None else not answer.failed
        if answer.message.tool_call_id is None:
            unnamed.append(flag)
        else:
            flags[answer.message.tool_call_id] = flag
    found: list[bool | None] = []
    for at, call in enumerate(moment.said.message.tool_calls):
        in_order = unnamed[at] if at < len(unnamed) else None
        found.append(flags.get(call.id, in_order) if call.id else in_order)
    return tuple(found)


def quotes_of(call: ToolCall, history: Sequence[Message]) -> Iterator[Quote]:
    """The old texts of an edit that were shown before, each with the newest message that shows it whole."""
    for edit in names.replacements(call.arguments):
        behind = 0
        for back, message in enumerate(reversed(history) if edit.old.strip() else (), start=1):
            text = _shown(message)
            at = text.rfind(edit.old)
            if at >= 0:
                yield Quote(edit.parameter, len(edit.old), back, behind + len(text) - at - len(edit.old))
                break
            behind += len(text)


def _shown(message: Message) -> str:
    """What a message shows, the strings of its calls included: a file just written has been seen."""
    return "\n".join([message.content, *(text for call in message.tool_calls for text in strings(call.arguments))])


def _quote_json(quote: Quote) -> JsonObject:
    return {
        "parameter": quote.parameter,
        "chars": quote.chars,
        "messages_back": quote.messages_back,
        "chars_back": quote.chars_back,
    }


def _tags(moment: Moment, box: Toolbox, context: Context) -> Iterator[str]:
    """What a reader of the result must know about this turn."""
    calls = [Call(call.name, call.arguments) for call in moment.said.message.tool_calls]
    tools = {tool.name: tool for tool in box.tools}
    if moment.compactions:
        yield "after-compaction"
    if moment.cleared or moment.dropped:
        yield "history-cut"
    if moment.mended:
        yield "history-mended"
    if any(call.name in box.reconstructed for call in calls):
        yield "schema-reconstructed"
    if False in outcomes_of(moment):
        yield "recorded-call-failed"
    if any(call.name in tools and schema_fault(tools[call.name], call.arguments) for call in calls):
        yield "recorded-call-off-schema"
    if any(verbatim_miss(call, context) for call in calls):
        yield "recorded-quote-missed"


# --------------------------------------------------------------------------- grading


def check(probe: Probe, turn: Turn, context: Context) -> Outcome | None:
    """Grade well-formed calls by what the session proves; see the module's own words."""
    if not turn.calls:
        return Outcome(OutcomeClass.WRONG_TOOL, "no call, where the recorded turn went on with one")
    recorded = cast("list[JsonObject]", probe.key["recorded"])
    found = (_fault(call, recorded, probe.key, context) for call in turn.calls)
    return next(filter(None, found), Outcome(OutcomeClass.CORRECT))


def _fault(call: Call, recorded: Sequence[JsonObject], key: JsonObject, context: Context) -> Outcome | None:
    proven = [known["succeeded"] for known in recorded if _same(call, known)]
    if True in proven:
        return None
    missed = verbatim_miss(call, context) if key["asks_view"] else None
    if missed is None and False in proven:
        return Outcome(OutcomeClass.WRONG_VALUE, f"the session shows that this very call of {call.name} failed")
    if missed is None and key.get("asks_place"):  # runs stored before this was asked have no such key
        missed = placeless(call, context)
    return missed or (ungrounded(call, context) if key["asks_ground"] else None)


def _same(call: Call, known: JsonObject) -> bool:
    return call.name == known["name"] and json_equal(call.arguments, known["arguments"])


def _not_drawn(_scene: Scene, _seed: int, _level: int) -> Probe | None:
    """These families are made from recorded turns, never from a synthetic session."""
    return None


FAMILY = Family(NAME, _not_drawn, check)
EDIT_FAMILY = Family(EDIT_NAME, _not_drawn, check)
