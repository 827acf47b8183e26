"""`kvassay recommend` over the scripted back end, whose K is always wrong unless it is f16."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli import scripted_runs
from cli.scripted_cli import answer as scripted_answer
from cli.scripted_runs import CASES, query, rows, start, suite
from kvassay import backend
from kvassay.backend.scripted import Scripted
from kvassay.cli import main
from kvassay.errors import PairRefused
from plan.architectures import keys_of, plain, write

TIGHT = ("--vram", "0.82GiB", "--reserve", "128MiB", "--context", "64k", "--device", "cuda")
AMPLE = ("--vram", "24GiB", "--context", "64k", "--device", "cuda")


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Finish = Callable[..., Done]


@pytest.fixture
def finish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Finish:
    """The program in this process, its output in a folder."""
    monkeypatch.setattr(backend, "make", lambda *_args, **_options: Scripted(scripted_answer))

    def run(folder: Path, *args: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["kvassay", *args, "--out", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(str(ended.value.code)), printed.out, printed.err)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "m.gguf", "llama", plain(4))


def asked(folder: Path, model: Path, *more: str, memory: tuple[str, ...] = TIGHT) -> list[str]:
    """The arguments of a recommendation over the suite's eight stand-alone cases, of which all are always asked."""
    how = ["--suite", str(suite(folder)), "--channels", "raw", "--stopping", "fixed", "--margin", "0.4"]
    return ["recommend", str(model), *memory, *how, *more]


def answer(done: Done) -> dict[str, object]:
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_first_candidate_that_is_proven_is_recommended_and_no_other_is_measured(
    finish: Finish, tmp_path: Path, model: Path
) -> None:
    """V at q8_0 is the least quantised; the launch line stands by itself, evidence and runner-up below it."""
    done = finish(tmp_path, *asked(tmp_path, model))
    assert done.returncode == 0, done.stderr
    assert "Run f16/q8_0: proven within the margin" in done.stdout
    assert f"\n  llama-server -m {model} -c 65536 -np 1 -ctk f16 -ctv q8_0 -fa auto\n" in done.stdout
    text = " ".join(done.stdout.split())
    assert f"{CASES} of {CASES} right → {CASES} of {CASES}" in text
    assert "If you need more context: q8_0/q8_0 reaches" in text
    assert "not measured" in text
    assert "Without quantising: f16/f16 reaches" in text
    assert query(tmp_path, "select count(*) from runs") == [(1,)]


def test_a_broken_candidate_is_rejected_and_the_next_one_proven(finish: Finish, tmp_path: Path, model: Path) -> None:
    """In the order of their bits, however they were named; the broken one is told with its counts."""
    done = finish(tmp_path, *asked(tmp_path, model, "--kv", "f16/q4_0", "--kv", "q8_0/q8_0"))
    assert done.returncode == 0, done.stderr
    assert "Run f16/q4_0" in done.stdout
    assert f"Tried before: q8_0/q8_0 breaks this model's tool calls: {CASES} of {CASES} right → 0 of {CASES}" in (
        " ".join(done.stdout.split())
    )


def test_a_second_call_measures_nothing_again_and_says_the_same(finish: Finish, tmp_path: Path, model: Path) -> None:
    """The store knows which pair is broken and which is proven."""
    arguments = asked(tmp_path, model, "--kv", "f16/q4_0", "--kv", "q8_0/q8_0")
    assert finish(tmp_path, *arguments).returncode == 0
    before = rows(tmp_path)
    again = finish(tmp_path, *arguments)
    assert again.returncode == 0, again.stderr
    assert "Run f16/q4_0" in again.stdout
    assert "by an earlier run in this store" in again.stdout
    assert "Left out: q8_0/q8_0, measured on your machine: degraded" in " ".join(again.stdout.split())
    assert rows(tmp_path) == before


def test_the_json_holds_launch_line_and_counts(finish: Finish, tmp_path: Path, model: Path) -> None:
    """Of the proven pair, with the runner-up and what was tried before."""
    found = answer(finish(tmp_path, *asked(tmp_path, model, "--kv", "f16/q4_0", "--kv", "q8_0/q8_0", "--json")))
    chosen, measured = found["recommended"], found["measured"]
    assert isinstance(chosen, dict)
    assert isinstance(measured, list)
    assert chosen["pair"] == "f16/q4_0"
    assert "-ctk f16 -ctv q4_0" in chosen["launch"]
    assert chosen["evidence"]["overall"]["candidate_correct"] == CASES
    assert [(one["pair"], one["state"]) for one in measured] == [
        ("q8_0/q8_0", "degraded"),
        ("f16/q4_0", "within margin"),
    ]


def test_a_pair_that_the_server_refuses_is_told_and_the_next_one_tried(
    finish: Finish, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the plan knew nothing of it."""
    refused = {"f16/q8_0": PairRefused("no kernel for it")}
    monkeypatch.setattr(backend, "make", lambda *_args, **_options: Scripted(scripted_answer, refused=refused))
    done = finish(tmp_path, *asked(tmp_path, model, "--kv", "f16/q8_0", "--kv", "f16/q4_0"))
    assert done.returncode == 0, done.stderr
    assert "Run f16/q4_0" in done.stdout
    assert "f16/q8_0: its server did not start: no kernel for it" in " ".join(done.stdout.split())


def test_a_model_that_fails_by_itself_ends_the_search(
    finish: Finish, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other pair could be judged either; another call measures nothing."""
    monkeypatch.setattr(backend, "make", lambda *_args, **_options: Scripted(["no idea"]))
    for _ in range(2):
        done = finish(tmp_path, *asked(tmp_path, model))
        assert done.returncode == 1, done.stderr
        assert "no verdict can be relied on" in " ".join(done.stdout.split())
        assert query(tmp_path, "select count(*) from runs") == [(1,)]


def test_a_stricter_margin_is_measured_anew(finish: Finish, tmp_path: Path, model: Path) -> None:
    """What was proven under a laxer one proves nothing; eight cases can't exclude a loss of one point."""
    assert finish(tmp_path, *asked(tmp_path, model, "--kv", "f16/q8_0")).returncode == 0
    done = finish(tmp_path, *asked(tmp_path, model, "--kv", "f16/q8_0", "--margin", "0.01"))
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("Nothing is proven within the margin (1 of 1 measured).")
    assert "more pairs would settle it" in " ".join(done.stdout.split())
    assert query(tmp_path, "select count(*) from runs") == [(2,)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_after_kill_9_the_same_command_goes_on_and_repeats_nothing(tmp_path: Path, model: Path) -> None:
    """The candidate's own run is resumed; its stored trials stay as they were."""
    arguments = asked(tmp_path, model, "--kv", "f16/q8_0")
    with start(tmp_path, *arguments) as child:
        os.kill(child.pid, signal.SIGKILL)
    before = rows(tmp_path)
    done = scripted_runs.finish(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert before < rows(tmp_path)
    assert query(tmp_path, "select count(*) from runs") == [(1,)]
    assert len(rows(tmp_path)) == 2 * CASES


def test_help_names_the_defaults_that_hold_here(finish: Finish, tmp_path: Path) -> None:
    """Which are not those of a run, whose help stays as it is."""
    own, runs = (" ".join(finish(tmp_path, name, "--help").stdout.split()) for name in ("recommend", "run"))
    assert "(A/A). [off]" in own
    assert "the deepest that f16 fits]" in own
    assert "(A/A). [repeat]" in runs


def test_where_f16_fits_nothing_is_measured(finish: Finish, tmp_path: Path, model: Path) -> None:
    """It is said, with f16's launch line, and no store is made."""
    done = finish(tmp_path, *asked(tmp_path, model, memory=AMPLE))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("You don't need to quantise")
    assert "-ctk f16 -ctv f16" in done.stdout
    assert not (tmp_path / "kvassay.sqlite").exists()


def test_a_dry_run_prints_the_order_and_measures_nothing(finish: Finish, tmp_path: Path, model: Path) -> None:
    """As text and as JSON."""
    done = finish(tmp_path, *asked(tmp_path, model, "--dry-run", "--build", "11434"))
    assert done.returncode == 0, done.stderr
    assert "1. q8_0/q8_0" in done.stdout  # f16/q8_0 has no compiled kernel in this build
    assert "Put last: attention runs slowly" in " ".join(done.stdout.split())
    found = answer(finish(tmp_path, *asked(tmp_path, model, "--dry-run", "--json")))
    assert found["dry_run"] is True
    assert found["recommended"] is None
    assert [one["pair"] for one in found["candidates"]][:2] == ["f16/q8_0", "q8_0/q8_0"]  # type: ignore[attr-defined]
    assert not (tmp_path / "kvassay.sqlite").exists()


def test_other_weights_are_facts_of_memory(finish: Finish, tmp_path: Path, model: Path) -> None:
    """What fits with them, never what they do; another model's file is refused."""
    other = write(tmp_path / "other.gguf", "llama", plain(4))
    done = finish(tmp_path, *asked(tmp_path, model, "--dry-run", "--also", str(other)))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert f"With {other}" in text
    assert "What these weights do was not measured" in text
    foreign = write(tmp_path / "foreign.gguf", "gemma3", keys_of("gemma3"))
    refused = finish(tmp_path, *asked(tmp_path, model, "--also", str(foreign)))
    assert refused.returncode == 2
    assert "foreign.gguf' is another model" in refused.stderr


def test_where_no_pair_fits_it_is_said(finish: Finish, tmp_path: Path, model: Path) -> None:
    """With what each of them reaches, and the exit code of "nothing is proven"."""
    done = finish(tmp_path, *asked(tmp_path, model, "--kv", "q8_0/q8_0", memory=(*TIGHT[:5], "128k", *TIGHT[6:])))
    assert done.returncode == 1, done.stderr
    assert "Nothing to recommend" in done.stdout
    assert "does not hold 131,072 tokens" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--kv", "q4-0"), "Did you mean q4_0"),
        (("--depths", "2q"), "2q"),
        (("--max-depth", "deep"), "deep"),
        (("--context", "much"), "much"),
        (("--vram", "lots"), "lots"),
        (("--backend", "attach"), "already has its one pair"),
        (("--backend", "transformers"), "computes formats and serves nobody"),
        (("--backend", "vllm"), "vllm"),
        (("--also", "none.gguf"), "none.gguf"),
        (("--config", "none.toml"), "none.toml"),
        (("--families", "recal"), "recall"),
        (("--margin", "2"), "margin"),
        (("--dialect", "hermess"), "hermes"),
    ],
)
def test_wrong_flags_are_one_message(
    finish: Finish, tmp_path: Path, model: Path, args: tuple[str, ...], said: str
) -> None:
    """The value in it, no traceback, an exit code, nothing measured."""
    done = finish(tmp_path, *asked(tmp_path, model, *args))
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "kvassay.sqlite").exists()


def test_a_missing_model_is_named(finish: Finish, tmp_path: Path) -> None:
    """Before anything else of it is asked."""
    done = finish(tmp_path, *asked(tmp_path, tmp_path / "none.gguf"))
    assert done.returncode == 2
    assert "none.gguf" in done.stderr
