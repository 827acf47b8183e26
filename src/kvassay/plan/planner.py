"""For each K/V pair: does it fit, up to which context, at what cost; and which pairs no other pair beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from kvassay.backend.kv import BITS_PER_VALUE
from kvassay.kv_cache import PAD
from kvassay.model.shape import ModelShape
from kvassay.plan.breakdown import MIB, Breakdown, Place, breakdown
from kvassay.plan.memory import MAX_CONTEXT, CacheSettings, context_of, refusal, wanted_tokens
from kvassay.types import KVConfig

MARGIN_BYTES = 1024 * MIB  # llama.cpp's --fit leaves as much free (common/common.h:483)
DEFAULT_SLOTS = 4  # what llama-server starts with unless -np is given, in one unified cache
REFERENCE = KVConfig("f16", "f16")
PAIRS = tuple(
    KVConfig(k, v)
    for k, v in (
        ("f16", "f16"),
        ("f16", "q8_0"),
        ("q8_0", "q8_0"),
        ("f16", "q4_0"),
        ("q8_0", "q5_1"),
        ("q8_0", "q4_0"),
        ("q5_1", "q5_1"),
        ("q5_0", "q5_0"),
        ("q5_1", "q4_0"),
        ("q4_1", "q4_1"),
        ("q4_0", "q4_0"),
    )
)
"""The pairs that are planned unless others are asked for."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Memory to plan for, in bytes: the device's, less what is to stay free."""

    total_bytes: int
    margin_bytes: int = MARGIN_BYTES

    @property
    def usable_bytes(self) -> int:
        return max(self.total_bytes - self.margin_bytes, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """One pair. ``max_context`` is in tokens, a multiple of 256 at most the model's own; 0 where it doesn't fit.

    ``refused`` says why llama.cpp won't run it; ``at_wanted`` is the breakdown at the wanted context.
    """

    kv: KVConfig
    max_context: int
    at_wanted: Breakdown | None
    fits: bool
    refused: str | None = None
    pareto: bool = False


class Bits(NamedTuple):
    """Bits per value, scales included."""

    k: float
    v: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All pairs of one model under one budget. ``ceiling`` is the greatest context asked of a pair, in tokens."""

    shape: ModelShape
    settings: CacheSettings
    place: Place
    budget: Budget
    wanted: int
    ceiling: int
    rows: tuple[Row, ...]

    @property
    def reference(self) -> Row | None:
        """The unquantised pair, where it is among the rows."""
        return next((row for row in self.rows if row.kv == REFERENCE), None)

    @property
    def needs_no_quantisation(self) -> bool:
        """Whether f16 already reaches the wanted context."""
        return self.reference is not None and self.reference.fits


def make_plan(
    shape: ModelShape, settings: CacheSettings, place: Place, budget: Budget, pairs: Sequence[KVConfig] = PAIRS
) -> Plan:
    """Plan every pair; the wanted context is the settings', or the model's own."""
    wanted = wanted_tokens(shape, settings.context_tokens)
    ceiling = min(max(shape.context_length, wanted), MAX_CONTEXT // PAD * PAD)
    rows = [_row(shape, kv, replace(settings, context_tokens=wanted), place, budget, ceiling) for kv in pairs]
    marked = tuple(replace(row, pareto=not any(_beats(other, row) for other in rows)) for row in rows)
    return Plan(shape, settings, place, budget, wanted, ceiling, marked)


def _row(  # noqa: PLR0917  all that one row depends on
    shape: ModelShape, kv: KVConfig, settings: CacheSettings, place: Place, budget: Budget, ceiling: int
) -> Row:
    reason = refusal(shape, kv, settings)
    if reason:
        return Row(kv, 0, None, fits=False, refused=reason)
    at_wanted = breakdown(shape, kv, settings, place)
    most = max_context(shape, kv, settings, place, budget.usable_bytes, ceiling)
    return Row(kv, most, at_wanted, fits=needed(at_wanted, place) <= budget.usable_bytes)


def max_context(  # noqa: PLR0917
    shape: ModelShape, kv: KVConfig, settings: CacheSettings, place: Place, usable_bytes: int, ceiling: int
) -> int:
    """The greatest context, a multiple of 256 tokens and at most ``ceiling``, that fits; 0 where none does."""
    low, high = 0, -(-ceiling // PAD)
    while low < high:
        middle = (low + high + 1) // 2
        parts = breakdown(shape, kv, replace(settings, context_tokens=middle * PAD), place)
        if needed(parts, place) <= usable_bytes:
            low = middle
        else:
            high = middle - 1
    return min(low * PAD, ceiling)


def needed(parts: Breakdown, place: Place) -> int:
    """What must fit: the device's share, or all of it where there is no device."""
    return parts.device_bytes if place.is_gpu else parts.host_bytes


def slots_cost_bytes(plan: Plan, kv: KVConfig) -> int:
    """What llama-server's own default of four slots would add to one slot at the wanted context."""
    one = replace(plan.settings, context_tokens=plan.wanted, parallel=1, unified=False)
    four = replace(one, parallel=DEFAULT_SLOTS, unified=True)
    cost = [needed(breakdown(plan.shape, kv, settings, plan.place), plan.place) for settings in (one, four)]
    return cost[1] - cost[0]


def recommended(plan: Plan) -> Row | None:
    """The least quantised row that fits (``precision``); None where none fits.

    That is an order of sizes, not of quality: only a measurement tells what a pair does to a model.
    """
    fitting = [row for row in plan.rows if row.fits]
    return max(fitting, key=precision, default=None)


def bits(row: Row) -> Bits:
    """The bits per value of a row's two sides."""
    return Bits(BITS_PER_VALUE[row.kv.k], BITS_PER_VALUE[row.kv.v])


def precision(row: Row) -> tuple[float, ...]:
    """What pairs are ordered by: the bits of the weaker side, then of K, the more delicate half, then of V."""
    return min(bits(row)), *bits(row)


def _beats(one: Row, other: Row) -> bool:
    """Whether a pair is nowhere worse and somewhere better: bits of K, bits of V, greatest context."""
    if one.refused or other.refused or not other.max_context:
        return other.refused is not None or not other.max_context
    ours, theirs = (*bits(one), one.max_context), (*bits(other), other.max_context)
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


def context_tokens(plan: Plan) -> int:
    """Cells that the wanted context takes once it is padded."""
    return context_of(plan.shape, replace(plan.settings, context_tokens=plan.wanted)).n_ctx
