"""What the capability table says of a planned pair: where its attention runs on this model."""

from __future__ import annotations

from dataclasses import dataclass

from kvassay.model.shape import ModelShape
from kvassay.plan.capability import Where, placement
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
        return self.where in (Where.SLOW_ON_GPU, Where.CPU, Where.REFUSED)


def attention_of(engine: Engine, kv: KVConfig, shape: ModelShape) -> Attention:
    """Where a back end runs a pair's attention on this model."""
    dims = next((layer for layer in shape.layers if layer.attention), None)
    found = placement(
        engine.name,
        build=engine.build,
        device=engine.device,
        kv=kv,
        head_dim_k=dims.head_k if dims else None,
        head_dim_v=dims.head_v if dims else None,
        mla=shape.latent,
    )
    return Attention(found.where.value, found.why)
