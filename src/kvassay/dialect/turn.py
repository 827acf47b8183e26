"""A raw completion, or a chat endpoint's reply → the turn that the grader reads."""

from __future__ import annotations

from collections.abc import Sequence

from kvassay.dialect.base import Outcome
from kvassay.dialect.bodies import arguments
from kvassay.dialect.catalog import Choice, choose, named, unquoted
from kvassay.dialect.faults import leak
from kvassay.dialect.strict_json import Broken, read
from kvassay.types import Call, Channel, ChatReply, ParseFault, Stop, Tool, Turn, WireCall

_STOPS = {"length": Stop.LIMIT, "stop": Stop.EOS, "tool_calls": Stop.EOS, "function_call": Stop.EOS}


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
    the text instead are leaks: the agent does not see them, so they are not promoted.
    """
    declared = {tool.name: tool.parameters for tool in tools}
    cut = reply.finish_reason == "length"
    outcomes = [_wire_call(call, cut=cut) for call in reply.calls]
    if not reply.calls:
        outcomes += _leaks(choose(reply.content, declared), reply.content)
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


def _leaks(chosen: Choice, text: str) -> list[Outcome]:
    if not chosen.reading.found:
        return []
    if not chosen.name:
        return list(chosen.reading.faults)
    return [leak(f"a call in the {chosen.name} format stands in the content", text, chosen.reading.span.start)]
