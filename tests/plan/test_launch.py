"""Launch lines hold what each back end really takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.kv import LLAMA_TYPES
from kvassay.plan.launch import launch_lines
from kvassay.plan.memory import FlashAttention
from kvassay.types import KVConfig

ENGINES = (
    "llama-server",
    "TabbyAPI/ExLlamaV3",
    "vLLM",
    "SGLang",
    "Ollama",
    "LM Studio",
    "koboldcpp",
    "llama-cpp-python",
)
types = st.sampled_from(LLAMA_TYPES)


def lines(
    pair: str, model: str = "m.gguf", flash_attention: str = "auto", parallel: int = 1
) -> dict[str, tuple[str | None, str]]:
    k, v = pair.split("/")
    found = launch_lines(
        model,
        KVConfig(k, v),
        context_tokens=40_000,
        parallel=parallel,
        flash_attention=FlashAttention(flash_attention),
    )
    return {line.engine: (line.command, line.why) for line in found}


@given(
    types,
    types,
    st.sampled_from(["m.gguf", "dir/model-exl3", "hf:a/b/m.gguf", "https://h/m"]),
    st.sampled_from(FlashAttention),
)
def test_every_back_end_has_a_command_or_a_reason(k: str, v: str, model: str, flash: FlashAttention) -> None:
    """Never neither, never an empty word."""
    found = launch_lines(model, KVConfig(k, v), context_tokens=4096, flash_attention=flash)
    assert tuple(line.engine for line in found) == ENGINES
    assert all(
        line.why.endswith(".") and line.command != "" and "None" not in str(line.command or "") for line in found
    )


@pytest.mark.parametrize(
    ("pair", "engine", "words"),
    [
        ("q8_0/q4_0", "llama-server", "-c 40000 -np 1 -ctk q8_0 -ctv q4_0"),
        ("q8_0/q8_0", "Ollama", "OLLAMA_KV_CACHE_TYPE=q8_0"),
        ("q8_0/q4_0", "LM Studio", 'llamaVCacheQuantizationType: "q4_0"'),
        ("q4_0/q4_0", "koboldcpp", "--quantkv 2 --flashattention"),
        ("q8_0/q5_1", "llama-cpp-python", "--type_k 8 --type_v 7 --flash_attn True"),
    ],
)
def test_commands_name_the_pair(pair: str, engine: str, words: str) -> None:
    """In the back end's own spelling."""
    assert words in str(lines(pair)[engine][0])


@pytest.mark.parametrize(("flash", "said"), [("auto", ("true", "True")), ("off", ("false", "False"))])
def test_flash_attention_is_as_the_plan_counts_it(flash: str, said: tuple[str, str]) -> None:
    """Back ends that know on and off only get it on, unless it was ruled out."""
    found = lines("q8_0/f16", flash_attention=flash)
    assert f"flashAttention: {said[0]}" in str(found["LM Studio"][0])
    assert str(found["llama-cpp-python"][0]).endswith(f"--flash_attn {said[1]}")


def test_koboldcpp_quantises_k_alone_only_without_flash_attention() -> None:
    """Its one implicit unequal pair; the other way round can't be had."""
    command = str(lines("q8_0/f16")["koboldcpp"][0])
    assert "--quantkv 1" in command
    assert "--noflashattention" in command
    assert lines("f16/q8_0")["koboldcpp"][0] is None


@pytest.mark.parametrize("engine", ["Ollama", "koboldcpp"])
def test_one_knob_takes_no_unequal_pair(engine: str) -> None:
    """A sentence says so."""
    command, why = lines("q8_0/q4_0")[engine]
    assert command is None
    assert "one" in why


@pytest.mark.parametrize("engine", ["llama-server", "Ollama", "LM Studio", "koboldcpp", "llama-cpp-python"])
def test_quantised_v_without_flash_attention_has_no_command(engine: str) -> None:
    """It would be refused at the start."""
    assert lines("q8_0/q8_0", flash_attention="off")[engine][0] is None


@pytest.mark.parametrize(
    ("pair", "mode"),
    [("q8_0/q4_0", "8,4"), ("f16/f16", "FP16"), ("8/4", "8,4"), ("q5_1/iq4_nl", "6,4"), ("q4_1/q5_0", "5,5")],
)
def test_tabby_is_given_the_nearest_bits(pair: str, mode: str) -> None:
    """Another format, which is said unless bits were asked for; the cache is a whole number of pages."""
    command, why = lines(pair, "models/m-exl3")["TabbyAPI/ExLlamaV3"]
    assert str(command).endswith(f"--cache-size 40192 --cache-mode {mode}")
    assert ("another format" in why) == ("_" in pair)


def test_tabby_can_not_quantise_one_side_alone() -> None:
    """The nearest is named."""
    command, why = lines("f16/q4_0", "models/m-exl3")["TabbyAPI/ExLlamaV3"]
    assert command is None
    assert "'8,4'" in why


def test_vllm_and_sglang_take_fp8_for_eight_bits_and_say_that_it_differs() -> None:
    """Presets where there is one, a reason where there is none."""
    found = lines("q8_0/q8_0", "a/b")
    assert "--kv-cache-dtype fp8 " in str(found["vLLM"][0])
    assert "--kv-cache-dtype fp8_e4m3 " in str(found["SGLang"][0])
    assert "turboquant_k8v4" in str(lines("q8_0/q4_0", "a/b")["vLLM"][0])
    assert lines("f16/q8_0", "a/b")["vLLM"][0] is None
    assert lines("q8_0/q4_0", "a/b")["SGLang"][0] is None


def test_the_context_is_shared_by_the_sequences() -> None:
    """llama-server is given the whole, Ollama and vLLM each sequence's share."""
    found = lines("q8_0/q8_0", parallel=2)
    assert "-c 40000 -np 2" in str(found["llama-server"][0])
    assert "OLLAMA_CONTEXT_LENGTH=20000 OLLAMA_NUM_PARALLEL=2" in str(found["Ollama"][0])
    assert "--max-model-len 20000" in str(lines("f16/f16", "a/b", parallel=2)["vLLM"][0])


def test_rotation_off_is_an_environment_variable() -> None:
    """It stands in front of the command."""
    line = launch_lines("m.gguf", KVConfig("q8_0", "q8_0", rotation=False), context_tokens=4096)[0]
    assert str(line.command).startswith("LLAMA_ATTN_ROT_DISABLE=1 llama-server ")


def test_names_with_blanks_are_quoted() -> None:
    """A path is one word."""
    assert "-m 'my model.gguf'" in str(lines("f16/f16", "my model.gguf")["llama-server"][0])


def test_a_hub_file_is_named_as_llama_server_wants_it() -> None:
    """Repository and file apart."""
    assert "-hf owner/repo -hff sub/m.gguf" in str(lines("f16/f16", "hf:owner/repo/sub/m.gguf")["llama-server"][0])


def test_a_web_address_is_downloaded_or_said_to_be_none_of_a_back_ends_files() -> None:
    """llama-server's -mu; a local path would not be found."""
    found = lines("f16/f16", "https://host/m.gguf?download=true")
    assert "-mu 'https://host/m.gguf?download=true' -c" in str(found["llama-server"][0])
    assert '.load("m",' in str(found["LM Studio"][0])
    assert [found[engine][0] for engine in ("koboldcpp", "llama-cpp-python", "vLLM", "SGLang")] == [None] * 4


def test_gguf_engines_say_that_they_need_a_gguf() -> None:
    """And the others that they don't take one."""
    assert "GGUF" in lines("f16/f16", "a/b")["llama-server"][1]
    assert "GGUF" in lines("f16/f16")["vLLM"][1]
