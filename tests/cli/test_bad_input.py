"""Wrong input gives one clear message, a non-zero exit code and no traceback."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvassay.assay.store import Store

MODEL = "smollm2-135m"
QUICK = ["--depths", "4k", "--probes", "1", "--no-repeat", "--families", "no_tool", "--max-tokens", "16"]


def kvassay(*args: object, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kvassay", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The one clear message: on stderr, no traceback, every word in it, exit code not 0."""
    assert done.returncode not in (0, 1), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr


def gguf(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    """The path, and what may be given instead."""
    refused(kvassay("run", tmp_path / "none.gguf", "--out", tmp_path), "none.gguf")


@pytest.mark.parametrize("content", [b"", b"hello, I am no model" * 100, b"GGUF\x03\x00\x00\x00" + b"\xff" * 100])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty, foreign and corrupt files never reach a server."""
    refused(kvassay("run", gguf(tmp_path / "m.gguf", content), "--out", tmp_path), "m.gguf")


def test_no_model_at_all_says_what_to_give(tmp_path: Path) -> None:
    """The message lists the three forms."""
    refused(kvassay("run", "--kv", "q8_0", "--out", tmp_path), "no model", "kvassay models")


def test_an_unknown_model_name_offers_the_nearest(tmp_path: Path) -> None:
    """A typing error is met with the name that was meant."""
    refused(kvassay("run", "qwen2.5-coder-0.5", "--out", tmp_path), "qwen2.5-coder-0.5b")


@pytest.mark.real
def test_an_unknown_cache_type_is_met_with_the_list_and_the_nearest(tmp_path: Path) -> None:
    """q4_O is not q4_0; nothing is started."""
    refused(kvassay("run", MODEL, "--kv", "q4_O/f16", "--out", tmp_path), "q4_O", "q4_0", "iq4_nl")


@pytest.mark.real
def test_quantised_v_without_flash_attention_is_refused(tmp_path: Path) -> None:
    """The reason and the flag are named."""
    done = kvassay("run", MODEL, "--kv", "f16/q4_0", "--flash-attention", "off", *QUICK, "--out", tmp_path)
    refused(done, "flash")


@pytest.mark.real
def test_a_depth_beyond_the_model_is_refused_with_the_deepest_that_fits(tmp_path: Path) -> None:
    """8k tokens of session leave no room for a question in a context of 8k."""
    refused(kvassay("run", MODEL, "--kv", "q8_0", "--depths", "8k", "--out", tmp_path), "8,192", "greatest depth")


@pytest.mark.real
def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """Before any model is loaded."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(kvassay("run", MODEL, "--kv", "q8_0", *QUICK, "--port", port, "--out", tmp_path), str(port))


@pytest.mark.real
def test_an_unwritable_store_is_named(tmp_path: Path) -> None:
    """A store below a file can't be made."""
    (tmp_path / "file").write_text("")
    refused(kvassay("run", MODEL, "--kv", "q8_0", *QUICK, "--store", tmp_path / "file" / "s.sqlite"), "s.sqlite")


def test_an_empty_suite_is_named(tmp_path: Path) -> None:
    """A suite needs at least one case."""
    (tmp_path / "suite.jsonl").write_text("\n")
    refused(kvassay("run", MODEL, "--suite", tmp_path / "suite.jsonl", "--out", tmp_path), "suite.jsonl")


def test_a_wrong_suite_line_is_named_by_number_field_and_reason(tmp_path: Path) -> None:
    """The second line lacks its messages."""
    (tmp_path / "suite.jsonl").write_text('\n{"id": "a", "tools": [], "expected": ["no call"]}\n')
    done = kvassay("run", MODEL, "--suite", tmp_path / "suite.jsonl", "--out", tmp_path)
    refused(done, "suite.jsonl", "2", "messages")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--depths", "2q"], ["2q"]),
        (["--families", "recal"], ["recal", "recall"]),
        (["--tools", "none.json"], ["none.json"]),
        (["--backend", "vllm"], ["vllm", "embedded"]),
        (["--config", "none.toml"], ["none.toml"]),
        (["--attach", "http://127.0.0.1:1"], ["PAIR=URL"]),
        (["--resume"], ["no store"]),
    ],
)
def test_wrong_flags_are_named(tmp_path: Path, args: list[str], words: list[str]) -> None:
    """Each message holds the value and what was expected."""
    refused(kvassay("run", MODEL, *args, "--out", tmp_path), *words)


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    """Attaching to nothing says where nothing was."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused(kvassay("run", "--attach", f"f16/f16={url}", *QUICK, "--out", tmp_path), url)


def test_reports_and_exports_of_nothing_are_refused(tmp_path: Path) -> None:
    """Both name the store that isn't there."""
    for command in ("report", "export"):
        refused(kvassay(command, "--store", tmp_path / "none.sqlite"), "none.sqlite")


@pytest.mark.real
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is sent to the process alone")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_every_finished_trial_and_the_run_can_be_resumed(tmp_path: Path, times: int) -> None:
    """Once finishes the trial under way, twice stops at once; both end with 130, and --resume goes on."""
    store = tmp_path / "s.sqlite"
    command = [sys.executable, "-m", "kvassay", "run", MODEL, "--kv", "q8_0", "--no-isolate", *QUICK, "--probes", "8",
               "--store", str(store), "--out", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        _wait_for_trials(store, 1)
        for _ in range(times):
            os.kill(child.pid, signal.SIGINT)
            time.sleep(0.2)
        output = child.communicate(timeout=120)[0]
    assert child.returncode == 130, output
    assert "Traceback" not in output
    assert "--resume" in output
    with Store(store) as reader:
        kept = reader.run().done()
    again = kvassay("run", "--resume", "--store", store, "--out", tmp_path)
    assert again.returncode == 0, again.stderr
    with Store(store) as reader:
        assert kept < reader.run().done()
        assert reader.run().record.finished_at is not None


def _wait_for_trials(store: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if store.exists():
            try:
                rows = sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True).execute("select count(*) from trials")
                if rows.fetchone()[0] >= count:
                    return
            except sqlite3.OperationalError:
                continue
    pytest.fail("no trial was stored in time")
