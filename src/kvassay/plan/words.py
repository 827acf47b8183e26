"""A plan in sentences: what to run, what it leaves out, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterator

from kvassay.plan.breakdown import MIB
from kvassay.plan.planner import Plan, Row, needed, slots_cost_bytes
from kvassay.units import depth_words, mib


def headline(plan: Plan, best: Row | None) -> str:
    """The one sentence to read first; ``best`` is the recommended row."""
    wanted = depth_words(plan.wanted)
    if plan.needs_no_quantisation:
        full = plan.reference is not None and plan.reference.max_context >= plan.ceiling
        reach = (
            "the model's whole context" if full else f"{plan.reference.max_context if plan.reference else 0:,} tokens"
        )
        return f"You don't need to quantise: f16/f16 holds {wanted} tokens, and reaches {reach}{_uncounted(plan)}."
    if best is not None:
        return f"{best.kv} is the pair to take for {wanted} tokens; f16/f16 {_short(plan)}{_uncounted(plan)}."
    reasons = [row.refused for row in plan.rows if row.refused]
    if reasons and len(reasons) == len(plan.rows):
        return f"llama.cpp refuses every planned pair: {reasons[0]}."
    most = max(plan.rows, key=lambda row: row.max_context, default=None)
    if most is None or not most.max_context:
        return f"The model does not fit into {mib(plan.budget.total_bytes)}, whatever the pair."
    return f"No pair holds {wanted} tokens; {most.kv} reaches the most, {most.max_context:,}."


def _uncounted(plan: Plan) -> str:
    weights = plan.shape.weights
    if weights is None:
        return " (WITHOUT the weights, which the header doesn't list)"
    return "" if weights.complete else " (NOT ALL of the weights could be sized)"


def _short(plan: Plan) -> str:
    row = plan.reference
    if row is None:
        return "was not planned"
    if row.refused:
        return "is refused"
    return f"reaches {row.max_context:,}" if row.max_context else "does not fit at all"


def notes(plan: Plan) -> Iterator[str]:
    """What the table counts, and what a server's defaults would change."""
    budget = plan.budget
    driver = f"; {mib(plan.place.overhead_bytes)} are assumed for the driver" if plan.place.is_gpu else ""
    yield (
        f"Budget: {mib(budget.total_bytes)}, of which {mib(budget.margin_bytes)} stay free as llama.cpp's --fit leaves "
        f"them{driver}."
    )
    yield from _scratch(plan)
    if plan.settings.parallel == 1:
        yield from _slots(plan)
    yield from _weights(plan)
    if plan.wanted > plan.shape.context_length > 0:
        yield f"The model was trained for {plan.shape.context_length:,} tokens; {plan.wanted:,} is beyond that."


def _scratch(plan: Plan) -> Iterator[str]:
    scratch = [row.at_wanted.of("f16 scratch") for row in plan.rows if row.at_wanted]
    if any(scratch):
        yield (
            f"Quantised pairs include up to {mib(max(scratch))} of f16 scratch, which CUDA's flash attention takes "
            "beside the cache."
        )


def _slots(plan: Plan) -> Iterator[str]:
    row = plan.reference or next((row for row in plan.rows if not row.refused), None)
    if row is None or row.refused:
        return
    cost = slots_cost_bytes(plan, row.kv)
    more = f"{mib(cost)} more" if cost >= MIB else "next to nothing more, but share one context"
    yield f"Start the server with -np 1: its default of 4 slots would take {more} (at {row.kv})."


def _weights(plan: Plan) -> Iterator[str]:
    weights = plan.shape.weights
    if weights is None:
        yield "The header lists no tensors: weights are NOT counted, so every context here is too large."
    elif not weights.complete:
        yield "Not all weights could be sized (files of a split model, unknown types): real contexts are smaller."


def total(row: Row, plan: Plan) -> int | None:
    """What must fit at the wanted context."""
    return needed(row.at_wanted, plan.place) if row.at_wanted else None
