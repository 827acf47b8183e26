"""A model and its tokenizer in memory, from a Hugging Face directory or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from kvassay.backend.in_process.words import ends_of
from kvassay.backend.transformers.passes import forgets_its_state, forward, keeps_state_elsewhere
from kvassay.errors import BootFailed, OutOfMemory, last_lines

_CROPPABLE = frozenset({"full_attention", "sliding_attention"})


class LayerShape(NamedTuple):
    """What one layer keeps of one token; ``windowed``: it slides, so that llama.cpp has another cache for it."""

    k_heads: int
    k_dim: int
    v_heads: int
    v_dim: int
    windowed: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """Weights and tokenizer. ``shapes`` has one entry a layer, None where it keeps no K and V (linear attention);
    ``croppable`` says that the cache may be cut back to any length, since every layer keeps every token; ``one_by_one``
    that what comes behind a held prompt needs a pass for each token.
    """

    path: Path
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shapes: tuple[LayerShape | None, ...]
    croppable: bool
    one_by_one: bool
    ends: frozenset[int]

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def build(self) -> str:
        """Everything about the software that can change a number."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"{transformers.__version__}, torch {torch.__version__}, {dtype}, {self.device}"


def load(path: Path, *, device: str | None, dtype: str, threads: int | None) -> Loaded:
    """Load onto one device. Raises BootFailed naming what the library said, OutOfMemory."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)
    where = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    folder = path.parent if where else path
    place = _device(device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **where)
        model, told = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, output_loading_info=True, **where
        )
        _require_whole(path, told["missing_keys"])
        model = model.to(place).eval()
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"{path.name!r} doesn't fit {place} as {dtype}", hint="Try --dtype bfloat16.") from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, NotImplementedError, SafetensorError) as error:
        raise BootFailed(f"transformers can't load {str(path)!r}", log=last_lines(error), hint=_HINT) from error
    if tokenizer.chat_template is None:
        raise BootFailed(f"{str(path)!r} has no chat template", hint="Use an instruct model.")
    return _loaded(path, model, tokenizer)


_HINT = "It reads GGUF files of some architectures only; a Hugging Face folder (config.json, *.safetensors) of others."


def _require_whole(path: Path, missing: Iterable[str]) -> None:
    """Raise BootFailed where the files lack weights, which the library would fill with random ones."""
    if names := sorted(missing):
        raise BootFailed(
            f"{str(path)!r} lacks {len(names)} of the model's tensors, {names[0]!r} for one",
            hint="Its files are incomplete, or of another architecture than config.json says: download it again.",
        )


def _device(wanted: str | None) -> torch.device:
    try:
        return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise BootFailed(f"{wanted!r} is no device", hint="For example cpu, cuda or cuda:1.") from error


def _loaded(path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Loaded:
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ["full_attention"]
    croppable = set(kinds) <= _CROPPABLE
    try:
        shapes = _shapes(model, kinds, croppable=croppable)
        one_by_one = not croppable and _needs_single_tokens(path, model)
    except (ValueError, TypeError, AttributeError, RuntimeError, NotImplementedError) as error:
        raise BootFailed(
            f"{str(path)!r} can't be run with transformers' DynamicCache", log=last_lines(error), hint=_OTHER_MODEL
        ) from error
    if not any(shapes):
        raise BootFailed(f"{str(path)!r} keeps no K and V: there is nothing to quantise", hint=_OTHER_MODEL)
    return Loaded(path, model, tokenizer, shapes, croppable, one_by_one, _ends(model, tokenizer))


_OTHER_MODEL = "Use a model with attention, or an engine that runs this one."


def _shapes(model: PreTrainedModel, kinds: Iterable[str], *, croppable: bool) -> tuple[LayerShape | None, ...]:
    cache = DynamicCache() if croppable else DynamicCache(config=model.config)
    forward(model, cache, (0,), 0)
    return tuple(_shape(layer, kind) for layer, kind in zip_longest(cache.layers, islice(kinds, len(cache.layers))))


def _needs_single_tokens(path: Path, model: PreTrainedModel) -> bool:
    """Raises BootFailed where prompts would disturb each other."""
    empty = DynamicCache(config=model.config)
    if keeps_state_elsewhere(model, empty):
        raise BootFailed(
            f"{str(path)!r} keeps a state outside of its cache: a session's prefix can't be gone back to",
            hint=_OTHER_MODEL,
        )
    return forgets_its_state(model, empty)


def _shape(layer: object, kind: str | None) -> LayerShape | None:
    keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
    if keys is None or values is None:
        return None
    windowed = kind == "sliding_attention"
    return LayerShape(keys.shape[1], keys.shape[-1], values.shape[1], values.shape[-1], windowed)


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    own = model.generation_config.eos_token_id if model.generation_config else None
    return ends_of(own if isinstance(own, list) else [own], tokenizer)
