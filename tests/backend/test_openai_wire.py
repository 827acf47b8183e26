"""OpenAI's JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Sampling
from kvassay.types import JsonValue, Message, Stop, Tool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_chat_request_is_an_agents() -> None:
    """Tools, sampling and the model's name; a streamed one asks for its usage."""
    body = wire.chat_body("m", [Message("user", "Hi")], [Tool("t", "", {})], Sampling(max_tokens=9), stream=True)
    assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("m", 9, 0.0, True)
    assert body["stream_options"] == {"include_usage": True}
    assert "tools" in body
    assert "stream" not in wire.chat_body("m", [], [], Sampling(), stream=False)


def test_cached_tokens_are_found_where_engines_put_them() -> None:
    """OpenAI's place and TabbyAPI's; where there is none, nothing counts as processed."""
    plain = wire.usage({"usage": {"prompt_tokens": 10, "completion_tokens": 2}})
    openai = wire.usage({"usage": {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}})
    tabby = wire.usage({"usage": {"prompt_tokens": 10, "cached_tokens": 4, "prompt_time": 0.5}})
    assert plain is not None
    assert openai is not None
    assert tabby is not None
    assert (plain.cached_tokens, plain.processed_tokens, plain.prompt_tokens) == (10, 0, 10)
    assert (openai.cached_tokens, openai.processed_tokens) == (4, 6)
    assert (tabby.cached_tokens, tabby.processed_tokens, tabby.prompt_ms) == (4, 6, 500.0)
    assert wire.usage({"usage": None}) is None


@given(st.dictionaries(st.sampled_from(["usage", "choices", "x"]), JSON))
def test_any_reply_is_read(reply: dict[str, JsonValue]) -> None:
    """A reply of any shape is read without an error: what isn't there is empty."""
    answer = wire.text_completion(reply)
    assert answer.stop in Stop
    assert answer.timings.processed_tokens >= 0


@pytest.mark.parametrize(
    "body",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 3001 tokens",
        '{"error":{"message":"the request exceeds the available context size, try increasing it"}}',
        "Requested tokens (3001) exceed context window of 2048",
        "The input (3001 tokens) is longer than the model's context length (2048 tokens).",
        "You passed 3001 input tokens and requested 9 output tokens. However, the model's context length is only 2048",
        "The decoder prompt (length 3001) is longer than the maximum model length of 2048.",
        '{"error":"the prompt is longer than the context length currently available to the model; shorten the prompt"}',
        '{"error":"prompt too long; exceeded max context length by 953 tokens"}',
        "The number of tokens to keep from the initial prompt is greater than the context length",
        "However, the model is loaded with context length of only 2048 tokens, which is not enough.",
    ],
)
def test_refusals_of_long_prompts_are_recognised(body: str) -> None:
    """The engines' words for a prompt that is too long: vLLM, llama.cpp, SGLang, Ollama, LM Studio."""
    assert wire.context_error(400, body) is not None
    assert wire.context_error(404, body) is None
    assert wire.context_error(400, "bad request") is None
