"""Each engine against its cassette: who it is, the pair, both channels, the counts. ``about`` in a cassette says if it
was recorded from a real server or written from the source.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.replay import CASSETTES, LetterPen, played
from kvassay.backend.attached import Attached, _Shelf
from kvassay.backend.base import Boot, Sampling
from kvassay.backend.catalog import CATALOG
from kvassay.backend.engines import ENGINES
from kvassay.errors import BackendError, ConfigError, ContextExceeded, NotEngaged
from kvassay.grade.channels import prompt_truncated
from kvassay.types import Arm, KVConfig, Message, Stop, Tool, WireCall

TOOL = Tool(
    "read_file", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
)
MESSAGES = (Message("user", "Hi"),)
PAIRS = {"tabbyapi": ("8", "4"), "sglang": ("fp8_e5m2", "fp8_e5m2"), "vllm": ("fp8", "fp8")}
WRITTEN = ("ik_llama.cpp", "koboldcpp", "lmstudio", "ollama", "sglang", "tabbyapi", "vllm")


def attached(name: str, url: str) -> Attached:
    """The back end of an engine, with letters for tokens where the engine lends no tokenizer."""
    pen = None if CATALOG[name].pen else Path("letters")
    return Attached(ENGINES[name](), url=url, tokenizer=pen, _shelf=_Shelf(LetterPen()))


def arm(name: str) -> Arm:
    return Arm(KVConfig(*PAIRS.get(name, ("q8_0", "q8_0"))))


@pytest.fixture
def boot(request: pytest.FixtureRequest) -> Iterator[Boot]:
    """A boot of the engine that the test names, at the server that plays its cassette."""
    with (
        played(request.param) as (url, _),
        attached(request.param, url).open(arm(request.param), context_tokens=4096) as b,
    ):
        yield b


@pytest.mark.parametrize(
    ("boot", "build", "model", "context", "stated"),
    [
        ("ik_llama.cpp", "ik_llama.cpp", "/models/qwen2.5-coder-0.5b.gguf", 8192, True),
        ("koboldcpp", "koboldcpp 1.102", "koboldcpp/qwen2.5-coder-0.5b", 8192, True),
        ("llama-cpp-python", None, "/models/SmolLM2-135M-Instruct.Q4_1.gguf", None, True),
        ("lmstudio", "LM Studio (gguf)", "qwen2.5-coder-0.5b-instruct", 8192, True),
        ("ollama", "Ollama 0.21.0", "qwen2.5-coder:0.5b", 8192, True),
        ("sglang", "SGLang 0.5.23", "Qwen/Qwen3-0.6B", 40960, False),
        ("tabbyapi", "TabbyAPI", "Qwen3-8B-exl3-4.0bpw", 16384, False),
        ("vllm", "vLLM 0.32.0", "Qwen/Qwen3-0.6B", 40960, False),
    ],
    indirect=["boot"],
)
def test_it_says_who_it_is(boot: Boot, build: str, model: str, context: int, stated: bool) -> None:  # noqa: FBT001
    """Build, model and context are the server's words; so is the pair where it is told, else it is the user's word."""
    facts = boot.facts
    assert (facts.build, facts.model_path, facts.context_tokens, facts.stated_by_user) == (
        build,
        model,
        context,
        stated,
    )
    kv = arm(facts.backend).kv
    assert (facts.k_type, facts.v_type) == (kv.k, kv.v)


@pytest.mark.parametrize("boot", [name for name in WRITTEN if name not in ("sglang", "vllm")], indirect=True)
def test_the_raw_text_and_its_counts(boot: Boot) -> None:
    """The raw channel gives text, the reason of its end and the server's count of the prompt; no log-probabilities."""
    answer = boot.complete(tuple(map(ord, "[user]Hi(1)+")), Sampling(max_tokens=3, top_n=5))
    assert (answer.text, answer.stop) == ("<tool_call>{", Stop.LIMIT)
    assert (answer.timings.prompt_tokens, answer.timings.predicted_tokens) == (12, 3)
    assert answer.positions == ()


@pytest.mark.parametrize(
    ("name", "cached", "processed"),
    [("ik_llama.cpp", 10, 2), ("tabbyapi", 10, 2), ("ollama", 12, 0), ("koboldcpp", 12, 0), ("lmstudio", 12, 0)],
)
def test_what_was_cached_is_counted_or_left_open(name: str, cached: int, processed: int) -> None:
    """Where a server doesn't say what was cached, nothing counts as processed: no speed is made of it."""
    with played(name) as (url, _), attached(name, url).open(arm(name), context_tokens=4096) as boot:
        timings = boot.complete((65,) * 12, Sampling(max_tokens=3)).timings
    assert (timings.cached_tokens, timings.processed_tokens) == (cached, processed)


@pytest.mark.parametrize("name", ["koboldcpp", "ollama", "lmstudio"])
def test_a_prompt_cut_in_silence_shows_in_the_count(name: str) -> None:
    """Servers that cut a long prompt count what they read: fewer tokens than were sent is P0."""
    sent = (65,) * 20
    with played(name) as (url, _), attached(name, url).open(arm(name), context_tokens=4096) as boot:
        answer = boot.complete(sent, Sampling(max_tokens=3))
    assert prompt_truncated(len(sent), answer.timings.prompt_tokens)


def test_ollama_is_told_not_to_cut_a_prompt() -> None:
    """Ollama refuses a prompt that is too long where it is asked to, in the words of the llama-server behind it."""
    inner = '{"error":{"code":400,"message":"request (8889 tokens) exceeds the available context size (4096 tokens)"}}'
    refusal = {"method": "POST", "path": "/api/generate", "status": 400, "answer": {"error": inner}}
    load = {"model": "qwen2.5-coder:0.5b", "prompt": "", "stream": False}
    loads = {"method": "POST", "path": "/api/generate", "body": load, "answer": {"done": True}}
    with (
        played("ollama", instead=[loads, refusal]) as (url, heard),
        attached("ollama", url).open(arm("ollama"), context_tokens=512) as boot,
        pytest.raises(ContextExceeded, match="8889"),
    ):
        boot.complete((65,) * 20, Sampling(max_tokens=3))
    assert heard[-1][2]["truncate"] is False


@pytest.mark.parametrize("boot", ["ik_llama.cpp", "koboldcpp", "lmstudio", "tabbyapi", "vllm"], indirect=True)
def test_the_parsed_channel_gives_calls(boot: Boot) -> None:
    """A call that the server parsed arrives with its arguments untouched, and with the reply's counts."""
    reply = boot.chat(MESSAGES, [TOOL], Sampling(), stream=False)
    assert reply.calls == (WireCall("read_file", '{"path": "a.py"}'),)
    assert reply.finish_reason == "tool_calls"
    assert reply.timings is not None
    assert reply.timings.prompt_tokens == 40


@pytest.mark.parametrize("boot", ["ollama"], indirect=True)
def test_ollamas_parser_error_is_evidence(boot: Boot) -> None:
    """A call that Ollama can't parse is an HTTP 500, kept as the reply's value with the raw text in it."""
    reply = boot.chat(MESSAGES, [TOOL], Sampling(), stream=False)
    assert reply.status == 500
    assert "error parsing tool call: raw='{" in reply.error


@pytest.mark.parametrize("boot", ["sglang"], indirect=True)
def test_sglang_renders_and_answers_in_ids(boot: Boot) -> None:
    """SGLang renders messages and tools, and its log-probabilities come by id. A token that ends inside a character has
    no position of its own, as in llama.cpp.
    """
    text = boot.render(MESSAGES, [TOOL])
    assert boot.tokenize(text) == (1, 2, 3)
    answer = boot.complete((1, 2, 3), Sampling(max_tokens=3, top_n=2))
    assert answer.tokens == (7, 8, 9)
    assert (answer.timings.cached_tokens, answer.timings.processed_tokens) == (2, 1)
    (position,) = answer.positions
    assert (position.token_id, position.text, position.top) == (7, "<tool_call>", ((7, -0.1), (11, -2.5)))


@pytest.mark.parametrize("boot", ["vllm"], indirect=True)
def test_vllm_renders_and_answers_in_ids(boot: Boot) -> None:
    """The server renders messages and tools; answers and alternatives come by id, and what the cache held is counted
    where the server was told to say so.
    """
    text = boot.render(MESSAGES, [TOOL])
    assert (text, boot.tokenize(text)) == ("<|im_start|>user\nHi", (1, 2, 3))
    answer = boot.complete((1, 2, 3), Sampling(max_tokens=2, top_n=2))
    assert (answer.text, answer.tokens, answer.stop) == ("<tool_call>{", (7, 8), Stop.LIMIT)
    assert (answer.timings.cached_tokens, answer.timings.processed_tokens) == (2, 1)
    assert [(position.token_id, position.top) for position in answer.positions] == [
        (7, ((7, -0.1), (11, -2.5))),
        (8, ((8, -0.2), (12, -3.5))),
    ]


@pytest.mark.parametrize("boot", ["sglang"], indirect=True)
def test_part_of_a_vocabulary_is_not_taken_for_all_of_it(boot: Boot) -> None:
    """A request for the whole vocabulary, which this engine can't list, gives no positions rather than a part."""
    assert boot.complete((1, 2, 3), Sampling(max_tokens=1, top_n=1 << 24)).positions == ()


@pytest.mark.parametrize("name", WRITTEN)
def test_another_engine_is_recognised(name: str) -> None:
    """Each engine refuses to speak to a server that is none of its kind, and says which address that is."""
    stranger = "koboldcpp" if name != "koboldcpp" else "lmstudio"
    healthy = {"method": "GET", "path": ENGINES[name]().health, "answer": {}}
    with played(stranger, instead=[healthy]) as (url, _), pytest.raises(BackendError) as refused:
        attached(name, url).open(arm(name), context_tokens=4096)
    assert refused.value.message.startswith(f"{url} does not answer like ")
    assert "kvassay backends" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("name", "said"),
    [("tabbyapi", "K is 8 and V is 4"), ("sglang", "K is fp8_e5m2 and V is fp8_e5m2"), ("vllm", "K is fp8")],
)
def test_a_pair_that_is_not_the_arms_is_refused(name: str, said: str) -> None:
    """Where the server tells its pair, an arm that states another is not measured."""
    kv = KVConfig(*((ENGINES[name]().cache_types[0],) * 2))
    with played(name) as (url, _), pytest.raises(NotEngaged, match=said):
        attached(name, url).open(Arm(kv), context_tokens=4096)


def test_a_context_that_is_too_small_is_said_at_once() -> None:
    """The context is compared before anything is asked."""
    with played("koboldcpp") as (url, _), pytest.raises(ContextExceeded, match="9,000"):
        attached("koboldcpp", url).open(arm("koboldcpp"), context_tokens=9000)


@pytest.mark.parametrize(("told", "pool", "room"), [(None, 65536, 40960), (None, 8000, 8000), (6000, 65536, 6000)])
def test_sglangs_context_is_the_least_of_what_bounds_it(told: int | None, pool: int, room: int) -> None:
    """A prompt has to fit the model's context and the cache's room for all requests, whichever is smaller."""
    answer = {"kv_cache_dtype": "fp8_e5m2", "context_length": told, "max_total_num_tokens": pool}
    info = {"method": "GET", "path": "/server_info", "answer": answer}
    with (
        played("sglang", instead=[info]) as (url, _),
        attached("sglang", url).open(arm("sglang"), context_tokens=8) as it,
    ):
        assert it.facts.context_tokens == room


def test_llama_cpp_pythons_server_as_recorded() -> None:
    """The real server's answers: the prompt's count is ours, a stream ends without usage, a long prompt is refused with
    both numbers. The cassette answers only the very requests that were recorded.
    """
    name = "llama-cpp-python"
    sent = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    sent += "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n"
    messages = (Message("user", "Say hello."),)
    with played(name) as (url, _), attached(name, url).open(arm(name), context_tokens=512) as boot:
        answer = boot.complete(boot.tokenize(sent), Sampling(max_tokens=6, top_n=3))
        assert (answer.text, answer.stop) == ("Hello there, welcome to my", Stop.LIMIT)
        assert (answer.timings.prompt_tokens, answer.timings.predicted_tokens) == (33, 6)
        plain = boot.chat(messages, [], Sampling(max_tokens=6), stream=False)
        stream = boot.chat(messages, [], Sampling(max_tokens=6), stream=True)
        assert plain.content == stream.content == answer.text
        assert (plain.finish_reason, stream.finish_reason, stream.timings) == ("length", "length", None)
        with pytest.raises(ContextExceeded, match="maximum context length is 2048"):
            boot.complete(boot.tokenize(sent * 78), Sampling(max_tokens=4))


def test_a_stream_is_cut_at_line_feeds_only() -> None:
    """A streamed answer may hold U+2028, which is no end of a line there."""
    chunk = '{"choices": [{"delta": {"content": "a\u2028b"}, "finish_reason": "stop"}]}'
    told = {"method": "POST", "path": "/v1/chat/completions", "answer": f"data: {chunk}\n\ndata: [DONE]\n\n"}
    with (
        played("ollama", instead=[told]) as (url, _),
        attached("ollama", url).open(arm("ollama"), context_tokens=8) as b,
    ):
        assert b.chat(MESSAGES, [], Sampling(), stream=True).content == "a\u2028b"


def test_ollama_asks_which_model_is_meant() -> None:
    """Of several models one has to be named."""
    two = {"method": "GET", "path": "/api/ps", "answer": {"models": [{"name": "a"}, {"name": "b"}]}}
    with played("ollama", instead=[two]) as (url, _), pytest.raises(ConfigError, match="several models"):
        attached("ollama", url).open(arm("ollama"), context_tokens=512)


def test_text_engines_get_the_very_text() -> None:
    """A prompt for an engine that takes text is the text of its tokens, special tokens included, and is asked raw."""
    with played("ollama") as (url, heard), attached("ollama", url).open(arm("ollama"), context_tokens=512) as boot:
        boot.complete(boot.tokenize("<|im_start|>user"), Sampling())
    asked = heard[-1][2]
    assert (asked["prompt"], asked["raw"], asked["options"]["temperature"]) == ("<|im_start|>user", True, 0.0)


class OpeningPen(LetterPen):
    """A pen whose tokenizer puts a token in front of any prompt, as those of Llama 3 and Gemma do."""

    opening = "^"

    def tokenize(self, text: str) -> tuple[int, ...]:
        return super().tokenize("^" + text)


@pytest.mark.parametrize(
    ("name", "sent"),
    [("ollama", "Hi"), ("koboldcpp", "Hi"), ("lmstudio", "Hi"), ("llama-cpp-python", "Hi"), ("tabbyapi", "^Hi")],
)
def test_the_opening_token_stands_once_in_front(name: str, sent: str) -> None:
    """The token that opens every prompt is counted with it, and left out of the text where the server adds it."""
    kept = {"method": "POST", "path": "/v1/completions", "answer": {}}
    with (
        played(name, instead=[kept]) as (url, heard),
        Attached(ENGINES[name](), url=url, tokenizer=Path("x"), _shelf=_Shelf(OpeningPen())).open(
            arm(name), context_tokens=512
        ) as boot,
    ):
        assert boot.tokenize("Hi") == tuple(map(ord, "^Hi"))
        boot.complete(boot.tokenize("Hi"), Sampling())
    assert heard[-1][2]["prompt"] == sent


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_a_cassette_says_where_it_comes_from(name: str) -> None:
    """Every engine has a cassette, and the catalogue's word for how it was tested is what that says of itself."""
    about = json.loads((CASSETTES / f"{name}.json").read_text(encoding="utf-8"))["about"]
    assert about.startswith({"source": "Written from", "recorded": "Recorded from"}[CATALOG[name].proof])
