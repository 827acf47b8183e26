"""`kvassay run --backend transformers`, whole, on a tiny model with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra: pip install 'kvassay[transformers]'")
pytest.importorskip("transformers", reason="needs the extra: pip install 'kvassay[transformers]'")

from click.testing import CliRunner, Result

from backend.transformers.tiny import save_tiny
from kvassay.assay.store import Store
from kvassay.cli import app

GET = {"name": "get", "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}}


def suite(path: Path) -> Path:
    cases = [
        {
            "id": f"case-{n}",
            "messages": [{"role": "user", "content": f"Get number {n}."}],
            "tools": [{"type": "function", "function": GET}],
            "expected": [[{"name": "get", "arguments": {"id": [n]}}]],
        }
        for n in range(2)
    ]
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    save_tiny(place / "model")
    suite(place / "cases.jsonl")
    return place


def kvassay(place: Path, *args: str) -> Result:
    suite = ["--suite", str(place / "cases.jsonl"), "--max-tokens", "16", "--evidence", "0"]
    where = ["--out", str(place / "out"), "--backend", "transformers", "--device", "cpu", "--threads", "1"]
    return CliRunner().invoke(app, ["run", str(place / "model"), *suite, *where, *args])


def test_a_run_ends_with_a_verdict_and_is_stored(place: Path) -> None:
    """Formats of three engines, one of them with an exception by layer, reach store, manifest and report."""
    done = kvassay(place, "--kv", "q4_0/8", "--k-layers", "0=fp8_e4m3")
    assert done.exception is None, done.output
    assert "Neither K nor V: the model itself fails at f16/f16, 0 of 2 right." in done.output
    with Store(place / "out" / "kvassay.sqlite") as store:
        run = store.run(1)
        design, boots = run.record.manifest.design, run.boots()
        assert [arm.label for arm in design.arms] == [
            "f16/f16", "q4_0[0=fp8_e4m3]/f16", "f16/8", "q4_0[0=fp8_e4m3]/8", "f16/f16 #2",
        ]  # fmt: skip
        assert (design.backend, design.channels) == ("transformers", ("raw",))
        assert {boot.arm: (boot.facts.k_type, boot.facts.v_type) for boot in boots}["f16/8"] == ("f16", "8")
        assert len(run.done()) == 10
    page = (place / "out" / "report.html").read_text()
    assert "held de-quantised" in page
    assert "KV memory, as the formats would need it" in page


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--kv", "q4_0/f16", "--k-layers", "7=f16"], "names layer 7; this model has 3"),
        (["--kv", "q4_1x/f16"], "unknown cache type 'q4_1x'"),
        (["--kv", "q4_0/f16", "--channels", "raw,parsed"], "raw is all it has"),
        (["--kv", "q4_0/f16", "--dtype", "int8"], "dtype = 'int8'"),
        (["--kv", "q4_0/f16", "--device", "abacus"], "'abacus' is no device"),
    ],
)
def test_wrong_input_is_one_sentence(place: Path, args: list[str], says: str) -> None:
    """What can't be run is refused before anything is measured."""
    refused = kvassay(place, *args)
    assert says in str(refused.exception)
