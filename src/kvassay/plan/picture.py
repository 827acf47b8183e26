"""A plan as a picture: memory against context, one line a pair, in a self-contained HTML page that works offline."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from math import floor, log10
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kvassay.plan.breakdown import breakdown
from kvassay.plan.planner import Plan, Row, needed
from kvassay.plan.table import CACHE
from kvassay.plan.view import Entry, PlanView
from kvassay.plan.words import total
from kvassay.svg import element, line, text
from kvassay.units import depth_words, mib

_COLOURS = ("s-ref", "s0", "s1", "s2", "s3", "s4", "s5")
_DASHES = ("none", "7 4", "2 3")
_WIDTH, _HEIGHT = 860, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 18, 54
_POINTS = 24
_GIB = 1 << 30
_LABEL_GAP = 16


class _Curve(NamedTuple):
    """One pair's line: (context in tokens, memory in bytes)."""

    row: Row
    points: tuple[tuple[int, int], ...]
    colour: str
    dash: str


def render(view: PlanView) -> str:
    """The whole page."""
    style = files("kvassay.report").joinpath("report.css").read_text(encoding="utf-8")
    own = files("kvassay.plan").joinpath("plan.css").read_text(encoding="utf-8")
    css = f"{style}\n{own}"
    env = Environment(
        loader=PackageLoader("kvassay", "plan"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"mib": mib, "depth": depth_words}
    curves = _curves(view.plan)
    return env.get_template("plan.html.j2").render(
        view=view,
        plan=view.plan,
        style=Markup(css),  # noqa: S704  our own files
        style_hash=f"sha256-{b64encode(sha256(css.encode()).digest()).decode()}",
        chart=_chart(view, curves),
        rows=[_row(entry, view.plan) for entry in view.entries],
        lines=view.chosen.at_wanted.lines if view.chosen and view.chosen.at_wanted else (),
        keys={str(curve.row.kv): _key(curve) for curve in curves},
    )


def _row(entry: Entry, plan: Plan) -> dict[str, object]:
    at = entry.row.at_wanted
    return {"entry": entry, "cache": at.of(*CACHE) if at else None, "total": total(entry.row, plan)}


def _curves(plan: Plan) -> tuple[_Curve, ...]:
    runs = [row for row in plan.rows if not row.refused]
    return tuple(
        _Curve(row, tuple(_points(plan, row)), _COLOURS[i % len(_COLOURS)], _DASHES[i // len(_COLOURS) % len(_DASHES)])
        for i, row in enumerate(runs)
    )


def _points(plan: Plan, row: Row) -> Iterator[tuple[int, int]]:
    for i in range(_POINTS + 1):
        tokens = max(256, plan.ceiling * i // _POINTS)
        parts = breakdown(plan.shape, row.kv, replace(plan.settings, context_tokens=tokens), plan.place)
        yield tokens, needed(parts, plan.place)


class _Scale(NamedTuple):
    tokens: int
    low: float
    high: float

    def x(self, tokens: float) -> float:
        return _LEFT + tokens / self.tokens * (_WIDTH - _LEFT - _RIGHT)

    def y(self, size: float) -> float:
        return _HEIGHT - _BOTTOM - (size - self.low) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)


def _chart(view: PlanView, curves: Sequence[_Curve]) -> Markup:
    """The lines, the budget, the wanted context."""
    plan = view.plan
    sizes = [size for curve in curves for _, size in curve.points] or [0]
    usable = plan.budget.usable_bytes
    high = max([*sizes, usable]) * 1.04 or 1.0
    low = min(sizes) * 0.94 if min(sizes) > high / 3 else 0.0
    low = min(low, usable * 0.94)
    scale = _Scale(max(plan.ceiling, 1), low, high)
    parts = [*_grid(scale), *_marks(plan, scale)]
    parts += [_series(curve, scale) for curve in curves]
    parts += _labels(curves, scale)
    about = f"Memory against context for {len(curves)} pairs; the table below holds the numbers."
    return element("svg", *parts, class_="chart", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", width=_WIDTH, role="img",
               aria_label=about)  # fmt: skip


def _grid(scale: _Scale) -> Iterator[Markup]:
    right = _WIDTH - _RIGHT
    for size in _ticks(scale.low / _GIB, scale.high / _GIB):
        y = scale.y(size * _GIB)
        yield line(_LEFT, y, right, y, "rule")
        yield text(_LEFT - 8, y + 4, f"{size:g} GiB", "end")
    for tokens in _context_ticks(scale.tokens):
        yield text(scale.x(tokens), _HEIGHT - _BOTTOM + 22, depth_words(tokens) if tokens else "0", "middle")
    yield text((_LEFT + right) / 2, _HEIGHT - 8, "context: tokens in all slots together", "middle")


def _ticks(low: float, high: float) -> list[float]:
    """Some five round values between two."""
    step = (high - low) / 5 or 1.0
    unit = 10.0 ** floor(log10(step))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= step * 0.999)
    first = -int(-low // step)
    return [round(i * step, 6) for i in range(first, int(high / step) + 1)]


def _context_ticks(most: int) -> list[int]:
    step = 1024
    while most / step > 6:  # noqa: PLR2004  as many labels as fit
        step *= 2
    return [i * step for i in range(most // step + 1)]


def _marks(plan: Plan, scale: _Scale) -> Iterator[Markup]:
    """The budget's ceiling and the wanted context."""
    y, x = scale.y(plan.budget.usable_bytes), scale.x(plan.wanted)
    yield line(_LEFT, y, _WIDTH - _RIGHT, y, "budget")
    yield element(
        "g", text(_LEFT + 6, y - 6, f"usable: {mib(plan.budget.usable_bytes)}", "start"), class_="budget-label"
    )
    yield line(x, _TOP, x, _HEIGHT - _BOTTOM, "wanted")


def _series(curve: _Curve, scale: _Scale) -> Markup:
    path = " ".join(f"{scale.x(tokens):.1f},{scale.y(size):.1f}" for tokens, size in curve.points)
    drawn = element("polyline", points=path, class_="series", stroke_dasharray=curve.dash)
    tip = element("title", f"{curve.row.kv}: up to {curve.row.max_context:,} tokens")
    return element("g", drawn, tip, class_=curve.colour)


def _labels(curves: Sequence[_Curve], scale: _Scale) -> Iterator[Markup]:
    """Names at the lines' right ends, pushed apart where they would meet."""
    ordered = sorted(curves, key=lambda curve: -curve.points[-1][1])
    lowest = _HEIGHT - _BOTTOM - _LABEL_GAP * (len(ordered) - 1)
    free = float(_TOP)
    for i, curve in enumerate(ordered):
        end = scale.y(curve.points[-1][1])
        place = max(free, min(end, lowest + _LABEL_GAP * i))
        x = _WIDTH - _RIGHT
        lead = element("polyline", points=f"{x},{end:.1f} {x + 14},{place:.1f}", class_="lead")
        mark = "*" if curve.row.pareto else ""
        name = text(x + 18, place + 4, f"{curve.row.kv}{mark}", "start")
        yield element("g", lead, name, class_=curve.colour)
        free = place + _LABEL_GAP


def _key(curve: _Curve) -> Markup:
    stroke = element("line", x1=0, y1=7, x2=26, y2=7, class_="series", stroke_dasharray=curve.dash)
    return element(
        "svg", stroke, class_=f"key {curve.colour}", viewBox="0 0 26 14", width=26, height=14, aria_hidden="true"
    )
