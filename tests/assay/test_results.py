"""From a stored run to its verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assay import values
from kvassay.assay.results import verdict_of
from kvassay.assay.stopping import main_channel
from kvassay.assay.store import Store, Usage
from kvassay.assay.stored import StoredRun
from kvassay.types import BootFacts, Channel, Outcome, OutcomeClass
from kvassay.verdict import State

NAMES = [f"recall/{n}" for n in range(12)]


def run(path: Path, candidate: OutcomeClass, *channels: str) -> StoredRun:
    """The reference is right on every probe, the candidate's outcome is always the same; K alone differs."""
    store = Store(path, write=True)
    begun = store.begin(values.manifest(channels=channels), values.session(), values.probes(*NAMES))
    for arm, kind in (("f16/f16", OutcomeClass.CORRECT), ("q4_0/f16", candidate)):
        boot = store.add_boot(begun, arm, BootFacts("embedded"))
        for depth in (100, 200):
            for name in NAMES:
                trial = values.trial(name, arm=arm, depth=depth, boot=boot)
                store.add_trial(begun, replace(trial, outcome=Outcome(kind)), Usage())
    return begun


@pytest.mark.parametrize(("channels", "channel"), [(("raw", "parsed"), Channel.RAW), (("parsed",), Channel.PLAIN)])
def test_the_verdict_rests_on_the_raw_channel_where_it_was_asked(
    tmp_path: Path, channels: tuple[str, ...], channel: Channel
) -> None:
    """Else on the whole parsed reply."""
    stored = run(tmp_path / "s", OutcomeClass.CORRECT, *channels)
    assert main_channel(stored.record.manifest.design) is channel


def test_a_k_that_is_always_wrong_is_degraded(tmp_path: Path) -> None:
    """Trials of the main channel are paired and judged."""
    (arm,) = verdict_of(run(tmp_path / "s", OutcomeClass.WRONG_VALUE, "parsed")).arms
    assert (arm.arm, arm.state) == ("q4_0/f16", State.DEGRADED)


def test_trials_of_another_channel_are_not_judged(tmp_path: Path) -> None:
    """The stored trials are parsed ones; on the raw channel nothing is there to judge."""
    verdict = verdict_of(run(tmp_path / "s", OutcomeClass.WRONG_VALUE, "raw", "parsed"))
    assert all(arm.state is not State.DEGRADED for arm in verdict.arms)


def test_infrastructure_faults_are_no_failures_of_the_model(tmp_path: Path) -> None:
    """Pairs with one are dropped, not counted as wrong."""
    verdict = verdict_of(run(tmp_path / "s", OutcomeClass.PARSER_FAULT, "parsed"))
    assert all(arm.state is not State.DEGRADED for arm in verdict.arms)
    assert any("Infrastructure faults took 24 of 24 pairs" in note for note in verdict.notes)
