"""Wrong input gives one clear message, a non-zero exit code and no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.scripted_runs import suite
from kvassay.assay.store import Store
from kvassay.backend import make
from kvassay.backend.base import Boot
from kvassay.backend.llama_http import LlamaBoot
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig
from model.model_fixtures import small_gguf

MODEL = "smollm2-135m"


def kvassay(*args: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
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
    refused(kvassay("run", tmp_path / "none.gguf", "--kv", "q8_0", "--out", tmp_path), "none.gguf")


@pytest.mark.parametrize("content", [b"", b"hello, I am no model" * 100, b"GGUF\x03\x00\x00\x00" + b"\xff" * 100])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty, foreign and corrupt files never reach a server."""
    refused(kvassay("run", gguf(tmp_path / "m.gguf", content), "--kv", "q8_0", "--out", tmp_path), "m.gguf")


@pytest.mark.parametrize("words", ["compare {0} {0}", "report --store {0}", "run m --kv q8_0 --corpus {0}"])
def test_a_name_that_the_system_refuses_is_told_wherever_it_is_met(words: str) -> None:
    """Also where nobody looked for it."""
    refused(kvassay(*words.format("x" * 300).split()), "xxx': File name too long", "Name another")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_has_no_room_is_one_message(*, buffered: bool) -> None:
    """A full disk behind a redirection, whether Python notices it at once or when it ends."""
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "kvassay", "backends"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=env)
    assert (done.returncode, done.stderr) == (5, "kvassay: No space left on device\n")


def test_no_model_at_all_says_what_to_give(tmp_path: Path) -> None:
    """The message lists the three forms."""
    refused(kvassay("run", "--kv", "q8_0", "--out", tmp_path), "no model", "kvassay models")


def test_an_unknown_model_name_offers_the_nearest(tmp_path: Path) -> None:
    """A typing error is met with the name that was meant."""
    refused(kvassay("run", "qwen2.5-coder-0.5", "--kv", "q8_0", "--out", tmp_path), "qwen2.5-coder-0.5b")


def test_an_unknown_cache_type_is_met_with_the_list_and_the_nearest(tmp_path: Path) -> None:
    """q4-0 is not q4_0; not even the model is looked for."""
    refused(kvassay("run", "none.gguf", "--kv", "q4-0/f16", "--out", tmp_path), "q4-0", "Did you mean q4_0", "iq4_nl")


def test_no_pair_at_all_is_met_with_an_example(tmp_path: Path) -> None:
    """A model alone says nothing of what is to be judged."""
    refused(kvassay("run", "none.gguf", "--out", tmp_path), "no K/V pair", "--kv q8_0/q4_0")


def test_quantised_v_without_flash_attention_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """The reason is named, although the reference and K alone could run."""
    done = kvassay("run", "none.gguf", "--kv", "f16/q4_0", "--flash-attention", "off", "--out", tmp_path)
    refused(done, "'q4_0' needs flash attention")


def test_a_depth_beyond_the_model_is_refused_with_the_deepest_that_fits(tmp_path: Path) -> None:
    """8k tokens of session don't fit a model trained for 2048."""
    model = gguf(tmp_path / "m.gguf", small_gguf())
    done = kvassay("run", model, "--kv", "q8_0", "--depths", "8k", "--out", tmp_path)
    refused(done, "depth 8,192", "trained for 2,048", "greatest depth")


def test_a_depth_beyond_the_context_asked_for_is_refused(tmp_path: Path) -> None:
    """--context must hold the deepest session and an answer; both numbers are named."""
    model = gguf(tmp_path / "m.gguf", small_gguf())
    done = kvassay("run", model, "--kv", "q8_0", "--depths", "2k", "--context", "1k", "--out", tmp_path)
    refused(done, "depth 2,048", "--context 1,024")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """Before any server is started."""
    model = gguf(tmp_path / "m.gguf", small_gguf())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = kvassay("run", model, "--kv", "q8_0", "--depths", "256", "--max-tokens", 16, "--context", 2048,
                       "--port", port, "--out", tmp_path)  # fmt: skip
        refused(done, str(port), "in use")


def test_a_model_that_the_server_refuses_is_named_with_the_servers_words(tmp_path: Path) -> None:
    """The header is sound, but there is no tokenizer in it: only llama.cpp can tell."""
    model = gguf(tmp_path / "m.gguf", small_gguf())
    done = kvassay("run", model, "--kv", "q8_0", "--depths", "256", "--context", 2048, "--out", tmp_path)
    refused(done, "the server for f16/f16", "  | ")


def test_an_unwritable_store_is_named_before_the_model_is_looked_for(tmp_path: Path) -> None:
    """A store below a file can't be made."""
    (tmp_path / "file").write_text("")
    done = kvassay("run", "none.gguf", "--kv", "q8_0", "--store", tmp_path / "file" / "s.sqlite", "--out", tmp_path)
    refused(done, "s.sqlite", "--store")
    assert "none.gguf" not in done.stderr


def test_an_unwritable_out_is_named_before_the_model_is_looked_for(tmp_path: Path) -> None:
    """Hours of measuring must not end in a report that can't be written."""
    (tmp_path / "file").write_text("")
    done = kvassay("run", "none.gguf", "--kv", "q8_0", "--store", tmp_path / "s.sqlite", "--out", tmp_path / "file")
    refused(done, str(tmp_path / "file"), "--out")
    assert "none.gguf" not in done.stderr


def test_a_foreign_file_is_never_taken_for_a_store(tmp_path: Path) -> None:
    """It is named and left as it was."""
    (tmp_path / "notes.txt").write_text("not a database, but mine" * 100)
    done = kvassay("run", "none.gguf", "--kv", "q8_0", "--store", tmp_path / "notes.txt", "--out", tmp_path)
    refused(done, "notes.txt", "not a database")
    assert (tmp_path / "notes.txt").read_text() == "not a database, but mine" * 100


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
        (["--backend", "vllmm"], ["vllmm", "embedded", "vllm"]),
        (["--config", "none.toml"], ["none.toml"]),
        (["--attach", "http://127.0.0.1:1"], ["PAIR=URL"]),
        (["--resume"], ["no store"]),
        (["--dialect", "hermess"], ["hermess", "hermes"]),
        (["--corpus", "none"], ["none", "not a directory"]),
        (["--levels", "1,,2"], ["levels", "1,,2", "empty part"]),
        (["--backend", "attach"], ["--attach"]),
        (["--server", "x", "--backend", "embedded"], ["llama-server"]),
        (["--kv", "q8_0", "--server-arg=-c"], ["-c"]),
        (["--depths", ","], ["depths"]),
    ],
)
def test_wrong_flags_are_named(tmp_path: Path, args: list[str], words: list[str]) -> None:
    """Each message holds the value and what was expected."""
    refused(kvassay("run", "none.gguf", *args, "--out", tmp_path), *words)


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    """Attaching to nothing says where nothing was."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused(kvassay("run", "--attach", f"f16/f16={url}", "--out", tmp_path), url)


def test_reports_and_exports_of_nothing_are_refused(tmp_path: Path) -> None:
    """Both name the store that isn't there."""
    for command in ("report", "export"):
        refused(kvassay(command, "--store", tmp_path / "none.sqlite"), "none.sqlite")


def test_an_export_never_replaces_the_store(tmp_path: Path) -> None:
    """The measurement is refused as a place for its rows, by whatever name."""
    store = tmp_path / "s.sqlite"
    Store(store, write=True).close()
    before = store.read_bytes()
    (tmp_path / "link").symlink_to(store)
    refused(kvassay("export", "--store", store, "--out", tmp_path / "link"), "the store itself")
    assert store.read_bytes() == before


@pytest.fixture
def server() -> Iterator[Boot]:
    """A running llama-server of somebody else's, with a context of 2048."""
    backend = make("embedded", model_path=resolve(MODEL).path, threads=2)
    with backend.open(Arm(KVConfig("f16", "f16")), context_tokens=2048) as boot:
        yield boot


@pytest.mark.real
def test_an_attached_server_is_measured_and_its_context_is_respected(tmp_path: Path, server: Boot) -> None:
    """What fits its context runs to a report; a depth that doesn't is refused with both numbers, and nothing runs."""
    assert isinstance(server, LlamaBoot)
    attach = [
        "run",
        "--attach",
        f"f16/f16={server._client.base_url}",
        "--max-tokens",
        "16",
        "--evidence",
        "0",
        "--out",
        tmp_path,
    ]
    done = kvassay(*attach, "--suite", suite(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "as stated by you" in done.stderr
    assert (tmp_path / "report.html").exists()
    refused(kvassay(*attach, "--depths", "8k", "--store", tmp_path / "deep.sqlite"), "context holds 2048", "9984")
    with Store(tmp_path / "deep.sqlite") as store:
        assert store.runs() == ()


@pytest.mark.real
def test_a_run_on_embedded_llama_cpp_ends_with_a_verdict(tmp_path: Path) -> None:
    """One command, two boots of a real model, every case asked of both."""
    done = kvassay("run", MODEL, "--kv", "q8_0", "--no-isolate", "--no-repeat", "--suite", suite(tmp_path),
                   "--max-tokens", 16, "--evidence", 0, "--out", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Store(tmp_path / "kvassay.sqlite") as store:
        run = store.run()
        assert {key.arm for key in run.done()} == {"f16/f16", "q8_0/q8_0"}
        reference, candidate = run.boots()
    assert (reference.facts.k_bytes or 0) > (candidate.facts.k_bytes or 0) > 0
    assert "q8_0/q8_0" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are Unicode")
def test_a_name_that_is_no_utf_8_is_refused_before_a_server_starts(tmp_path: Path) -> None:
    """It could not stand in the manifest, which is only written behind the first boot."""
    model = os.fsencode(tmp_path) + b"/\xe9.gguf"
    Path(os.fsdecode(model)).write_bytes(small_gguf())
    refused(kvassay("run", os.fsdecode(model), "--kv", "q8_0", "--out", tmp_path), r"\\udce9.gguf' is not UTF-8")
