"""What several rules ask of a Setup: the pair, the build's number, the device, and the changed line of a fix. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from kvassay.backend.kv import LLAMA_TYPES, is_quantized
from kvassay.doctor.flags import flag_of
from kvassay.doctor.setup import Setup
from kvassay.plan.cache_types import ggml_name
from kvassay.plan.capability import Placement, placement
from kvassay.plan.capability_file import engines
from kvassay.types import KVConfig

KOBOLD_TYPES = {"0": "f16", "1": "q8_0", "2": "q4_0"}
"""koboldcpp's --quantkv."""

_LLAMA_FAMILY = frozenset({"llama.cpp", "ollama", "koboldcpp", "lmstudio", "llama-cpp-python"})
_BUILD = re.compile(r"b?(\d{3,6})\b")
_TRUE = frozenset({"1", "true", "on", "yes"})
_LM_KEYS = {
    "k_type": "llamaKCacheQuantizationType",
    "v_type": "llamaVCacheQuantizationType",
    "flash_attention": "flashAttention",
}


def is_llama(setup: Setup) -> bool:
    """Whether llama.cpp itself, or something that runs it, is looked at."""
    return setup.engine in _LLAMA_FAMILY


def is_true(text: str | None) -> bool:
    """Whether a switch's text means yes."""
    return (text or "").strip().lower() in _TRUE


def pair(setup: Setup) -> KVConfig | None:
    """The K/V pair in llama.cpp's types, as allocated where the log tells, else as asked for; None where unknown."""
    rotation = setup.value("rotation_off") != "on"
    if setup.log and setup.log.caches:
        return KVConfig(setup.log.caches[0].k_type, setup.log.caches[0].v_type, rotation)
    k, v = _types(setup)
    return KVConfig(k, v, rotation) if k in LLAMA_TYPES and v in LLAMA_TYPES else None


def _types(setup: Setup) -> tuple[str | None, str | None]:
    match setup.engine:
        case "ollama":
            both = (setup.value("kv_type") or "").strip().lower() or None
            return both or setup.value("inherited_k"), both or setup.value("inherited_v")
        case "koboldcpp":
            both = KOBOLD_TYPES.get(setup.value("quantkv") or "0")
            return both, both if setup.value("flashattention") == "on" else "f16"
        case "llama-cpp-python":
            return _named(setup.value("k_number")), _named(setup.value("v_number"))
        case _:
            return setup.value("k_type"), setup.value("v_type")


def _named(number: str | None) -> str | None:
    if number is None:
        return "f16"
    return ggml_name(int(number)) if number.isdecimal() else None


def quantises(setup: Setup) -> bool:
    """Whether either side of the known pair is quantised."""
    kv = pair(setup)
    return kv is not None and (is_quantized(kv.k) or is_quantized(kv.v))


def build_number(setup: Setup) -> int | None:
    """llama.cpp's build number; Ollama's pinned one is its engine's. None where unknown (``b0-unknown`` is unknown)."""
    found = _BUILD.match(setup.value("build") or "")
    known = engines().get(setup.engine or "")
    return int(found[1]) if found else (known.pinned_build if known else None)


def placed(setup: Setup, device: str) -> Placement | None:
    """Where the set-up's pair runs on a device; None where the pair isn't known."""
    kv = pair(setup)
    if kv is None:
        return None
    mla = {"yes": True, "no": False}.get(setup.value("mla") or "")
    return placement(
        "llama.cpp" if is_llama(setup) else setup.engine or "",
        build=build_number(setup),
        device=device,
        kv=kv,
        head_dim_k=setup.number("head_dim_k"),
        head_dim_v=setup.number("head_dim_v"),
        fa_quants=setup.value("fa_quants"),
        mla=mla,
    )


def changed(setup: Setup, settings: Mapping[str, str]) -> str:
    """The line with the settings (fact → new value) in it: the whole command where there is one, variables and file
    entries by themselves.
    """
    lines: list[str] = []
    words, added = list(setup.words), list[str]()
    for fact, value in settings.items():
        known, flag = setup.facts.get(fact), flag_of(setup.engine, fact)
        if known and known.how.startswith("environment") and flag and flag.env:
            lines.append(f"{flag.env}={value}")
        elif setup.words and fact in setup.passed:
            at = setup.passed[fact]
            name, joined, _ = words[at].partition("=")
            words[at] = f"{name}={value}" if joined else value
        elif flag and flag.names and setup.style == "command":
            added += [flag.names[0], value]
        else:
            lines.append(_entry(setup, fact, value, flag.env if flag else None))
    if added or words != list(setup.words):
        lines.append(shlex.join([*words, *added]))
    return "\n".join(lines)


def without(setup: Setup, fact: str) -> str:
    """The command without a setting: its flag and value are left out."""
    at, words = setup.passed[fact], list(setup.words)
    flag = flag_of(setup.engine, fact)
    alone = "=" in words[at] or (flag is not None and words[at] in (*flag.names, *flag.off))
    return shlex.join([word for n, word in enumerate(words) if n not in ({at} if alone else {at - 1, at})])


def _entry(setup: Setup, fact: str, value: str, env: str | None) -> str:
    if setup.style == "yaml":
        return f"{fact}: {value}"
    if setup.style == "json":
        shown = value if value in {"true", "false"} or value.isdecimal() else f'"{value}"'
        return f'"{_LM_KEYS.get(fact, fact)}": {shown}'
    return f"{env}={value}" if env else f"{fact} {value}"
