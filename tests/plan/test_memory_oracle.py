"""The memory model equals embedded llama.cpp's own breakdown, to the byte."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from kvassay.model.gguf import read_header
from kvassay.model.gguf_shape import shape_of
from kvassay.plan.memory import (
    BYTES_PER_BLOCK,
    CacheSettings,
    FlashAttention,
    context_of,
    draft_kv_bytes,
    layer_memory,
    refusal,
)
from kvassay.types import KVConfig
from plan.architectures import EXPERTS, keys_of, write

ORACLE = Path(__file__).with_name("llama_oracle.py")
CASES = 8
WITH_EXPERTS = (
    "grok",
    "gpt-oss",
    "deepseek2",
    "qwen35moe",
    "glm4moe",
    "llama4",
    "nemotron_h_moe",
    "lfm2moe",
    "kimi-linear",
)
WITHOUT = (
    *(
        "llama",
        "qwen2",
        "qwen3",
        "gemma2",
        "gemma3",
        "gemma3n",
        "gemma4",
        "exaone4",
        "cohere2",
        "olmo2",
        "phi3",
        "mistral3",
    ),
    *(
        "qwen35",
        "granitehybrid",
        "lfm2",
        "nemotron_h",
        "jamba",
        "falcon-h1",
        "plamo2",
        "mamba",
        "mamba2",
        "rwkv7",
    ),
)


def ask(header: Path, cases: list[dict[str, object]]) -> list[dict[str, object]]:
    """llama.cpp's answers, one a case; empty where it aborts (some graphs can't share a batch among odd slots)."""
    answers: list[dict[str, object]] = []
    while len(answers) < len(cases):
        rest = "".join(json.dumps(case) + "\n" for case in cases[len(answers) :])
        done = subprocess.run(
            [sys.executable, str(ORACLE), str(header)],
            input=rest,
            capture_output=True,
            text=True,
            env=os.environ | {"GGML_NO_BACKTRACE": "1"},
            check=False,
        )
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert not any("unloadable" in answer for answer in found), found
        answers += found if done.returncode == 0 else [*found, {}]
    return answers


def some_cases(seed: str) -> list[dict[str, object]]:
    """Contexts that 256 doesn't divide, every cache type, slots, unified or not, full windows or not."""
    draw = random.Random(seed)  # noqa: S311  no secret
    types = list(BYTES_PER_BLOCK)
    cases: list[dict[str, object]] = []
    for _ in range(CASES):
        k = draw.choice(types)
        cases.append(
            {
                "context": draw.choice([draw.randint(300, 5000), draw.randint(5000, 300_000)]),
                "ubatch": draw.choice([32, 256, 512, 2048, 4096]),
                "parallel": draw.choice([1, 2, 3, 4, 7]),
                "k": k,
                "v": draw.choice([k, draw.choice(types)]),
                "unified": draw.random() < 0.4,
                "swa_full": draw.random() < 0.3,
                "flash": draw.choice(["auto", "auto", "on", "off"]),
                "draft": draw.choice([0, 0, 2]),
            }
        )
    return cases


@pytest.mark.parametrize("architecture", [*WITHOUT, *WITH_EXPERTS])
def test_cache_and_state_bytes_are_llama_cpps(architecture: str, tmp_path: Path) -> None:
    """Context, bytes and refusals of the same header under the same settings."""
    keys = keys_of(architecture) | (EXPERTS if architecture in WITH_EXPERTS else {})
    header = write(tmp_path / "m.gguf", architecture, keys)
    shape = shape_of(read_header(header), source=architecture)
    cases = some_cases(architecture)
    answers = ask(header, cases)
    assert sum(map(bool, answers)) >= CASES // 2
    for case, answer in zip(cases, answers, strict=True):
        if not answer:
            continue
        settings = CacheSettings(
            context_tokens=int(str(case["context"])),
            parallel=int(str(case["parallel"])),
            unified=bool(case["unified"]),
            ubatch=int(str(case["ubatch"])),
            swa_full=bool(case["swa_full"]),
            flash_attention=FlashAttention(str(case["flash"])),
            draft_tokens=int(str(case["draft"])),
        )
        kv = KVConfig(str(case["k"]), str(case["v"]))
        if "refused" in answer:
            assert refusal(shape, kv, settings), (case, answer)
            continue
        assert refusal(shape, kv, settings) is None, (case, answer)
        layers = layer_memory(shape, kv, settings)
        assert context_of(shape, settings).n_ctx == answer["n_ctx"], case
        assert sum(layer.kv_bytes + layer.state for layer in layers) == answer["bytes"], (case, answer)
        states_mib = sum(layer.state for layer in layers) / 2**20
        assert states_mib == pytest.approx(answer["recurrent_mib"], abs=0.006), (case, answer)


@pytest.mark.parametrize("architecture", ["glm4moe", "qwen35"])
def test_a_drafts_own_cache_is_llama_cpps(architecture: str, tmp_path: Path) -> None:
    """The MTP context holds the NextN layers, and nothing else."""
    experts = EXPERTS if architecture in WITH_EXPERTS else {}
    header = write(tmp_path / "m.gguf", architecture, keys_of(architecture) | experts)
    shape = shape_of(read_header(header), source=architecture)
    case = {"context": 30_000, "ubatch": 512, "parallel": 2, "k": "f16", "v": "q8_0", "mtp": True}
    (answer,) = ask(header, [case])
    assert draft_kv_bytes(shape, KVConfig("f16", "q8_0"), CacheSettings(30_000, 2)) == answer["bytes"]
