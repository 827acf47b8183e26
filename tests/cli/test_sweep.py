"""`kvassay sweep` over the scripted back end: one folder a model, gone on with by the same command."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.scripted_cli import answer
from cli.scripted_runs import query, rows, suite
from kvassay import backend
from kvassay.backend.scripted import Scripted
from kvassay.cli import main
from kvassay.errors import KvassayError, PairRefused, ServerDied
from kvassay.types import Arm
from model.model_fixtures import small_gguf

TRIALS = 24


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A sweep of two models over the suite's eight cases."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.gguf").write_bytes(small_gguf())
    models = ", ".join(f'"{tmp_path / name}.gguf"' for name in ("one", "two"))
    path = tmp_path / "sweep.toml"
    path.write_text(
        f'models = [{models}]\npairs = ["q8_0/q8_0"]\nisolate = false\nsuite = "{suite(tmp_path)}"\n'
        'channels = "raw"\nstopping = "fixed"\nevidence_probes = 0\n'
    )
    return path


Sweep = Callable[..., int]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, asked: Path, tmp_path: Path) -> Sweep:
    """The program in this process; ``faults`` are those of the first model's servers. Its exit code."""

    def run(*args: str, faults: dict[int, KvassayError] | None = None) -> int:
        def make(*_args: object, model_path: Path, **_options: object) -> Scripted:
            return Scripted(answer, faults=(faults or {}) if model_path.stem == "one" else {})  # type: ignore[arg-type]

        monkeypatch.setattr(backend, "make", make)
        monkeypatch.setattr(sys, "argv", ["kvassay", "sweep", str(asked), "--out", str(tmp_path / "out"), *args])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code))

    return run


def test_each_model_has_a_store_and_a_report_of_its_own(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The findings are printed a model each, progress says whose it is, and the same again measures nothing."""
    assert sweep() == 0
    printed = capsys.readouterr()
    for name in ("one", "two"):
        folder = tmp_path / "out" / name
        assert len(rows(folder)) == TRIALS
        assert (folder / "report.html").exists()
        assert f"{name}: " in printed.out
        assert f"{name}: f16/f16: server up" in printed.err
    assert "report.html" in printed.out
    assert sweep() == 0
    again = capsys.readouterr()
    assert again.out == printed.out
    assert "server up" not in again.err
    assert query(tmp_path / "out" / "one", "select count(*) from runs") == [(1,)]


def test_a_fault_ends_the_sweep_and_the_same_command_goes_on(sweep: Sweep, tmp_path: Path) -> None:
    """Nothing that was stored is repeated, and models not begun are run then."""
    assert sweep(faults={10: ServerDied("gone")}) == 4
    before = rows(tmp_path / "out" / "one")
    assert len(before) == 10
    assert not rows(tmp_path / "out" / "two")
    assert sweep() == 0
    assert before < rows(tmp_path / "out" / "one")
    assert {len(rows(tmp_path / "out" / name)) for name in ("one", "two")} == {TRIALS}


def test_with_keep_going_the_other_models_are_measured(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is still the fault's."""
    assert sweep("--keep-going", faults={0: PairRefused("no")}) == 4
    assert "one: not measured. no" in capsys.readouterr().err
    assert len(rows(tmp_path / "out" / "two")) == TRIALS


def test_a_changed_sweep_is_refused_in_a_folder_that_is_finished(
    sweep: Sweep, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there answers another question."""
    assert sweep() == 0
    asked.write_text(asked.read_text().replace("q8_0/q8_0", "q4_0/q4_0"))
    assert sweep() == 2
    said = capsys.readouterr().err
    assert "holds another run" in said
    assert "q4_0/q4_0" in said


def test_changed_cases_are_refused_in_a_folder_that_is_finished(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The finding that is there would be given out for theirs."""
    assert sweep() == 0
    suite(tmp_path).write_text(suite(tmp_path).read_text().replace("Get number 1.", "Fetch number 1."))
    assert sweep() == 2
    assert "cases.jsonl: its cases have changed" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named_before_any_is_measured(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one's turn would come hours later. With --keep-going it is left out, as any that can't be measured."""
    (tmp_path / "two.gguf").unlink()
    assert sweep() == 2
    assert "There is no model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert sweep("--keep-going") == 2
    assert len(rows(tmp_path / "out" / "one")) == TRIALS


def test_a_finished_run_needs_its_model_no_more(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Large files are deleted when they have been measured."""
    assert sweep() == 0
    (tmp_path / "one.gguf").unlink()
    assert sweep() == 0
    assert "There is no model" not in capsys.readouterr().err


def test_ctrl_c_twice_breaks_off_what_is_under_way(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer that is waited for would take 20 seconds more."""

    def slow(_prompt: str, _arm: Arm) -> str:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        time.sleep(20)
        return ""

    monkeypatch.setitem(globals(), "answer", slow)
    begun_s = time.monotonic()
    assert sweep() == 130
    assert time.monotonic() - begun_s < 15
    assert not rows(tmp_path / "out" / "one")


def test_flags_of_ray_without_ray_are_refused(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    """They would do nothing."""
    assert sweep("--gpus-per-boot", "1") == 2
    assert "--gpus-per-boot: only with --executor ray" in capsys.readouterr().err


@pytest.mark.parametrize("gpus", ["1.5", "nan", "inf"])
def test_gpus_are_whole_or_a_part_of_one(gpus: str, sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    """Ray takes no other number; it is said before a cluster is looked for."""
    assert sweep("--executor", "ray", "--gpus-per-boot", gpus) == 2
    assert f"--gpus-per-boot {gpus}: above 1 it has to be a whole number" in capsys.readouterr().err
