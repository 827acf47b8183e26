"""llama.cpp's log as facts: what was allocated and engaged, and which lines explain a failure. Pure.

The forms of the lines changed over the years (facts: docs/backends.md); every pattern takes the old and the new one.
They stand in the log at verbosity 4 only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kvassay.errors import BootFailed, ModelFileError, OutOfMemory, PairRefused, PortTaken

_MIB = 1024 * 1024

_CACHE = re.compile(
    r"llama_kv_cache\w*: size = +[\d.]+ MiB \( *(\d+) cells, +(\d+) layers, +\d+(?:/ *\d+)? seqs\), "
    r"K \(([^)]+)\): +([\d.]+) MiB, V \(([^)]+)\): +([\d.]+) MiB"
)
_ROTATION = {side: re.compile(rf"(n|attn)_rot_{side} = (\d+)") for side in "kv"}
_HEADS = {side: re.compile(rf"print_info: n_embd_{side}_gqa += (\d+)\s*$", re.MULTILINE) for side in "kv"}
_HEAD_DIM = {side: re.compile(rf"print_info: n_embd_head_{side} += (\d+)\s*$", re.MULTILINE) for side in "kv"}
_FLASH = re.compile(r"llama_context: flash_attn += (enabled|disabled|auto|0|1)")
_FLASH_RESOLVED = re.compile(r"Flash Attention (?:was auto, set to )?(enabled)|(Flash Attention not supported)")
_SPLITS = re.compile(r"\bsplits = (\d+)(?: \(with bs=\d+\), (\d+)| / (\d+))?")
_COMPUTE = re.compile(r"(\S+) compute buffer size (?:=|of) +([\d.]+) MiB")
_WEIGHTS = re.compile(r"(\S+) model buffer size = +([\d.]+) MiB")
_DEVICE = re.compile(r" - (\S+) +: (.+?) \(\d+ MiB, \d+ MiB free\)|using device (\S+) \((.+?)\).* MiB free")
_BUILD = re.compile(r"(?:build_info: |build: )(b?\d+\S*(?: \(\w+\))?)")
# Threads log at once: what follows the port may be another line's beginning, and nothing yet means half a port.
_ADDRESS = re.compile(r"listening on (http://(?:\[[^\]\s]+\]|[^\s:/]+):\d+)(?=\D)")
_DRAFT = re.compile(r"loading draft model|creating MTP draft context")
_STAMP = re.compile(r"^(?:\d+\.)+\d+ +(?:([IWE]) +)?|^(?:([IWE]) )")

_WARNINGS = re.compile(
    r"no FlashAttention vector kernel|Flash Attention not supported|Flash Attention is assigned|"
    r"is assigned to device|rotation force disabled|n_ctx_seq \(\d+\) > n_ctx_train|"
    r"environment variable is set, but will be overwritten|failed to fit params|forcing off|"
    r"full-size SWA cache|using the CPU backend|no usable GPU"
)
_FAILURE = re.compile(
    r"\berror\b|\bfailed\b|out of memory|abort|assert|terminate called|what\(\):|unsupported|invalid|couldn't|"
    r"can't|cannot|not found|requires flash_attn|does not (?:support|divide)|\w+Error:|exceeds",
    re.IGNORECASE,
)
_NOT_DECISIVE = re.compile(r"cleaning up|common_fit_params|Failed to init server|exiting due to|for bugs during")

_CAUSES: tuple[tuple[type[BootFailed | ModelFileError], re.Pattern[str]], ...] = (
    (
        PairRefused,
        re.compile(
            r"quantized V cache (?:requires|was requested)|V cache quantization requires|"
            r"cache type \S+ with block size \d+ does not divide|does not support different K|Unsupported cache type"
        ),
    ),
    (PortTaken, re.compile(r"couldn't bind|[Aa]ddress already in use")),
    (
        OutOfMemory,
        re.compile(
            r"out of memory|failed to allocate|unable to allocate|cudaMalloc failed|ErrorOutOfDeviceMemory|bad_alloc|"
            r"[Cc]annot allocate memory|insufficient memory|failed to fit"
        ),
    ),
    (
        ModelFileError,
        re.compile(
            r"invalid magic|error loading model|failed to open GGUF|failed to load model|corrupted or incomplete|"
            r"unknown model architecture"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Cache:
    """One KV cache as allocated. Models with sliding-window layers have two."""

    cells: int
    layers: int
    k_type: str
    k_bytes: int
    v_type: str
    v_bytes: int


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What one start's log says; None where it says nothing. ``k_values`` and ``v_values`` are the values kept per
    token and layer (``n_embd_k_gqa``), None where layers differ; head dimensions likewise.
    """

    caches: tuple[Cache, ...] = ()
    k_values: int | None = None
    v_values: int | None = None
    k_head_dim: int | None = None
    v_head_dim: int | None = None
    k_rotation: int | None = None
    v_rotation: int | None = None
    flash_attention: bool | None = None
    graph_splits: int | None = None
    compute_bytes: int | None = None
    model_bytes: int | None = None
    devices: tuple[str, ...] = ()
    build: str | None = None
    warnings: tuple[str, ...] = ()


def parse(log: str) -> LogFacts:
    """Read the facts from a log of verbosity 4; what is missing there is None here. Speculative decoding has a cache of
    its own, of its own types (``-ctkd``), allocated behind the model's: what stands from there on is not the arm's.
    """
    log = _DRAFT.split(log, maxsplit=1)[0]
    return LogFacts(
        caches=tuple(
            Cache(int(cells), int(layers), k, _bytes(k_mib), v, _bytes(v_mib))
            for cells, layers, k, k_mib, v, v_mib in _CACHE.findall(log)
        ),
        k_values=_number(_HEADS["k"], log),
        v_values=_number(_HEADS["v"], log),
        k_head_dim=_number(_HEAD_DIM["k"], log),
        v_head_dim=_number(_HEAD_DIM["v"], log),
        k_rotation=_rotation("k", log),
        v_rotation=_rotation("v", log),
        flash_attention=_flash_attention(log),
        graph_splits=max((int(n) for found in _SPLITS.findall(log) for n in found if n), default=None),
        # The graph is reserved more than once: the last size of each device holds.
        compute_bytes=_total(list(dict(_COMPUTE.findall(log)).items())),
        model_bytes=_total(_WEIGHTS.findall(log)),
        devices=tuple(dict.fromkeys(f"{a or c}: {b or d}" for a, b, c, d in _DEVICE.findall(log))),
        build=found[1] if (found := _BUILD.search(log)) else None,
        warnings=warnings(log),
    )


def warnings(log: str) -> tuple[str, ...]:
    """The lines that say that something runs otherwise than one might think, each once."""
    return tuple(dict.fromkeys(_bare(line) for line in log.splitlines() if _WARNINGS.search(line)))


def address(log: str) -> str | None:
    """The base URL on which the server says it listens, if it got that far."""
    found = _ADDRESS.search(log)
    return found[1].rstrip("/") if found else None


def stage(log: str) -> str:
    """What a starting server is doing, in a few words."""
    stages = (
        ("warming up", "warming up"),
        ("llama_kv_cache", "allocating the cache"),
        ("load_tensors", "loading the weights"),
        ("llama_model_loader", "reading the model's header"),
    )
    return next((words for mark, words in stages if mark in log), "starting")


def decisive(log: str, *, limit: int = 5) -> tuple[str, ...]:
    """The few lines that explain a failure: errors in their order (the first is mostly the cause), else the last
    lines there are.
    """
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _is_error(line) and not _NOT_DECISIVE.search(line)]
    return tuple(dict.fromkeys(_bare(line) for line in errors))[:limit] or tuple(_bare(x) for x in lines[-limit:])


def classify(log: str) -> type[BootFailed | ModelFileError]:
    """Which error a failed start is; BootFailed where the log names no cause that is known."""
    return next((kind for kind, pattern in _CAUSES if pattern.search(log)), BootFailed)


def _is_error(line: str) -> bool:
    level = _STAMP.match(line)
    named = level and (level[1] or level[2])
    return named == "E" if named else bool(_FAILURE.search(line))


def _bare(line: str) -> str:
    return " ".join(_STAMP.sub("", line).split())


def _bytes(mib: str) -> int:
    return round(float(mib) * _MIB)


def _total(sizes: list[tuple[str, str]]) -> int | None:
    return sum(_bytes(mib) for _, mib in sizes) if sizes else None


def _number(pattern: re.Pattern[str], log: str) -> int | None:
    found = pattern.search(log)
    return int(found[1]) if found else None


def _rotation(side: str, log: str) -> int | None:
    found = _ROTATION[side].search(log)
    if not found:
        return None
    # Builds before b11434 said attn_rot_k = 0|1; the block was at least 64 then as now.
    return int(found[2]) * (64 if found[1] == "attn" else 1)


def _flash_attention(log: str) -> bool | None:
    if resolved := _FLASH_RESOLVED.findall(log):
        return bool(resolved[-1][0])
    stated = _FLASH.search(log)
    return {"enabled": True, "1": True, "disabled": False, "0": False}.get(stated[1]) if stated else None
