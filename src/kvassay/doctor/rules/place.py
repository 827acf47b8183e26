"""Rules about where attention runs: on the GPU, slowly, or silently on the CPU."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvassay.backend.kv import is_quantized
from kvassay.doctor.reading import build_number, changed, is_llama, pair, placed
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.plan.capability import VECTOR_DIMS, Where, since
from kvassay.types import KVConfig

_COMMON = ("cuda", "metal", "vulkan")
_NO_KERNEL = re.compile(r"no FlashAttention vector kernel compiled for K/V types ([\w]+)-([\w]+)")
_ASKED_FOR = (
    "With auto the server warns where a device lacks one; so an unsupported pair runs on the CPU without a word."
)
_FORCED = (
    "This build switches flash attention on without asking the device, so an unsupported pair runs on the CPU without "
    "a warning."
)
_PROBED = (
    "This build asks the device, and refuses to start where it has no kernel: "
    "'quantized V cache was requested, but this requires Flash Attention'."
)
_NO_KERNEL_HERE = "The device has no attention kernel for this pair."
_REPORTED = "Reported: 11,250 → 358–381 tokens/s on an RTX 4090 (PR 27150), 1,511 → 197 (issue 28455)."
_COMPILED = ("q4_0-q4_0", "q8_0-q8_0", "f16-f16", "bf16-bf16")  # ggml/CMakeLists.txt:208 at b11434
_MANY_SPLITS = 8  # a model that lies on the GPU whole has 2


_SWITCHED_OFF = (
    "With -fa auto the server asks the device, and goes on without flash attention: slower, and with a compute buffer "
    "that grows with the context. With -fa on attention would run on the CPU."
)


def attention_on_cpu(setup: Setup) -> Iterator[Finding]:
    """The pair has no kernel on this device: attention runs on the CPU, or without flash attention, or not at all."""
    device, kv = setup.value("device"), pair(setup)
    if device is None or device == "cpu" or kv is None:
        return
    answer = placed(setup, device)
    if answer is None or answer.where is not Where.CPU:
        return
    severity, what, why = Severity.WARNING, f"With {kv} attention runs on the CPU.", f"{answer.why} {_REPORTED}"
    if _asks_first(setup):
        what, why = f"With {kv} the server switches flash attention off.", f"{_NO_KERNEL_HERE} {_SWITCHED_OFF}"
    elif _refuses(setup):
        severity, what = Severity.PROBLEM, f"The server refuses to start with {kv}."
        why = f"{_NO_KERNEL_HERE} {_PROBED}"
    evidence = setup.evidence("k_type", "v_type", "flash_attention", "device", "build")
    yield Finding(severity, what, why, evidence, _equal_fix(setup, kv.k), answer.source)


def _asks_first(setup: Setup) -> bool:
    """Whether -fa auto asks the device: it does unless V is quantised (llama-context.cpp:3843 of b11434)."""
    kv = pair(setup)
    return setup.value("flash_attention") == "auto" and kv is not None and not is_quantized(kv.v)


def _refuses(setup: Setup) -> bool:
    """Whether this is an older build, in which -fa auto asks even if V is quantised, and ends where it is refused."""
    old = since("quantised-v-forces-flash-attention", build_number(setup)) is False
    return setup.value("flash_attention") == "auto" and old and not _asks_first(setup)


def _equal_fix(setup: Setup, k: str) -> str | None:
    """K stays where it is, or becomes q8_0 where its type is the reason; V follows."""
    both = k if k in {"f16", "q8_0", "q4_0"} else "q8_0"
    if setup.engine == "ollama":
        return changed(setup, {"kv_type": both})
    if setup.engine in {"llama-cpp-python", "koboldcpp"}:
        return None
    return changed(setup, {"k_type": both, "v_type": both}) or None


def slow_on_gpu(setup: Setup) -> Iterator[Finding]:
    """The pair runs on the GPU, but each step converts the whole visible cache."""
    device, kv = setup.value("device"), pair(setup)
    answer = placed(setup, device) if device else None
    if kv is None or answer is None or answer.where is not Where.SLOW_ON_GPU or _logged(setup):
        return
    yield Finding(
        Severity.WARNING,
        f"{kv} decodes slowly on this build.",
        answer.why,
        setup.evidence("k_type", "v_type", "device", "build", "head_dim_k"),
        _kernel_fix(kv.k, kv.v) if device in {"cuda", "hip", "musa"} and _can_compile(setup, kv) else None,
        answer.source,
    )


def no_vector_kernel(setup: Setup) -> Iterator[Finding]:
    """The log says that no vector kernel was compiled for the pair."""
    for line in _logged(setup):
        k, v = _NO_KERNEL.findall(line)[0]
        yield Finding(
            Severity.WARNING,
            f"There is no vector kernel for {k}/{v} in this build: decoding is slow.",
            "Each step converts the whole visible cache to f16, on the GPU.",
            (f"log: {line}",),
            _kernel_fix(k, v),
            "llama.cpp b11434 ggml/src/ggml-cuda/fattn.cu:497-513",
        )


def _logged(setup: Setup) -> list[str]:
    return [line for line in (setup.log.warnings if setup.log else ()) if _NO_KERNEL.search(line)]


def _can_compile(setup: Setup, kv: KVConfig) -> bool:
    """Whether a build with the pair's kernel would be faster: there is one for some head dimensions only."""
    dim = setup.number("head_dim_k")
    return f"{kv.k}-{kv.v}" not in _COMPILED and (dim is None or dim in VECTOR_DIMS)


def _kernel_fix(k: str, v: str) -> str:
    listed = ";".join(dict.fromkeys([*_COMPILED, f"{k}-{v}"]))
    return f'cmake -B build -DGGML_CUDA=ON -DGGML_CUDA_FA_QUANTS="{listed}"'


def placement_unknown(setup: Setup) -> Iterator[Finding]:
    """The device is known, but where the pair runs there is not, for want of the build or of anyone having looked."""
    device, kv = setup.value("device"), pair(setup)
    answer = placed(setup, device) if device else None
    if kv is None or answer is None or answer.where is not Where.UNKNOWN or kv.k == kv.v == "f16":
        return
    yield Finding(
        Severity.NOTE,
        f"Where {kv} runs attention here is not known.",
        answer.why,
        setup.evidence("k_type", "v_type", "device", "build"),
        None,
        answer.source,
    )


def device_unknown(setup: Setup) -> Iterator[Finding]:
    """The pair is slow or on the CPU on some devices, and the device is not known."""
    kv = pair(setup)
    if not is_llama(setup) or setup.value("device") or kv is None:
        return
    answers = {device: placed(setup, device) for device in _COMMON}
    auto = f" {_SWITCHED_OFF}" if _asks_first(setup) else ""
    told = [
        f"{device}: {answer.why}"
        for device, answer in answers.items()
        if answer
        and (answer.where in {Where.CPU, Where.SLOW_ON_GPU} or (answer.where is Where.UNKNOWN and kv.k != kv.v))
    ]
    if told:
        yield Finding(
            Severity.NOTE,
            f"Whether {kv} runs well depends on the device, which is not known here.",
            f"If your build is for one of these: {' — '.join(told)}{auto} Say --device and --build for a definite "
            "answer.",
            setup.evidence("k_type", "v_type", "build"),
            None,
            "the capability table",
        )


def flash_attention_lost(setup: Setup) -> Iterator[Finding]:
    """The log says that flash attention was given up, or that it sits on another device."""
    lines = [x for x in (setup.log.warnings if setup.log else ()) if "Flash Attention not supported" in x]
    moved = [x for x in (setup.log.warnings if setup.log else ()) if "Flash Attention is assigned" in x]
    if lines or moved:
        yield Finding(
            Severity.WARNING,
            "Flash attention is not supported on this device with this model or pair.",
            "The server went on without it, or with it on another device: slower, and with more memory.",
            tuple(f"log: {line}" for line in (*moved[:1], *lines[:1])),
            None,
            "llama.cpp b11434 src/llama-context.cpp:508-560",
        )


def many_splits(setup: Setup) -> Iterator[Finding]:
    """Many graph splits on a GPU: something, probably attention, runs on the CPU."""
    splits = setup.log.graph_splits if setup.log else None
    if splits is None or splits <= _MANY_SPLITS or setup.value("device") in {None, "cpu"}:
        return
    if setup.value("offload") == "whole":
        yield Finding(
            Severity.WARNING,
            f"The graph is cut into {splits} pieces although all layers lie on the GPU.",
            "Each cut moves work between devices; that many mean that an operation of each layer, probably attention, "
            "runs on the CPU. (Inferred from the source; GGML_SCHED_DEBUG=2 -v names the device of each node.)",
            (f"log: splits = {splits}", *setup.evidence("offload", "device")),
            None,
            "llama.cpp b11434, inferred",
        )


def probe_skipped(setup: Setup) -> Iterator[Finding]:
    """With -fa on, or with a quantised V, nobody looks whether the device has a kernel."""
    kv, flash = pair(setup), setup.value("flash_attention")
    if setup.engine != "llama.cpp" or kv is None or setup.log is not None:
        return
    forced = since("quantised-v-forces-flash-attention", build_number(setup))
    asked_for = flash == "on" and setup.stated("flash_attention") and kv.k != "f16"
    if not asked_for and (flash != "auto" or not is_quantized(kv.v) or forced is None):
        return
    yield Finding(
        Severity.NOTE,
        "-fa on does not ask whether the device has a kernel."
        if asked_for
        else "-fa auto is not a question here: V is quantised.",
        _ASKED_FOR if asked_for else _FORCED if forced else _PROBED,
        setup.evidence("v_type", "flash_attention", "build"),
        None,
        "llama.cpp b11434 src/llama-context.cpp:508-560, 3843-3852, bisected b10204..b10216",
    )
