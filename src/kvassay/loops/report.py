"""The report of a run of closed loops: in the terminal, as JSON, and as one page with each episode's turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel
from rich.console import Console

from kvassay.loops.judging import Judgement
from kvassay.loops.view import ArmView, EpisodeView, LoopsView, step_json
from kvassay.report import Paths, write_file
from kvassay.report.html import asset, csp_hash, prose, when
from kvassay.report.tally import Rate
from kvassay.report.terminal import TONES, Column, Writer
from kvassay.report.words import Sign, interval, percent, sign
from kvassay.types import JsonObject, JsonValue
from kvassay.units import depth_words, duration


def print_loops(view: LoopsView, console: Console, *, html: Path | None = None) -> None:
    """Print the finding within the console's width; ``html`` is named as the place to read on."""
    write = Writer(console)
    write.text(view.judgement.headline, "bold")
    write.line()
    write.text(_caption(view), "dim")
    write.table(_columns(view))
    write.bullets("How episodes ended, and which loops were seen", map(_ends, view.arms))
    write.bullets("Each against the reference, the same tasks", (claim.sentence for claim in view.judgement.claims))
    write.bullets("What limits this", view.judgement.notes)
    write.bullets("The run", _run_lines(view))
    if html is not None:
        write.line()
        write.line(f"Every turn: {html}")


def write_loops(view: LoopsView, folder: Path) -> Paths:
    """Write ``loops.html`` and ``loops.json``. Raises StoreError where nothing can be written there."""
    paths = Paths(folder / "loops.html", folder / "loops.json")
    write_file(paths.json, [to_json(view)])
    write_file(paths.html, render(view))
    return paths


def to_json(view: LoopsView) -> str:
    """The finding as JSON; names, meanings and units are those of the view's classes."""
    return json.dumps(asdict(view), indent=1, allow_nan=False, default=_model_json)


def _model_json(value: object) -> object:
    assert isinstance(value, BaseModel)  # noqa: S101  the manifest; all else is plain
    return value.model_dump(mode="json")


def render(view: LoopsView) -> Iterator[str]:
    """The page in pieces. Everything that comes from the run is escaped; its policy allows its own script and style."""
    env = Environment(
        loader=PackageLoader("kvassay", "loops"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "prose": prose, "when": when, "depth": depth_words, "percent": percent, "arm_sign": arm_sign,
        "interval": _interval, "duration": duration,
    }  # fmt: skip
    style = asset("report.css") + _own("loops.css")
    script = _own("loops.js")
    yield from env.get_template("loops.html.j2").generate(
        view=view,
        judgement=view.judgement,
        signs={arm.label: arm_sign(arm, view.judgement) for arm in view.arms},
        strips={(one.arm, one.depth, one.task): (at, one) for at, one in enumerate(view.episodes)},
        terms=view.design.model_dump(mode="json", exclude={"arms"}).items(),
        tone=tone,
        why=why,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=csp_hash(style),
        script_hash=csp_hash(script),
        data=Markup(_data(view)),  # noqa: S704 - holds no "<"
    )


def tone(episode: EpisodeView, at: int) -> str:
    """The class of one turn in a strip: done, loop, failed or fine."""
    step = episode.steps[at]
    if at == len(episode.steps) - 1 and episode.ending.done:
        return "done"
    return "loop" if step.loops else "failed" if step.failed or not step.calls else "fine"


def why(episode: EpisodeView, at: int) -> str:
    """What a turn's square says when it is pointed at, or read aloud."""
    step = episode.steps[at]
    told = [", ".join(call.name for call in step.calls) or "no call", *step.wrong]
    told += [] if step.outcome.value == "correct" else [f"{step.outcome.value} {step.detail}"[:120]]
    return f"turn {at + 1}: " + "; ".join([*told, *(f"{loop.kind} {loop.detail}" for loop in step.loops)])


def arm_sign(arm: ArmView, judgement: Judgement) -> Sign:
    """The sign of an arm's primary endpoint, or its role's."""
    claim = judgement.of(arm.label, "done")
    return sign(arm.role, claim.state if claim else None)


def _caption(view: LoopsView) -> str:
    design = view.design
    depths = ", ".join(depth_words(depth) for depth in design.depths)
    return (
        f"Episodes of up to {design.turns} turns behind a session of {depths} tokens, {design.agent}'s replies; "
        f"{percent(1 - design.alpha)} intervals"
    )


def _columns(view: LoopsView) -> list[Column]:
    signs = [arm_sign(arm, view.judgement) for arm in view.arms]
    return [
        Column("arm", tuple(arm.label for arm in view.arms), "left"),
        Column("done", tuple(_rate(arm.done) for arm in view.arms)),
        Column("interval", tuple(_interval(arm.done) for arm in view.arms)),
        Column("looped", tuple(_rate(arm.looped) for arm in view.arms)),
        Column("interval", tuple(_interval(arm.looped) for arm in view.arms)),
        Column("turns", tuple(_per_episode(arm.turns, arm) for arm in view.arms)),
        Column("tokens", tuple(_per_episode(arm.said_tokens, arm, digits=0) for arm in view.arms)),
        Column("verdict", tuple(f"{one.symbol} {one.words}" for one in signs), "left",
               tuple(TONES[one.tone] for one in signs)),
    ]  # fmt: skip


def _rate(rate: Rate) -> str:
    return f"{rate.correct}/{rate.n}" if rate.n else "–"


def _interval(rate: Rate) -> str:
    return interval(rate.low, rate.high) if rate.n else "–"


def _per_episode(total: int, arm: ArmView, *, digits: int = 1) -> str:
    count = sum(arm.endings.values())
    return f"{total / count:.{digits}f}" if count else "–"


def _ends(arm: ArmView) -> str:
    endings = ", ".join(f"{count} {ending}" for ending, count in arm.endings.items()) or "none played"
    loops = ", ".join(f"{kind} in {count}" for kind, count in arm.kinds.items()) or "no loops"
    turns = f"{arm.failed_turns} of {arm.turns} turns failed, {arm.recoveries} of {arm.failing_runs} mended within two"
    return f"{arm.label}: {endings}; {loops}; {turns}"


def _run_lines(view: LoopsView) -> Iterator[str]:
    design = view.design
    build = f" {design.build}" if design.build else ""
    ended = "" if view.finished_at else " · not finished"
    played = f"{len(view.episodes)} episodes of {len(view.tasks)} tasks{ended}"
    yield f"{design.model_name} · {design.backend}{build} · {played}"
    said, read = sum(arm.said_tokens for arm in view.arms), sum(arm.read_tokens for arm in view.arms)
    seconds = sum(arm.seconds for arm in view.arms)
    yield f"{said:,} tokens said, {read:,} prompt tokens read, {duration(seconds)} in the episodes"


def _data(view: LoopsView) -> str:
    """The episodes for the page's script: JSON without ``<``, so that no text can end the element around it."""
    tasks = {(task.depth, task.id): task.said for task in view.tasks}
    rows: list[JsonValue] = [_episode_json(one, tasks.get((one.depth, one.task), "")) for one in view.episodes]
    return json.dumps(rows).replace("<", "\\u003c")


def _episode_json(one: EpisodeView, said: str) -> JsonObject:
    return {
        "arm": one.arm,
        "task": one.task,
        "depth": depth_words(one.depth),
        "said": said,
        "ending": one.ending.value,
        "missing": list(one.missing),
        "steps": [step_json(step) for step in one.steps],
    }


def _own(name: str) -> str:
    return files("kvassay.loops").joinpath(name).read_text("utf-8")
