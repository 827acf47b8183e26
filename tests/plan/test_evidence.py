"""Evidence for a pair: verdicts of this machine's own runs, published figures, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.scripted_runs import finish, new_run
from kvassay.assay.store import Store
from kvassay.errors import StoreError
from kvassay.plan.evidence import Grade, evidence_for, measured
from kvassay.types import KVConfig

BROKEN = KVConfig("q8_0", "q8_0")


def test_a_finished_runs_verdict_is_the_evidence_for_its_pair(tmp_path: Path) -> None:
    """Of the same model only; a pair that was not in the run stays unmeasured."""
    done = finish(tmp_path, *new_run(tmp_path))
    assert done.returncode == 0, done.stderr
    path = tmp_path / "kvassay.sqlite"
    with Store(path) as store:
        name = store.run().record.manifest.design.model_name
    here = measured(path, name)
    found = evidence_for("Test", BROKEN, here)
    assert found.grade is Grade.MEASURED
    assert found.is_worse
    assert found.words.startswith("measured on your machine: degraded")
    assert evidence_for("Test", KVConfig("q4_0", "q4_0"), here).words == "not measured"
    assert measured(path, "another.gguf") == {}


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    """As everywhere else."""
    path = tmp_path / "kvassay.sqlite"
    path.write_text("not a store")
    with pytest.raises(StoreError):
        measured(path, "m.gguf")
