"""One turn asked many times."""

from __future__ import annotations

from kvassay.probe.sampled import Draw, draw_of, sampled, scenario_of, seed_of
from kvassay.types import Probe

PROBE = Probe("replay-edit/31", "replay-edit", 31, (), (), key={"turn": 31})


def test_one_greedy_answer_then_one_for_each_seed() -> None:
    """The ids tell the seeds, and nothing but the sampling differs."""
    greedy, *others = sampled(PROBE, seeds=3, temperature=0.7)
    assert greedy == PROBE
    assert draw_of(greedy) is None
    assert [probe.id for probe in others] == ["replay-edit/31@1", "replay-edit/31@2", "replay-edit/31@3"]
    assert [draw_of(probe) for probe in others] == [Draw(0.7, 1), Draw(0.7, 2), Draw(0.7, 3)]
    assert {(probe.family, probe.seed) for probe in others} == {("replay-edit", 31)}


def test_answers_to_one_turn_are_one_scenario_and_other_probes_each_their_own() -> None:
    """A suite's case may hold an @ without being taken for a sample."""
    assert {scenario_of(probe.id) for probe in sampled(PROBE, seeds=3, temperature=1)} == {"replay-edit/31"}
    assert [scenario_of(name) for name in ("recall/3", "user@1", "replay/x@1")] == ["recall/3", "user@1", "replay/x@1"]
    assert [seed_of(name) for name in ("replay/3@12", "replay/3", "user@1")] == [12, None, None]
