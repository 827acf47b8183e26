"""`kvassay plan` as a user meets it: one exact pair, a plan, and wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from kvassay.cli import main
from model.model_fixtures import gguf_bytes
from plan.architectures import BOOL, STRING, U32, keys_of, plain, write

PAIR = ("--k", "q8_0", "--v", "q4_0", "--context", "40000", "--parallel", "2", "--ubatch", "512", "--json")


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def kvassay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The program in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["kvassay", "plan", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(str(ended.value.code)), printed.out, printed.err)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "m.gguf", "gemma3", keys_of("gemma3"))


def test_one_pair_is_printed_to_the_byte(model: Path) -> None:
    """Two streams of 20,224 cells; the windowed layer holds 1,536."""
    command = [sys.executable, "-m", "kvassay", "plan", str(model), *PAIR]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    row = (34 + 18) * 256 // 32
    assert answer["n_ctx"] == 40_448
    assert answer["kv_bytes"] == row * 2 * (20_224 + 1_536)
    assert answer["recurrent_bytes"] == 0


def test_unified_and_full_windows_change_it_as_in_llama_cpp(kvassay: Run, model: Path) -> None:
    """One stream; a window for each slot in it, or the whole context."""
    row = (34 + 18) * 256 // 32
    unified = json.loads(kvassay(model, *PAIR, "--unified").stdout)
    assert (unified["n_ctx"], unified["kv_bytes"]) == (40_192, row * (40_192 + 2_560))
    full = json.loads(kvassay(model, *PAIR, "--swa-full").stdout)
    assert full["kv_bytes"] == row * 2 * 2 * 20_224


def test_a_refusal_is_an_answer_with_its_reason(kvassay: Run, tmp_path: Path) -> None:
    """Exit code 0: the question was fine."""
    path = write(tmp_path / "mla.gguf", "deepseek2", keys_of("deepseek2"))
    done = kvassay(path, *PAIR)
    assert done.returncode == 0
    assert "MLA" in json.loads(done.stdout)["refused"]


def test_exllamas_bits_are_planned_by_its_own_formula(kvassay: Run, tmp_path: Path) -> None:
    """Half a bit of scale beside each value; a model with windows is refused rather than guessed."""
    plain_model = write(tmp_path / "plain.gguf", "llama", plain())
    answer = json.loads(
        kvassay(plain_model, "--engine", "exllamav3", "--k", "8", "--v", "4", "--context", "1000").stdout
    )
    assert answer["kv_bytes"] == 2 * 1024 * 256 * (8.5 + 4.5) / 8
    windowed = write(tmp_path / "m.gguf", "gemma3", keys_of("gemma3"))
    assert "refused" in json.loads(kvassay(windowed, "--engine", "tabbyapi", "--k", "8").stdout)


def test_a_plan_is_written_as_table_json_and_picture(kvassay: Run, model: Path, tmp_path: Path) -> None:
    """From the same view."""
    page = tmp_path / "plan.html"
    done = kvassay(model, "--vram", "2GiB", "--context", "64k", "--html", page)
    assert done.returncode == 0, done.stderr
    assert "You don't need to quantise" in done.stdout
    assert page.read_text().startswith("<!doctype html>")
    answer = json.loads(kvassay(model, "--vram", "2GiB", "--context", "64k", "--json").stdout)
    assert answer["needs_no_quantisation"] is True
    assert answer["pairs"][0]["evidence"] == "not measured"


def test_a_launch_line_starts_what_was_planned(kvassay: Run, model: Path) -> None:
    """Every setting that changes the memory is in it; the usual ones are not."""
    usual = json.loads(kvassay(model, "--vram", "2GiB", "--context", "8k", "--json").stdout)["launch"][0]["command"]
    assert usual.endswith("-c 8192 -np 1 -ctk f16 -ctv f16 -fa auto")
    flags = ["--parallel", "2", "--unified", "--ubatch", "256", "--batch", "1024", "--swa-full"]
    flags += ["--flash-attention", "off", "--gpu-layers", "3"]
    done = kvassay(model, "--vram", "2GiB", "--reserve", "0", "--context", "8k", *flags, "--draft-max", "2", "--json")
    command = json.loads(done.stdout)["launch"][0]["command"]
    assert command.endswith(
        "-c 8192 -np 2 -ctk f16 -ctv f16 -fa off -ngl 3 -kvu -b 1024 -ub 256 --swa-full --spec-type draft-mtp "
        "--spec-draft-n-max 2"
    )


def test_a_plan_without_weights_says_so_first(kvassay: Run, tmp_path: Path) -> None:
    """A header that lists no tensors promises too much."""
    bare = write(tmp_path / "bare.gguf", "llama", plain())
    headline = json.loads(kvassay(bare, "--vram", "2GiB", "--context", "8k", "--json").stdout)["headline"]
    assert "WITHOUT the weights" in headline
    part = tmp_path / "part-00001-of-00002.gguf"
    keys = {f"llama.{key}": value for key, value in plain().items()} | {"general.architecture": (STRING, "llama")}
    part.write_bytes(gguf_bytes(keys, {"blk.0.w": ((32, 1), 8, 0)}))
    headline = json.loads(kvassay(part, "--vram", "2GiB", "--context", "8k", "--json").stdout)["headline"]
    assert "NOT ALL of the weights" in headline


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--k", "q9"), "q9"),
        (("--vram", "0"), "'0'"),
        (("--vram", "8", "--reserve", "-1"), "-1"),
        (("--engine", "exl3"), "one pair"),
        (("--engine", "exl3", "--k", "q8_0"), "q8_0"),
        (("--engine", "vllm", "--vram", "8"), "not planned"),
        (("--engine", "sglang", *PAIR), "not planned"),
        (("--engine", "lama-server", "--vram", "8"), "lama-server"),
        (("--k", "q8_0", "--kv", "f16/f16"), "--kv"),
        (("--k", "q8_0", "--v", "q8_0/q4_0"), "not a K/V pair"),
        (("--context", "much"), "much"),
        (("--context", "99999999999"), "99999999999"),
        (("--parallel", "0"), "parallel"),
        (("--parallel", "257"), "parallel"),
        (("--ubatch", "-1"), "ubatch"),
        (("--build", "-5"), "-5"),
        (("--engine", "lama-server", "--vram", "8"), "'lama-server' is not planned"),
        (("--engine", "vllm", "--vram", "8"), "'vllm' is not planned"),
        (("--vram", "lots"), "lots"),
        (("--vram", "8", "--gpu-layers", "-1"), "-1"),
        (("--kv", "q4/q4/q4"), "q4/q4/q4"),
        (("--store", "none.sqlite", "--vram", "8"), "none.sqlite"),
        (("--mmproj", "none.gguf", "--vram", "8"), "none.gguf"),
        (("--html", "no/such/folder/p.html", "--vram", "8"), "p.html"),
    ],
)
def test_wrong_flags_are_one_message(kvassay: Run, model: Path, args: tuple[str, ...], said: str) -> None:
    """The value in it, no traceback, an exit code."""
    done = kvassay(model, *args)
    assert done.returncode not in (0, 1), done.stdout
    assert "Traceback" not in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model" * 99, b"GGUF\x03\x00\x00\x00" + b"\xff" * 64])
def test_what_is_no_model_is_one_message(kvassay: Run, tmp_path: Path, content: bytes) -> None:
    """Empty, cut off, foreign and hostile files."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    done = kvassay(path, *PAIR)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "bad.gguf" in done.stderr


@pytest.mark.parametrize("args", [(), PAIR[:4], ("--engine", "exl3", "--k", "8")])
def test_a_model_without_a_context_asks_for_one(kvassay: Run, tmp_path: Path, args: tuple[str, ...]) -> None:
    """Rather than plan nothing for 0 tokens."""
    path = write(tmp_path / "m.gguf", "llama", plain() | {"context_length": (U32, 0)})
    done = kvassay(path, "--vram", "8", *args)
    assert done.returncode == 2
    assert "--context" in done.stderr
    assert kvassay(path, "--vram", "8", "--context", "4k", *args).returncode == 0


def test_an_unknown_architecture_and_a_missing_file_are_named(kvassay: Run, tmp_path: Path) -> None:
    """No guess is made."""
    path = write(tmp_path / "new.gguf", "brandnew", plain() | {"use_parallel_residual": (BOOL, True), "x": (U32, 1)})
    done = kvassay(path, *PAIR)
    assert done.returncode == 2
    assert "brandnew" in done.stderr
    assert kvassay(tmp_path / "none.gguf", *PAIR).returncode == 2


@pytest.mark.parametrize(("device", "told"), [("cuda", "leaves them; 400 MiB are assumed"), ("cpu", "leaves them.")])
def test_memory_for_a_driver_is_told_where_there_is_one(kvassay: Run, model: Path, device: str, told: str) -> None:
    """On the CPU nothing is assumed, and no sentence says that of 0 MiB."""
    assert told in " ".join(kvassay(model, "--vram", "24GiB", "--device", device).stdout.split())
