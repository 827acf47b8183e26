"""A recommendation in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from kvassay.plan.alternative import cures
from kvassay.plan.answer import Answer, Found
from kvassay.plan.words import headline, notes
from kvassay.units import depth_words, mib
from kvassay.verdict.sentences import at_each, places


def print_answer(answer: Answer, console: Console) -> None:
    """The one sentence to read first, the launch line by itself, then what stands behind it."""
    first, *rest = lines(answer)
    console.print(Text(first, "bold"))
    if answer.launch is not None:
        console.print(Text(f"\n  {answer.launch.command or answer.launch.why}\n"), soft_wrap=True)
    for line in rest:
        console.print(Text(f"- {line}"))


def lines(answer: Answer) -> Iterator[str]:
    """The answer in sentences, the headline first."""
    plan, proven = answer.view.plan, answer.proven
    if answer.needs_no_quantisation:
        yield headline(plan, None)
    elif answer.dry:
        yield from _order(answer)
    elif proven:
        yield f"Run {proven.candidate.name}: proven within the margin on this machine."
        yield from _evidence(answer, proven)
        yield _more(answer)
    else:
        yield from _nothing(answer)
    yield from _cures(answer)
    yield from notes(plan)


def _order(answer: Answer) -> Iterator[str]:
    if not answer.ranking.candidates:
        yield from _nothing(answer)
        return
    yield f"In this order they would be measured {places(answer.depths)}, until one is proven:"
    told: dict[str, int] = {}
    for number, candidate in enumerate(answer.ranking.candidates, 1):
        why = candidate.why
        if candidate.caution and told.setdefault(candidate.caution, number) != number:
            why = why.replace(candidate.caution.rstrip("."), f"as {told[candidate.caution]}")
        yield f"{number}. {candidate.name} (reaches {candidate.row.max_context:,}): {why}"
    yield from _left_out(answer)


def _left_out(answer: Answer) -> Iterator[str]:
    for left in answer.ranking.left_out:
        yield f"Left out: {left.row.kv}, {left.why.rstrip('.')}."


def _evidence(answer: Answer, proven: Found) -> Iterator[str]:
    assert proven.arm is not None  # noqa: S101  what proven means
    where = "just now" if proven.anew else "by an earlier run in this store"
    yield f"Evidence, {where}: {proven.arm.sentence}"
    yield f"{proven.arm.overall.pairs} pairs of trials: {at_each(proven.arm.by_depth)}."
    deepest = max(proven.depths, default=0)
    if deepest < answer.view.plan.wanted:
        reach = f"Beyond {deepest:,} tokens" if deepest else "With a session in front"
        yield f"{reach} nothing was measured; --max-depth or --depths go deeper."
    if proven.candidate.caution:
        yield f"Beware: {proven.candidate.caution}"
    others = [found for found in answer.found if found is not proven]
    yield from (f"Tried before: {found.sentence}" for found in others)
    if others:
        yield f"Each of these {len(answer.found)} claims holds at its own level; together they are less certain."
    broken = [left for left in answer.ranking.left_out if left.row.fits and not left.row.refused]
    yield from (f"Left out: {left.row.kv}, {left.why.rstrip('.')}." for left in broken)


def _more(answer: Answer) -> str:
    more = answer.roomier
    if more is None:
        return "No other pair that may run holds more context."
    return f"If you need more context: {more.row.kv} reaches {more.row.max_context:,} tokens; {answer.known_of(more)}."


def _nothing(answer: Answer) -> Iterator[str]:
    """Nothing is proven: why, and what is missing."""
    if not answer.ranking.candidates:
        plan = answer.view.plan
        yield f"Nothing to recommend: no quantised pair is left for {depth_words(plan.wanted)} tokens."
        yield from _left_out(answer)
        return
    yield f"Nothing is proven within the margin ({len(answer.found)} of {len(answer.ranking.candidates)} measured)."
    best = answer.best_unproven
    if best is not None:
        yield f"The best of them: {best.sentence}"
        if not best.fault:
            yield "More --probes bring more pairs; --margin says which loss would not matter."
    yield from (found.sentence for found in answer.found if found is not best)


def _cures(answer: Answer) -> Iterator[str]:
    plan = answer.view.plan
    if plan.reference is not None and plan.reference.max_context and not answer.needs_no_quantisation:
        yield f"Without quantising: {plan.reference.kv} reaches {plan.reference.max_context:,} tokens."
    for one in answer.alternatives:
        size = f"weights of {mib(one.weights_bytes)}" if one.weights_bytes else "weights of unknown size"
        yield f"With {one.name} ({size}): {'; '.join(cures(one, plan.wanted))}. What these weights do was not measured."
