"""Configurations that are no command: TabbyAPI, LM Studio, koboldcpp, llama-cpp-python, vLLM. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from kvassay.doctor.documents import Document
from kvassay.doctor.flags import FLAGS
from kvassay.doctor.setup import SECRET, Fact, Setup

_TABBY = {
    "model": ("cache_mode", "cache_size", "max_seq_len", "backend", "model_name", "layer_type"),
    "draft_model": ("draft_cache_mode", "draft_model_name", "draft_mode"),
}
_TABBY_NAMES = {"model_name": "model", "draft_model_name": "draft_model"}
_LM_STUDIO = (
    ("kcachequantizationtype", "k_type"),
    ("vcachequantizationtype", "v_type"),
    ("flashattention", "flash_attention"),
    ("contextlength", "context"),
    ("mlxkvcachequantization", "mlx_bits"),
    ("mlx.kvcachequantization", "mlx_bits"),
)
_KOBOLD = {
    "quantkv": "quantkv",
    "flashattention": "flashattention",
    "contextsize": "context",
    "gpulayers": "gpu_layers",
    "model_param": "model",
    "model": "model",
}
_PYTHON = {
    "type_k": "k_number",
    "type_v": "v_number",
    "flash_attn": "flash_attn",
    "n_ctx": "context",
    "n_gpu_layers": "gpu_layers",
    "model": "model",
}


def tabby(document: Document, label: str) -> list[Setup]:
    """TabbyAPI's config.yml; empty where it is none."""
    model = document.get("model")
    if not isinstance(model, dict) or not {"cache_mode", "cache_size", "max_seq_len", "model_dir"} & set(model):
        return []
    facts: dict[str, Fact] = {}
    for section, keys in _TABBY.items():
        body = document.get(section)
        known = body if isinstance(body, dict) else {}
        facts |= {
            _TABBY_NAMES.get(key, key): Fact(_text(known[key]), f"{section}.{key}")
            for key in keys
            if known.get(key) is not None
        }
    facts.setdefault("cache_mode", Fact("FP16", "default", stated=False))
    return [_setup("exllamav3", label, facts, "yaml")]


def vllm(document: Document, label: str) -> list[Setup]:
    """VLLM's --config file; empty where it is none."""
    names = {name.removeprefix("--"): flag.fact for flag in FLAGS["vllm"] for name in flag.names}
    normal = {str(key).replace("_", "-"): value for key, value in document.items()}
    if "kv-cache-dtype" not in normal and "max-model-len" not in normal:
        return []
    secret = {flag.fact for flag in FLAGS["vllm"] if flag.secret}
    facts = {
        names[key]: Fact(SECRET if names[key] in secret else _switch(value), f"{key}")
        for key, value in normal.items()
        if key in names and value is not None
    }
    facts.setdefault("kv_dtype", Fact("auto", "default", stated=False))
    return [_setup("vllm", label, facts, "yaml")]


def lm_studio(document: Document, label: str) -> list[Setup]:
    """LM Studio's load configuration: the SDK's flat keys, or the fields of a model's settings file."""
    facts: dict[str, Fact] = {}
    for key, value in _fields(document, depth=0):
        lowered = key.lower()
        fact = next((fact for ending, fact in _LM_STUDIO if lowered.endswith(ending)), None)
        content = _checked(value)
        if fact and content is not None:
            facts[fact] = Fact(_text(content), key)
    if not {"k_type", "v_type", "mlx_bits", "flash_attention"} & set(facts):
        return []
    if "mlx_bits" not in facts:
        for fact in ("k_type", "v_type"):
            facts.setdefault(fact, Fact("f16", "default", stated=False))
    return [_setup("lmstudio", label, facts, "json")]


def koboldcpp(document: Document, label: str) -> list[Setup]:
    """Koboldcpp's .kcpps file; empty where it is none."""
    if "quantkv" not in document and "contextsize" not in document:
        return []
    facts = {
        fact: Fact(_switch(document[key]), key) for key, fact in _KOBOLD.items() if document.get(key) not in (None, "")
    }
    if isinstance(off := document.get("noflashattention"), bool):  # it beats "flashattention", of older releases
        facts["flashattention"] = Fact(_switch(not off), "noflashattention")
    facts.setdefault("flashattention", Fact("on", "default", stated=False))
    return [_setup("koboldcpp", label, facts, "json")]


def llama_cpp_python(document: Document, label: str) -> list[Setup]:
    """llama-cpp-python's server configuration, one set-up for each model; empty where it is none."""
    models = document.get("models")
    listed = models if isinstance(models, list) else [document]
    setups = []
    for at, body in enumerate(one for one in listed if isinstance(one, dict)):
        if {"type_k", "type_v", "n_gpu_layers", "flash_attn"} & set(body):
            facts = {fact: Fact(_text(body[key]), key) for key, fact in _PYTHON.items() if body.get(key) is not None}
            facts.setdefault("flash_attn", Fact("false", "default", stated=False))
            setups.append(
                _setup("llama-cpp-python", label if len(listed) == 1 else f"{label} #{at + 1}", facts, "json")
            )
    return setups


def _setup(engine: str, label: str, facts: Mapping[str, Fact], style: str) -> Setup:
    return Setup(label, engine, MappingProxyType(dict(facts)), style=style)


def _fields(document: Document, *, depth: int) -> Iterator[tuple[str, object]]:
    """Keys and values of nested objects; a field may be written as {"key": …, "value": …}."""
    if depth > 5:  # noqa: PLR2004 - their files nest three deep
        return
    if isinstance(document.get("key"), str) and "value" in document:
        yield str(document["key"]), document["value"]
        return
    for key, value in document.items():
        yield str(key), value
        inner = value if isinstance(value, list) else [value]
        for one in inner:
            if isinstance(one, dict):
                yield from _fields(one, depth=depth + 1)


def _checked(value: object) -> object | None:
    """A field with a tick box counts where it is ticked; the MLX one names its bits."""
    if isinstance(value, dict):
        if value.get("checked") is False or value.get("enabled") is False:
            return None
        return value.get("value", value.get("bits"))
    return None if value is False or isinstance(value, list) else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _switch(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
