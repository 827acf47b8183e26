"""A raw completion, or a chat endpoint's reply → the turn that the grader reads."""

from __future__ import annotations

from collections.abc import Sequence

from kvassay.dialect import reader
from kvassay.dialect.base import Declared, Outcome
from kvassay.dialect.bodies import arguments
from kvassay.dialect.catalog import Choice, choose, named, unquoted
from kvassay.dialect.faults import IN_THINKING, leak
from kvassay.dialect.strict_json import Broken, read
from kvassay.types import Call, Channel, ChatReply, ParseFault, Stop, Tool, Turn, WireCall

_STOPS = {"length": Stop.LIMIT, "stop": Stop.EOS, "tool_calls": Stop.EOS, "function_call": Stop.EOS}
_SHOWN_CHARS = 400


def from_raw(text: str, stop: Stop, *, native: str | None, tools: Sequence[Tool]) -> Turn:
    """The turn of a raw completion: in the native dialect if there is anything of a call in it, else in whichever
    other one there is.

    Raises ConfigError for an unknown dialect.
    """
    declared = {tool.name: tool.parameters for tool in tools}
    own = Choice(native, named(native).parse(text, declared)) if native else None
    chosen = unquoted(own, text, declared) if own and own.reading.found else choose(text, declared, apart=own)
    return Turn(
        text=text,
        content=chosen.reading.content,
        calls=chosen.reading.calls,
        faults=chosen.reading.faults,
        dialect=chosen.name or native or "",
        native=native is None or chosen.name in {"", native},
        stop=stop,
        channel=Channel.RAW,
    )


def from_reply(reply: ChatReply, channel: Channel, *, native: str | None, tools: Sequence[Tool]) -> Turn:
    """The turn of a chat reply: the calls that the server parsed, their arguments read strictly. Calls that stand in
    the text instead are leaks: the agent does not see them, so they are not promoted. So is one with which the
    reasoning ends, if nothing else was said: servers that wait for ``</think>`` leave it there (vLLM PR 35687).
    """
    declared = {tool.name: tool.parameters for tool in tools}
    cut = reply.finish_reason == "length"
    outcomes = [_wire_call(call, cut=cut) for call in reply.calls]
    if not reply.calls:
        outcomes += _leaks(choose(reply.content, declared), reply.content, cut=cut)
    if not reply.calls and not reply.content.strip() and not cut:
        outcomes += _swallowed(reply.reasoning, declared)
    return Turn(
        text=reply.error or reply.content,
        content=reply.content,
        calls=tuple(outcome for outcome in outcomes if isinstance(outcome, Call)),
        faults=tuple(outcome for outcome in outcomes if isinstance(outcome, ParseFault)),
        dialect=native or "",
        stop=_STOPS.get(reply.finish_reason or "", Stop.OTHER),
        channel=channel,
        status=reply.status,
    )


def _wire_call(call: WireCall, *, cut: bool) -> Outcome:
    outcome = read(call.arguments)
    if not isinstance(outcome, Broken):
        return arguments(call.name, outcome.value, call.arguments)
    kind = "truncated" if cut and outcome.kind == "empty" else outcome.kind
    return ParseFault(kind, outcome.detail, call.arguments)


def _leaks(chosen: Choice, text: str, *, cut: bool) -> list[Outcome]:
    """What leaked into the content. Thinking in it that was cut by the token limit might still have come to an end."""
    reading = chosen.reading
    if not reading.found or (cut and {fault.kind for fault in reading.faults} == {IN_THINKING}):
        return []
    if not chosen.name:
        return list(reading.faults)
    return [leak(f"a call in the {chosen.name} format stands in the content", text, reading.span.start)]


def _swallowed(reasoning: str, tools: Declared) -> list[Outcome]:
    """A call, in its format's own markers, that is the end of the reasoning. One that thinking goes on behind, or that
    JSON alone shows, is a thought: no server's parser would take it for a call.
    """
    reasoning = reader.without_end_of_turn(reasoning)
    chosen = choose(f"<think>{reasoning}", tools)
    markers = named(chosen.name).markers if chosen.name else ()
    if not any(marker in reasoning for marker in markers):
        return []
    calls, faults = chosen.reading.calls, chosen.reading.faults
    last = not calls and faults and faults[-1].kind == IN_THINKING and _ends(reasoning, faults[-1].text, markers)
    broken_off = calls and not chosen.reading.content  # by markers that end thinking by themselves
    if not last and not broken_off:
        return []
    detail = f"the reasoning ends in a call in the {chosen.name} format, and nothing else is said"
    return [ParseFault(IN_THINKING, detail, reasoning[-_SHOWN_CHARS:])]


def _ends(text: str, call: str, markers: Sequence[str]) -> bool:
    """Whether the call is the text's end, but for markers such as the end of a section of calls."""
    behind = text.rpartition(call)[2]
    for marker in markers:
        behind = behind.replace(marker, "")
    return not behind.strip()
