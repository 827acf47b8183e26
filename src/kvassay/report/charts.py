"""The picture of success against depth, as inline SVG: lines where they stay readable, rows of dots otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log2

from markupsafe import Markup

from kvassay.report.tally import Rate
from kvassay.report.view import ArmView, View
from kvassay.report.words import interval, sign
from kvassay.svg import element, line, text
from kvassay.types import Role
from kvassay.units import depth_words

_COLOURS = 6  # the stylesheet's classes s0 … s5, Okabe–Ito; more candidates are drawn as rows of dots
_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 150, 16, 52
_ROW, _PANEL_LEFT = 26, 160
_PANELS = {1: 460, 2: 300}  # a panel's width by how many there are
_PANEL_LEAST, _PANEL_MOST = 150, 230  # and where there are more: as much as the page's column has
_PAGE, _DOTS_RIGHT = 1104, 20
_CHAR = 7.6  # of a label, in a wide font
_NAME_RIGHT, _NAME_LEFT = 116, 132  # room for labels at the lines' ends, and in front of rows of dots
_MARKERS = (
    "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z",  # circle
    "M-4.5,-4.5h9v9h-9z",  # square
    "M0,-6L5.5,4.5H-5.5z",  # triangle up
    "M0,-6.5L5.5,0L0,6.5L-5.5,0z",  # diamond
    "M0,6L5.5,-4.5H-5.5z",  # triangle down
    "M-5,-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",  # plus
)


@dataclass(frozen=True, slots=True)
class Style:
    """How an arm is drawn wherever it appears: a colour class of the stylesheet and a marker."""

    colour: str
    marker: str


def styles(view: View) -> dict[str, Style]:
    """The style of every arm: black for the reference, grey for its second boot, then Okabe–Ito with a marker each;
    where there are more candidates than colours, colour and marker say the verdict instead.
    """
    fixed = {Role.REFERENCE: Style("s-ref", _MARKERS[0]), Role.REPEAT: Style("s-rep", _MARKERS[0])}
    candidates = [arm for arm in view.arms if arm.role not in fixed]
    if len(candidates) > _COLOURS:
        own = {arm.label: _by_verdict(arm) for arm in candidates}
    else:
        own = {arm.label: Style(f"s{i}", _MARKERS[(i + 1) % len(_MARKERS)]) for i, arm in enumerate(candidates)}
    return {arm.label: own.get(arm.label) or fixed[Role(arm.role)] for arm in view.arms}


def _by_verdict(arm: ArmView) -> Style:
    tones = {"bad": Style("s1", _MARKERS[4]), "good": Style("s0", _MARKERS[1])}
    return tones.get(sign(arm.role, arm.state).tone, Style("s-rep", _MARKERS[3]))


def key(style: Style) -> Markup:
    """An arm's marker, small, for tables."""
    mark = element("path", d=style.marker, fill="currentColor")
    return element(
        "svg", mark, class_=f"key {style.colour}", viewBox="-8 -8 16 16", width=14, height=14, aria_hidden="true"
    )


def success(view: View) -> Markup:
    """Right answers against depth on the primary channel, with each arm's intervals."""
    depths = [d for d in view.depths if any(arm.rate_at(d, view.primary) for arm in view.arms)]
    if len(depths) > 1 and len(view.arms) <= _COLOURS + 2 and depths[0] > 0:
        return _lines(view, depths)
    return _dots(view, depths)


# ------------------------------------------------------------------ lines: depth across, share up


def _lines(view: View, depths: Sequence[int]) -> Markup:
    look, at = styles(view), {d: _x(d, depths) for d in depths}
    arms = [arm for arm in view.arms if any(arm.rate_at(d, view.primary) for d in depths)]
    parts = [_grid(at)]
    ends: list[tuple[float, ArmView]] = []
    for i, arm in enumerate(arms):
        shift = 6 * (i - (len(arms) - 1) / 2)
        points = [(at[d] + shift, r) for d in depths if (r := arm.rate_at(d, view.primary)) and r.n]
        parts.append(element("g", *_series(points, look[arm.label]), _tip(arm), class_=look[arm.label].colour))
        ends += [(_y(points[-1][1].share), arm)] if points else []
    parts += _end_labels(ends, look)
    return _svg(view, parts, _WIDTH + beyond((arm.label for arm in arms), _NAME_RIGHT), _HEIGHT)


def beyond(labels: Iterable[str], room: float) -> float:
    """How much more than its usual room the longest label takes: one that names layers is long."""
    return max(0.0, max(map(len, labels), default=0) * _CHAR - room)


def _x(depth: int, depths: Sequence[int]) -> float:
    low, high = log2(depths[0]), log2(depths[-1])
    return _LEFT + 50 + (log2(depth) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT - 100)


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(at: dict[int, float]) -> Markup:
    right = _WIDTH - _RIGHT
    rows = [
        line(_LEFT, _y(p / 100), right, _y(p / 100), "rule") + text(_LEFT - 8, _y(p / 100) + 4, f"{p} %", "end")
        for p in (0, 25, 50, 75, 100)
    ]
    marks = [text(x, _HEIGHT - _BOTTOM + 22, depth_words(d), "middle") for d, x in at.items()]
    axis = text((_LEFT + right) / 2, _HEIGHT - 8, "depth: prompt tokens in front of the question", "middle")
    return Markup("").join([*rows, *marks, axis])


def _series(points: Sequence[tuple[float, Rate]], style: Style) -> Iterator[Markup]:
    path = " ".join(f"{x:.1f},{_y(rate.share):.1f}" for x, rate in points)
    yield element("polyline", points=path, class_="series")
    for x, rate in points:
        yield line(x, _y(rate.low), x, _y(rate.high), "interval")
        yield _mark(x, _y(rate.share), style)


def _end_labels(ends: Iterable[tuple[float, ArmView]], look: dict[str, Style]) -> Iterator[Markup]:
    """Arm names at the lines' right ends, pushed apart where they would meet, never below the frame."""
    ordered = sorted(ends, key=lambda end: end[0])
    lowest = _HEIGHT - _BOTTOM - 16 * (len(ordered) - 1)
    free = float(_TOP)
    for i, (y, arm) in enumerate(ordered):
        place = max(free, min(y, lowest + 16 * i))
        style, x = look[arm.label], _WIDTH - _RIGHT + 14
        yield element("g", _mark(x, place, style), text(x + 11, place + 4, arm.label, "start"), class_=style.colour)
        free = place + 16


# ------------------------------------------------------------------ dots: one row an arm, one panel a depth


def _dots(view: View, depths: Sequence[int]) -> Markup:
    look, top = styles(view), 34
    left = _PANEL_LEFT + beyond((arm.label for arm in view.arms), _NAME_LEFT)
    room = int(_PAGE - left - _DOTS_RIGHT) // max(1, len(depths))
    wide = _PANELS.get(len(depths), min(_PANEL_MOST, max(_PANEL_LEAST, room)))
    height = top + _ROW * len(view.arms) + 30
    parts = [_panel(view, depth, left + i * wide, top, wide) for i, depth in enumerate(depths)]
    for row, arm in enumerate(view.arms):
        y = top + _ROW * (row + 0.5)
        marks = [_dot(arm.rate_at(d, view.primary), left + i * wide, y, wide, look[arm.label]) for i, d in
                 enumerate(depths)]  # fmt: skip
        name = text(left - 26, y + 4, arm.label, "end")
        parts.append(element("g", name, *marks, _tip(arm), class_=look[arm.label].colour))
    return _svg(view, parts, left + wide * len(depths) + _DOTS_RIGHT, height)


def _panel(view: View, depth: int, x: float, top: float, wide: int) -> Markup:
    bottom = top + _ROW * len(view.arms)
    title = "no session in front" if depth == 0 else f"{depth_words(depth)} tokens"
    lines = [
        line(_across(x, p / 100, wide), top, _across(x, p / 100, wide), bottom, "rule")
        + text(_across(x, p / 100, wide), bottom + 18, f"{p} %" if p == 100 else str(p), "middle")  # noqa: PLR2004 - the end
        for p in (0, 50, 100)
    ]
    return Markup("").join([text(_across(x, 0.5, wide), top - 14, title, "middle"), *lines])


def _across(x: float, share: float, wide: int) -> float:
    return x + share * (wide - 80)


def _dot(rate: Rate | None, x: float, y: float, wide: int, style: Style) -> Markup:
    if rate is None or not rate.n:
        return Markup("")
    mark = _mark(_across(x, rate.share, wide), y, style)
    count = text(_across(x, 1, wide) + 12, y + 4, f"{rate.correct}/{rate.n}", "start")
    return line(_across(x, rate.low, wide), y, _across(x, rate.high, wide), y, "interval") + mark + count


# ------------------------------------------------------------------ pieces


def _tip(arm: ArmView) -> Markup:
    rates = ", ".join(
        f"{depth_words(c.depth)}: {c.rate.correct}/{c.rate.n} ({interval(c.rate.low, c.rate.high)})" for c in arm.cells
    )
    return element("title", f"{arm.label}: {rates}")


def _svg(view: View, parts: Sequence[Markup], width: float, height: float) -> Markup:
    about = f"Right answers against depth for {len(view.arms)} arms."
    return element(
        "svg", *parts, class_="chart", viewBox=f"0 0 {width:.0f} {height:.0f}", width=f"{width:.0f}", role="img",
        aria_label=about,
    )  # fmt: skip


def _mark(x: float, y: float, style: Style) -> Markup:
    return element("path", d=style.marker, transform=f"translate({x:.1f},{y:.1f})", fill="currentColor")
