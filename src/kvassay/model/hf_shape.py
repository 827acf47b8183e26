"""From a Hugging Face or EXL3 folder to a ModelShape: ``config.json`` in llama.cpp's words, weights by file headers.

The keys are those that llama.cpp's own converter writes (conversion/*.py, b11434); the rules of architectures.py
then apply as they do to a GGUF file. Weights are counted as they lie in the folder.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from kvassay.errors import ModelFileError
from kvassay.model.gguf import GGUFHeader, Value
from kvassay.model.gguf_shape import shape_of
from kvassay.model.hf_config import read_config
from kvassay.model.keys import MAX_LAYERS
from kvassay.model.shape import ModelShape, Weights
from kvassay.types import JsonObject, JsonValue

MAX_HEADER_BYTES = 64 << 20
_U64 = struct.Struct("<Q")
_ONE_FILE = "model.safetensors"

# Hugging Face's name → llama.cpp's key, for every model type
_COMMON = {
    "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "vocab_size": "vocab_size",
    "num_experts": "expert_count",
    "n_routed_experts": "expert_count",
    "num_local_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
}
_DELTA = {
    "linear_conv_kernel_dim": "ssm.conv_kernel",
    "linear_key_head_dim": "ssm.state_size",
    "linear_num_key_heads": "ssm.group_count",
    "linear_num_value_heads": "ssm.time_step_rank",
    "full_attention_interval": "full_attention_interval",
}


class _Family(NamedTuple):
    """llama.cpp's architecture of a model type, further keys, what a configuration may leave out, and how it counts the
    NextN/MTP layers that the converter appends.
    """

    architecture: str
    keys: Mapping[str, str] = {}
    windowed: bool = False
    defaults: Mapping[str, int] = {}
    drafts: str | None = None


def _usual(heads: int, kv_heads: int | None, head_dim: int | None, context: int, **more: int) -> dict[str, int]:
    """What transformers (5.24, configuration_*.py) takes for keys that a configuration leaves out; None: derived.

    llama.cpp's converter reads configurations through transformers, and writes these. Layers and width must be stated.
    """
    found = {
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": context,
        **more,
    }
    return {key: value for key, value in found.items() if value is not None}


_MISTRAL = _usual(32, 8, None, 131_072)
_LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
_LINEAR = {
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
}
_MTP, _NEXTN = "mtp_num_hidden_layers", "num_nextn_predict_layers"
_GEMMA3 = _Family("gemma3", windowed=True, defaults=_usual(8, 4, 256, 131_072, sliding_window=4096, vocab_size=262_208))
_QWEN35 = _Family("qwen35", _DELTA, defaults=_usual(16, 4, 256, 32_768, **_LINEAR), drafts=_MTP)
_QWEN35_MOE = _Family("qwen35moe", _DELTA, defaults=_usual(16, 2, 256, 32_768, **_LINEAR), drafts=_MTP)

FAMILIES: Mapping[str, _Family] = {
    "llama": _Family("llama", defaults=_usual(32, None, None, 2048)),
    "mistral": _Family("llama", defaults=_MISTRAL),
    "mixtral": _Family("llama", defaults=_MISTRAL),
    "mistral3": _Family("llama", defaults=_MISTRAL),
    "ministral3": _Family("mistral3", defaults=_usual(32, 8, 128, 262_144)),
    "qwen2": _Family("qwen2", defaults=_usual(32, 32, None, 32_768)),
    "qwen2_moe": _Family("qwen2moe", defaults=_usual(16, 16, None, 32_768)),
    "qwen3": _Family("qwen3", defaults=_usual(32, 32, 128, 32_768)),
    "qwen3_moe": _Family("qwen3moe", defaults=_usual(32, 4, None, 32_768)),
    "phi3": _Family("phi3", defaults=_usual(32, None, None, 4096)),
    "gemma": _Family("gemma", defaults=_usual(16, 16, 256, 8192)),
    "glm4_moe": _Family("glm4moe", defaults=_usual(96, 8, None, 131_072, num_nextn_predict_layers=1), drafts=_NEXTN),
    "seed_oss": _Family("seed_oss", defaults=_usual(80, 8, 128, 524_288)),
    "smollm3": _Family("smollm3", defaults=_usual(16, 4, None, 32_768)),
    "granite": _Family("granite", defaults=_usual(32, None, None, 2048)),
    "granitemoe": _Family("granitemoe", defaults=_usual(32, None, None, 2048)),
    "gemma2": _Family("gemma2", windowed=True, defaults=_usual(8, 4, 256, 8192, sliding_window=4096)),
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "gpt_oss": _Family("gpt-oss", windowed=True, defaults=_usual(64, 8, 64, 131_072, sliding_window=128)),
    "cohere2": _Family("cohere2", windowed=True, defaults=_usual(64, None, None, 8192, sliding_window=4096)),
    "olmo3": _Family("olmo2", windowed=True, defaults=_usual(32, None, None, 2048, sliding_window=4096)),
    "qwen3_next": _Family("qwen3next", _DELTA, defaults=_usual(16, 2, 256, 32_768, **_LINEAR)),
    "qwen3_5": _QWEN35,
    "qwen3_5_text": _QWEN35,
    "qwen3_5_moe": _QWEN35_MOE,
    "qwen3_5_moe_text": _QWEN35_MOE,
    "deepseek_v2": _Family(
        "deepseek2", defaults=_usual(32, None, None, 2048, qk_nope_head_dim=128, v_head_dim=128, **_LATENT)
    ),
    "deepseek_v3": _Family(
        "deepseek2", defaults=_usual(128, 128, None, 4096, qk_nope_head_dim=128, v_head_dim=128, **_LATENT)
    ),
    "glm4_moe_lite": _Family(
        "deepseek2",
        defaults=_usual(20, 20, None, 202_752, qk_nope_head_dim=192, v_head_dim=256, **_LATENT),
        drafts=_NEXTN,
    ),
    "kimi_k2": _Family("deepseek2"),
}


def shape_of_folder(folder: Path) -> ModelShape:
    """The shape of the model in a folder with config.json (safetensors, EXL3).

    Raises ModelFileError where there is none, its model type is not known here, or a value can't be.
    """
    config = read_config(folder)
    header = GGUFHeader(3, {key: _value(value) for key, value in _keys(config, folder).items()}, {}, (), 0)
    shape = shape_of(header, source=str(folder))
    return replace(
        shape, name=folder.name or str(folder), weights=_weights(folder, len(shape.layers), len(shape.trunk))
    )


def _keys(config: JsonObject, folder: Path) -> dict[str, JsonValue]:
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise ModelFileError(
            f"{str(folder / 'config.json')!r} is of model type {str(kind)[:80]!r}, unknown to kvassay.",
            hint=f"A GGUF file of the model works, if llama.cpp knows it. Known types: {', '.join(sorted(FAMILIES))}.",
        )
    for key in ("num_hidden_layers", "hidden_size"):
        if config.get(key) is None:
            raise ModelFileError(
                f"{str(folder / 'config.json')!r} doesn't say {key!r}.", hint="A GGUF file of the model works."
            )
    config = {**family.defaults, **config}
    names = {**_COMMON, **family.keys}
    found = {key: config[name] for name, key in names.items() if config.get(name) is not None}
    found |= _heads(config) | _windows(config, family) | _delta(config, family) | _drafting(config, family)
    if family.architecture == "deepseek2":
        found |= _latent(config, folder)
    full: dict[str, JsonValue] = {f"{family.architecture}.{key}": value for key, value in found.items()}
    return full | {"general.architecture": family.architecture}


def _heads(config: JsonObject) -> dict[str, JsonValue]:
    dim = config.get("head_dim")
    return {} if dim is None else {"attention.key_length": dim, "attention.value_length": dim}


def _latent(config: JsonObject, folder: Path) -> dict[str, JsonValue]:
    """MLA as the converter writes it: one K head of rank + rotary dimensions."""
    rank, rope, nope, value = (
        _whole(config, key, folder) for key in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    )
    return {
        "attention.head_count_kv": 1,
        "attention.key_length": rank + rope,
        "attention.value_length": rank,
        "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": value,
    }


def _whole(config: JsonObject, key: str, folder: Path) -> int:
    match config.get(key):
        case int(value):
            return value
        case value:
            raise ModelFileError(
                f"{str(folder / 'config.json')!r} has latent attention, but {key!r} is {str(value)[:80]!r}.",
                hint="Without it the cache can't be sized: download the configuration again, or name a GGUF file.",
            )


def _windows(config: JsonObject, family: _Family) -> dict[str, JsonValue]:
    if not family.windowed or config.get("sliding_window") is None:
        return {}
    found: dict[str, JsonValue] = {"attention.sliding_window": config["sliding_window"]}
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        return found | {"attention.sliding_window_pattern": [int(kind == "sliding_attention") for kind in kinds]}
    pattern = config.get("sliding_window_pattern")
    return found if pattern is None else found | {"attention.sliding_window_pattern": pattern}


def _delta(config: JsonObject, family: _Family) -> dict[str, JsonValue]:
    """Gated delta nets: the inner size, and the layers by kind; the MTP layers behind them attend."""
    if "linear_conv_kernel_dim" not in family.keys:
        return {}
    heads, dim = config.get("linear_num_value_heads"), config.get("linear_value_head_dim")
    found: dict[str, JsonValue] = {}
    if isinstance(heads, int) and isinstance(dim, int):
        found["ssm.inner_size"] = heads * dim
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        drafts = (0,) * _draft_layers(config, family)
        found["attention.recurrent_layers"] = [*(int(kind == "linear_attention") for kind in kinds), *drafts]
    return found


def _drafting(config: JsonObject, family: _Family) -> dict[str, JsonValue]:
    """The layers with those that only draft behind them, as the converter counts them."""
    drafts, layers = _draft_layers(config, family), config.get("num_hidden_layers")
    if not drafts or not isinstance(layers, int):
        return {}
    return {"block_count": layers + drafts, "nextn_predict_layers": drafts}


def _draft_layers(config: JsonObject, family: _Family) -> int:
    count = config.get(family.drafts) if family.drafts else 0
    return count if isinstance(count, int) and 0 < count <= MAX_LAYERS else 0


def _value(value: JsonValue) -> Value:
    """A JSON value as a GGUF header would hold it; what can't be one is refused later, by name."""
    if isinstance(value, list):
        return tuple(each if isinstance(each, str | int | float) else str(each)[:80] for each in value)
    return value if isinstance(value, str | int | float) else str(value)[:80]


def _weights(folder: Path, n_layers: int, n_trunk: int) -> Weights | None:
    """Bytes of the folder's tensors, from the files' headers; those of files that are not here by the index's total.

    None where there are neither files nor an index.
    """
    index = _index(folder)
    files = _files(folder, index)
    if not files and index is None:
        return None
    sizes: dict[str, int] = {}
    for file in files:
        sizes |= _tensor_bytes(file)
    layers = [0] * n_layers
    inputs = outputs = 0
    for name, size in sizes.items():
        layer = _layer_of(name, n_trunk)
        if layer is not None and layer < n_layers:
            layers[layer] += size
        elif "embed_tokens" in name:
            inputs += size
        else:
            outputs += size
    tied = 0 if any("lm_head" in name for name in (*sizes, *(index.tensors if index else ()))) else inputs
    missing = max(0, (index.total_bytes if index else 0) - sum(sizes.values()))
    if index is None or index.files <= {file.name for file in files} or missing == 0:
        return Weights(tuple(layers), inputs, outputs, tied)
    share = [missing * (il + 1) // n_layers - missing * il // n_layers for il in range(n_layers)]
    return Weights(tuple(map(sum, zip(layers, share, strict=True))), inputs, outputs, tied, complete=False)


def _files(folder: Path, index: _Index | None) -> list[Path]:
    """The files that are loaded: the one, else the index's, else those named ``model``, as transformers and llama.cpp's
    converter choose. Mistral's repositories hold the same weights a second time, as consolidated.safetensors.
    """
    if (one := folder / _ONE_FILE).is_file():
        return [one]
    here = sorted(folder.glob("*.safetensors"))
    if index is not None:
        return [file for file in here if file.name in index.files]
    return [file for file in here if file.name.startswith("model")] or here


class _Index(NamedTuple):
    total_bytes: int
    files: frozenset[str]
    tensors: frozenset[str]


def _index(folder: Path) -> _Index | None:
    """What model.safetensors.index.json says; None where there is none that can be used, or all is in one file."""
    if (folder / _ONE_FILE).is_file():
        return None
    try:
        with (folder / "model.safetensors.index.json").open("rb") as file:
            found = json.loads(file.read(MAX_HEADER_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    match found:
        case {"metadata": {"total_size": int(total)}, "weight_map": dict(files)} if total >= 0:
            return _Index(total, frozenset(map(str, files.values())), frozenset(files))
    return None


def _layer_of(name: str, n_trunk: int) -> int | None:
    """The layer that a tensor belongs to; those named ``mtp`` come behind the trunk."""
    _, found, rest = name.partition("layers.")
    number = rest.partition(".")[0]
    layer = int(number) if found and number.isdecimal() and len(number) <= 4 else None  # noqa: PLR2004  digits
    return n_trunk + (layer or 0) if name.startswith(("mtp.", "model.mtp.")) else layer


def _tensor_bytes(path: Path) -> dict[str, int]:
    """Bytes by tensor, from the JSON at the file's start (safetensors' format)."""
    try:
        with path.open("rb") as file:
            start = file.read(_U64.size)
            length = _U64.unpack(start)[0] if len(start) == _U64.size else MAX_HEADER_BYTES + 1
            table = json.loads(file.read(length)) if length <= MAX_HEADER_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{str(path)!r} can't be read: {error}.", hint="Download it again.") from error
    if not isinstance(table, dict):
        raise ModelFileError(f"{str(path)!r} has no safetensors header.", hint="Download it again.")
    return {name: _span(entry, path) for name, entry in table.items() if name != "__metadata__"}


def _span(entry: JsonValue, path: Path) -> int:
    match entry:
        case {"data_offsets": [int(first), int(last)]} if 0 <= first <= last:
            return last - first
    raise ModelFileError(f"{str(path)!r} has a damaged safetensors header.", hint="Download it again.")
