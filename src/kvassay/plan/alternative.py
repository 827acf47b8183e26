"""The other cure: smaller weights of the same model, so that K and V keep their precision. Facts of memory only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvassay.errors import ConfigError
from kvassay.model.shape import ModelShape
from kvassay.plan.planner import REFERENCE, Plan, Row, make_plan
from kvassay.types import KVConfig

GENTLE = (REFERENCE, KVConfig("f16", "q8_0"), KVConfig("q8_0", "q8_0"))
"""The pairs for whose sake smaller weights may be wanted."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another file of the same model: its weights in bytes (None: the header lists none), and GENTLE pairs with it."""

    name: str
    weights_bytes: int | None
    rows: tuple[Row, ...]


def alternative(name: str, shape: ModelShape, plan: Plan) -> Alternative:
    """Plan another file of ``plan``'s model under the same budget. Raises ConfigError for another model's file."""
    if (shape.architecture, shape.layers) != (plan.shape.architecture, plan.shape.layers):
        raise ConfigError(
            f"--also {name!r} is another model: {_named(shape)}, beside {_named(plan.shape)}.",
            hint="Give files of the same model with other weight types.",
        )
    weights = shape.weights.total_bytes if shape.weights else None
    return Alternative(name, weights, make_plan(shape, plan.settings, plan.place, plan.budget, GENTLE).rows)


def _named(shape: ModelShape) -> str:
    return f"{shape.name} ({shape.architecture}, {len(shape.layers)} layers)"


def cures(alternative: Alternative, wanted: int) -> Iterator[str]:
    """What each gentle pair reaches with these weights, in words."""
    for row in alternative.rows:
        if row.refused:
            yield f"{row.kv} is refused"
        elif row.fits:
            yield f"{row.kv} holds {wanted:,} tokens and reaches {row.max_context:,}"
        else:
            yield f"{row.kv} reaches {row.max_context:,}" if row.max_context else f"{row.kv} doesn't fit"
