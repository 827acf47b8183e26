"""A server's log as a source of facts: llama.cpp's own lines, and what Ollama and vLLM say around them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from kvassay.backend import llama_log
from kvassay.backend.llama_log import LogFacts
from kvassay.doctor.command import Command, recognise, split
from kvassay.doctor.flags import FLAGS
from kvassay.doctor.read_command import setup_of
from kvassay.doctor.setup import Fact, Setup
from kvassay.errors import ConfigError

MARKS = re.compile(
    r"llama_kv_cache|llama_model_loader|print_info:|llama_context:|system_info: n_threads|load_tensors:|"
    r'msg="starting llama-server|msg="server config" env=|build_info: |GPU KV cache size|cache_dtype=|kv_cache_dtype='
)
_ARCHITECTURE = re.compile(r"general\.architecture str += (\S+)|print_info: arch += (\S+)")
_LATENT = re.compile(r"\.attention\.key_length_mla u32 += [1-9]")
_WINDOW = re.compile(r"print_info: n_swa += ([1-9]\d*)|creating +SWA KV cache, size = (\d+)")
_RECURRENT = re.compile(r"llama_memory_recurrent: size|\.ssm\.state_size u32 += ([1-9]\d*)")
_CONTEXT = re.compile(r"llama_context: n_ctx += (\d+)")
_SLOTS = re.compile(r"llama_context: n_seq_max += (\d+)")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_QUANTS = re.compile(r"\bFA_QUANTS = ([^|\n]+?) *(?:\||$)", re.MULTILINE)
_ALL_QUANTS = re.compile(r"\bFA_ALL_QUANTS = 1")
_OLLAMA_CMD = re.compile(r'msg="starting llama-server".*?cmd="((?:[^"\\]|\\.)*)"')
_OLLAMA_ENV = re.compile(r'msg="server config" env="map\[(.*)\]"')
_OLLAMA_VALUE = re.compile(r"\b(OLLAMA_KV_CACHE_TYPE|OLLAMA_NUM_PARALLEL|OLLAMA_CONTEXT_LENGTH):(\w+)")
_DTYPE = re.compile(r"(?:kv_cache_dtype|cache_dtype)=['\"]?([\w]+)")
_DEVICES = (("CUDA", "cuda"), ("ROCm", "hip"), ("HIP", "hip"), ("MUSA", "musa"), ("Metal", "metal"), ("MTL", "metal"),
            ("Vulkan", "vulkan"), ("SYCL", "sycl"), ("GPUOpenCL", "opencl"), ("OpenCL", "opencl"),
            ("WebGPU", "webgpu"), ("CANN", "cann"))  # fmt: skip


def setup_of_log(text: str, *, label: str) -> Setup:
    """The facts of a log; a command that stands in it (Ollama's child) is read as one."""
    log = llama_log.parse(text)
    facts = log_facts(text, log)
    if dtype := _DTYPE.search(text):
        engine = "sglang" if "kv_cache_dtype=" in text and "sglang" in text.lower() else "vllm"
        return Setup(label, engine, MappingProxyType({"kv_dtype": Fact(dtype[1], f"log: {dtype[0]}")}))
    command, configured = _command(text), _ollama_variables(text)
    if command is None and configured is None:
        return Setup(label, "llama.cpp", MappingProxyType(facts), log=log)
    if command is None:
        return Setup(label, "ollama", MappingProxyType((configured or {}) | facts), style="env", log=log)
    return _of_ollama(setup_of(command, label=label, via="log, the command started", has_env=False), facts, log)


def _ollama_variables(text: str) -> dict[str, Fact] | None:
    """What Ollama says of its variables when it starts; None where it doesn't.

    OLLAMA_FLASH_ATTENTION is left out: it says false there where it is not set. 0 is a default as well.
    """
    found = _OLLAMA_ENV.findall(text)
    if not found:
        return None
    said = {name: value for name, value in _OLLAMA_VALUE.findall(found[-1]) if value != "0"}
    return {
        flag.fact: Fact(said[flag.env], f"log: {flag.env}:{said[flag.env]}")
        for flag in FLAGS["ollama"]
        if flag.env in said
    }


def _of_ollama(child: Setup, facts: dict[str, Fact], log: LogFacts) -> Setup:
    """Ollama's set-up as its child's command and lines tell it: one type for both, the context of all slots."""
    asked = {"kv_type": child.facts["k_type"]} if child.stated("k_type") else {}
    kept = {name: fact for name, fact in facts.items() if name != "parallel"}
    model = {name: fact for name, fact in child.facts.items() if name in {"model", "context"}}
    return Setup(child.label, "ollama", MappingProxyType(model | asked | kept), style="env", log=log)


def with_log(setup: Setup, text: str) -> Setup:
    """A set-up completed by its log: what was read back there replaces what was asked for or assumed."""
    log = llama_log.parse(text)
    facts = dict(setup.facts) | log_facts(text, log)
    return replace(setup, engine=setup.engine or "llama.cpp", facts=MappingProxyType(facts), log=log)


def log_facts(text: str, log: LogFacts) -> dict[str, Fact]:
    """What llama.cpp's log says, as facts of the doctor's names."""
    found: dict[str, object] = {
        "build": log.build,
        "architecture": _first(_ARCHITECTURE, text),
        "mla": "yes" if _LATENT.search(text) else None,
        "sliding_window": _first(_WINDOW, text),
        "recurrent": "yes" if _RECURRENT.search(text) else None,
        "context": _first(_CONTEXT, text),
        "parallel": _first(_SLOTS, text),
        "head_dim_k": log.k_head_dim,
        "head_dim_v": log.v_head_dim,
        "flash_attention": {True: "on", False: "off", None: None}[log.flash_attention],
        "fa_quants": "all" if _ALL_QUANTS.search(text) else _first(_QUANTS, text),
        "graph_splits": log.graph_splits,
        "device": _device(log.devices),
        "offload": _offload(text),
    }
    if log.caches:
        found |= {"k_type": log.caches[0].k_type, "v_type": log.caches[0].v_type}
    if any("rotation force disabled" in line for line in log.warnings):
        found["rotation_off"] = "on"
    return {name: Fact(str(value), "log") for name, value in found.items() if value is not None}


def _command(text: str) -> Command | None:
    found = _OLLAMA_CMD.findall(text)
    if not found:
        return None
    try:
        return recognise(split(found[-1].replace('\\"', '"')))
    except ConfigError:
        return None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), "yes") if found else None


def _device(devices: tuple[str, ...]) -> str | None:
    names = {word for line in devices for prefix, word in _DEVICES if line.startswith(prefix)}
    if len(names) == 1:
        return names.pop()
    return "cpu" if devices and not names and all(line.startswith("CPU") for line in devices) else None


def _offload(text: str) -> str | None:
    found = _OFFLOADED.findall(text)
    return None if not found else "whole" if found[-1][0] == found[-1][1] else "part"


def stated(setup: Setup, given: Mapping[str, str]) -> Setup:
    """A set-up with facts that the user states."""
    facts = dict(setup.facts) | {name: Fact(value, "stated by you") for name, value in given.items()}
    return replace(setup, facts=MappingProxyType(facts))
