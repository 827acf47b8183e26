"""Token-level evidence in a run: where it comes from, what is kept, and what it never costs."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from assay.test_runner import job, obliging, settings, suite
from kvassay.assay.codec import pack_positions, unpack_positions
from kvassay.assay.evidence import unpack
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import run
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.assay.witness import reading_from_json, reading_to_json
from kvassay.backend.scripted import Scripted
from kvassay.errors import Interrupted
from kvassay.report import build_view
from kvassay.types import Channel


def run_with_evidence(tmp_path: Path, **changes: object) -> StoredRun:
    wanted = settings(suite=suite(tmp_path, depth=None), channels="raw", **{"evidence_probes": 4, **changes})
    return run(job(Store(tmp_path / "s.sqlite", write=True), wanted, obliging))


def test_each_other_arm_is_followed_along_the_references_right_answers(tmp_path: Path) -> None:
    """Four probes an arm, every token of the reference's answer, on the raw channel; none for the reference itself."""
    finished = run_with_evidence(tmp_path)
    evidence = {(key.arm, key.probe): unpack(key, blob) for key, blob in finished.evidence()}
    assert {arm for arm, _ in evidence} == {"q4_0/f16", "f16/f16 #2"}
    assert len(evidence) == 2 * 4
    reference = {
        trial.key.probe: trial
        for trial in finished.trials()
        if trial.key.arm == "f16/f16" and trial.key.channel is Channel.RAW
    }
    for (arm, probe), found in evidence.items():
        assert len(found.rows) == len(reference[probe].tokens)
        assert any(row.flip for row in found.rows) == (arm == "q4_0/f16")


def test_the_report_tells_what_breaks_first_and_the_perplexity_beside_it(tmp_path: Path) -> None:
    """The candidate writes another number: that is the role that flips; its perplexity stands beside its calls."""
    finished = run_with_evidence(tmp_path)
    view = build_view(finished, verdict_of(finished))
    assert view.evidence is not None
    assert [arm.arm for arm in view.evidence.arms] == ["q4_0/f16", "f16/f16 #2"]
    assert [passage.arm for passage in view.evidence.passages] == ["q4_0/f16", "f16/f16 #2"]
    assert "tool calls 0 of" in view.evidence.passages[0].sentence
    assert view.evidence.findings == ()


def test_evidence_costs_the_ladder_nothing(tmp_path: Path) -> None:
    """Its tokens are not the ladder's and its seconds are counted apart."""
    for boot in run_with_evidence(tmp_path).boots():
        assert boot.processed_tokens <= 1.10 * boot.bound_tokens
        assert boot.evidence_s > 0


@pytest.mark.parametrize("off", [{"evidence_probes": 0}, {"top_n": 0}, {"channels": "parsed", "parsed_share": 0.0}])
def test_without_log_probabilities_or_if_unwanted_there_is_none(tmp_path: Path, off: dict[str, object]) -> None:
    """No evidence, no text scored, and a report without the section."""
    wanted = settings(suite=suite(tmp_path, depth=None), **{"channels": "raw", "evidence_probes": 4, **off})
    finished = run(job(Store(tmp_path / "s.sqlite", write=True), wanted, obliging))
    assert not list(finished.evidence())
    assert finished.readings() == []
    assert build_view(finished, verdict_of(finished)).evidence is None


def test_a_back_end_that_shows_no_log_probabilities_is_told_of(tmp_path: Path) -> None:
    """Whether the arm engaged can't be checked then, and the verdict's notes say so."""
    wanted = settings(suite=suite(tmp_path, depth=None), channels="raw")
    backend = Scripted(obliging, log_probs=False)
    finished = run(job(Store(tmp_path / "s.sqlite", write=True), wanted, backend=backend))
    assert any(note.startswith("No log-probabilities to compare") for note in verdict_of(finished).notes)


def test_an_arm_that_computes_the_same_is_caught(tmp_path: Path) -> None:
    """Two servers that are said to differ and give every log-probability alike."""
    wanted = settings(suite=suite(tmp_path, depth=None), channels="raw", pairs="f16/bf16", stopping="fixed")
    finished = run(job(Store(tmp_path / "s.sqlite", write=True), wanted, obliging))
    (arm,) = verdict_of(finished).arms
    assert "it did not engage" in arm.sentence


def test_longer_lists_of_the_reference_hide_no_arm_that_computes_the_same(tmp_path: Path) -> None:
    """Back ends with whole vocabularies list more for the reference: what the other arm lists is compared."""
    wanted = settings(suite=suite(tmp_path, depth=None), channels="raw", pairs="f16/bf16", stopping="fixed")
    path = tmp_path / "s.sqlite"
    finished = run(job(Store(path, write=True), wanted, obliging))
    with sqlite3.connect(path) as db:
        own = db.execute("select probe, channel, positions from trials where arm = 'f16/f16'").fetchall()
        for probe, channel, blob in own:
            longer = [replace(one, top=(*one.top, (-1, -20.0))) for one in unpack_positions(blob)]
            place = (pack_positions(longer), probe, channel)
            db.execute("update trials set positions = ? where arm = 'f16/f16' and probe = ? and channel = ?", place)
    (arm,) = verdict_of(finished).arms
    assert "it did not engage" in arm.sentence
    with sqlite3.connect(path) as db:
        db.execute("update trials set positions = ? where arm = 'f16/bf16'", (pack_positions(()),))
    (arm,) = verdict_of(finished).arms
    assert "it did not engage" not in arm.sentence


def test_a_reading_survives_the_store(tmp_path: Path) -> None:
    """What a boot told comes back as it was, unknown bounds included."""
    for _, text in run_with_evidence(tmp_path).readings():
        assert reading_to_json(reading_from_json(text)) == text


@pytest.mark.parametrize("answers", [11, 12])
def test_a_run_stopped_before_the_text_was_scored_scores_it_when_resumed(tmp_path: Path, answers: int) -> None:
    """Also behind the arm's last answer; all that is compared was answered by then, and the floor is the same."""
    wanted = settings(suite=suite(tmp_path, depth=None), evidence_probes=4, channels="raw")
    whole = run_with_evidence(tmp_path).readings()
    with Store(tmp_path / "stopped.sqlite", write=True) as store:
        with pytest.raises(Interrupted):
            run(job(store, wanted, obliging, stop=lambda: store.runs() and len(store.run().done()) == answers))
        stopped = store.run()
        assert not stopped.readings()
        assert run(job(store, wanted, obliging), resume=stopped).readings() == whole
