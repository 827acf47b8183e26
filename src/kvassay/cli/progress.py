"""Progress of a run in the terminal: one live bar, or a line now and then where the output is piped."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from kvassay.assay import events
from kvassay.backend.base import Progress as Doing
from kvassay.units import duration

LINE_EVERY_S = 15.0


class RunProgress:
    """The observer of a run. Use as a context manager. ``label`` begins every line, where several runs are told."""

    def __init__(self, console: Console, *, label: str = "", unit: str = "trials") -> None:
        self._console, self._label, self._unit = console, label, unit
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), TaskProgressColumn(),
            TextColumn("{task.fields[note]}"), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None, note="")
        self._right: dict[str, list[int]] = {}
        self._spoke_at = time.monotonic()
        self._prompts: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.Prepared():
                self._prepared(event)
            case events.BootProgress():
                self._doing(event)
            case events.BootReady():
                self._say(f"{event.arm}: server up" + _read_back(event))
            case events.TrialEnded():
                self._trial(event)
            case events.EpisodeEnded():
                self._episode(event)
            case events.RungDecided():
                self._say(f"{event.arm}: decided at {event.depth:,} tokens, {event.spared} trials spared")
            case events.BootLost():
                self._say(f"{event.arm}: {event.error}\nStarting it again, {event.left} more times at most.")
            case events.ArmFailed():
                self._say(f"{event.arm}: left out. {event.error}")

    def _prepared(self, event: events.Prepared) -> None:
        kept = f", {event.done} of them already stored" if event.resumed else ""
        self._say(f"{event.total} {self._unit} over {event.arms} boots{kept}")
        self._bar.update(self._task, total=event.total, completed=event.done)
        self._right |= {arm: [*counts] for arm, counts in event.counts.items()}

    def _doing(self, event: events.BootProgress) -> None:
        doing = self._words(event.arm, event.progress)
        self._bar.update(self._task, description=f"{event.arm} ({event.index}/{event.of})", note=doing)
        self._now_and_then(f"{event.arm}: {doing}")

    def _words(self, arm: str, doing: Doing) -> str:
        if doing.phase != "prompt":
            self._prompts.pop(arm, None)
            percent = f" {doing.done} %" if doing.total else ""
            return f"{doing.note or doing.phase}{percent}"
        now = time.monotonic()
        since, first = self._prompts.setdefault(arm, (now, doing.done))
        rate = (doing.done - first) / (now - since) if now > since else 0.0
        left = f", {rate:.0f}/s, {duration((doing.total - doing.done) / rate)} left" if rate else ""
        return f"prompt {doing.done}/{doing.total} tokens{left}"

    def _trial(self, event: events.TrialEnded) -> None:
        right, count = self._counted(event.trial.key.arm, good=event.trial.outcome.correct)
        note = f"{right}/{count} right, {duration(event.eta_s)} left"
        self._bar.update(self._task, completed=event.done, total=event.total, note=note)
        self._now_and_then(f"{event.done}/{event.total} trials; {event.trial.key.arm}: {note}")

    def _episode(self, event: events.EpisodeEnded) -> None:
        done, count = self._counted(event.arm, good=bool(event.task_done))
        note = f"{done}/{count} done, {duration(event.eta_s)} left"
        self._bar.update(self._task, completed=event.done, total=event.total, note=note)
        self._now_and_then(f"{event.done}/{event.total} loops; {event.arm}: {note}")

    def _counted(self, arm: str, *, good: bool) -> tuple[int, int]:
        self._prompts.pop(arm, None)
        counts = self._right.setdefault(arm, [0, 0])
        counts[0] += good
        counts[1] += 1
        return counts[0], counts[1]

    def _now_and_then(self, line: str) -> None:
        if not self._console.is_terminal and time.monotonic() - self._spoke_at >= LINE_EVERY_S:
            self._say(line)

    def _say(self, line: str) -> None:
        self._spoke_at = time.monotonic()
        self._bar.console.print(self._label + line, highlight=False, markup=False, soft_wrap=True)


def _read_back(event: events.BootReady) -> str:
    facts = event.facts
    if facts.k_bytes is None or facts.v_bytes is None:
        return " (pair as stated by you)" if facts.stated_by_user else ""
    return f", K {facts.k_type} {facts.k_bytes / 2**20:.0f} MiB, V {facts.v_type} {facts.v_bytes / 2**20:.0f} MiB"
