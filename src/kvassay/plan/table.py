"""A plan in the terminal, within 80 columns."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvassay.plan.evidence import Grade
from kvassay.plan.planner import Plan, Row
from kvassay.plan.view import Entry, PlanView
from kvassay.plan.words import total
from kvassay.units import depth_words, mib

_MARK = "*"
CACHE = ("K", "V", "K, sliding window", "V, sliding window", "indexer keys", "recurrent state")


def print_plan(view: PlanView, console: Console) -> None:
    """Headline, table, the chosen pair's memory line by line, notes and launch lines."""
    first, *rest = view.sentences
    console.print(Text(first, "bold"))
    console.print(Text(_caption(view), "dim"))
    console.print(_table(view))
    _evidence(view, console)
    chosen = view.chosen
    if chosen is not None:
        console.print(_breakdown(chosen, view.plan))
    for note in [*rest, *_warnings(view)]:
        console.print(Text(f"- {note}"))
    _launches(view, console)


def _caption(view: PlanView) -> str:
    memory = view.memory
    return (
        f"{view.plan.shape.name} ({view.plan.shape.architecture}) on {memory.name}, {mib(memory.total_bytes)} "
        f"({memory.how}). {_MARK} no other pair is better in K, V and context at once."
    )


def _table(view: PlanView) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("K/V", no_wrap=True)
    for heading in ("max context", "cache", f"total at {depth_words(view.plan.wanted)}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("attention", "evidence"):
        table.add_column(heading, no_wrap=True)
    for entry in view.entries:
        table.add_row(*_cells(entry, view.plan), style=None if entry.row.fits else "dim")
    return table


def _cells(entry: Entry, plan: Plan) -> tuple[str, ...]:
    row = entry.row
    name = f"{row.kv}{' ' + _MARK if row.pareto else ''}"
    if row.refused or row.at_wanted is None:
        return (name, "refused", "", "", "", "")
    most = f"{row.max_context:,}" if row.max_context else "none"
    cache, whole = row.at_wanted.of(*CACHE), total(row, plan)
    fits = "" if row.fits else " !"
    return (name, most, _gib(cache), _gib(whole) + fits, entry.attention.where, _grade(entry))


def _gib(size: int | None) -> str:
    return "–" if size is None else f"{size / 2**30:.2f} GiB"


def _grade(entry: Entry) -> str:
    return {Grade.MEASURED: "measured here", Grade.PUBLISHED: "published"}.get(entry.evidence.grade, "not measured")


def _evidence(view: PlanView, console: Console) -> None:
    """What stands behind the last column, in full."""
    for entry in view.entries:
        if entry.evidence.grade is not Grade.NONE:
            console.print(Text(f"- {entry.row.kv}: {entry.evidence.words}."))
    reasons = {entry.row.refused for entry in view.entries if entry.row.refused}
    for reason in sorted(reasons):
        console.print(Text(f"- Refused: {reason}."))


def _breakdown(row: Row, plan: Plan) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=f"{row.kv} at {plan.wanted:,} tokens", title_justify="left"
    )
    table.add_column("part")
    for heading in ("device", "host"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("", "from"):
        table.add_column(heading)
    lines = row.at_wanted.lines if row.at_wanted else ()
    for line in lines:
        device, host = (mib(size) if size else "" for size in (line.device_bytes, line.host_bytes))
        table.add_row(line.name, device, host, line.certainty.value, line.source)
    return table


def _warnings(view: PlanView) -> list[str]:
    """One warning for each reason why pairs that fit would run badly."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for entry in view.entries:
        if entry.attention.is_bad and not entry.row.refused:
            by_reason.setdefault((entry.attention.where, entry.attention.why), []).append(str(entry.row.kv))
    return [f"Beware, attention {where}: {', '.join(pairs)}. {why}" for (where, why), pairs in by_reason.items()]


def _launches(view: PlanView, console: Console) -> None:
    for line in view.launches:
        console.print(Text(f"\n{line.engine}", "bold"))
        text = line.command or line.why
        console.print(Text(f"  {text}"), soft_wrap=True)
