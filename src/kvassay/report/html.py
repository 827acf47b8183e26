"""The HTML report: one self-contained file that works offline, streamed so that 20,000 trials fit in little memory."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kvassay import units
from kvassay.host import host_entry
from kvassay.report import charts, timeline, words
from kvassay.report.counterfactual import counterfactual
from kvassay.report.explorer import data_blocks
from kvassay.report.source import RunSource
from kvassay.report.tally import Rate
from kvassay.report.view import ArmView, View
from kvassay.types import JsonValue, OutcomeClass


@dataclass(frozen=True, slots=True)
class Grid:
    """One depth's right answers by K type (rows) and V type (columns); None where no arm has the pair."""

    depth: int
    v_types: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Rate | None, ...]], ...]


def render_html(run: RunSource, view: View) -> Iterator[str]:
    """The report's text in pieces. Everything that comes from the run is escaped, and the page's content policy
    allows nothing but the one script and the one style sheet that it holds.
    """
    title, lead = _headline(view)
    style, script = asset("report.css"), asset("explorer.js")
    yield from (
        _environment()
        .get_template("template.html.j2")
        .generate(
            view=view,
            evidence=view.evidence,
            replay=view.replay,
            sentences=list(timeline.row_sentences(view.replay)) if view.replay else [],
            legend="  ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in timeline.LEGEND.split("  ")),
            beside=counterfactual(run, view.replay, view.primary) if view.replay and view.replay.is_one_turn else None,
            headline=title,
            lead=lead,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_hash=csp_hash(style),
            script_hash=csp_hash(script),
            blocks=data_blocks(run, view),
            looks=charts.styles(view),
            success=charts.success(view),
            grids=grids(view),
            kinds=_kinds(view),
            manifest_rows=manifest_rows(view),
        )
    )


def _headline(view: View) -> tuple[str, str]:
    """The page's title and what stands below it. One turn's title says what was counted, before any verdict."""
    if view.replay and view.replay.is_one_turn:
        return timeline.turn_sentence(view.replay, view.design.arms), f"{timeline.ONE_TURN} {view.verdict.headline}"
    first, *rest = view.verdict.headline.split(". ", maxsplit=1)
    return first + "." * bool(rest), " ".join(rest)


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("kvassay", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "depth": units.depth_words,
        "percent": words.percent,
        "signed": words.signed_percent,
        "points": units.signed_points,
        "mib": units.mib,
        "per_second": words.per_second,
        "sign": _sign,
        "prose": prose,
        "raw": Markup,
        "host_entry": host_entry,
        "key": charts.key,
        "heat": _heat,
        "thousands": units.thousands,
        "cell_sign": timeline.cell_sign,
        "cell_class": timeline.cell_class,
        "counted": timeline.counted,
        "cell_words": timeline.cell_words,
        "interval": lambda rate: words.interval(rate.low, rate.high),
        "count": lambda n: f"{n:,.0f}",
        "when": when,
        "e_value": words.e_value,
    }
    env.globals |= {"OUTCOMES": words.OUTCOMES, "CHANNELS": words.CHANNELS, "STATES": words.STATES}
    return env


def _sign(arm: ArmView) -> words.Sign:
    return words.sign(arm.role, arm.state)


def prose(text: str) -> Markup:
    """Text with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just there


def when(seconds: float) -> str:
    """A Unix time to the minute, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _heat(share: float) -> str:
    """The class of a cell coloured by a share: h0 … h10."""
    return f"h{round(10 * share)}"


def asset(name: str) -> str:
    """One of the reports' own files."""
    return files("kvassay.report").joinpath(name).read_text("utf-8")


def csp_hash(text: str) -> str:
    """What a page's content policy calls an element of this text."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _kinds(view: View) -> list[OutcomeClass]:
    """The failure classes that occur on the primary channel, in the classes' order."""
    seen = {one.kind for arm in view.arms for one in arm.failures_by(view.primary)}
    return [kind for kind in OutcomeClass if kind in seen]


def grids(view: View) -> list[Grid]:
    """K × V tables, one a depth, where the arms fill at least half of a grid."""
    arms = {(arm.k, arm.v): arm for arm in reversed(view.arms) if arm.role != "repeat" and arm.rotation}
    k_types, v_types = (tuple(dict.fromkeys(pair[at] for pair in reversed(arms))) for at in (0, 1))
    if len(arms) < max(4, len(k_types) * len(v_types) / 2):
        return []
    return [
        Grid(depth, v_types, tuple((k, tuple(_pair_rate(view, arms.get((k, v)), depth) for v in v_types))
                                   for k in k_types))
        for depth in view.depths
    ]  # fmt: skip


def _pair_rate(view: View, arm: ArmView | None, depth: int) -> Rate | None:
    return arm.rate_at(depth, view.primary) if arm else None


def manifest_rows(view: View) -> list[tuple[str, str]]:
    """The manifest as (name, value) for a table; the arms stand in tables of their own."""
    data = view.manifest.model_dump(mode="json")
    design = data.pop("design")
    design.pop("arms")
    data["created_at"] = when(view.manifest.created_at)
    return [(name.replace("_", " "), _value(value)) for name, value in (design | data).items()]


def _value(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items()) or "–"
    if isinstance(value, list):
        return " ".join(map(_value, value)) or "–"
    return "–" if value is None else str(value)
