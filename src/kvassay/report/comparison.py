"""A comparison of two runs in the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import TypeAdapter

from kvassay.assay.comparing import ArmChange, Change, Comparison
from kvassay.report.words import interval_points
from kvassay.units import signed_points

_COMPARISON = TypeAdapter(Comparison)
_SIGNS = {Change.WORSE: "✗", Change.BETTER: "▲", Change.SAME: "✓", Change.UNDECIDED: "?", Change.INVALID: "!"}


def comparison_json(comparison: Comparison) -> str:
    """The comparison as JSON text; fields as in kvassay.assay.comparing."""
    return json.dumps(_COMPARISON.dump_python(comparison, mode="json"), indent=1, allow_nan=False)


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """What differs between the runs, then an arm a line, then what this rests on."""
    if comparison.differences:
        yield "What differs:"
        yield from (f"  {name}: {before} → {after}" for name, before, after in comparison.differences)
    else:
        yield "Nothing but the time of the run differs."
    yield ""
    yield from _table(comparison.arms)
    if comparison.alone:
        yield f"In one run only: {', '.join(comparison.alone)}."
    yield ""
    yield (
        f"Second run minus first, on the probes that both asked. Decisions by anytime-valid e-values at α = "
        f"{comparison.alpha:g} over all arms and both directions (Holm); margin {100 * comparison.margin:g} points."
    )


def _table(arms: tuple[ArmChange, ...]) -> Iterator[str]:
    rows = [["arm", "pairs", "first", "second", "lost", "gained", "points", "interval"], *map(_row, arms)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, arm in zip(rows, (None, *arms), strict=True):
        cells = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *cells))
        if arm:
            yield f"  {_SIGNS[arm.change]} {arm.change}"


def _row(arm: ArmChange) -> list[str]:
    found = arm.effect
    name = arm.first if arm.first == arm.second else f"{arm.first} → {arm.second}"
    return [
        name,
        str(found.pairs),
        str(found.reference_correct),
        str(found.candidate_correct),
        str(found.lost),
        str(found.gained),
        signed_points(found.difference),
        interval_points(found.low, found.high),
    ]
