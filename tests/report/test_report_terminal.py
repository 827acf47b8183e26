"""The terminal report: what stands first, what fits 80 columns, what is left when it is piped."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from kvassay.report import build_view, print_report
from kvassay.report.view import View
from kvassay.report.words import launch_flags
from report.synthetic_run import ARMS, SyntheticRun, verdict


def viewed(run: SyntheticRun) -> View:
    """The view of a run."""
    return build_view(run, verdict(run))


def printed(view: View, *, width: int = 80, **options: object) -> str:
    """What a console of this kind prints."""
    out = io.StringIO()
    print_report(view, Console(file=out, width=width, **options), html=Path("out/report.html"))  # type: ignore[arg-type]
    return out.getvalue()


def test_the_verdict_is_the_first_thing_said_and_the_html_report_the_last() -> None:
    """Headline first, the place of the full report last."""
    view = viewed(SyntheticRun())
    text = printed(view)
    assert " ".join(text.split()).startswith(view.verdict.headline)
    assert text.rstrip().endswith("Full report: out/report.html")


def test_the_table_holds_each_arm_with_rates_interval_memory_and_state() -> None:
    """One line says all of an arm: 6 of 12 and 0 of 12 right, the interval, memory, the state in words."""
    line = next(line for line in printed(viewed(SyntheticRun())).splitlines() if line.startswith("q4_0/f16"))
    assert " ".join(line.split()) == "q4_0/f16 6/12 0/12 6/24 12–45 % −36 % ✗ degraded"


GRID = (
    *ARMS[:2],
    *(
        ARMS[2].model_copy(update={"label": f"{k}/{v} norot", "k": k, "v": v, "rotation": False})
        for k in ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
        for v in ("q8_0", "q4_0")
    ),
)
DEPTHS = (2048, 4096, 8192, 16384, 32768, 65536, 131072)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(SyntheticRun(), id="small"),
        pytest.param(SyntheticRun(depths=(4096,)), id="one depth"),
        pytest.param(SyntheticRun(arms=GRID, depths=DEPTHS), id="many arms and depths"),
        pytest.param(SyntheticRun(families=("recall",), probes_per_family=2000), id="large counts"),
    ],
)
def test_no_line_is_wider_than_80_columns(run: SyntheticRun) -> None:
    """Whatever was run, 80 columns hold it."""
    lines = printed(viewed(run)).splitlines()
    assert max(cell_len(line) for line in lines) <= 80
    assert all(line == line.rstrip() for line in lines)


def test_every_arm_and_depth_appears_although_the_table_is_split() -> None:
    """Depths that don't fit beside each other go into further blocks, each naming the arms."""
    text = printed(viewed(SyntheticRun(arms=GRID, depths=DEPTHS)))
    heads = [line.split() for line in text.splitlines() if line.startswith("arm ")]
    assert len(heads) > 1
    assert [word for head in heads for word in head if word.endswith("k")] == [
        "2k", "4k", "8k", "16k", "32k", "64k", "128k",
    ]  # fmt: skip
    assert text.count("q4_0/q4_0 norot ") >= len(heads)


def test_piped_output_is_plain_text() -> None:
    """A pipe gets neither escape codes nor box-drawing characters."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from report.synthetic_run import SyntheticRun, verdict\n"
        "from rich.console import Console\n"
        "from kvassay.report import build_view, print_report\n"
        "run = SyntheticRun(); print_report(build_view(run, verdict(run)), Console())\n"
    )
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"}
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1])]
    out = subprocess.run(command, capture_output=True, check=True, env=env, timeout=60).stdout.decode()
    assert "✗ degraded" in out
    assert not re.search(r"[\x1b\u2500-\u257f]", out)


def test_no_color_leaves_no_colours_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is honoured."""
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(viewed(SyntheticRun()), force_terminal=True, color_system="256")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|38;)", text)


def test_colours_are_blue_and_orange_and_never_alone() -> None:
    """In a terminal, states are coloured without red or green, and keep their symbol and word."""
    run = SyntheticRun(probes_per_family=30)
    text = printed(viewed(run), force_terminal=True, color_system="256")
    assert {"38;5;208", "38;5;27"} <= set(re.findall(r"38;5;\d+", text))
    assert not re.search(r"\x1b\[(?:[0-9]+;)*(31|32|91|92)m", text)
    assert "✗ degraded" in text
    assert "✓ within margin" in text


def test_a_console_without_unicode_gets_ascii() -> None:
    """Signs that can't be encoded are replaced instead of failing."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    print_report(viewed(SyntheticRun()), Console(file=out, width=80))
    text = out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "x degraded" in text


def test_control_characters_and_markup_reach_no_terminal() -> None:
    """Text from a run can neither move the cursor nor style itself."""
    view = viewed(SyntheticRun())
    hostile = replace(view.verdict, headline="\x1b[2Jgone [red]x[/red] \u202e", notes=("[bold]a[/bold]\x07",))
    text = printed(replace(view, verdict=hostile))
    assert not re.search(r"[\x1b\x07\u202e]", text)
    assert "[red]x[/red]" in text
    assert "[bold]a[/bold]" in text


def test_flags_are_those_of_the_engine_that_has_the_pair() -> None:
    """llama.cpp's, or TabbyAPI's for ExLlamaV3's caches; for a pair that neither has there are none."""
    llama = partial(launch_flags, rotation=True, backend="embedded")
    assert llama("q8_0", "q4_0") == "-ctk q8_0 -ctv q4_0 -fa on"
    assert llama("q4_0[0=f16]", "f16") == "–"
    assert launch_flags("8", "4", rotation=True, backend="transformers") == "--cache-mode 8,4"
    assert launch_flags("f16", "f16", rotation=True, backend="exllamav3") == "--cache-mode FP16"


def test_a_run_that_has_not_ended_says_so() -> None:
    """What was stopped in its last arm looks complete otherwise."""
    view = viewed(SyntheticRun())
    assert "not finished" not in printed(view)
    assert "24 trials · not finished" in " ".join(printed(replace(view, trials=24, finished_at=None)).split())
