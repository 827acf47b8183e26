"""A model, its cache and its tokenizer on one device, and the way to give them back."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from exllamav3 import Cache, CacheLayer_fp16, CacheLayer_quant, Config, Model
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kvassay.backend.exllamav3 import PLAIN
from kvassay.backend.in_process.words import ends_of
from kvassay.errors import BootFailed, ConfigError, OutOfMemory, last_lines
from kvassay.kv_cache import pad
from kvassay.types import KVConfig

_SAID = (AssertionError, OSError, KeyError, ValueError, TypeError, RuntimeError, NotImplementedError, ImportError)
"""What the library raises for a model that it can't load."""


@dataclass(slots=True)
class Loaded:
    """``model_bytes`` is what the device's allocator gave for the weights."""

    path: Path
    device: torch.device
    model: Model
    cache: Cache
    tokenizer: PreTrainedTokenizerBase
    ends: frozenset[int]
    model_bytes: int

    def unload(self) -> None:
        """Free weights and cache. Nothing can be computed afterwards."""
        self.model.unload()
        self.cache.detach_from_model()


def load(path: Path, kv: KVConfig, context_tokens: int, *, device: str | None) -> Loaded:
    """Load onto one device. Raises BootFailed naming what the library said, OutOfMemory."""
    place = device_of(device)
    torch.cuda.set_device(place)
    before = torch.cuda.memory_allocated(place)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = Model.from_config(Config.from_directory(str(path)))
        _require_plain_attention(model)
        cache = _cache(model, kv, pad(context_tokens))
        _load(model, place, path)
    except _SAID as error:
        raise BootFailed(f"ExLlamaV3 can't load {str(path)!r}", log=last_lines(error) or (repr(error),)) from error
    if tokenizer.chat_template is None:
        raise BootFailed(f"{str(path)!r} has no chat template", hint="Use an instruct model.")
    ends = ends_of(_own_ends(path), tokenizer)
    held = sum(tensor.nbytes for tensor in cache.get_all_tensors())
    weights = torch.cuda.memory_allocated(place) - before - held
    return Loaded(path, place, model, cache, tokenizer, ends, weights)


def device_of(wanted: str | None) -> torch.device:
    """One CUDA device with its number, the first unless another is wanted. Raises ConfigError for anything else."""
    try:
        device = torch.device(wanted or "cuda")
    except RuntimeError:
        device = torch.device("meta")
    index = device.index or 0
    if device.type != "cuda" or index >= torch.cuda.device_count():
        raise ConfigError(
            f"device {wanted!r} can't run ExLlamaV3", hint=f"cuda:0 to cuda:{torch.cuda.device_count() - 1} are here."
        )
    return torch.device("cuda", index)


def clear() -> None:
    """Hand freed memory back to the device, for other processes and for the next boot."""
    gc.collect()
    torch.cuda.empty_cache()


def _require_plain_attention(model: Model) -> None:
    if model.get_recurrent_layers():
        raise BootFailed(
            "this model has layers of linear or sliding attention, whose state ExLlamaV3 can't cut back to a prefix",
            hint="Use --backend transformers, or a model with full attention in every layer.",
        )


def _cache(model: Model, kv: KVConfig, max_num_tokens: int) -> Cache:
    if kv.k == PLAIN:
        return Cache(model, max_num_tokens=max_num_tokens, layer_type=CacheLayer_fp16)
    return Cache(model, max_num_tokens=max_num_tokens, layer_type=CacheLayer_quant, k_bits=int(kv.k), v_bits=int(kv.v))


def _load(model: Model, device: torch.device, path: Path) -> None:
    try:
        model.load(device=device, progressbar=False)
    except torch.OutOfMemoryError as error:
        model.unload()
        clear()
        raise OutOfMemory(
            f"{path.name!r} and its cache don't fit {device}", hint="Use a smaller --context, or a smaller model."
        ) from error


def _own_ends(path: Path) -> Iterator[int]:
    """The ids that config.json and generation_config.json name as ends of a turn."""
    for name in ("config.json", "generation_config.json"):
        file = path / name
        named = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.is_file() else None
        yield from named if isinstance(named, list) else [named] if isinstance(named, int) else ()
