"""Rules about what the cache holds and costs in llama.cpp: slots, drafts, windows, scratch, and what the log hides."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.backend.kv import is_quantized
from kvassay.doctor.command import base
from kvassay.doctor.reading import build_number, changed, flash_off, is_llama, on_cpu, pair, quantises
from kvassay.doctor.setup import Finding, Setup, Severity
from kvassay.plan.capability import since

_LOG_LEVEL = 4
_SPLIT_DRAFT = ("draft-mtp", "draft-simple", "draft-eagle3", "draft-dflash", "draft-dspark", "mtp", "eagle3")


def draft_cache(setup: Setup) -> Iterator[Finding]:
    """A draft or MTP context has its own cache, f16 unless told otherwise."""
    drafts = [name for name in ("draft_model", "draft_repo", "spec_type") if setup.stated(name)]
    if setup.value("spec_type") is not None and not any(x in (setup.value("spec_type") or "") for x in _SPLIT_DRAFT):
        drafts = [name for name in drafts if name != "spec_type"]
    kv = pair(setup)
    unset = [side for side in "kv" if not setup.stated(f"draft_{side}_type")]
    if setup.engine != "llama.cpp" or not drafts or not unset or kv is None or not quantises(setup):
        return
    types = {"k": kv.k if kv.k in {"f16", "bf16", "f32"} else "q8_0", "v": kv.v}
    yield Finding(
        Severity.NOTE,
        "The draft's cache is separate and stays f16.",
        "-ctk and -ctv hold for the main model only; the draft or MTP context has flags of its own.",
        setup.evidence(*drafts, "k_type", "v_type"),
        changed(setup, {f"draft_{side}_type": types[side] for side in unset}),
        "llama.cpp b11434 common/arg.cpp:4100-4122",
    )


def parallel_auto(setup: Setup) -> Iterator[Finding]:
    """Without -np there are four slots, which share the context."""
    given = setup.value("parallel")
    if setup.engine != "llama.cpp" or not setup.words or setup.unresolved or given not in {None, "-1"}:
        return
    if base(setup.words[0]) == "llama-cli" or setup.words[1:2] == ("cli",):
        return
    yield Finding(
        Severity.NOTE,
        "Without -np the server has 4 slots.",
        "They share one cache, so a single request may use all of it; sliding-window and recurrent layers pay "
        "for each slot "
        "(measured: +2,400 MiB on Gemma-4-31B, +449 MiB on Qwen3.6-27B at 64k against -np 1). One user needs one.",
        setup.evidence("parallel", "context") or ("no -np",),
        changed(setup, {"parallel": "1"}),
        "llama.cpp b11434 tools/server/server.cpp:168, common/arg.cpp:1406",
    )


def slots_divide_context(setup: Setup) -> Iterator[Finding]:
    """With -np N and no unified cache each slot has an N-th of -c."""
    slots, context = setup.number("parallel"), setup.number("context")
    if setup.engine != "llama.cpp" or setup.value("unified") == "on" or slots is None or slots < 2 or not context:  # noqa: PLR2004
        return
    yield Finding(
        Severity.WARNING if context // slots < 32_768 <= context else Severity.NOTE,  # noqa: PLR2004 - an agent's prompt
        f"Each of the {slots} slots holds {context // slots:,} tokens, not {context:,}.",
        "-c is divided among the slots unless --kv-unified is given (rounded up to 256).",
        setup.evidence("context", "parallel", "unified"),
        changed(setup, {"context": str(context * slots)}),
        "llama.cpp b11434 src/llama-context.cpp:295-305",
    )


def log_hides_cache(setup: Setup) -> Iterator[Finding]:
    """The lines of the KV cache stand in the log at verbosity 4 only."""
    hidden = since("kv-lines-at-verbosity-4", build_number(setup))
    level = setup.number("verbosity")
    if setup.engine != "llama.cpp" or not setup.words or hidden is False or setup.value("verbose") == "on":
        return
    if level is None or level >= _LOG_LEVEL or setup.log is not None or not quantises(setup):
        return
    unless = "" if hidden else "If your build is b9246 or newer: "
    yield Finding(
        Severity.NOTE,
        "The log will not say which cache types were allocated.",
        f"{unless}the KV, graph and rotation lines stand at verbosity 4; the default is 3. No HTTP endpoint tells "
        "either.",
        setup.evidence("verbosity", "build"),
        changed(setup, {"verbosity": "4"}),
        "llama.cpp b11434 common/log.cpp:532-543, bisected b9113..b9246",
    )


def log_without_cache(setup: Setup) -> Iterator[Finding]:
    """This log holds no line of the KV cache."""
    if setup.engine == "llama.cpp" and setup.log is not None and not setup.log.caches and not setup.words:
        yield Finding(
            Severity.NOTE,
            "This log has no line of the KV cache, so the cache types can't be read from it.",
            "They stand at verbosity 4 (-lv 4 or LLAMA_ARG_LOG_VERBOSITY=4) in builds from b9246 on, "
            "or the server did not get that far.",
            (),
            "LLAMA_ARG_LOG_VERBOSITY=4",
            "llama.cpp b11434 common/log.cpp:532-543",
        )


def http_hides_types(setup: Setup) -> Iterator[Finding]:
    """llama-server and Ollama tell no cache types by HTTP."""
    if setup.engine not in {"llama.cpp", "ollama"} or not setup.value("url") or setup.log or pair(setup) is not None:
        return
    told = {
        "llama.cpp": "/props, /slots and /metrics hold no cache type and no flash attention.",
        "ollama": "/api/ps tells memory and context only.",
    }
    yield Finding(
        Severity.NOTE,
        "The server does not tell its cache types by HTTP.",
        f"{told[setup.engine]} On the server's machine 'kvassay doctor --pid N' reads its command and variables, and "
        "--log FILE its log.",
        setup.evidence("url", "build", "version"),
        None,
        "llama.cpp b11434 tools/server/server-context.cpp:4957-5000; Ollama fb307609",
    )


def build_unnamed(setup: Setup) -> Iterator[Finding]:
    """The build says b0-unknown, as xllamacpp's and own builds without git do."""
    if is_llama(setup) and (setup.value("build") or "").startswith(("b0", "0 ")):
        yield Finding(
            Severity.NOTE,
            "The build does not know its own number.",
            "Rules that depend on the build stay silent, or say 'if'. Name it with --build N.",
            setup.evidence("build"),
            None,
            "xllamacpp 2026.10.11549 reports b0-unknown",
        )


def window_saves_less(setup: Setup) -> Iterator[Finding]:
    """In models with sliding-window layers the cache of most layers is short, so quantising saves less."""
    if not is_llama(setup) or setup.value("sliding_window") is None or not quantises(setup):
        return
    full = setup.value("swa_full") == "on"
    yield Finding(
        Severity.WARNING if full else Severity.NOTE,
        "--swa-full keeps the whole context in sliding-window layers, too."
        if full
        else "This model has sliding-window layers: quantising its cache saves less than it looks.",
        "Their cache holds window × slots + ubatch tokens only, whatever the context; both caches have the same types.",
        setup.evidence("sliding_window", "swa_full", "k_type", "v_type"),
        None,
        "llama.cpp b11434 src/llama-kv-cache-iswa.cpp:70-81",
    )


def recurrent_state(setup: Setup) -> Iterator[Finding]:
    """Recurrent layers keep an f32 state, whatever the cache types."""
    if is_llama(setup) and setup.value("recurrent") is not None and quantises(setup):
        yield Finding(
            Severity.NOTE,
            "This is a hybrid model: only its attention layers have a K/V cache to quantise.",
            "The recurrent state is always f32 and does not grow with the context.",
            setup.evidence("recurrent", "k_type", "v_type"),
            None,
            "llama.cpp b11434 src/llama-model.cpp:2761",
        )


def latent_has_no_v(setup: Setup) -> Iterator[Finding]:
    """With multi-head latent attention there is no V cache: V's type follows K's."""
    kv = pair(setup)
    if is_llama(setup) and setup.value("mla") == "yes" and kv is not None and is_quantized(kv.k) and kv.k == kv.v:
        yield Finding(
            Severity.NOTE,
            "This model keeps one latent for K and V: the K type is the whole cache's.",
            "No V tensor is stored; an indexer's cache, where the model has one, has the same type.",
            setup.evidence("mla", "k_type", "v_type"),
            None,
            "llama.cpp b11434 src/llama-kv-cache.cpp:231",
        )


def scratch(setup: Setup) -> Iterator[Finding]:
    """On CUDA every type but f16 reserves an f16 copy of one layer."""
    kv = pair(setup)
    if (
        not is_llama(setup)
        or kv is None
        or kv.k == kv.v == "f16"
        or setup.value("device") not in {"cuda", "hip", "musa"}
        or flash_off(setup)
        or on_cpu(setup)
    ):
        return
    size = _scratch_bytes(setup)
    amount = f" ({size / 2**20:,.0f} MiB here)" if size else ""
    yield Finding(
        Severity.NOTE,
        f"{kv} also reserves an f16 copy of one layer's K and V at the full context{amount}.",
        "It stands in the compute buffer and takes away part of what the smaller cache saves; bf16 and q5/q4_1 "
        "pay it, too. "
        "Builds before PR 23907 (June 2026) allocated it only when the context filled.",
        setup.evidence("k_type", "v_type", "device", "context"),
        None,
        "llama.cpp b11434 ggml/src/ggml-cuda/fattn-common.cuh:53, fattn.cu:722-755",
    )


def _scratch_bytes(setup: Setup) -> int | None:
    log = setup.log
    if log is None or not log.caches or not log.k_values or not log.v_values:
        return None
    return 2 * max(one.cells for one in log.caches) * (log.k_values + log.v_values)
