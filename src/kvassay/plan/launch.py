"""Launch lines for one K/V pair: per back end the command, or a sentence why it can't run that pair. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvassay.backend.kv import is_quantized
from kvassay.kv_cache import cache_types, ggml_id, pad
from kvassay.plan.memory import FlashAttention
from kvassay.types import KVConfig

_OLLAMA = ("f16", "q8_0", "q4_0")
_QUANTKV = {"f16": "0", "bf16": "bf16", "q8_0": "1", "q5_1": "q5_1", "q4_0": "2"}
_BITS_TO_TYPE = {"8": "q8_0", "7": "q8_0", "6": "q5_1", "5": "q5_0", "4": "q4_0", "3": "q4_0", "2": "q4_0"}
_ADDRESS = ("http://", "https://")
_NEEDS_FLASH = "A quantised V needs flash attention, which is off here."


@dataclass(frozen=True, slots=True)
class LaunchLine:
    """What starts a back end with the pair: ``command`` ready to paste (None: it can't), and one sentence ``why``."""

    engine: str
    command: str | None
    why: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be launched. ``context_tokens`` is the whole cache, shared by ``parallel`` sequences; ``more`` are
    further words for llama-server.
    """

    model: str
    kv: KVConfig
    context_tokens: int
    parallel: int
    gpu_layers: int | None
    flash_attention: FlashAttention
    more: Sequence[str]

    @property
    def is_gguf(self) -> bool:
        return self.is_address or self.model.lower().endswith(".gguf")

    @property
    def is_address(self) -> bool:
        """A web address, behind which only GGUF files are read."""
        return self.model.startswith(_ADDRESS)

    @property
    def is_elsewhere(self) -> bool:
        return self.is_address or self.model.startswith("hf:")

    @property
    def per_sequence(self) -> int:
        return self.context_tokens // self.parallel

    @property
    def bits_pair(self) -> bool:
        return self.kv.k.isdigit() or self.kv.v.isdigit()

    @property
    def with_flash(self) -> bool:
        """For back ends that know on and off only: on unless it was ruled out, as the plan counts it."""
        return self.flash_attention is not FlashAttention.OFF

    @property
    def without_flash(self) -> bool:
        return self.flash_attention is FlashAttention.OFF and is_quantized(self.kv.v)


def launch_lines(
    model: str,
    kv: KVConfig,
    *,
    context_tokens: int,
    parallel: int = 1,
    gpu_layers: int | None = None,
    flash_attention: FlashAttention = FlashAttention.AUTO,
    more: Sequence[str] = (),
) -> tuple[LaunchLine, ...]:
    """One line for each back end.

    ``context_tokens`` is the size of the whole cache; with ``parallel`` sequences each has its share. ``kv`` holds
    llama.cpp's types, or ExLlamaV3's bits (``8/4``). ``more`` are words that only llama-server is given.
    """
    wanted = _Wanted(model, kv, context_tokens, parallel, gpu_layers, flash_attention, more)
    return tuple(_line(engine, write, wanted) for engine, write in _WRITERS.items())


def _line(engine: str, write: Callable[[_Wanted], LaunchLine], wanted: _Wanted) -> LaunchLine:
    if engine in _NEEDS_GGUF and not (wanted.is_gguf or wanted.model.startswith("hf:")):
        return LaunchLine(engine, None, f"{engine} loads GGUF files, and {wanted.model!r} is none.")
    if wanted.bits_pair and engine != "TabbyAPI/ExLlamaV3":
        nearest = "/".join(_BITS_TO_TYPE.get(side, side) for side in (wanted.kv.k, wanted.kv.v))
        why = f"{wanted.kv} are ExLlamaV3's bits; the nearest of llama.cpp's types are {nearest}, another format."
        return LaunchLine(engine, None, why)
    return write(wanted)


# ------------------------------------------------------------------------------------------------ llama.cpp and kin


def _llama_server(wanted: _Wanted) -> LaunchLine:
    engine, kv = "llama-server", wanted.kv
    if wanted.without_flash:
        return LaunchLine(engine, None, _NEEDS_FLASH)
    words = ["llama-server", *_gguf(wanted.model), "-c", str(wanted.context_tokens), "-np", str(wanted.parallel)]
    words += ["-ctk", kv.k, "-ctv", kv.v, "-fa", wanted.flash_attention]
    words += ["-ngl", str(wanted.gpu_layers)] if wanted.gpu_layers is not None else []
    words += wanted.more
    off = "" if kv.rotation else "LLAMA_ATTN_ROT_DISABLE=1 "
    why = "Sets K and V apart; -np says how many sequences share the context (the default is 4)."
    return LaunchLine(engine, off + shlex.join(words), why)


def _gguf(model: str) -> list[str]:
    if model.startswith(_ADDRESS):
        return ["-mu", model]
    if not model.startswith("hf:"):
        return ["-m", model]
    owner, repo, *rest = model.removeprefix("hf:").split("/")
    return ["-hf", f"{owner}/{repo}", *(["-hff", "/".join(rest)] if rest else [])]


def _ollama(wanted: _Wanted) -> LaunchLine:
    engine, kv = "Ollama", wanted.kv
    if kv.k != kv.v:
        return LaunchLine(engine, None, f"Ollama has one value for K and V, OLLAMA_KV_CACHE_TYPE: {kv} can't be set.")
    if kv.k not in _OLLAMA:
        return LaunchLine(engine, None, f"Ollama documents f16, q8_0 and q4_0 only; {kv.k} is passed on unchecked.")
    if wanted.without_flash:
        return LaunchLine(engine, None, _NEEDS_FLASH)
    switches = {FlashAttention.ON: "OLLAMA_FLASH_ATTENTION=1 ", FlashAttention.OFF: "OLLAMA_FLASH_ATTENTION=0 "}
    flash = switches.get(wanted.flash_attention, "")
    rotation = "" if kv.rotation else "LLAMA_ATTN_ROT_DISABLE=1 "
    command = (
        f"{rotation}OLLAMA_KV_CACHE_TYPE={kv.k} {flash}OLLAMA_CONTEXT_LENGTH={wanted.per_sequence} "
        f"OLLAMA_NUM_PARALLEL={wanted.parallel} ollama serve"
    )
    return LaunchLine(engine, command, "One value for K and V and for all models of this server.")


def _lm_studio(wanted: _Wanted) -> LaunchLine:
    engine, kv = "LM Studio", wanted.kv
    if not kv.rotation:
        return LaunchLine(engine, None, "LM Studio has no setting for llama.cpp's rotation.")
    if "bf16" in (kv.k, kv.v):
        return LaunchLine(engine, None, "LM Studio's list of cache types has no bf16.")
    if wanted.without_flash:
        return LaunchLine(engine, None, _NEEDS_FLASH)
    flash = "true" if wanted.with_flash else "false"
    settings = [f"contextLength: {wanted.context_tokens}", f"flashAttention: {flash}"]
    settings += [f'llamaKCacheQuantizationType: "{kv.k}"', f'llamaVCacheQuantizationType: "{kv.v}"']
    name = wanted.model.partition("?")[0].rsplit("/", 1)[-1].removesuffix(".gguf")
    command = f'await new LMStudioClient().llm.load("{name}", {{ config: {{ {", ".join(settings)} }} }});'
    why = "TypeScript SDK, with the model's key as LM Studio lists it; the same fields stand in the model's settings."
    return LaunchLine(engine, command, why)


def _koboldcpp(wanted: _Wanted) -> LaunchLine:
    engine, kv = "koboldcpp", wanted.kv
    if not kv.rotation or wanted.parallel > 1:
        return LaunchLine(engine, None, "kvassay knows no setting of koboldcpp for rotation or for parallel sequences.")
    if wanted.is_elsewhere:
        return LaunchLine(engine, None, "koboldcpp wants the file itself: download it first.")
    implicit = kv.k != kv.v and kv.v == "f16" and wanted.flash_attention is not FlashAttention.ON
    if kv.k not in _QUANTKV or not (kv.k == kv.v or implicit):
        why = f"koboldcpp has one knob, --quantkv, for f16, bf16, q8_0, q5_1 or q4_0 on both sides: {kv} can't be set."
        return LaunchLine(engine, None, why)
    if wanted.without_flash:
        return LaunchLine(engine, None, _NEEDS_FLASH)
    words = ["koboldcpp", "--model", wanted.model, "--contextsize", str(wanted.context_tokens)]
    words += ["--quantkv", _QUANTKV[kv.k]]
    words += ["--noflashattention" if implicit or not wanted.with_flash else "--flashattention"]
    words += ["--gpulayers", str(wanted.gpu_layers)] if wanted.gpu_layers is not None else []
    why = "One knob for K and V; today's releases have flash attention on unless told otherwise."
    if implicit:
        why = "Without flash attention koboldcpp quantises K only; older releases (1.102) have it off, without a flag."
    return LaunchLine(engine, shlex.join(words), why)


def _llama_cpp_python(wanted: _Wanted) -> LaunchLine:
    engine, kv = "llama-cpp-python", wanted.kv
    if wanted.is_elsewhere or wanted.parallel > 1:
        return LaunchLine(engine, None, "Its server wants a local file and serves one sequence at a time.")
    if wanted.without_flash:
        return LaunchLine(engine, None, _NEEDS_FLASH)
    words = ["python", "-m", "llama_cpp.server", "--model", wanted.model, "--n_ctx", str(wanted.context_tokens)]
    words += ["--type_k", str(ggml_id(kv.k)), "--type_v", str(ggml_id(kv.v)), "--flash_attn"]
    words += [str(wanted.with_flash)]
    words += ["--n_gpu_layers", str(wanted.gpu_layers)] if wanted.gpu_layers is not None else []
    off = "" if kv.rotation else "LLAMA_ATTN_ROT_DISABLE=1 "
    why = "Types are ggml's numbers; flash attention is off unless asked for."
    return LaunchLine(engine, off + shlex.join(words), why)


# ------------------------------------------------------------------------------------------------ ExLlamaV3


def _tabby(wanted: _Wanted) -> LaunchLine:
    engine = "TabbyAPI/ExLlamaV3"
    k, v = _exl_bits(wanted.kv.k), _exl_bits(wanted.kv.v)
    nearest = "FP16" if {k, v} == {"16"} else f"{k},{v}".replace("16", "8")
    if (k == "16") != (v == "16"):
        why = f"ExLlamaV3 quantises both sides or neither; the nearest to {wanted.kv} is cache_mode {nearest!r}."
        return LaunchLine(engine, None, f"{why} Its bits are another format than llama.cpp's types.")
    if wanted.is_gguf:
        why = f"ExLlamaV3 loads EXL3 directories, not GGUF; with a conversion the nearest is cache_mode {nearest!r}."
        return LaunchLine(engine, None, f"{why} Its bits are another format than llama.cpp's types.")
    if nearest != "FP16" and not (k in _EXL and v in _EXL):
        return LaunchLine(engine, None, f"ExLlamaV3 takes 2 to 8 bits on each side, not {wanted.kv}.")
    name = wanted.model.removeprefix("hf:").rstrip("/").rsplit("/", 1)[-1]
    words = ["python", "main.py", "--model-name", name, "--max-seq-len", str(wanted.per_sequence)]
    words += ["--cache-size", str(pad(wanted.context_tokens)), "--cache-mode", nearest]
    exact = wanted.bits_pair or nearest == "FP16"
    why = "The cache's bits for K and V." if exact else "The nearest bits; another format than llama.cpp's types."
    return LaunchLine(engine, shlex.join(words), why)


_EXL = tuple(one.name for one in cache_types("exl3"))


def _exl_bits(cache_type: str) -> str:
    """ExLlamaV3's bits nearest to a type of llama.cpp; ``16`` for floats; bits stay what they are."""
    if not is_quantized(cache_type) or cache_type.lower() in ("fp16", "16"):
        return "16"
    found = next((one.bits for one in cache_types("ggml") if one.name == cache_type), None)
    if found is None:
        return cache_type
    # The larger of two equally near ones: nothing is lost that was asked for.
    return min(cache_types("exl3"), key=lambda one: (abs(one.bits - found), -one.bits)).name


# ------------------------------------------------------------------------------------------------ server engines

_VLLM = {
    ("f16", "f16"): ("float16", ""),
    ("bf16", "bf16"): ("bfloat16", ""),
    ("q8_0", "q8_0"): ("fp8", "fp8 is 8 bits in another format, with one scale per tensor: 1.0 unless calibrated."),
    ("q8_0", "q4_0"): ("turboquant_k8v4", "A preset of another format: 8 bits for K, 4 for V."),
    ("q4_0", "q4_0"): ("int4_per_token_head", "4 bits in another format, one scale per token and head."),
}
_SGLANG = {
    ("f16", "f16"): ("auto", "auto follows the model's own type."),
    ("bf16", "bf16"): ("bf16", ""),
    ("q8_0", "q8_0"): ("fp8_e4m3", "fp8 is 8 bits in another format, with scales from the checkpoint or 1.0."),
}


def _vllm(wanted: _Wanted) -> LaunchLine:
    engine, found = "vLLM", _VLLM.get((wanted.kv.k, wanted.kv.v))
    if wanted.is_gguf:
        return LaunchLine(engine, None, "vLLM is given the model's original (safetensors) repository, not a GGUF.")
    if found is None:
        return LaunchLine(engine, None, f"vLLM has one type or preset for both sides; none is near {wanted.kv}.")
    words = ["vllm", "serve", wanted.model.removeprefix("hf:"), "--kv-cache-dtype", found[0]]
    words += ["--max-model-len", str(wanted.per_sequence), "--max-num-seqs", str(wanted.parallel)]
    return LaunchLine(engine, shlex.join(words), found[1] or "The cache keeps this type unquantised.")


def _sglang(wanted: _Wanted) -> LaunchLine:
    engine, found = "SGLang", _SGLANG.get((wanted.kv.k, wanted.kv.v))
    if wanted.is_gguf:
        return LaunchLine(engine, None, "SGLang is given the model's original (safetensors) repository, not a GGUF.")
    if found is None:
        why = f"SGLang has one type for both sides, and its 4-bit ones need Blackwell cards: {wanted.kv} can't be set."
        return LaunchLine(engine, None, why)
    words = ["python", "-m", "sglang.launch_server", "--model-path", wanted.model.removeprefix("hf:")]
    words += ["--kv-cache-dtype", found[0], "--context-length", str(wanted.per_sequence)]
    words += ["--max-running-requests", str(wanted.parallel)]
    return LaunchLine(engine, shlex.join(words), found[1] or "The cache keeps this type unquantised.")


_WRITERS: dict[str, Callable[[_Wanted], LaunchLine]] = {
    "llama-server": _llama_server,
    "TabbyAPI/ExLlamaV3": _tabby,
    "vLLM": _vllm,
    "SGLang": _sglang,
    "Ollama": _ollama,
    "LM Studio": _lm_studio,
    "koboldcpp": _koboldcpp,
    "llama-cpp-python": _llama_cpp_python,
}
_NEEDS_GGUF = frozenset({"llama-server", "koboldcpp", "llama-cpp-python"})
