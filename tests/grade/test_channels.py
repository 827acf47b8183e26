"""Prompts cut short, parsers and streams that lose a call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvassay.grade.channels import parser_fault, prompt_truncated, stream_mismatch
from kvassay.types import Call, Channel, ChatReply, ParseFault, Tool, Turn, WireCall

CALL = Call("read", {"path": "a.py", "limit": 5})
RAW = Turn("<tool_call>…</tool_call>", "", (CALL,))
PARSED = Turn("", "", (CALL,), channel=Channel.PLAIN)
TOOL = Tool("read", "", {"properties": {"path": {}, "limit": {}, "mode": {}}, "required": ["path"]})


@pytest.mark.parametrize(("servers", "cut"), [(1000, False), (1100, False), (900, False), (899, True), (0, True)])
def test_a_prompt_is_cut_below_nine_tenths(servers: int, *, cut: bool) -> None:
    """Counts may differ a little (BOS, templates); a tenth is no rounding."""
    assert prompt_truncated(1000, servers) is cut


def test_the_same_call_is_no_fault() -> None:
    """Numbers' spelling aside, the parsed message holds what was said."""
    assert parser_fault(RAW, replace(PARSED, calls=(Call("read", {"limit": 5.0, "path": "a.py"}),))) is None


@pytest.mark.parametrize(
    ("parsed", "says"),
    [
        (replace(PARSED, calls=()), "the parsed message holds no call"),
        (replace(PARSED, calls=(Call("read", {"path": "b.py", "limit": 5}),)), "b.py"),
        (replace(PARSED, calls=(CALL, CALL)), "read"),
        (replace(PARSED, calls=(CALL,), faults=(ParseFault("stray_tail", "…"),)), "read"),
        (replace(PARSED, calls=(), status=500, text="does not match"), "HTTP 500: does not match"),
    ],
)
def test_a_lost_or_changed_call_is_the_parser_s_fault(parsed: Turn, says: str) -> None:
    """The sentence says what was said and what arrived."""
    sentence = parser_fault(RAW, parsed)
    assert sentence is not None
    assert says in sentence


@pytest.mark.parametrize(
    "raw",
    [
        replace(RAW, calls=()),
        replace(RAW, native=False),
        replace(RAW, faults=(ParseFault("truncated", "…"),)),
    ],
)
def test_only_a_valid_native_call_can_be_lost(raw: Turn) -> None:
    """A fence that the template does not know, or half a call, is the model's failure, not the parser's."""
    assert parser_fault(raw, replace(PARSED, calls=())) is None


@pytest.mark.parametrize("call", [Call("reed", {"path": "a.py"}), Call("read", {"limit": 5})])
def test_with_tools_a_call_must_also_fit_its_schema(call: Call) -> None:
    """llama.cpp masks or refuses calls that break their schema: that is graded, not excused."""
    raw, lost = replace(RAW, calls=(call,)), replace(PARSED, calls=(), status=500)
    assert parser_fault(raw, lost, tools=[TOOL]) is None
    assert parser_fault(RAW, lost, tools=[TOOL]) is not None


REPLY = ChatReply(content="ok", calls=(WireCall("read", '{"path": "a.py"}'),))


def test_a_stream_that_says_the_same_is_no_mismatch() -> None:
    """Blanks around the content and between JSON tokens don't reach the agent's tool."""
    streamed = replace(REPLY, content="ok\n", calls=(WireCall("read", '{"path":"a.py"}'),))
    assert stream_mismatch(REPLY, streamed) is None


@pytest.mark.parametrize(
    ("streamed", "says"),
    [
        (replace(REPLY, status=500), "plain answers HTTP 200, streamed HTTP 500"),
        (replace(REPLY, calls=()), "streamed no call"),
        (replace(REPLY, calls=(WireCall("read", '{"path": "a.p'),)), 'streamed read({"path": "a.p)'),
        (replace(REPLY, content="<tool_call>"), "streamed '<tool_call>'"),
    ],
)
def test_a_stream_that_differs_is_named(streamed: ChatReply, says: str) -> None:
    """The sentence says what differs."""
    assert says in (stream_mismatch(REPLY, streamed) or "")
