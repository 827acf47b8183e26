"""Rules about vLLM and SGLang."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.doctor.reading import changed, without
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.plan.capability_file import engines

_VLLM = "vllm 0.33.0"
_SGLANG = "sglang 0.5.23"
_SCALED = frozenset({"fp8", "fp8_e4m3"})
_BACKENDS = {
    "FLASH_ATTN": frozenset({"auto", "float16", "bfloat16", "fp8", "fp8_e4m3"}),
    "FLASHINFER": frozenset({"auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "nvfp4"}),
}
_NOTES = {
    "nvfp4": "nvfp4 runs on Blackwell cards of SM100 and SM120 only.",
    "mxfp8": "mxfp8 wants a Blackwell card and FlashAttention 4.",
}


def unknown_dtype(setup: Setup) -> Iterator[Finding]:
    """A --kv-cache-dtype that the engine does not know; fp4_e2m1 was SGLang's old name."""
    value = setup.value("kv_dtype")
    known = engines()[setup.engine].k_types if setup.engine in {"vllm", "sglang"} else ()
    if not known or value is None or value in known:
        return
    gone = value == "fp4_e2m1" and setup.engine == "sglang"
    nearest = "fp4_mx_block16" if gone else ("fp8_e4m3" if "8" in value else "auto")
    yield Finding(
        Severity.PROBLEM,
        f"--kv-cache-dtype {value} is not known." if not gone else "The name fp4_e2m1 is gone.",
        f"It takes {', '.join(known)}.",
        setup.evidence("kv_dtype"),
        changed(setup, {"kv_dtype": nearest}),
        _VLLM + " config/cache.py:44-67" if setup.engine == "vllm" else _SGLANG + " mem_cache/kv_cache_dtype.py",
    )


def vllm_scales(setup: Setup) -> Iterator[Finding]:
    """fp8 without calibrated scales uses 1.0."""
    if setup.engine == "vllm" and setup.value("kv_dtype") in _SCALED and setup.value("calculate_kv_scales") != "on":
        yield Finding(
            Severity.WARNING,
            "Unless the checkpoint brings calibrated KV scales, fp8 uses a scale of 1.0.",
            "Values beyond fp8's range are then cut off, which hits models with large K values; vLLM only warns. "
            "Look for "
            "'scale' in its log, or calibrate the checkpoint.",
            setup.evidence("kv_dtype", "model"),
            changed(setup, {"kv_dtype": "auto"}),
            f"{_VLLM} quantization/kv_cache.py:164",
        )


def vllm_calculate_scales(setup: Setup) -> Iterator[Finding]:
    """--calculate-kv-scales is gone."""
    if setup.engine == "vllm" and setup.value("calculate_kv_scales") == "on":
        yield Finding(
            Severity.PROBLEM,
            "--calculate-kv-scales does not exist any more.",
            "It was documented in v0.25 and has no occurrence in 0.33.0; if your vLLM is older, it may still be "
            "there. Scales "
            "now come from a calibrated checkpoint.",
            setup.evidence("calculate_kv_scales"),
            without(setup, "calculate_kv_scales") if setup.words else "# remove calculate-kv-scales",
            f"{_VLLM}, no occurrence",
        )


def vllm_backend(setup: Setup) -> Iterator[Finding]:
    """The named attention back end does not take the type."""
    named, dtype = (setup.value("attention_backend") or "").upper(), setup.value("kv_dtype")
    if setup.engine == "vllm" and named in _BACKENDS and dtype is not None and dtype not in _BACKENDS[named]:
        yield Finding(
            Severity.PROBLEM,
            f"The attention back end {named} does not take {dtype}.",
            "vLLM ends with 'No valid attention backend found'; leave the choice to it.",
            setup.evidence("attention_backend", "kv_dtype"),
            without(setup, "attention_backend"),
            f"{_VLLM} flash_attn.py:290, flashinfer.py:573, platforms/cuda.py:473",
        )


def vllm_backend_variable(setup: Setup) -> Iterator[Finding]:
    """VLLM_ATTENTION_BACKEND is not read any more."""
    named = setup.value("ignored_backend")
    if setup.engine == "vllm" and named is not None:
        yield Finding(
            Severity.WARNING,
            f"VLLM_ATTENTION_BACKEND={named} has no effect.",
            "vLLM has not read it since 0.14 and says nothing; the choice is a flag now: --attention-backend.",
            setup.evidence("ignored_backend", "kv_dtype"),
            changed(setup, {"attention_backend": named}) if not setup.stated("attention_backend") else None,
            "vllm PRs 26315 and 30564, issue 50292 (0.26.0)",
        )


def vllm_turboquant(setup: Setup) -> Iterator[Finding]:
    """TurboQuant leaves out layers and forces FlashAttention 2."""
    dtype = setup.value("kv_dtype") or ""
    if setup.engine == "vllm" and dtype.startswith("turboquant"):
        yield Finding(
            Severity.NOTE,
            f"{dtype} leaves the first and last two layers of dense models unquantised and forces FlashAttention 2.",
            "So it saves less and may run slower than expected. Its own notes give the rise in perplexity: k8v4 "
            "1.17 %, "
            "4bit 2.71 %, k3v4 10.63 %, 3bit 20.59 %.",
            setup.evidence("kv_dtype"),
            None,
            f"{_VLLM} arg_utils.py:2334-2351, 2755-2770; turboquant/config.py:20-41",
        )


def sglang_hardware(setup: Setup) -> Iterator[Finding]:
    """Types that need certain cards."""
    dtype = setup.value("kv_dtype") or ""
    if setup.engine != "sglang":
        return
    if dtype in _NOTES:
        yield Finding(
            Severity.NOTE,
            _NOTES[dtype],
            "Elsewhere SGLang refuses to start.",
            setup.evidence("kv_dtype"),
            None,
            f"{_SGLANG} arg_groups/kv_cache_hook.py",
        )
    if dtype == "fp8_e5m2" and setup.value("device") == "cpu":
        yield Finding(
            Severity.PROBLEM,
            "fp8_e5m2 is not available on CPUs.",
            "SGLang refuses to start.",
            setup.evidence("kv_dtype", "device"),
            changed(setup, {"kv_dtype": "auto"}),
            f"{_SGLANG} arg_groups/kv_cache_hook.py",
        )
