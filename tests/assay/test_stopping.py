"""The stopping rule: a rung ends as soon as it is decided, never earlier, and resuming finds the same end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.test_runner import job, obliging, settings, suite
from assay.values import design
from kvassay.assay import events
from kvassay.assay.results import verdict_of
from kvassay.assay.runner import run
from kvassay.assay.schedule import schedule
from kvassay.assay.stopping import Rule, rule_of, wanted
from kvassay.assay.store import Store
from kvassay.errors import Interrupted
from kvassay.stats.eprocess import harm_e_value
from kvassay.types import Channel
from kvassay.verdict import State

RULE = Rule(alpha=0.05, margin=0.05, claims=4)


def slots_of(count: int) -> tuple[list[str], tuple]:  # type: ignore[type-arg]
    """Cases of one depth, each its own round, in the order in which they are asked."""
    slots = schedule([(0, f"c{n}") for n in range(count)], channels=("raw",), parsed_share=0, seed=0)
    return [slot.probe for slot in slots], slots


def test_a_fixed_design_asks_everything() -> None:
    """Without a rule no outcome ends a rung."""
    probes, slots = slots_of(40)
    right, wrong = dict.fromkeys(((0, probe) for probe in probes), True), dict.fromkeys(((0, p) for p in probes), False)
    assert rule_of(design(stopping="fixed")) is None
    assert tuple(wanted(slots, None, right, wrong)) == slots


def test_total_harm_ends_a_rung_after_the_fewest_pairs_that_show_it() -> None:
    """With four claims the evidence must reach 4 / α; one pair fewer would not have been enough."""
    probes, slots = slots_of(40)
    right, wrong = {(0, probe): True for probe in probes}, {(0, probe): False for probe in probes}
    asked = len(tuple(wanted(slots, RULE, right, wrong)))
    assert harm_e_value(asked, 0) >= 4 / 0.05 > harm_e_value(asked - 1, 0)


def test_equal_arms_end_once_the_margin_is_excluded() -> None:
    """Two hundred equal answers are more than a margin of 5 points takes."""
    probes, slots = slots_of(200)
    right = {(0, probe): True for probe in probes}
    asked = len(tuple(wanted(slots, RULE, right, right)))
    assert 55 < asked < 95


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None])), max_size=60))
def test_what_is_wanted_depends_only_on_complete_rounds_before(pairs: list[tuple[bool | None, bool | None]]) -> None:
    """Knowing only the outcomes asked so far gives the same end as knowing all of them."""
    probes, slots = slots_of(len(pairs))
    before = {(0, probe): pair[0] for probe, pair in zip(probes, pairs, strict=True)}
    after = {(0, probe): pair[1] for probe, pair in zip(probes, pairs, strict=True)}
    live: dict[tuple[int, str], bool | None] = {}
    asked = []
    for slot in wanted(slots, RULE, before, live):
        asked.append(slot)
        live[0, slot.probe] = after[0, slot.probe]
    assert asked == list(wanted(slots, RULE, before, after))


def test_rungs_are_judged_each_on_its_own() -> None:
    """Harm at one depth does not spare the other: its answer is part of the result."""
    slots = schedule([(d, f"c{n}") for d in (100, 200) for n in range(40)], channels=("raw",), parsed_share=0, seed=0)
    right = {(slot.depth, slot.probe): True for slot in slots}
    wrong_at_100 = {place: place[0] != 100 for place in right}
    asked = list(wanted(slots, RULE, right, wrong_at_100))
    assert 0 < sum(slot.depth == 100 for slot in asked) < 15
    assert sum(slot.depth == 200 for slot in asked) == 40


def test_only_candidates_stop(tmp_path: Path) -> None:
    """The reference and its second boot answer everything; a broken candidate is spared most of it, and says so."""
    wanted_settings = settings(suite=suite(tmp_path, depth=None), channels="raw", pairs="q4_0/f16")
    seen: list[events.Event] = []
    with Store(tmp_path / "s.sqlite", write=True) as store:
        finished = run(job(store, wanted_settings, obliging, observe=seen.append))
        asked = dict.fromkeys(("f16/f16", "q4_0/f16", "f16/f16 #2"), 0)
        for key in finished.done():
            asked[key.arm] += 1
        assert asked["f16/f16"] == asked["f16/f16 #2"] == 12
        assert asked["q4_0/f16"] < 12
        (decided,) = [event for event in seen if isinstance(event, events.RungDecided)]
        assert decided.spared == 12 - asked["q4_0/f16"]
        verdict = verdict_of(finished)
        assert verdict.arms[0].state is State.DEGRADED
        assert verdict.spared == {"q4_0/f16": decided.spared}
        assert not any("Incomplete" in note for note in verdict.notes)


@pytest.mark.parametrize("after", [3, 13, 16, 19])
def test_a_stopped_run_ends_where_the_whole_one_does(tmp_path: Path, after: int) -> None:
    """Whenever it was interrupted, resuming asks exactly what the uninterrupted run asked."""
    asked = settings(suite=suite(tmp_path, depth=None), channels="raw")
    with Store(tmp_path / "whole.sqlite", write=True) as store:
        whole = run(job(store, asked, obliging)).done()
    seen: list[events.Event] = []

    def stop() -> bool:
        return sum(isinstance(event, events.TrialEnded) for event in seen) >= after

    with Store(tmp_path / "parts.sqlite", write=True) as store:
        with pytest.raises(Interrupted):
            run(job(store, asked, obliging, observe=seen.append, stop=stop))
        assert run(job(store, asked, obliging), resume=store.run()).done() == whole
        assert {key.channel for key in whole} == {Channel.RAW}
