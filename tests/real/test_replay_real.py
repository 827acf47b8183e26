"""A small recorded session, asked again on embedded llama.cpp and a real model."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.prepare import questions_of
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.backend import make
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.cli.replay import checked
from kvassay.model.resolve import resolve
from kvassay.report import build_view
from kvassay.types import Channel
from kvassay.verdict import judge
from session.recordings import recording

pytestmark = pytest.mark.real


def test_recorded_turns_are_asked_at_their_own_depths_and_the_cache_serves_their_prefix(tmp_path: Path) -> None:
    """Prompts grow turn by turn, each boot processes what is new in them, and the answer to a turn is the same when the
    reference is asked again.
    """
    settings = checked(
        {"pairs": ("q8_0/q8_0",), "isolate": False, "channels": ("raw",), "evidence_probes": 0, "context": 1024,
         "max_tokens": 16, "threads": 2},
        {"session": str(recording(tmp_path, files=2, lines=3)), "turns": 3},
    )  # fmt: skip
    backend = make("embedded", model_path=resolve("smollm2-135m").path, threads=2, model_sha256="abc")
    with Store(tmp_path / "s.sqlite", write=True) as store:
        arms = arms_of(settings, LLAMA_TYPES)
        found = run(Job(settings, backend, Sample("smollm2-135m"), arms, questions_of(settings), store))
        depths = [record.prompt_tokens for record in found.probes()]
        assert depths == sorted(set(depths))
        for boot in found.boots():
            assert boot.bound_tokens < depths[-1] + 64
            assert boot.processed_tokens <= 1.1 * boot.bound_tokens + 3
        said = {(trial.key.arm, trial.key.probe): trial.turn.text for trial in found.trials()}
        assert all(said["f16/f16", probe] == said["f16/f16 #2", probe] for _, probe in found.asked())
        verdict = judge({}, reference="f16/f16", repeat=None, candidates=(), depths=(), alpha=0.05, margin=0.05)
        view = build_view(found, verdict)
        assert view.replay is not None
        assert [len(row.cells) for row in view.replay.rows] == [3, 3, 3]
        assert {key.channel for key in found.done()} == {Channel.RAW}
