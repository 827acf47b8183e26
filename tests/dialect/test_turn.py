"""Turns from raw completions and from chat replies."""

from __future__ import annotations

import pytest

from kvassay.dialect import fault_class
from kvassay.dialect.turn import from_raw, from_reply
from kvassay.types import Call, Channel, ChatReply, OutcomeClass, Stop, Tool, WireCall

TOOLS = (Tool("read_file", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}}),)
BODY = '{"name": "read_file", "arguments": {"path": "a.py"}}'
CALL = Call("read_file", {"path": "a.py"})


def test_a_call_in_the_native_dialect_is_native() -> None:
    """The template's own format is read first."""
    turn = from_raw(f"<tool_call>{BODY}</tool_call>", Stop.EOS, native="hermes", tools=TOOLS)
    assert (turn.calls, turn.faults, turn.dialect, turn.native) == ((CALL,), (), "hermes", True)


def test_a_call_in_another_dialect_is_seen_and_said_to_be_foreign() -> None:
    """Coder models answer with fences though their template has tags: the call is read, and marked."""
    turn = from_raw(f"```json\n{BODY}\n```", Stop.EOS, native="hermes", tools=TOOLS)
    assert (turn.calls, turn.faults, turn.dialect, turn.native) == ((CALL,), (), "fenced", False)


def test_a_native_fault_is_not_looked_past() -> None:
    """A broken native call stays broken, even if other text would be a call in another format."""
    turn = from_raw(f"<tool_call>{{broken</tool_call>\n```json\n{BODY}\n```", Stop.EOS, native="hermes", tools=TOOLS)
    assert turn.calls == ()
    assert turn.dialect == "hermes"
    assert [fault.kind for fault in turn.faults] == ["json_invalid"]


def test_markers_in_a_foreign_calls_string_are_text() -> None:
    """A fenced call that writes the native format into a file is the one call that was made."""
    text = '```json\n{"name": "read_file", "arguments": {"path": "<function=g></function>"}}\n```'
    turn = from_raw(text, Stop.EOS, native="qwen3-coder", tools=TOOLS)
    assert (turn.calls, turn.faults, turn.native) == (
        (Call("read_file", {"path": "<function=g></function>"}),),
        (),
        False,
    )


def test_prose_is_a_turn_without_calls_in_the_native_dialect() -> None:
    """Where nothing is called, the turn counts as native and holds no fault."""
    turn = from_raw("No tool is needed.", Stop.LIMIT, native="harmony", tools=TOOLS)
    assert (turn.content, turn.calls, turn.faults, turn.dialect, turn.native, turn.stop) == (
        "No tool is needed.", (), (), "harmony", True, Stop.LIMIT,
    )  # fmt: skip


def test_native_headers_are_no_leak() -> None:
    """The native dialect's own markers around plain content are not mistaken for leaked ones."""
    turn = from_raw("<|channel|>final<|message|>Done.", Stop.EOS, native="harmony", tools=TOOLS)
    assert (turn.content, turn.faults) == ("Done.", ())


def test_without_a_native_dialect_any_is_taken() -> None:
    """A template of no known format does not make a call foreign."""
    turn = from_raw(BODY, Stop.EOS, native=None, tools=TOOLS)
    assert (turn.calls, turn.dialect, turn.native) == ((CALL,), "json", True)


def test_well_formed_wire_calls_are_calls() -> None:
    """The chat endpoint's calls are read strictly and in order."""
    reply = ChatReply(calls=(WireCall("read_file", '{"path": "a.py"}'),), finish_reason="tool_calls")
    turn = from_reply(reply, Channel.PLAIN, native="hermes", tools=TOOLS)
    assert (turn.calls, turn.faults, turn.stop, turn.channel) == ((CALL,), (), Stop.EOS, Channel.PLAIN)


@pytest.mark.parametrize(
    ("arguments", "finish", "kind"),
    [
        ("", "tool_calls", "empty"),
        ("", "length", "truncated"),
        ('{"path": "a', "length", "truncated"),
        ('{"path": a}', "tool_calls", "json_invalid"),
        ('{"path": "a"}}', "tool_calls", "stray_tail"),
        ('{"path": "a"}{"path": "b"}', "tool_calls", "concatenated"),
        ('"a.py"', "tool_calls", "not_an_object"),
    ],
)
def test_wire_arguments_that_are_no_object_are_faults(arguments: str, finish: str, kind: str) -> None:
    """Arguments the agent can't read are M1 by kind, never repaired."""
    reply = ChatReply(calls=(WireCall("read_file", arguments),), finish_reason=finish)
    turn = from_reply(reply, Channel.STREAM, native="hermes", tools=TOOLS)
    assert turn.calls == ()
    assert [fault.kind for fault in turn.faults] == [kind]
    assert fault_class(kind) is OutcomeClass.JSON_INVALID


@pytest.mark.parametrize("content", [BODY, f"Sure: {BODY}", f"<tool_call>{BODY}", "well </tool_call>", BODY[:-1]])
def test_a_call_in_the_content_is_a_leak_and_not_promoted(content: str) -> None:
    """What the server left in the content does not reach the agent as a call: M2."""
    turn = from_reply(ChatReply(content=content, finish_reason="stop"), Channel.PLAIN, native="hermes", tools=TOOLS)
    assert turn.calls == ()
    assert [fault_class(fault.kind) for fault in turn.faults] == [OutcomeClass.CALL_LEAKED]


HERMES = f"<tool_call>\n{BODY}\n</tool_call>"
QWEN = "<tool_call>\n<function=read_file>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>"
KIMI = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>"
    '{"path": "a.py"}<|tool_call_end|><|tool_calls_section_end|>'
)

DEEPSEEK = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read_file<｜tool▁sep｜>"
    '{"path": "a.py"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
)


def thought(reasoning: str, *, content: str = "\n\n", finish: str = "stop") -> list[str]:
    """The faults of a reply with such reasoning."""
    reply = ChatReply(content=content, reasoning=reasoning, finish_reason=finish)
    turn = from_reply(reply, Channel.STREAM, native=None, tools=TOOLS)
    assert turn.calls == ()
    return [fault.kind for fault in turn.faults]


@pytest.mark.parametrize("call", [HERMES, QWEN, KIMI, DEEPSEEK, f"{HERMES}\n{HERMES}", f"{QWEN}<|im_end|>\n"])
@pytest.mark.parametrize("before", ["", "I have to read it.\n", "It wants `<tool_call>` then. "])
def test_reasoning_that_ends_in_a_call_leaks_it_if_nothing_else_is_said(before: str, call: str) -> None:
    """Qwen3.5 and Kimi K2 begin a call before they end thinking: servers that wait for its end lose the call."""
    assert thought(before + call) == ["leaked_in_thinking"]
    assert fault_class("leaked_in_thinking") is OutcomeClass.CALL_LEAKED


@pytest.mark.parametrize(
    "reasoning",
    [
        f"Maybe {HERMES}? No, wait.",
        f"Maybe {DEEPSEEK}? No, wait.",
        f"`{DEEPSEEK}`",
        f"As in ```json\n{BODY}\n```",
        BODY,
        "Then <tool_call>",
        "Then <function=x>",
        "",
    ],
)
def test_a_call_that_is_only_thought_of_is_no_failure(reasoning: str) -> None:
    """Thinking went on behind it, or nothing but JSON shows it: no server's parser takes that for a call."""
    assert thought(reasoning) == []


def test_a_call_in_the_reasoning_is_a_thought_where_something_was_said_or_the_tokens_ran_out() -> None:
    """The turn did not end with it, or might not have."""
    assert thought(HERMES, content="Done.") == thought(HERMES, finish="length") == []
    assert thought("", content=f"<think>Maybe {HERMES}, or", finish="length") == []
    assert thought("", content=f"<think>Maybe {HERMES}, or") == ["leaked"]


def test_a_servers_error_is_kept() -> None:
    """An HTTP error is the evidence: status and text go into the turn."""
    turn = from_reply(ChatReply(status=500, error="does not match"), Channel.PLAIN, native="hermes", tools=TOOLS)
    assert (turn.status, turn.text, turn.calls, turn.stop) == (500, "does not match", (), Stop.OTHER)
