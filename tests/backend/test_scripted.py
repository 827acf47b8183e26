"""The scripted back end behaves like a server with one slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.base import Boot, Sampling
from kvassay.backend.scripted import Scripted, decode, encode
from kvassay.errors import ContextExceeded, OutOfMemory, ServerDied
from kvassay.types import Arm, KVConfig, Message, Role, Stop, Tool, ToolCall, WireCall

ARM = Arm(KVConfig("q8_0", "q4_0"))
CALL = 'On it. <tool_call>\n{"name": "read", "arguments": {"path": "é"}}\n</tool_call>'


def open_boot(backend: Scripted, context_tokens: int = 4096) -> Boot:
    """A boot of a scripted back end."""
    return backend.open(ARM, context_tokens=context_tokens)


@given(st.text())
def test_tokens_are_their_text(text: str) -> None:
    """Every text comes back from its ids, which fit in 31 bits."""
    ids = tuple(encode(text))
    assert decode(ids) == text
    assert all(0 <= token < 2**31 for token in ids)


def test_answers_depend_on_prompt_and_arm() -> None:
    """The script sees the whole prompt text and the arm."""
    boot = open_boot(Scripted(lambda prompt, arm: f"{prompt.count('x')} {arm.label}"))
    assert boot.complete(boot.tokenize("axbx"), Sampling()).text == "2 q8_0/q4_0"


def test_a_list_is_answered_in_order_per_boot() -> None:
    """Each boot goes through the list from its start, and round again."""
    backend = Scripted(["a", "b"])
    for _ in range(2):
        boot = open_boot(backend)
        assert [boot.complete([1], Sampling()).text for _ in range(3)] == ["a", "b", "a"]


def test_the_prompt_cache_is_counted_as_a_server_counts_it() -> None:
    """Only what differs from the last prompt and its answer is processed; the last token always is."""
    boot = open_boot(Scripted(["x"]))
    prefix = boot.tokenize("one two three\n" * 10)
    a, b = boot.tokenize("question A"), boot.tokenize("item B?")
    assert boot.prefill(prefix).timings.processed_tokens == len(prefix)
    assert boot.complete(prefix + a, Sampling()).timings.processed_tokens == len(a)
    second = boot.complete(prefix + b, Sampling()).timings
    assert (second.cached_tokens, second.processed_tokens) == (len(prefix), len(b))
    assert boot.complete(prefix + b, Sampling()).timings.processed_tokens == 1


def test_a_limit_cuts_the_answer() -> None:
    """No more tokens come than were asked for, and the reason says so."""
    said = open_boot(Scripted(["one two three"])).complete([1], Sampling(max_tokens=2))
    assert (said.text, said.stop, len(said.tokens)) == ("one ", Stop.LIMIT, 2)


def test_log_probabilities_come_when_asked_for() -> None:
    """Positions are one per token with top_n alternatives, or none."""
    boot = open_boot(Scripted(["ab cd"]))
    positions = boot.complete([1], Sampling(top_n=3)).positions
    assert [p.text for p in positions] == ["ab", " ", "cd"]
    assert all(len(p.top) == 3 and p.top[0] == (p.token_id, p.logprob) for p in positions)
    assert boot.complete([1], Sampling()).positions == ()
    assert open_boot(Scripted(["ab"], log_probs=False)).complete([1], Sampling(top_n=3)).positions == ()


@pytest.mark.parametrize("stream", [False, True])
def test_chat_parses_calls(stream: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The parsed channel takes calls out of the text, as a server would."""
    reply = open_boot(Scripted([CALL])).chat([Message("user", "read")], [], Sampling(), stream=stream)
    assert reply.calls == (WireCall("read", '{"path": "\\u00e9"}'),)
    assert (reply.content, reply.finish_reason) == ("On it.", "tool_calls")


def test_the_rendered_prompt_grows_by_its_suffix() -> None:
    """The prompt of a longer conversation starts with that of the shorter one, up to the generation prompt."""
    boot = open_boot(Scripted([""]))
    tools = [Tool("read", "reads", {"type": "object"})]
    history = [
        Message("system", "You are an agent."),
        Message("user", "Read a.py"),
        Message("assistant", "", (ToolCall("c1", "read", {"path": "a.py"}),)),
        Message("tool", "x = 1", (), "c1"),
    ]
    short, long = boot.render(history, tools), boot.render([*history, Message("user", "Now?")], tools)
    assert long.startswith(short.removesuffix("<|im_start|>assistant\n"))
    assert '{"name": "read", "arguments": {"path": "a.py"}}' in short


def test_faults_come_when_scripted() -> None:
    """The n-th request over all boots raises its fault; an arm can be refused at the start."""
    backend = Scripted(["ok"], faults={1: ServerDied("gone")}, refused={"f16/f16 #2": OutOfMemory("full")})
    assert open_boot(backend).complete([1], Sampling()).text == "ok"
    with pytest.raises(ServerDied):
        open_boot(backend).complete([1], Sampling())
    assert open_boot(backend).complete([1], Sampling()).text == "ok"
    with pytest.raises(OutOfMemory):
        backend.open(Arm(KVConfig("f16", "f16"), Role.REPEAT), context_tokens=64)


def test_a_prompt_longer_than_the_context_is_refused() -> None:
    """The error has both numbers, as from a real server."""
    with pytest.raises(ContextExceeded, match="needs 65 tokens, the server's context holds 64"):
        open_boot(Scripted(["x"]), context_tokens=64).prefill([1] * 65)


def test_facts_are_those_of_the_arm() -> None:
    """Types and sizes are what the pair would take."""
    facts = open_boot(Scripted([""])).facts
    assert (facts.k_type, facts.v_type) == ("q8_0", "q4_0")
    assert facts.k_bytes == 4096 * 8 * 256 * 8.5 / 8
    assert "<tool_call>" in facts.chat_template
