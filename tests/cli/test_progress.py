"""Progress in a pipe is plain lines, on a terminal a bar."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from assay import values
from kvassay.assay import events
from kvassay.backend.base import Progress
from kvassay.cli import progress
from kvassay.cli.progress import RunProgress, duration
from kvassay.types import BootFacts, Outcome, OutcomeClass

FACTS = BootFacts("embedded", k_type="q8_0", v_type="f16", k_bytes=17 * 2**20, v_bytes=32 * 2**20)
RIGHT = replace(values.trial(), outcome=Outcome(OutcomeClass.CORRECT))
STORY = (
    events.BootProgress("f16/f16", 1, 2, Progress("loading")),
    events.BootReady("f16/f16", FACTS),
    events.BootProgress("f16/f16", 1, 2, Progress("ready", note="writing the prompts")),
    events.Prepared(8, 3, 2, resumed=True, counts={"f16/f16": (2, 3)}),
    events.BootProgress("f16/f16", 1, 2, Progress("prompt", 0, 2000)),
    events.BootProgress("f16/f16", 1, 2, Progress("prompt", 500, 2000)),
    events.TrialEnded(RIGHT, 4, 8, 200.0),
    events.TrialEnded(values.trial(), 5, 8, 30.0),
    events.ArmFailed("q8_0/q8_0", "the server died\n  | out of [memory]"),
)


def told(*, terminal: bool) -> str:
    out = io.StringIO()
    with RunProgress(Console(file=out, force_terminal=terminal, width=80)) as observer:
        for event in STORY:
            observer(event)
    return out.getvalue()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line counts as due."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_in_a_pipe_progress_is_plain_lines() -> None:
    """No escape code, no carriage return, everything that happened, in order."""
    said = told(terminal=False)
    assert "\x1b" not in said
    assert "\r" not in said
    lines = said.splitlines()
    assert lines[0] == "f16/f16: loading"
    assert lines[1] == "f16/f16: server up, K q8_0 17 MiB, V f16 32 MiB"
    assert lines[2] == "f16/f16: writing the prompts"
    assert lines[3] == "8 trials over 2 boots, 3 of them already stored"
    assert lines[4] == "f16/f16: prompt 0/2000 tokens"
    assert lines[5].startswith("f16/f16: prompt 500/2000 tokens, ")
    assert lines[6] == "4/8 trials; f16/f16: 3/4 right, 3 min left"
    assert lines[7] == "5/8 trials; f16/f16: 3/5 right, 30 s left"
    assert lines[8:] == ["q8_0/q8_0: left out. the server died", "  | out of [memory]"]


def test_in_a_pipe_the_lines_between_events_are_few() -> None:
    """Events are told at once, steady progress only every so often."""
    assert len(told(terminal=False).splitlines()) == 4


def test_on_a_terminal_there_is_a_bar_that_vanishes() -> None:
    """What happened stays, the bar is cleared at the end."""
    said = told(terminal=True)
    assert "\x1b" in said
    assert "server up, K q8_0 17 MiB" in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (48.4, "48 s"), (89.9, "90 s"), (90, "2 min"), (170, "3 min"), (3569, "59 min"), (3571, "1 h 00 min"),
     (7500, "2 h 05 min"), (90_000, "25 h 00 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    """Seconds, then minutes, then hours."""
    assert duration(seconds) == words


def test_a_pair_that_no_endpoint_reveals_is_said_to_be_the_users_word() -> None:
    """Attached servers' cache types are not read back."""
    out = io.StringIO()
    with RunProgress(Console(file=out)) as observer:
        observer(events.BootReady("f16/f16", BootFacts("attach", k_type="f16", v_type="f16", stated_by_user=True)))
    assert out.getvalue() == "f16/f16: server up (pair as stated by you)\n"


def test_a_lost_worker_is_told_with_what_happens_next() -> None:
    """Not an error yet: the arm goes on. Where several runs are told, each line says whose it is."""
    out = io.StringIO()
    with RunProgress(Console(file=out, width=80), label="qwen: ") as observer:
        observer(events.BootLost("f16/f16", "the worker was lost", 3))
    assert out.getvalue() == "qwen: f16/f16: the worker was lost\nStarting it again, 3 more times at most.\n"


@pytest.mark.usefixtures("impatient")
def test_prompts_that_are_processed_at_the_same_time_have_their_own_speeds() -> None:
    """One arm's count never stands against another's clock."""
    out = io.StringIO()
    with RunProgress(Console(file=out, width=80)) as observer:
        for arm, done in (("a", 5000), ("b", 0), ("a", 6000), ("b", 100)):
            observer(events.BootProgress(arm, 1, 2, Progress("prompt", done, 9000)))
    assert "-" not in out.getvalue()
    assert out.getvalue().count("left") == 2
