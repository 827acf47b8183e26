"""Rules about what precision costs in quality: low-precision K, rotation. What is cited is said with model and n."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.backend.kv import is_quantized
from kvassay.doctor.reading import build_number, changed, is_llama, pair, quantises, unset, written
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.types import KVConfig

_MEASURED = ("q5_1", "q5_0", "q4_1", "q4_0")
_LOW = frozenset({*_MEASURED, "iq4_nl"})


def low_precision_k(setup: Setup) -> Iterator[Finding]:
    """K at q5_1 or below: what has been measured, on one model."""
    kv = pair(setup)
    if not is_llama(setup) or kv is None or kv.k not in _LOW:
        return
    aside = "" if kv.k in _MEASURED else f" ({kv.k} itself was not measured)"
    yield Finding(
        Severity.WARNING,
        f"K at low precision has been seen to break tool calls; here it is {kv.k}.",
        "Measured on one model (Qwen2.5-Coder-1.5B Q4_K_M, llama.cpp b11434, CUDA, rotation on, 180 probes a pair at "
        f"2k, 8k and 16k tokens): with K at {', '.join(_MEASURED)}{aside} none was right, whether V was quantised too "
        "or not; f16/f16 had 128, and q8_0/q4_0 126. Nothing follows for other models: 'kvassay run' measures yours.",
        setup.evidence("k_type", "kv_type", "quantkv", "k_number", "model"),
        _raise_k(setup, kv),
        "docs/results/claim-30k",
    )


def _raise_k(setup: Setup, kv: KVConfig) -> str | None:
    match setup.engine:
        case "ollama":
            return changed(setup, {"kv_type": "q8_0"})
        case "koboldcpp":
            return changed(setup, {"quantkv": "1"})
        case "llama-cpp-python":
            return changed(setup, {"k_number": "8"})
        case _ if setup.value("mla") == "yes":
            return changed(setup, {"k_type": "q8_0", "v_type": "q8_0"})
        case _:
            return changed(setup, {"k_type": "q8_0"}) if kv.k != "q8_0" else None


def rotation_disabled(setup: Setup) -> Iterator[Finding]:
    """LLAMA_ATTN_ROT_DISABLE switches off what makes low-bit caches usable."""
    if not is_llama(setup) or setup.value("rotation_off") != "on" or not quantises(setup):
        return
    if setup.value("architecture") == "deepseek4":
        return
    yield Finding(
        Severity.WARNING,
        "Rotation of the quantised cache is switched off.",
        "It is on by default since PR 21038 (April 2026) because it helps: perplexity of Qwen3-0.6B with it 14.1 "
        "instead of "
        "61.7 at q5_1, 22.3 instead of 212 at q4_1 (published there).",
        setup.evidence("rotation_off"),
        unset(setup, "LLAMA_ATTN_ROT_DISABLE"),
        "llama.cpp b11434 src/llama-kv-cache.cpp:313-361; PR 21038",
    )


def rotation_off_in_log(setup: Setup) -> Iterator[Finding]:
    """The log says that a quantised side is not rotated."""
    log = setup.log
    if log is None or not log.caches or setup.engine != "llama.cpp" or setup.value("rotation_off") == "on":
        return
    cache = log.caches[0]
    sides = (("K", cache.k_type, log.k_rotation, log.k_head_dim), ("V", cache.v_type, log.v_rotation, log.v_head_dim))
    for side, cache_type, block, dim in sides:
        if is_quantized(cache_type) and block == 0:
            odd = dim is not None and dim % 64 != 0
            yield Finding(
                Severity.NOTE if odd else Severity.WARNING,
                f"{side} at {cache_type} is not rotated.",
                f"Its head dimension {dim} is no multiple of 64."
                if odd
                else "Rotation was switched off, or head dimensions differ between the layers of this cache.",
                (f"log: n_rot_{side.lower()} = 0", *setup.evidence(f"head_dim_{side.lower()}")),
                None,
                "llama.cpp b11434 src/llama-kv-cache.cpp:313-361",
            )


def rotation_and_deepseek4(setup: Setup) -> Iterator[Finding]:
    """Quantised K with rotation gave garbage on DeepSeek-V4."""
    kv = pair(setup)
    if not is_llama(setup) or setup.value("architecture") != "deepseek4" or kv is None or not is_quantized(kv.k):
        return
    if setup.value("rotation_off") == "on":
        return
    yield Finding(
        Severity.WARNING,
        f"K at {kv.k} with rotation was reported to give garbage on DeepSeek-V4.",
        "Reported and repaired in July 2026 (issue 25382, PR 25391); which builds are affected was not located.",
        setup.evidence("architecture", "k_type", "build"),
        changed(setup, {"k_type": "f16", "v_type": "f16"}),
        "llama.cpp issue 25382, PR 25391",
    )


def ik_rotation(setup: Setup) -> Iterator[Finding]:
    """ik_llama.cpp rotates only when asked, and only quantised sides."""
    if setup.engine != "ik_llama.cpp":
        return
    for side, flag in (("k", "-khad"), ("v", "-vhad")):
        cache_type, wanted = setup.value(f"{side}_type"), setup.value(f"rotation_{side}") == "on"
        quantised = cache_type is not None and cache_type not in {"f16", "bf16", "f32"}
        if quantised and not wanted:
            yield Finding(
                Severity.NOTE,
                f"ik_llama.cpp does not rotate {side.upper()} unless {flag} is given.",
                "llama.cpp has rotated quantised sides by default since April 2026; here it is off by default.",
                setup.evidence(f"{side}_type"),
                written(setup, [*setup.words, flag]),
                "ik_llama.cpp 8337e4cd common/common.h:460",
            )
        if wanted and not quantised:
            yield Finding(
                Severity.NOTE,
                f"{flag} has no effect: {side.upper()} is not quantised.",
                "The flag is dropped with a warning.",
                setup.evidence(f"rotation_{side}", f"{side}_type"),
                None,
                "ik_llama.cpp 8337e4cd src/llama.cpp:8043-8071",
            )


def ik_deepseek4(setup: Setup) -> Iterator[Finding]:
    """ik_llama.cpp restricts K on DeepSeek-V4."""
    if setup.engine != "ik_llama.cpp" or setup.value("architecture") != "deepseek4":
        return
    if setup.value("k_type") not in {None, "f16", "bf16", "q8_0"} or setup.value("rotation_k") == "on":
        yield Finding(
            Severity.PROBLEM,
            "On DeepSeek-V4 ik_llama.cpp takes K at f16, bf16 or q8_0 only, without -khad.",
            "Anything else is refused.",
            setup.evidence("architecture", "k_type", "rotation_k"),
            changed(setup, {"k_type": "q8_0"}),
            "ik_llama.cpp 8337e4cd",
        )


def engine_build_unknown(setup: Setup) -> Iterator[Finding]:
    """Rotation depends on the build's age; without a build one can only ask."""
    if setup.engine == "llama.cpp" and setup.words and quantises(setup) and build_number(setup) is None:
        yield Finding(
            Severity.NOTE,
            "The build is not known.",
            "If your build is older than April 2026, a quantised cache is not rotated and loses more; rules that "
            "depend on the "
            "build stay silent. 'llama-server --version' names it; pass it on with --build N.",
            setup.evidence("k_type", "v_type"),
            None,
            "llama.cpp PR 21038",
        )
