"""The capability table's rules: does a back end take this K/V pair, and where does its attention then run? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kvassay.kv_cache import cache_types
from kvassay.plan.capability_file import Case, Engine, Range, changes, engines, ranges
from kvassay.types import KVConfig

_ALIASES = {
    "llama-server": "llama.cpp",
    "embedded": "llama.cpp",
    "attach": "llama.cpp",
    "xllamacpp": "llama.cpp",
    "tabbyapi": "exllamav3",
    "lm studio": "lmstudio",
    "lm-studio": "lmstudio",
    "ik-llama.cpp": "ik_llama.cpp",
}
VECTOR_DIMS = (64, 128, 256)
"""Head dimensions with a vector kernel on CUDA (llama.cpp b11434 ggml/src/ggml-cuda/fattn.cu:426-430)."""

_DEVICES = {"rocm": "hip", "mps": "metal", "apple": "metal"}
_PACKED_DIM = 512  # exllamav3 1.6.5 dispatch.py:118-134
_MLA_DIMS = ((576, 512),)  # the compressed K and V of DeepSeek's multi-head latent attention
_LLAMAS = ("llama.cpp", "ik_llama.cpp")
_EXL_FLOATS = {"f16": "fp16", "16": "fp16"}


class Where(StrEnum):
    """Where attention runs with a pair, or that the back end refuses it, or that nobody looked."""

    FAST = "fast"
    SLOW_ON_GPU = "slow-on-gpu"
    CPU = "cpu"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer for one pair: where, why in one sentence, and the source of that fact."""

    where: Where
    why: str
    source: str


class _Question(NamedTuple):
    """What a range's cases are asked: the pair, the head dimensions and the list of compiled kernels."""

    kv: KVConfig
    head_dim_k: int | None
    head_dim_v: int | None
    fa_quants: str | None


def engine_name(name: str) -> str:
    """The table's name of an engine: ``llama-server`` is ``llama.cpp``, ``TabbyAPI`` is ``exllamav3``."""
    lowered = name.strip().lower()
    return _ALIASES.get(lowered, lowered)


def placement(
    engine: str,
    *,
    build: int | None,
    device: str,
    kv: KVConfig,
    head_dim_k: int | None = None,
    head_dim_v: int | None = None,
    fa_quants: str | None = None,
    mla: bool | None = None,
) -> Placement:
    """Where ``engine`` runs the attention of ``kv``.

    ``build`` is llama.cpp's build number (None: not known; Ollama's pinned one is filled in). ``device`` is cuda, hip,
    musa, metal, vulkan, sycl, opencl, webgpu, cann or cpu; ROCm counts as hip. ``fa_quants`` is what the build was
    given as GGML_CUDA_FA_QUANTS (``all``, or ``q8_0-q4_0;…``), None for the default. ``mla`` says whether the model
    has multi-head latent attention; None infers it from head dimensions that nothing else has.
    """
    known = engines().get(engine_name(engine))
    if known is None:
        return Placement(Where.UNKNOWN, f"Nothing is known about the back end {engine!r}.", "the capability table")
    runs = known.runs or known.name
    build = known.pinned_build if build is None and known.pinned_build else build
    question = _Question(_spelled(kv, known), head_dim_k, head_dim_v, fa_quants)
    return _refusal(known, question, build=build, mla=mla) or _attention(runs, question, build=build, device=device)


def keeps_llamas_cache(engine: str) -> bool:
    """Whether an engine keeps its K and V as llama.cpp does, so that a plan's bytes are its own."""
    known = engines().get(engine_name(engine))
    return known is not None and (known.runs or known.name) in _LLAMAS


def since(change: str, build: int | None) -> bool | None:
    """Whether llama.cpp's build has the named change; None where the build is not known or lies between the builds
    that were looked at. Raises KeyError for a name that the table doesn't hold.
    """
    known = changes()[change]
    if build is None or known.absent_at < build < known.present_at:
        return None
    return build >= known.present_at


def compiled_pairs(fa_quants: str | None, default: tuple[str, ...]) -> frozenset[str] | None:
    """The ``K-V`` pairs with a compiled vector kernel; None means all. f16-f16 is always among a list
    (llama.cpp b11434 ggml/cmake/common.cmake:53-120).
    """
    if fa_quants is None:
        return frozenset(default)
    wanted = {part.strip().lower() for part in fa_quants.replace(",", ";").split(";") if part.strip()}
    return None if wanted == {"all"} else frozenset({"f16-f16", *wanted})


def _spelled(kv: KVConfig, engine: Engine) -> KVConfig:
    if engine.name != "exllamav3":
        return kv
    return KVConfig(_EXL_FLOATS.get(kv.k, kv.k), _EXL_FLOATS.get(kv.v, kv.v), kv.rotation)


def _refusal(engine: Engine, asked: _Question, *, build: int | None, mla: bool | None) -> Placement | None:
    kv = asked.kv
    for side, name, types in (("K", kv.k, engine.k_types), ("V", kv.v, engine.v_types)):
        if name not in types:
            why = f"{engine.title} knows no cache type {name!r} for {side}; it takes {', '.join(types)}."
            return Placement(Where.REFUSED, why, engine.source)
    if engine.pairs == "both" and kv.k != kv.v:
        return Placement(Where.REFUSED, f"{engine.title} has one cache type for both K and V.", engine.source)
    if engine.pairs == "implicit" and kv.v not in {kv.k, "f16"}:
        why = f"{engine.title} has one setting for both; only K alone can be quantised, without flash attention."
        return Placement(Where.REFUSED, why, engine.source)
    if (engine.runs or engine.name) in _LLAMAS:
        return _block_refusal(asked) or _mla_refusal(asked, build=build, mla=mla)
    return None


def _block_refusal(asked: _Question) -> Placement | None:
    for side, name, dim in (("K", asked.kv.k, asked.head_dim_k), ("V", asked.kv.v, asked.head_dim_v)):
        block = _block(name)
        if dim is not None and dim % block:
            why = f"{side} at {name} needs a head dimension that is a multiple of {block}; this model's is {dim}."
            return Placement(Where.REFUSED, why, "llama.cpp b11434 src/llama-context.cpp:3854-3874")
    return None


def _mla_refusal(asked: _Question, *, build: int | None, mla: bool | None) -> Placement | None:
    latent = mla if mla is not None else (asked.head_dim_k, asked.head_dim_v) in _MLA_DIMS
    if not latent or asked.kv.k == asked.kv.v:
        return None
    source = "llama.cpp b11434 src/llama-context.cpp:3838-3841, bisected"
    if since("mla-unequal-refused", build):
        why = "Models with multi-head latent attention keep one latent for both: K and V must have one type."
        return Placement(Where.REFUSED, why, source)
    why = "From b10216 on unequal types are refused for multi-head latent attention; what this build does is not known."
    return Placement(Where.UNKNOWN, why, source)


def _attention(engine: str, asked: _Question, *, build: int | None, device: str) -> Placement:
    lowered = device.strip().lower()
    name = _DEVICES.get(lowered, lowered)
    candidates = [one for one in ranges() if one.engine == engine and name in one.devices]
    if not candidates:
        why = f"Where {engine} runs attention on the device {device!r} is not in the table."
        return Placement(Where.UNKNOWN, why, "the capability table")
    answers = [_in_range(one, asked) for one in candidates if build is None or one.holds(build)]
    if len({answer.where for answer in answers}) == 1:
        return answers[0] if len(answers) == 1 else answers[-1]
    return _without_build(candidates, answers)


def _without_build(candidates: list[Range], answers: list[Placement]) -> Placement:
    """Where the build is not known, only what all read builds agree on is said."""
    read = [(one, answer) for one, answer in zip(candidates, answers, strict=True) if answer.where != Where.UNKNOWN]
    if len({answer.where for _, answer in read}) == 1:
        first, answer = read[0]
        return Placement(answer.where, f"{answer.why} (So in every build read, from b{first.from_}.)", answer.source)
    told = "; ".join(f"{_builds(one)}: {answer.where}" for one, answer in read)
    why = f"It depends on the build, which is not known ({told})."
    return Placement(Where.UNKNOWN, why, answers[-1].source)


def _builds(one: Range) -> str:
    return f"b{one.from_} and newer" if one.to is None else f"b{one.from_} to b{one.to}"


def _in_range(one: Range, asked: _Question) -> Placement:
    case = next(case for case in one.case if _fits(case, one, asked))
    if case.placement == "unknown":
        return Placement(Where.UNKNOWN, case.why, one.source)
    condition = ""
    if asked.head_dim_k is not None:
        dims = f"{asked.head_dim_k}/{asked.head_dim_v if asked.head_dim_v is not None else asked.head_dim_k}"
        if _dims_refused(one, dims):
            why = f"This device has no attention kernel for head dimensions {dims}, so attention runs on the CPU."
            return Placement(Where.CPU, why, one.source)
        condition = (one.head_dims or {}).get(dims, "")
    why = f"{case.why[:-1]}, provided that {condition}." if condition and case.placement != "cpu" else case.why
    return Placement(Where(case.placement), why, one.source)


def _dims_refused(one: Range, dims: str) -> bool:
    if one.head_dims is not None and dims not in one.head_dims:
        return True
    return any(int(dim) % one.head_dim_multiple for dim in dims.split("/"))


def _fits(case: Case, one: Range, asked: _Question) -> bool:
    kv = asked.kv
    heard = asked.fa_quants if one.fa_quants_list or asked.fa_quants == "all" else None
    compiled = compiled_pairs(heard, one.compiled)
    dim = asked.head_dim_k
    checks = (
        (case.k, case.k is None or kv.k in case.k),
        (case.v, case.v is None or kv.v in case.v),
        (case.pair, (case.pair == "equal") == (kv.k == kv.v)),
        (case.compiled, case.compiled == (compiled is None or f"{kv.k}-{kv.v}" in compiled)),
        (case.all_quants, case.all_quants == (compiled is None)),
        (case.vector_dims, case.vector_dims == (dim is None or dim in VECTOR_DIMS)),
        (case.packed_dims, case.packed_dims == (dim is None or (dim <= _PACKED_DIM and dim % 32 == 0))),
    )
    return all(holds for condition, holds in checks if condition is not None)


def _block(name: str) -> int:
    return next((one.block for family in ("ggml", "ik") for one in cache_types(family) if one.name == name), 1)
