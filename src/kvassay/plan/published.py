"""What others have published of single models and pairs: the few figures with a source, as they were given."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvassay.types import KVConfig


class Figure(NamedTuple):
    """One published figure: of which model (letters and digits of its name), which pair, what was found, and where."""

    model: str
    pair: str
    finding: str
    source: str


FIGURES = (
    Figure("qwen3627b", "q8_0/q8_0", "median KLD .0009 at 64k", "beellama README"),
    Figure("qwen3627b", "q5_0/q5_0", "median KLD .0012 at 64k", "beellama README"),
    Figure("qwen3627b", "q4_0/q4_0", "median KLD .0019 at 64k", "beellama README"),
)


def published(name: str, kv: KVConfig) -> Figure | None:
    """The published figure for a model of this name and a pair, if there is one."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((figure for figure in FIGURES if figure.model in plain and figure.pair == str(kv)), None)
