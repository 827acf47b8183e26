"""The report in the terminal: verdict first, one compact table, failures in short lines; plain text when piped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from kvassay.report.evidence_view import evidence_lines
from kvassay.report.tally import Rate
from kvassay.report.timeline import ONE_TURN, answer_lines, row_sentences, strip_lines, turn_sentence
from kvassay.report.view import ArmView, View
from kvassay.report.words import CHANNELS, OUTCOMES, Sign, interval, percent, sign, signed_percent
from kvassay.types import Role
from kvassay.units import depth_words, mib

_GAP = 2
TONES = {"good": "bold dodger_blue2", "bad": "bold dark_orange", "doubt": "italic", "plain": ""}
_ASCII = str.maketrans(
    {"✗": "x", "✓": "+", "≈": "~", "◆": "*", "◇": "*", "–": "-", "−": "-", "·": "|", "×": "x", "○": "o"}
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the main table; columns that don't fit beside each other go into the next block."""

    head: str
    cells: tuple[str, ...]
    justify: Literal["left", "right"] = "right"
    styles: tuple[str, ...] = field(default=())

    def style(self, row: int) -> str:
        return self.styles[row] if self.styles else ""

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in (self.head, *self.cells))


def print_report(view: View, console: Console, *, html: Path | None = None) -> None:
    """Print the report within the console's width; ``html`` is named as the place to read on."""
    write = Writer(console)
    if view.replay and view.replay.is_one_turn:
        write.text(f"{turn_sentence(view.replay, view.design.arms)} {ONE_TURN}", "bold")
    write.text(view.verdict.headline, "bold")
    write.line()
    write.text(_caption(view), "dim")
    for block in _blocks(view, console.width):
        write.table(block)
    if view.replay:
        write.rows("Turn by turn", strip_lines(view.replay, console.width))
        write.bullets("What can't be taken back", row_sentences(view.replay))
        write.bullets("What was answered", answer_lines(view.replay))
        write.bullets("What was asked again", view.replay.notes)
    write.bullets("K, V or the context", _isolation_lines(view))
    write.bullets("Which tokens break", evidence_lines(view.evidence) if view.evidence else ())
    write.bullets("How the calls failed", _failure_lines(view))
    write.bullets("What limits this", view.verdict.notes)
    write.bullets("The run", _run_lines(view))
    if html is not None:
        write.line()
        write.line(f"Full report: {html}")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes to a console in signs that it can show, and never lets control characters through."""

    console: Console

    def clean(self, text: str) -> str:
        if self.console.options.ascii_only:
            text = text.translate(_ASCII).encode("ascii", "replace").decode()
        return "".join(c if c.isprintable() else "?" for c in text.replace("\n", " "))

    def text(self, text: str, style: str = "", *, indent: int = 0) -> None:
        """One paragraph, wrapped, without trailing blanks."""
        width = self.console.width - indent
        for line in Text(self.clean(text), style).wrap(self.console, width):
            line.rstrip()
            self.line(Text(" " * indent) + line)

    def line(self, line: Text | str = "") -> None:
        """One line as it is, however long: a path stays one word."""
        self.console.print(Text(self.clean(line)) if isinstance(line, str) else line, soft_wrap=True)

    def table(self, columns: Sequence[Column]) -> None:
        self.line()
        self.line(_row(columns, [Text(self.clean(column.head), "dim") for column in columns]))
        for at in range(len(columns[0].cells)):
            self.line(_row(columns, [Text(self.clean(column.cells[at]), column.style(at)) for column in columns]))

    def rows(self, title: str, lines: Iterable[str]) -> None:
        """Lines that already fit the width, under a title; the last one, a legend, is wrapped."""
        *rows, last = lines
        self.line()
        self.text(title, "dim")
        for row in rows:
            self.line(row)
        self.text(last, "dim")

    def bullets(self, title: str, lines: Iterable[str]) -> None:
        """A titled list; nothing where there is nothing to say."""
        for at, line in enumerate(lines):
            if at == 0:
                self.line()
                self.text(title, "dim")
            self.text(line, indent=2)


def _row(columns: Sequence[Column], cells: Sequence[Text]) -> Text:
    for column, cell in zip(columns, cells, strict=True):
        cell.align(column.justify, column.width)
    line = Text(" " * _GAP).join(cells)
    line.rstrip()
    return line


def _caption(view: View) -> str:
    level = percent(1 - view.design.alpha)
    kinds = CHANNELS[view.primary]
    return f"Right answers of each arm by depth ({kinds} channel); {level} interval over all depths"


def _depth_columns(view: View) -> list[Column]:
    return [
        Column(depth_words(depth), tuple(_rate(arm.rate_at(depth, view.primary)) for arm in view.arms))
        for depth in view.depths
    ]


def _summary_columns(view: View) -> list[Column]:
    arms = view.arms
    title = depth_words(view.depths[0]) if len(view.depths) == 1 else "all"
    return [
        Column(title, tuple(_rate(arm.overall) for arm in arms)),
        Column("interval", tuple(_interval(arm.overall) for arm in arms)),
        Column("KV memory", tuple(_memory(arm) for arm in arms)),
        _state_column([sign(arm.role, arm.state) for arm in arms]),
    ]


def _state_column(signs: Sequence[Sign]) -> Column:
    words = tuple(f"{one.symbol} {one.words}" for one in signs)
    return Column("verdict", words, "left", tuple(TONES[one.tone] for one in signs))


def _rate(rate: Rate | None) -> str:
    return f"{rate.correct}/{rate.n}" if rate and rate.n else "–"


def _interval(rate: Rate) -> str:
    return interval(rate.low, rate.high) if rate.n else "–"


def _memory(arm: ArmView) -> str:
    change = arm.memory.change
    return mib(arm.memory.total_bytes) if arm.role != Role.CANDIDATE or change is None else signed_percent(change)


def _blocks(view: View, width: int) -> list[list[Column]]:
    """One table where all fits the width; else the summary first, then as many tables of depths as it takes."""
    name = Column("arm", tuple(arm.label for arm in view.arms), "left")
    depths, summary = _depth_columns(view), _summary_columns(view)
    whole = [name, *(depths if len(depths) > 1 else []), *summary]
    if _width(whole) <= width:
        return [whole]
    blocks = [[name, *summary], [name]]
    for column in depths:
        if len(blocks[-1]) > 1 and _width([*blocks[-1], column]) > width:
            blocks.append([name])
        blocks[-1].append(column)
    return blocks


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + _GAP for column in columns) - _GAP


def _isolation_lines(view: View) -> Iterator[str]:
    """Every sentence of a run with one 2×2; of a grid, which has many, the report alone tells them all."""
    if len(view.verdict.isolation) == 1:
        yield from view.verdict.isolation[0].sentences


def _failure_lines(view: View) -> list[str]:
    lines = []
    for arm in view.arms:
        found = arm.failures_by(view.primary)
        if found:
            counts = ", ".join(f"{one.count} {OUTCOMES[one.kind]}" for one in found)
            lines.append(f"{arm.label}: {counts} (of {arm.overall.n + arm.overall.excluded})")
    return lines


def _run_lines(view: View) -> Iterator[str]:
    design, economy = view.design, view.economy
    build = next((boot.facts.build for boot in view.boots if boot.facts.build), design.build)
    ended = "" if view.finished_at else " · not finished"
    yield f"{design.model_name} · {design.backend}{f' {build}' if build else ''} · {view.trials:,} trials{ended}"
    if economy.ratio is not None:
        yield (
            f"{economy.processed_tokens:,} prompt tokens processed, {economy.ratio:.2f} × the lower bound "
            f"({economy.bound_tokens:,})"
        )
    if view.savings.spared:
        yield (
            f"Depths ended once decided: {view.savings.spared:,} of {view.savings.planned:,} planned probes of the "
            f"candidates spared ({percent(view.savings.share)} of the fixed design)"
        )
    if view.outside_share is not None:
        yield f"{percent(view.outside_share)} of the boots' time was spent outside the server"
