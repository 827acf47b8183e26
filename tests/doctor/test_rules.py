"""Each rule fires where its trap is, and stays silent beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from backend.logs import cassette
from doctor.setups import command, file, findings, known, log
from kvassay.doctor.rules import RULES, examine
from kvassay.doctor.setup import Setup, Severity

LLAMA = "llama-server -m m.gguf"
CACHE_LINE = (
    "llama_kv_cache: size = 10.00 MiB ( 8192 cells, 8 layers, 1/1 seqs), K (q8_0): 5.00 MiB, V (q8_0): 5.00 MiB\n"
)
GPU_LINE = "common_param:   - CUDA0   : NVIDIA RTX (24000 MiB, 23000 MiB free)\noffloaded 33/33 layers to GPU\n"


class Case(NamedTuple):
    """A rule, what must be found, and what must not be."""

    rule: str
    severity: Severity
    fires: Setup
    silent: Setup
    fix: str | None = None  # a part of it


P, W, N = Severity.PROBLEM, Severity.WARNING, Severity.NOTE


def tabby(**model: object) -> Setup:
    lines = "".join(f"  {key}: {value}\n" for key, value in model.items())
    return file(f"model:\n  model_dir: models\n{lines}")


def drafted(mode: str | None, cache_mode: str = "8,4") -> Setup:
    line = f"  draft_cache_mode: {mode}\n" if mode else ""
    return file(f"model:\n  cache_mode: {cache_mode}\ndraft_model:\n  draft_model_name: small\n{line}")


CASES = (
    Case("unknown-type", P, command(f"{LLAMA} -ctk q8"), command(f"{LLAMA} -ctk q8_0"), "-ctk q8_0"),
    Case(
        "v-needs-flash-attention", P, command(f"{LLAMA} -ctv q8_0 -fa off"), command(f"{LLAMA} -ctk q8_0 -fa off"),
        "-fa on",
    ),
    Case(
        "flash-attention-value", P, command(f"{LLAMA} -fa -t 8 -ctk q8_0"), command(f"{LLAMA} -fa on -t 8 -ctk q8_0"),
        "-fa on -t 8",
    ),
    Case(
        "grok-quantised-v", P, command(f"{LLAMA} -ctv q8_0", architecture="grok"),
        command(f"{LLAMA} -ctk q8_0", architecture="grok"), "-ctv f16",
    ),
    Case(
        "head-dimension", P, command(f"{LLAMA} -ctv q8_0", head_dim_k="128", head_dim_v="72"),
        command(f"{LLAMA} -ctk q8_0", head_dim_k="128", head_dim_v="72"), "-ctv f16",
    ),
    Case(
        "mla-unequal", P, command(f"{LLAMA} -ctk q8_0", mla="yes", build="b10216"),
        command(f"{LLAMA} -ctk q8_0", mla="yes", build="b10204"), "-ctv q8_0",
    ),
    Case(
        "tensor-split-quantised", P, command(f"{LLAMA} -ctk q8_0 -sm tensor", build="b9352"),
        command(f"{LLAMA} -ctk q8_0 -sm tensor", build="b9528"), "-sm layer",
    ),
    Case(
        "typographic-marks", P, command("llama-server -m “my model.gguf” –ctk q8_0"),
        command("llama-server -m 'd’Artagnan.gguf' -ctk q8_0 --alias 'a – b'"),
        "llama-server -m 'my model.gguf' -ctk q8_0",
    ),
    Case("joined-flags", P, command(f"{LLAMA} --ctx-size=8192"), command(f"{LLAMA} --ctx-size 8192"), "--ctx-size 8192"),  # noqa: E501
    Case(
        "removed-flags", P, command(f"{LLAMA} -md d.gguf --draft-max 16"),
        command(f"{LLAMA} -md d.gguf --draft-max 16", build="b9352"), "--spec-draft-n-max 16",
    ),
    Case("number-cut-short", W, command(f"{LLAMA} -c 32k"), command(f"{LLAMA} -c 32768"), "-c 32768"),
    Case(
        "env-overridden", W, command(f"LLAMA_ARG_CACHE_TYPE_K=q8_0 {LLAMA} -ctk q4_0"),
        command(f"LLAMA_ARG_CACHE_TYPE_K=q8_0 {LLAMA} -ctv q4_0"), f"{LLAMA} -ctk q4_0",
    ),
    Case("repeated-flags", W, command(f"{LLAMA} -c 4096 -c 8192"), command(f"{LLAMA} -c 4096")),
    Case("context-zero", W, command(f"{LLAMA} -c 0"), command(f"{LLAMA} -c 0 --fit off"), LLAMA),
    Case("fit-without-effect", W, command(f"{LLAMA} --fit on -ngl 99"), command(f"{LLAMA} -ngl 99"), "--fit on"),
    Case("fit-keeps-types", N, command(LLAMA), command(f"{LLAMA} -c 8192")),
    Case(
        "attention-on-cpu", W, command(f"{LLAMA} -ctk q8_0 -ctv q4_0", device="cuda", build="b10867"),
        command(f"{LLAMA} -ctk q8_0 -ctv q4_0", device="cuda", build="b10870"), "-ctk q8_0 -ctv q8_0",
    ),
    Case(
        "slow-on-gpu", W, command(f"{LLAMA} -ctk q8_0 -ctv q4_0", device="cuda", build="b11434"),
        command(f"{LLAMA} -ctk q8_0 -ctv q8_0", device="cuda", build="b11434"), "q8_0-q4_0",
    ),
    Case(
        "no-vector-kernel", W, log(cassette("written_from_sources_cuda_swa")), log(cassette("b11549_q8_0_q4_0")),
        "-DGGML_CUDA_FA_QUANTS=",
    ),
    Case(
        "placement-unknown", N, command(f"{LLAMA} -ctk q8_0", device="cuda", build="b10868"),
        command(f"{LLAMA} -ctk q8_0", device="cuda", build="b10878"),
    ),
    Case("device-unknown", N, command(f"{LLAMA} -ctk q8_0"), command(f"{LLAMA} -ctk q8_0 -ctv q8_0")),
    Case(
        "flash-attention-lost", W, log(cassette("written_from_sources_cuda_swa")), log(cassette("b11549_f16_f16")),
    ),
    Case(
        "many-splits", W, log(f"{GPU_LINE}{CACHE_LINE}graph: nodes = 900, splits = 66\n"),
        log(f"{GPU_LINE}{CACHE_LINE}graph: nodes = 900, splits = 2\n"),
    ),
    Case("probe-skipped", N, command(f"{LLAMA} -ctv q8_0", build="b10216"), command(f"{LLAMA} -ctv q8_0")),
    Case(
        "draft-cache", N, command(f"{LLAMA} -ctk q8_0 -md d.gguf"),
        command(f"{LLAMA} -ctk q8_0 -md d.gguf -ctkd q8_0 -ctvd f16"), "-ctkd q8_0 -ctvd f16",
    ),
    Case("parallel-auto", N, command(LLAMA), command(f"{LLAMA} -np 1"), "-np 1"),
    Case(
        "slots-divide-context", W, command(f"{LLAMA} -c 65536 -np 4"), command(f"{LLAMA} -c 65536 -np 4 -kvu"),
        "-c 262144",
    ),
    Case(
        "log-hides-cache", N, command(f"{LLAMA} -ctk q8_0", build="b9246"), command(f"{LLAMA} -ctk q8_0", build="b9113"),  # noqa: E501
        "-lv 4",
    ),
    Case("log-without-cache", N, log("print_info: arch = llama\n"), log(CACHE_LINE), "LLAMA_ARG_LOG_VERBOSITY=4"),
    Case("http-hides-types", N, known(Setup("u", "llama.cpp"), url="http://x"), command(LLAMA)),
    Case("build-unnamed", N, log(cassette("b11549_f16_f16")), command(LLAMA, build="b11434")),
    Case(
        "window-saves-less", N, command(f"{LLAMA} -ctk q8_0", sliding_window="1024"),
        command(LLAMA, sliding_window="1024"),
    ),
    Case("recurrent-state", N, command(f"{LLAMA} -ctk q8_0", recurrent="128"), command(LLAMA, recurrent="128")),
    Case(
        "latent-has-no-v", N, command(f"{LLAMA} -ctk q8_0 -ctv q8_0", mla="yes"),
        command(f"{LLAMA} -ctk q8_0 -ctv q8_0", mla="no"),
    ),
    Case("scratch", N, command(f"{LLAMA} -ctk bf16 -ctv bf16", device="cuda"), command(LLAMA, device="cuda")),
    Case("low-precision-k", W, command(f"{LLAMA} -ctk q5_1"), command(f"{LLAMA} -ctv q4_0"), "-ctk q8_0"),
    Case(
        "rotation-disabled", W, command(f"LLAMA_ATTN_ROT_DISABLE=1 {LLAMA} -ctk q8_0"),
        command(f"LLAMA_ATTN_ROT_DISABLE=1 {LLAMA}"), f"{LLAMA} -ctk q8_0",
    ),
    Case(
        "rotation-off-in-log", W, log(f"{CACHE_LINE}llama_kv_cache: n_rot_k = 0, n_embd_head_k_all = 128\n"),
        log(f"{CACHE_LINE}llama_kv_cache: n_rot_k = 64, n_embd_head_k_all = 128\n"),
    ),
    Case(
        "rotation-and-deepseek4", W, command(f"{LLAMA} -ctk q8_0 -ctv q8_0", architecture="deepseek4"),
        command(f"LLAMA_ATTN_ROT_DISABLE=1 {LLAMA} -ctk q8_0 -ctv q8_0", architecture="deepseek4"), "-ctk f16",
    ),
    Case("ik-rotation", N, command("ik_llama.cpp/llama-server -ctk q8_0"), command(f"{LLAMA} -ctk q8_0"), "-khad"),
    Case(
        "ik-deepseek4", P, command("llama-server -khad -ctk q8_0", architecture="deepseek4"),
        command("ik_llama/llama-server -ctk q8_0", architecture="deepseek4"),
    ),
    Case("engine-build-unknown", N, command(f"{LLAMA} -ctk q8_0"), command(f"{LLAMA} -ctk q8_0", build="b11434")),
    Case(
        "ollama-unchecked", P, command("OLLAMA_KV_CACHE_TYPE=q8 ollama serve"),
        command("OLLAMA_KV_CACHE_TYPE=Q8_0 ollama serve"), "OLLAMA_KV_CACHE_TYPE=q8_0",
    ),
    Case(
        "ollama-one-value", N, command("OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve"),
        command("OLLAMA_KV_CACHE_TYPE=f16 ollama serve"),
    ),
    Case(
        "ollama-flash-attention", P, command("OLLAMA_FLASH_ATTENTION=0 OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve"),
        command("OLLAMA_FLASH_ATTENTION=1 OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve"), "OLLAMA_FLASH_ATTENTION=1",
    ),
    Case(
        "ollama-client-env", W, command("OLLAMA_KV_CACHE_TYPE=q8_0 ollama run qwen3"),
        command("OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve"), "[Service]",
    ),
    Case("ollama-env-missing", N, command("ollama serve"), command("OLLAMA_KV_CACHE_TYPE=f16 ollama serve")),
    Case(
        "ollama-inherited", W, command("LLAMA_ARG_CACHE_TYPE_K=q8_0 OLLAMA_KV_CACHE_TYPE=f16 ollama serve"),
        command("OLLAMA_KV_CACHE_TYPE=f16 ollama serve"),
    ),
    Case(
        "ollama-context", N, command("OLLAMA_NUM_PARALLEL=4 OLLAMA_CONTEXT_LENGTH=8192 ollama serve"),
        command("OLLAMA_NUM_PARALLEL=1 ollama serve"), "OLLAMA_NUM_PARALLEL=1",
    ),
    Case(
        "koboldcpp-quantkv", W, command("koboldcpp --model m.gguf --quantkv 1 --noflashattention"),
        command("koboldcpp --model m.gguf --quantkv 1 --flashattention"), "koboldcpp --model m.gguf --quantkv 1",
    ),
    Case(
        "lmstudio-flash-attention", P, file('{"llamaVCacheQuantizationType": "q8_0"}'),
        file('{"llamaVCacheQuantizationType": "q8_0", "flashAttention": true}'), '"flashAttention": true',
    ),
    Case(
        "lmstudio-python", N, file('{"llamaKCacheQuantizationType": "q8_0"}'), file('{"flashAttention": true}'),
    ),
    Case(
        "lmstudio-mlx", N, file('{"mlxKvCacheQuantization": {"enabled": true, "bits": 8}}'),
        file('{"mlxKvCacheQuantization": {"enabled": false, "bits": 8}, "flashAttention": true}'),
    ),
    Case(
        "python-numbers", P, command("python -m llama_cpp.server --type_k q8_0"),
        command("python -m llama_cpp.server --type_k 8"), "--type_k 8",
    ),
    Case(
        "python-flash-attention", P, command("python -m llama_cpp.server --type_v 8"),
        command("python -m llama_cpp.server --type_v 8 --flash_attn true"), "--flash_attn true",
    ),
    Case("cache-mode-form", P, tabby(cache_mode="q8_0"), tabby(cache_mode="8,4"), "cache_mode: "),
    Case("few-bits-of-k", W, tabby(cache_mode="4,8"), tabby(cache_mode="6,2"), "cache_mode: 8,8"),
    Case("few-bits-of-v", W, tabby(cache_mode="6,2"), tabby(cache_mode="8,3"), "cache_mode: 8,4"),
    Case("odd-bits", N, tabby(cache_mode="5,3"), tabby(cache_mode="8,4")),
    Case("q6-differs", N, tabby(cache_mode="Q6"), tabby(cache_mode="Q8"), "cache_mode: 8,4"),
    Case("cache-size-pages", P, tabby(cache_size=10_000), tabby(cache_size=10_240), "cache_size: 10240"),
    Case("draft-cache-mode", P, drafted("8,4"), drafted("Q8"), "draft_cache_mode: Q8"),
    Case("draft-same-bits", N, command("python examples/chat.py -m x -cq 8,4"), tabby(cache_mode="8,4")),
    Case("global-layers-only", N, tabby(cache_mode="8,4"), tabby(cache_mode="FP16")),
    Case("old-backend", P, tabby(cache_mode="Q4", backend="exllamav2"), tabby(cache_mode="Q4", backend="exllamav3")),
    Case(
        "unknown-dtype", P, command("sglang serve --kv-cache-dtype fp4_e2m1"),
        command("sglang serve --kv-cache-dtype fp8_e4m3"), "fp4_mx_block16",
    ),
    Case(
        "vllm-scales", W, command("vllm serve a/b --kv-cache-dtype fp8"),
        command("vllm serve a/b --kv-cache-dtype int8_per_token_head"), "--kv-cache-dtype auto",
    ),
    Case(
        "vllm-calculate-scales", P, command("vllm serve a/b --kv-cache-dtype fp8 --calculate-kv-scales"),
        command("vllm serve a/b --kv-cache-dtype fp8"), "vllm serve a/b --kv-cache-dtype fp8",
    ),
    Case(
        "vllm-backend", P, command("vllm serve a/b --kv-cache-dtype fp8_e5m2 --attention-backend FLASH_ATTN"),
        command("vllm serve a/b --kv-cache-dtype fp8_e5m2 --attention-backend FLASHINFER"),
        "vllm serve a/b --kv-cache-dtype fp8_e5m2",
    ),
    Case(
        "vllm-backend-variable", W, command("VLLM_ATTENTION_BACKEND=FLASHINFER vllm serve a/b"),
        command("vllm serve a/b --attention-backend FLASHINFER"), "vllm serve a/b --attention-backend FLASHINFER",
    ),
    Case(
        "vllm-turboquant", N, command("vllm serve a/b --kv-cache-dtype turboquant_k8v4"),
        command("vllm serve a/b --kv-cache-dtype fp8"),
    ),
    Case(
        "sglang-hardware", P, command("sglang serve --kv-cache-dtype fp8_e5m2 --device cpu"),
        command("sglang serve --kv-cache-dtype fp8_e5m2 --device cuda"), "--kv-cache-dtype auto",
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "facts", "severity", "what"),
    [
        ("-ctk q8_0 -ctv q4_0", {"device": "cuda", "build": "b10867"}, W, "attention runs on the CPU"),
        ("-ctk q8_0 -ctv q4_0", {"device": "cuda", "build": "b9352"}, P, "refuses to start"),
        ("-ctk q8_0 -ctv q4_0 -fa on", {"device": "cuda", "build": "b9352"}, W, "attention runs on the CPU"),
        ("-ctk q8_0", {"device": "metal", "build": "b11434"}, W, "switches flash attention off"),
        ("-ctk q8_0 -fa on", {"device": "metal", "build": "b11434"}, W, "attention runs on the CPU"),
    ],
)
def test_a_pair_without_a_kernel_depends_on_who_asks(
    text: str, facts: dict[str, str], severity: Severity, what: str
) -> None:
    """-fa auto asks the device; where V is quantised it does so in older builds only, and ends there."""
    found = findings(command(f"{LLAMA} {text}", **facts))["attention-on-cpu"]
    assert found.severity is severity
    assert what in found.what


@pytest.mark.parametrize(
    "setup",
    [
        command(f"{LLAMA} -ctk q8_0 -fa off", device="metal", build="b11434"),
        command(f"{LLAMA} -ctk q8_0 -fa off", device="cuda", build="b11434"),
        command("koboldcpp --quantkv 2 --noflashattention", device="cuda", build="b11434"),
        command("python -m llama_cpp.server --type_k 8", device="metal", build="b11434"),
        command(f"{LLAMA} -ctk q8_0 -fa off"),
    ],
)
def test_without_flash_attention_no_kernel_is_missed(setup: Setup) -> None:
    """No claim of a slow or absent one, and no f16 scratch."""
    assert not {"attention-on-cpu", "slow-on-gpu", "device-unknown", "scratch"} & findings(setup).keys()


@pytest.mark.parametrize(
    ("pair", "dim", "fix"),
    [("-ctk q8_0 -ctv q4_0", "128", True), ("-ctk q8_0 -ctv q4_0", "96", False), ("-ctk q8_0 -ctv q8_0", "96", False)],
)
def test_a_kernel_is_only_recommended_where_there_is_one(pair: str, dim: str, fix: bool) -> None:  # noqa: FBT001
    """Vector kernels exist for some head dimensions; others stay slow whatever is compiled."""
    setup = command(f"{LLAMA} {pair}", device="cuda", build="b11434", head_dim_k=dim, head_dim_v=dim)
    assert bool(findings(setup)["slow-on-gpu"].fix) is fix


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_a_rule_fires_on_its_trap_and_only_there(case: Case) -> None:
    """With the severity and the fix that it promises."""
    found = findings(case.fires).get(case.rule)
    assert found is not None
    assert found.severity is case.severity
    assert found.source
    assert case.fix is None or (found.fix is not None and case.fix in found.fix)
    assert case.rule not in findings(case.silent)


def test_every_rule_has_a_case() -> None:
    """A rule without a test is not in the table."""
    assert [case.rule for case in CASES] == [rule.__name__.replace("_", "-") for rule in RULES]


def test_every_rule_says_what_it_is_about() -> None:
    """The list of rules in the documentation is made of these sentences."""
    assert all(rule.__doc__ and rule.__doc__.strip().endswith(".") for rule in RULES)


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_findings_are_sentences_the_worst_first(case: Case) -> None:
    """And each names the set-up it belongs to."""
    found = examine(case.fires)
    assert [one.severity for one in found] == sorted((one.severity for one in found), reverse=True)
    assert all(one.what.endswith((".", "…: flag and value are two words.")) and one.why for one in found)
    assert {one.label for one in found} == {case.fires.label}


@pytest.mark.parametrize(
    ("device", "build", "pair", "rule"),
    [
        ("cuda", "b10488", "-ctk q5_1 -ctv q5_1", "attention-on-cpu"),
        ("cuda", "b11434", "-ctk iq4_nl -ctv iq4_nl", "attention-on-cpu"),
        ("metal", "b11434", "-ctk q8_0", "attention-on-cpu"),
        ("vulkan", "b11434", "-ctk bf16", "attention-on-cpu"),
        ("sycl", "b11434", "-ctk q8_0 -ctv iq4_nl", "placement-unknown"),
        ("hip", "b10878", "-ctk q8_0 -ctv q5_0", "slow-on-gpu"),
        ("vulkan", "b9101", "-ctk q8_0", "placement-unknown"),
    ],
)
def test_devices_and_builds_decide_where_attention_runs(device: str, build: str, pair: str, rule: str) -> None:
    """The traps of each device."""
    assert rule in findings(command(f"{LLAMA} {pair}", device=device, build=build))


def test_a_pair_that_runs_well_is_not_complained_about() -> None:
    """q8_0 on both sides, one slot, a context: nothing above a note."""
    setup = command(f"{LLAMA} -ctk q8_0 -ctv q8_0 -fa on -c 32768 -np 1", device="cuda", build="b11434")
    assert {one.severity for one in examine(setup)} <= {Severity.NOTE}


def test_the_default_is_not_complained_about_at_all() -> None:
    """f16 with a context and one slot."""
    assert examine(command(f"{LLAMA} -c 8192 -np 1", device="cuda", build="b11434")) == ()


def test_old_ollama_pins_a_build_whose_pairs_are_known() -> None:
    """q5_1 on both sides runs on the CPU there, because the pinned build has no kernel for it."""
    assert "attention-on-cpu" in findings(command("OLLAMA_KV_CACHE_TYPE=q5_1 ollama serve", device="cuda"))


def test_ik_llama_cpp_knows_types_of_its_own() -> None:
    """And refuses them for V without flash attention."""
    found = findings(command("ik_llama.cpp/llama-server -ctk q6_0 -ctv q8_KV -fa off"))
    assert "v-needs-flash-attention" in found
    assert "unknown-type" not in found


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (f"{LLAMA} -ctk q8_0 -fa", f"{LLAMA} -ctk q8_0 -fa on"),
        (f"{LLAMA} --flash-attn -mg 0", f"{LLAMA} --flash-attn on -mg 0"),
        (f"{LLAMA} -fa yes", f"{LLAMA} -fa on"),
        (f"{LLAMA} -fa True", f"{LLAMA} -fa on"),
        ("ik_llama.cpp/llama-server -fa -ctk q8_0", "ik_llama.cpp/llama-server -fa on -ctk q8_0"),
    ],
)
def test_flash_attention_wants_one_of_its_own_values(text: str, fix: str) -> None:
    """Nothing, the next flag and a word in capital letters end the server; builds that took none are let alone."""
    assert findings(command(text))["flash-attention-value"].fix == fix
    assert "flash-attention-value" not in findings(command(f"{LLAMA} -fa -ctk q8_0", build="b6055"))
    assert "flash-attention-value" not in findings(command(f"{LLAMA} -fa -1"))


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("koboldcpp --quantkv q8_0", None),
        ("koboldcpp --quantkv bf16 --noflashattention", None),
        ("koboldcpp --quantkv 1", N),
        ("koboldcpp --quantkv q4_0 -nofa", W),
        ("koboldcpp --quantkv q6_0", P),
    ],
)
def test_koboldcpps_knob_depends_on_its_release(text: str, severity: Severity | None) -> None:
    """Names came together with a default of flash attention, or after it; what is a number may be older."""
    found = findings(command(text)).get("koboldcpp-quantkv")
    assert (found.severity if found else None) is severity


def test_tabbyapis_modes_are_written_in_capital_letters() -> None:
    """Its validation knows FP16 and Q8, not fp16 and q8."""
    assert findings(tabby(cache_mode="q8"))["cache-mode-form"].fix == "cache_mode: Q8"
    assert findings(tabby(cache_mode="fp16"))["cache-mode-form"].fix == "cache_mode: FP16"


@pytest.mark.parametrize("mode", ["disabled", "ngram"])
def test_without_a_draft_model_there_is_no_draft_cache(mode: str) -> None:
    """A name may stand there while TabbyAPI's draft_mode leaves it alone."""
    setup = file(f"model:\n  cache_mode: Q8\ndraft_model:\n  draft_model_name: small\n  draft_mode: {mode}\n")
    assert "draft-cache-mode" not in findings(setup)


@pytest.mark.parametrize(
    ("variables", "rule", "found"),
    [
        ("OLLAMA_KV_CACHE_TYPE='\"q8_0\"'", "ollama-unchecked", False),
        ("OLLAMA_KV_CACHE_TYPE=", "ollama-env-missing", True),
        ("OLLAMA_KV_CACHE_TYPE=q8_0 OLLAMA_FLASH_ATTENTION=off", "ollama-flash-attention", False),
        ("OLLAMA_KV_CACHE_TYPE=q8_0 OLLAMA_FLASH_ATTENTION=False", "ollama-flash-attention", True),
    ],
)
def test_ollamas_variables_mean_what_ollama_reads_in_them(variables: str, rule: str, found: bool) -> None:  # noqa: FBT001
    """Quotes are taken off, nothing is unset, and a switch that is no Go boolean is on."""
    assert (rule in findings(command(f"{variables} ollama serve"))) is found


@pytest.mark.parametrize(("value", "off"), [("1", True), ("2", True), ("0", False), ("true", False), ("", False)])
def test_rotation_is_switched_off_by_a_number_only(value: str, off: bool) -> None:  # noqa: FBT001
    """llama.cpp reads the variable by atoi."""
    setup = command(f"LLAMA_ATTN_ROT_DISABLE={value} {LLAMA} -ctk q8_0")
    assert ("rotation-disabled" in findings(setup)) is off


def test_a_variable_that_vllm_ignores_refuses_nothing() -> None:
    """The back end that it names is not the one that runs."""
    setup = command("VLLM_ATTENTION_BACKEND=FLASH_ATTN vllm serve a/b --kv-cache-dtype fp8_e5m2")
    assert "vllm-backend" not in findings(setup)


@pytest.mark.parametrize("kept", ["-nkvo", "-ngl 0", "--device none"])
def test_a_cache_that_stays_with_the_cpu_needs_no_kernel(kept: str) -> None:
    """No vector kernel to compile, no scratch on the card."""
    setup = command(f"{LLAMA} -ctk q8_0 -ctv q4_0 {kept}", device="cuda", build="b11434")
    assert not {"slow-on-gpu", "scratch", "device-unknown"} & findings(setup).keys()


def test_tensor_overrides_add_up() -> None:
    """They are collected, so that none is lost; and a variable beside them counts, too."""
    found = findings(command(f"LLAMA_ARG_OVERRIDE_TENSOR=a=CPU {LLAMA} -ot b=CPU -ot c=CPU"))
    assert not {"repeated-flags", "env-overridden"} & found.keys()


@pytest.mark.parametrize("flags", ["-fmoe -rtr", "-mla 3 -amb 512", "-ctv-first q8_0,2"])
def test_flags_of_ik_llama_cpp_tell_it(flags: str) -> None:
    """So that its types are known."""
    setup = command(f"./llama-server -m m.gguf -ctk q8_KV {flags}")
    assert (setup.engine, "unknown-type" in findings(setup)) == ("ik_llama.cpp", False)


def test_ik_llama_cpp_switches_flash_attention_off_by_a_flag_of_its_own() -> None:
    """-no-fa takes no value, and is none that is missing."""
    found = findings(command("ik_llama.cpp/llama-server -no-fa -ctv q8_0"))
    assert "v-needs-flash-attention" in found
    assert "flash-attention-value" not in found


@pytest.mark.parametrize("program", ["llama-cli", "llama cli"])
def test_only_a_server_has_slots(program: str) -> None:
    """The command line's program has one sequence."""
    assert "parallel-auto" not in findings(command(f"{program} -m m.gguf"))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("q4", "q4_0"), ("q5", "q5_0"), ("Q8_0", "q8_0"), ("fp16", "f16"), ("q4_k_m", "q4_0"), ("bfloat16", "bf16")],
)
def test_the_type_that_was_meant_is_proposed(typed: str, meant: str) -> None:
    """The common one of its size."""
    assert str(findings(command(f"{LLAMA} -ctk {typed}"))["unknown-type"].fix).endswith(f"-ctk {meant}")


@pytest.mark.parametrize("text", ["LLAMA_ARG_CTX_SIZE=131,072 llama-server", "llama-server -c 131_072"])
def test_a_number_in_groups_is_cut_short_as_well(text: str) -> None:
    """In a variable as in a flag."""
    assert "131072" in str(findings(command(text))["number-cut-short"].fix)


def test_a_script_of_exllamav3_has_no_mode_of_tabbyapi() -> None:
    """Its bits are what -cq says, and no default stands beside them."""
    assert command("python examples/chat.py -m x -cq 4,3").value("cache_mode") is None


def test_ollamas_forecast_is_said_as_it_is_today() -> None:
    """It counts f16 before a model is loaded, which is too much, not too little."""
    said = findings(command("OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve"))["ollama-one-value"]
    assert "counts the cache as f16" in said.why


def test_flash_attention_on_is_not_a_question_either() -> None:
    """No device is asked."""
    assert "-fa on" in findings(command(f"{LLAMA} -ctk q8_0 -fa on"))["probe-skipped"].what


def test_one_wrong_side_does_not_hide_the_other() -> None:
    """An unknown K type, and a V that flash attention is missing for."""
    assert {"unknown-type", "v-needs-flash-attention"} <= findings(command(f"{LLAMA} -ctk q9 -ctv q8_0 -fa off")).keys()
    python = command("python -m llama_cpp.server --type_k q8_0 --type_v 2")
    assert {"python-numbers", "python-flash-attention"} <= findings(python).keys()


def test_a_missing_draft_of_ik_or_ngram_speculation_has_no_cache() -> None:
    """Speculation without a model of its own has no second cache."""
    assert "draft-cache" not in findings(command(f"{LLAMA} -ctk q8_0 --spec-type ngram-simple"))
    assert "draft-cache" in findings(command(f"{LLAMA} -ctk q8_0 --spec-type draft-mtp"))


BUILDS: tuple[tuple[str, Callable[[str], Setup]], ...] = (
    ("mla-unequal", lambda build: command(f"{LLAMA} -ctk q8_0", mla="yes", build=build)),
    ("probe-skipped", lambda build: command(f"{LLAMA} -ctv q8_0", build=build)),
)


def test_between_two_bisected_builds_nothing_is_claimed() -> None:
    """Notes that say 'if', or silence."""
    for rule, setup in BUILDS:
        found = findings(setup("b10210")).get(rule)
        assert found is None or (found.severity is Severity.NOTE and "if" in found.why)


@pytest.mark.parametrize(
    ("setup", "fix"),
    [
        (tabby(cache_mode="Q4"), "cache_mode: 8,4"),
        (command("python examples/chat.py -m x -cq 5"), "python examples/chat.py -m x -cq 8,5"),
        (command("python examples/chat.py -m x -cq 4,3"), "python examples/chat.py -m x -cq 8,4"),
    ],
)
def test_few_bits_of_k_are_told_however_they_are_written(setup: Setup, fix: str) -> None:
    """By name, as one number for both sides, or as a pair; V has 4 bits at least, as was measured."""
    assert findings(setup)["few-bits-of-k"].fix == fix


def test_few_bits_of_both_halves_are_one_warning_whose_fix_has_neither() -> None:
    """K breaks more than V costs, and 8,2 would be no cure."""
    found = findings(tabby(cache_mode="4,2"))
    assert found["few-bits-of-k"].fix == "cache_mode: 8,4"
    assert "few-bits-of-v" not in found
