"""`kvassay doctor` as users call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.logs import cassette
from model.model_fixtures import small_gguf

LLAMA = ["--", "llama-server", "-m", "m.gguf", "-np", "1", "-c", "8192"]


def doctor(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kvassay", "doctor", *map(str, args)]
    env = {"COLUMNS": "80", "PATH": "", "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, env=env)


def test_a_sound_set_up_ends_with_0() -> None:
    """And says that nothing was found."""
    done = doctor(*LLAMA)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing was found to be wrong" in done.stdout


def test_warnings_end_with_10_and_problems_with_20() -> None:
    """Severity is a word and a sign, not only a colour."""
    slow = doctor("--build", 10488, "--device", "cuda", *LLAMA, "-ctk", "q8_0", "-fa", "on")
    assert slow.returncode == 10, slow.stderr
    assert "! warning: With q8_0/f16 attention runs on the CPU." in slow.stdout
    refused = doctor(*LLAMA, "-ctv", "q8_0", "-fa", "off")
    assert refused.returncode == 20
    assert "✗ problem: V at q8_0 needs flash attention" in refused.stdout


def test_the_text_fits_80_columns() -> None:
    """All but what can't be broken."""
    done = doctor("--device", "cuda", "--build", 10488, *LLAMA, "-ctk", "q4_0", "-ctv", "q8_0", "-md", "d.gguf")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_json_holds_the_same() -> None:
    """Facts with how they are known, findings with rule and severity."""
    done = doctor("--json", *LLAMA, "-ctv", "q8_0", "-fa", "off", "--api-key", "hunter2")
    (setup,) = json.loads(done.stdout)["setups"]
    assert done.returncode == 20
    assert setup["facts"]["v_type"] == {"value": "q8_0", "how": "argument: -ctv q8_0", "stated": True}
    assert ("v-needs-flash-attention", "problem") in [(one["rule"], one["severity"]) for one in setup["findings"]]
    assert "hunter2" not in done.stdout


def test_a_command_needs_no_dashes_in_front_and_may_be_one_word() -> None:
    """Options stand before it."""
    assert doctor("llama-server", "-ctv", "q8_0", "-fa", "off").returncode == 20
    assert doctor("llama-server -ctv q8_0 -fa off").returncode == 20


def test_a_log_completes_a_command(tmp_path: Path) -> None:
    """What was read back replaces what was asked for."""
    (tmp_path / "x.log").write_text(cassette("b11434_norot"), encoding="utf-8")
    done = doctor("--json", "--log", tmp_path / "x.log", *LLAMA)
    (setup,) = json.loads(done.stdout)["setups"]
    assert setup["facts"]["k_type"]["how"] == "log"


def test_the_models_header_is_read_where_it_is_at_hand(tmp_path: Path) -> None:
    """Head dimensions come from there."""
    (tmp_path / "m.gguf").write_bytes(small_gguf())
    done = doctor("--json", "--", "llama-server", "-m", tmp_path / "m.gguf", "-c", 8192, "-np", 1)
    assert json.loads(done.stdout)["setups"][0]["facts"]["architecture"]["how"] == "header of m.gguf"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--pid", "1073741824"], 2, ["1073741824", "no process"]),
        (["none.yaml"], 2, ["none.yaml"]),
        (["http://127.0.0.1:1"], 4, ["http://127.0.0.1:1", "did not answer"]),
        (["ftp://x"], 2, ["ftp://x"]),
        (["--device", "npu", "x"], 2, ["npu"]),
        (["--build", "b1", "x"], 2, ["b1"]),
        (["--", "ls", "-l"], 2, ["'ls'", "llama-server"]),
        (["--log", "none.log", "llama-server"], 2, ["none.log"]),
        (["llama-server 'x"], 2, ["taken apart"]),
    ],
)
def test_wrong_input_is_named(args: list[str], code: int, words: list[str]) -> None:
    """One message, no traceback."""
    done = doctor(*args)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert all(word in done.stderr for word in words)


def test_a_file_of_no_known_kind_is_named(tmp_path: Path) -> None:
    """With the kinds that are known."""
    (tmp_path / "letter.txt").write_text("Dear reader,\n")
    done = doctor(tmp_path / "letter.txt")
    assert done.returncode == 2
    assert "letter.txt" in done.stderr
    assert "docker compose" in done.stderr
