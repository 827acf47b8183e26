"""Exports hold one row per trial, the same rows whichever the format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet

from assay import values
from kvassay.assay import export
from kvassay.assay.store import Store, Usage
from kvassay.assay.stored import StoredRun
from kvassay.errors import StoreError
from kvassay.types import BootFacts, Outcome, OutcomeClass


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    """Three trials: one with every field, one without timings, one whose text no UTF-8 can hold."""
    store = Store(tmp_path / "s.sqlite", write=True)
    begun = store.begin(values.manifest(), values.session(), values.probes("recall/0", "recall/1"))
    boot = store.add_boot(begun, "f16/f16", BootFacts("embedded"))
    whole = values.trial(boot=boot)
    bare = replace(values.trial("recall/1", boot=boot), timings=None, reply=None,
                   outcome=Outcome(OutcomeClass.CORRECT))  # fmt: skip
    odd = replace(values.trial(depth=200, boot=boot), turn=replace(whole.turn, text="\ud83d!"),
                  outcome=Outcome(OutcomeClass.WRONG_VALUE, "said \ud83d"))  # fmt: skip
    for trial in (bare, whole, odd):  # the first row lacks what later ones have
        store.add_trial(begun, trial, Usage())
    return store.run()


def test_jsonl_and_parquet_hold_the_same_rows(run: StoredRun, tmp_path: Path) -> None:
    """Row by row and column by column, in groups smaller than the whole."""
    count = export.to_jsonl(run, tmp_path / "t.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "ROWS_PER_GROUP", 2)
        assert export.to_parquet(run, tmp_path / "t.parquet") == count == 3
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").open(encoding="utf-8")]
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == lines
    assert parquet.ParquetFile(tmp_path / "t.parquet").num_row_groups == 2


def test_a_row_says_what_was_asked_said_and_counted(run: StoredRun) -> None:
    """Every column is there; what wasn't counted is null."""
    found = {(row["depth"], row["probe"]): row for row in export.rows(run)}
    assert all(list(row) == list(export.COLUMNS) for row in found.values())
    whole, bare, odd = found[100, "recall/0"], found[100, "recall/1"], found[200, "recall/0"]
    assert (whole["family"], whole["outcome"], whole["correct"], whole["edit_distance"]) == ("recall", "M8", False, 3)
    assert json.loads(str(whole["calls"])) == [{"name": "read_file", "arguments": {"path": "ü\u2028"}}]
    assert (whole["cached_tokens"], whole["predicted_ms"]) == (90, 30.25)
    assert (bare["cached_tokens"], bare["correct"]) == (None, True)
    assert (odd["text"], odd["detail"]) == ("\\ud83d!", "said \\ud83d")


@pytest.mark.parametrize("write", [export.to_jsonl, export.to_parquet])
def test_an_unwritable_place_is_named(run: StoredRun, tmp_path: Path, write: object) -> None:
    """No traceback of the format's library."""
    with pytest.raises(StoreError, match="can't be written"):
        write(run, tmp_path / "none" / "t")  # type: ignore[operator]
