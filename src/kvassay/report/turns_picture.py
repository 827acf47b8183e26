"""A replay's timeline as SVG: a row for each arm, a cell for each turn. It shows outcomes, no word of the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from kvassay.report.charts import Style, beyond, styles
from kvassay.report.replay_view import ReplayCell, ReplayRow, ReplayTurn
from kvassay.report.timeline import LEGEND, cell_class, cell_sign, counted
from kvassay.report.view import View
from kvassay.svg import element
from kvassay.units import thousands

_PITCH, _SIZE = 30, 26
_LEFT, _RIGHT, _FOOT, _PAD = 128, 76, 40, 14
_TOP, _TOP_OF_ONE = 44, 26  # one turn has no row of tokens
_CHAR, _GAP = 6.3, 20
_NAME = 104  # room for an arm's label
_WIDE = 4  # characters in the usual size over a column
_PARTS = LEGEND.split("  ")
_LEGEND_WIDTH = sum(_CHAR * len(part) + _GAP for part in _PARTS)


def timeline(view: View, arms: Sequence[str]) -> Markup:
    """The rows of the arms named, each with how many of its graded answers were right. The view must be a replay's."""
    replay = view.replay
    assert replay is not None  # noqa: S101  asked for by the caller
    rows = [row for row in replay.rows if row.arm in arms]
    top = _TOP_OF_ONE if replay.is_one_turn else _TOP
    bottom = top + _PITCH * len(rows)
    left = _LEFT + beyond((row.arm for row in rows), _NAME)
    width = max(left + _PITCH * len(replay.turns) + _RIGHT, round(_LEGEND_WIDTH))
    looks = styles(view)
    return element(
        "svg",
        *_heads(replay.turns, left, one=replay.is_one_turn),
        *(part for at, row in enumerate(rows) for part in _row(row, looks[row.arm], left, top + _PITCH * at)),
        *_legend(bottom + 26),
        class_="chart",
        viewBox=f"{-_PAD} {-_PAD} {width + 2 * _PAD} {bottom + _FOOT + _PAD}",
        width=width + 2 * _PAD,
        role="img",
        aria_label="Outcomes of each arm, turn by turn",
    )


def _heads(turns: Sequence[ReplayTurn], left: float, *, one: bool) -> Iterator[Markup]:
    yield element("text", "seed" if one else "turn", x=0, y=14)
    if not one:
        yield element("text", "tokens", x=0, y=32)
    for at, turn in enumerate(turns):
        middle = left + _PITCH * at + _SIZE / 2
        name = "greedy" if one and turn.seed is None else str(turn.seed if one else turn.number)
        size = {"font_size": 9} if len(name) > _WIDE else {}
        yield element("text", name, x=middle, y=14, text_anchor="middle", **size)
        if not one:
            yield element("text", thousands(turn.prompt_tokens), x=middle, y=32, text_anchor="middle", font_size=10.5)


def _row(row: ReplayRow, look: Style, left: float, top: float) -> Iterator[Markup]:
    middle = top + _SIZE / 2 + 4.5
    mark = element(
        "path", d=look.marker, fill="currentColor", transform=f"translate(8 {top + _SIZE / 2})", class_=look.colour
    )
    yield element("g", mark, element("text", row.arm, x=22, y=middle))
    for column, cell in enumerate(row.cells):
        yield _cell(cell, left + _PITCH * column, top, first=column == row.first_other)
    yield element("text", str(counted(row)), x=left + _PITCH * len(row.cells) + 8, y=middle)


def _cell(cell: ReplayCell, x: float, y: float, *, first: bool) -> Markup:
    kind = f"turn-{cell_class(cell)}{' first-other' if first else ''}"
    box = element("rect", x=x, y=y, width=_SIZE, height=_SIZE, rx=4)
    sign = element("text", cell_sign(cell), x=x + _SIZE / 2, y=y + _SIZE / 2 + 4.5, text_anchor="middle")
    return element("g", box, sign, class_=kind)


def _legend(y: float) -> Iterator[Markup]:
    x = 0.0
    for part in _PARTS:
        yield element("text", part, x=x, y=y)
        x += _CHAR * len(part) + _GAP
