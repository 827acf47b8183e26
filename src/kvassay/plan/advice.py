"""What other tables say of a planned pair: where its attention runs, and how to start a server with it.

The one place where the planner meets the capability table and the launch lines.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from kvassay.model.shape import ModelShape
from kvassay.types import KVConfig


@dataclass(frozen=True, slots=True)
class Engine:
    """What will run the model; ``build`` is llama.cpp's build number, None where it isn't known."""

    name: str
    build: int | None
    device: str


@dataclass(frozen=True, slots=True)
class Attention:
    """Where attention runs: fast, slow-on-gpu, cpu, refused or unknown, and why."""

    where: str
    why: str

    @property
    def is_bad(self) -> bool:
        return self.where in ("slow-on-gpu", "cpu", "refused")


def attention_of(engine: Engine, kv: KVConfig, shape: ModelShape) -> Attention:
    """Where a back end runs a pair's attention on this model."""
    table = _table("capability")
    if table is None:
        return Attention("unknown", "no capability table is installed")
    dims = next((layer for layer in shape.layers if layer.attention), None)
    found = table.placement(
        engine.name,
        build=engine.build,
        device=engine.device,
        kv=kv,
        head_dim_k=dims.head_k if dims else None,
        head_dim_v=dims.head_v if dims else None,
        mla=shape.latent,
    )
    return Attention(str(found.where.value), str(found.why))


def launches(model: str, kv: KVConfig, *, context_tokens: int, parallel: int) -> Sequence[tuple[str, str | None, str]]:
    """Engine, command or None, and why, for every back end that is known."""
    table = _table("launch")
    if table is None:
        return ()
    lines = table.launch_lines(model, kv, context_tokens=context_tokens, parallel=parallel)
    return [(str(line.engine), line.command, str(line.why)) for line in lines]


def _table(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(f"kvassay.plan.{name}")
    except ModuleNotFoundError:
        return None
