"""Two closed loops of a real model on embedded llama.cpp, behind a short real session."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay import session
from kvassay.assay.arms import arms_of
from kvassay.assay.design import Sample
from kvassay.assay.runner import Job, run
from kvassay.assay.store import Store
from kvassay.backend import make
from kvassay.loops.play import LOOPS, tasks_of
from kvassay.loops.view import build_loops_view
from kvassay.model.resolve import resolve
from kvassay.settings import check

pytestmark = pytest.mark.real


def test_a_real_model_plays_and_the_session_is_read_once(tmp_path: Path) -> None:
    """Each turn processes only what is new: the prompt cache holds the session and the turns before."""
    settings = check({
        "pairs": "f16/q8_0", "isolate": False, "repeat": False, "depths": "1900", "families": "constant",
        "probes_per_family": 1, "levels": "1", "turns": 2, "max_tokens": 64, "channels": "raw", "parsed_share": 0,
        "evidence_probes": 0, "stopping": "fixed", "top_n": 0, "corpus": Path(session.__file__).parent,
    })  # fmt: skip
    model = resolve("qwen2.5-coder-0.5b")
    backend = make("embedded", model_path=model.path, threads=2, model_sha256=model.sha256, log_dir=tmp_path)
    arms = arms_of(settings, backend.cache_types)
    with Store(tmp_path / "s.sqlite", write=True) as store:
        finished = run(
            Job(settings, backend, Sample(model.name, model.sha256), arms, tasks_of(settings), store, method=LOOPS)
        )
        view = build_loops_view(finished)
    assert [arm.done.n for arm in view.arms] == [1, 1]
    for episode in view.episodes:
        assert episode.steps[0].timings is not None
        assert episode.steps[0].timings.cached_tokens > 1700
        assert all(step.timings and step.timings.processed_tokens < 400 for step in episode.steps)
