"""What K/V caches are made of: types with their bits per value (``cache_types.toml``), cells in steps of 256."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Family = Literal["ggml", "ik", "exl3"]
PAD = 256


@dataclass(frozen=True, slots=True)
class CacheType:
    """One type: ``bits`` per value with scales, ``block`` values share a scale, ``ggml_id`` its number in ggml.h
    (None outside the ggml family).
    """

    name: str
    bits: float
    block: int
    ggml_id: int | None = None


@cache
def cache_types(family: Family) -> tuple[CacheType, ...]:
    """The types of a family, the largest first."""
    text = files("kvassay").joinpath("cache_types.toml").read_text(encoding="utf-8")
    return tuple(CacheType(**entry) for entry in tomllib.loads(text)[family]["types"])


def ggml_id(name: str) -> int | None:
    """llama.cpp's number of a type, as llama-cpp-python wants it; None for a name it doesn't know."""
    return next((one.ggml_id for one in cache_types("ggml") if one.name == name), None)


def ggml_name(number: int) -> str | None:
    """The name of ggml's type ``number``, None where it is no cache type."""
    return next((one.name for one in cache_types("ggml") if one.ggml_id == number), None)


def pair_flags(k: str, v: str) -> str:
    """The flags that set a pair: TabbyAPI's (common/args.py) for ExLlamaV3's bits, llama.cpp's for all others."""
    return f"--cache-mode {k},{v}" if {k, v} <= {one.name for one in cache_types("exl3")} else f"-ctk {k} -ctv {v}"


def pad(tokens: int) -> int:
    """Up to the next multiple of 256: llama.cpp's cells (``GGML_PAD``), ExLlamaV3's page (1.6.5 constants.py)."""
    return -(-tokens // PAD) * PAD
