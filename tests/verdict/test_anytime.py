"""Verdicts that rest on e-values, the positive control, and arms that did not engage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import roots_jacobi

from kvassay.stats.eprocess import anytime_interval, harm_e_value, within_margin_e_value
from kvassay.stats.paired import tango_interval
from kvassay.verdict import Measurements, State, Verdict, judge
from verdict.synthetic_outcomes import REFERENCE, REPEAT, SAME, Arms, Flips, outcomes_of, spec


def anytime(
    right: dict[int, int], arms: Arms, *, probes: int = 100, control: str | None = None, **measured: object
) -> Verdict:
    """The verdict under the anytime rule at α .05 and a margin of 5 points."""
    return judge(
        outcomes_of(right, probes, {**arms, REPEAT: SAME}),
        reference=REFERENCE,
        repeat=REPEAT,
        candidates=[spec(label) for label in arms if label != control],
        depths=tuple(right),
        alpha=0.05,
        margin=0.05,
        anytime=True,
        control=spec(control) if control else None,
        measured=Measurements(**measured),  # type: ignore[arg-type]
    )


def test_harm_needs_evidence_for_all_planned_candidates_together() -> None:
    """Six lost and none gained decide for one candidate; among three it takes eight."""
    assert anytime({2048: 95}, {"q4_0/f16": Flips(lost=6)}).arms[0].state is State.DEGRADED
    for lost, state in ((7, State.INCONCLUSIVE), (8, State.DEGRADED)):
        arms = {"q4_0/f16": Flips(lost=lost), "f16/q4_0": SAME, "q8_0/q8_0": SAME}
        assert anytime({2048: 95}, arms).arms[0].state is state


def test_few_pairs_are_enough_for_a_broken_arm_and_not_for_an_intact_one() -> None:
    """A candidate that stopped after ten pairs is judged on them; ten equal pairs prove nothing."""
    arms = {"q4_0/f16": Flips(lost=10, asked=10), "f16/q4_0": Flips(asked=10)}
    verdict = anytime({2048: 100}, arms, spared={"q4_0/f16": 90, "f16/q4_0": 0})
    broken, intact = verdict.arms
    assert broken.state is State.DEGRADED
    assert intact.state is State.INCONCLUSIVE
    assert "about 70 more pairs would settle it" in intact.sentence
    assert [note for note in verdict.notes if "Incomplete" in note] == [
        "Incomplete, judged on what exists (probes asked): f16/q4_0 10 of 100."
    ]


def test_the_time_that_more_pairs_take_is_said() -> None:
    """Pairs and minutes, as far as the arm's own speed tells."""
    verdict = anytime({2048: 20}, {"f16/q4_0": SAME}, probes=20, pair_s={"f16/q4_0": 6.0})
    assert "about 60 more pairs would settle it (some 6 min)" in verdict.arms[0].sentence


def test_harm_at_one_depth_is_seen_beside_gains_at_another() -> None:
    """Half of the evidence looks at each depth alone, so that luck elsewhere cancels nothing."""
    flips = {2048: Flips(gained=10), 8192: Flips(lost=12)}
    (arm,) = anytime({2048: 90, 8192: 100}, {"q4_0/f16": flips}).arms
    assert arm.overall.harm_e == pytest.approx(
        (harm_e_value(12, 10) + (harm_e_value(0, 10) + harm_e_value(12, 0)) / 2) / 2
    )
    assert arm.state is State.DEGRADED
    assert [found.state.is_worse for found in arm.by_depth] == [False, True]


@pytest.mark.parametrize("rule", [True, False], ids=["anytime", "fixed"])
def test_a_probe_lost_at_every_depth_is_one_witness_not_four(rule: bool) -> None:  # noqa: FBT001
    """Three probes that flip at each of four depths are 12 lost pairs, but three flips of a coin; twelve probes that
    flip at one depth each are twelve.
    """
    depths = (2048, 4096, 8192, 16384)
    right = dict.fromkeys(depths, 100)
    arms = {"q4_0/f16": Flips(lost=3), REPEAT: SAME}
    alike = outcomes_of(right, 100, arms, alike=True)
    spread = {
        (arm, depth, probe): arm != "q4_0/f16" or int(probe.removeprefix("probe-")) // 3 != depths.index(depth)
        for arm, depth, probe in alike
    }
    for outcomes, harm_e, p_value, state in (
        (alike, harm_e_value(3, 0), 0.5**3, State.INCONCLUSIVE),
        (spread, (harm_e_value(12, 0) + harm_e_value(3, 0)) / 2, 0.5**12, State.DEGRADED),
    ):
        (arm,) = judge(
            outcomes,
            reference=REFERENCE,
            repeat=REPEAT,
            candidates=[spec("q4_0/f16")],
            depths=depths,
            alpha=0.05,
            margin=0.01,
            anytime=rule,
        ).arms
        assert (arm.overall.lost, arm.overall.gained, arm.overall.pairs) == (12, 0, 400)
        assert arm.overall.harm_e == pytest.approx(harm_e)
        assert arm.overall.within_e == pytest.approx(within_margin_e_value(3, 0, 100, margin=0.01))
        interval = anytime_interval if rule else tango_interval
        assert (arm.overall.low, arm.overall.high) == pytest.approx(interval(3, 0, 100, level=0.9))
        assert arm.overall.p_value == pytest.approx(p_value)
        assert arm.state is state


@pytest.mark.parametrize("rule", [True, False], ids=["anytime", "fixed"])
@pytest.mark.parametrize("alike", [True, False], ids=["the same probes", "probes of its own"])
def test_only_probes_clear_an_arm_not_depths(rule: bool, alike: bool) -> None:  # noqa: FBT001
    """Forty probes without a flip exclude no loss of 5 points, be they asked at one depth or at four; 160 do."""
    right = dict.fromkeys((2048, 4096, 8192, 16384), 40)
    outcomes = outcomes_of(right, 40, {"q8_0/q8_0": SAME, REPEAT: SAME}, alike=alike)
    (arm,) = judge(
        outcomes,
        reference=REFERENCE,
        repeat=REPEAT,
        candidates=[spec("q8_0/q8_0")],
        depths=tuple(right),
        alpha=0.05,
        margin=0.05,
        anytime=rule,
    ).arms
    assert arm.overall.pairs == 160
    assert arm.state is (State.INCONCLUSIVE if alike else State.WITHIN_MARGIN)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from((-1, 0, 1)), min_size=1, max_size=5), min_size=1, max_size=60))
def test_a_probes_mean_is_worth_more_than_its_halves(answers: list[list[int]]) -> None:
    """The exact product of bets over the probes' means is never below what the counts of halves are taken for."""
    means = np.array([np.mean(changes) for changes in answers])
    loss, gain = -means.clip(max=0).sum(), means.clip(min=0).sum()
    node, weight = roots_jacobi(64, 0.5, 2.0)
    stakes = (1 + node) / 2 / 0.95
    exact = float(np.sum(weight / weight.sum() * np.prod(1 + stakes[:, None] * (means + 0.05), axis=1)))
    assert within_margin_e_value(loss, gain, len(means), margin=0.05) <= exact * (1 + 1e-9)


def test_the_fixed_numbers_stand_beside_the_evidence() -> None:
    """McNemar's p is reported whatever the rule; the rule's own p is 1 / e."""
    (arm,) = anytime({2048: 95}, {"q4_0/f16": Flips(lost=6)}).arms
    assert arm.overall.p_value == pytest.approx(0.5**6)
    assert arm.overall.harm_p == pytest.approx(1 / harm_e_value(6, 0))


def test_a_positive_control_that_does_not_show_withholds_every_all_clear() -> None:
    """A probe set that can't see a pair known to be harsh can't clear another."""
    arms = {"f16/q4_0": SAME, "q4_0/q4_0 norot": SAME}
    blind = anytime({2048: 100}, arms, control="q4_0/q4_0 norot")
    assert [arm.arm for arm in blind.arms] == ["f16/q4_0"]
    assert blind.arms[0].state is State.INCONCLUSIVE
    assert "the positive control q4_0/q4_0 norot does not show" in blind.arms[0].sentence
    seeing = anytime({2048: 100}, {**arms, "q4_0/q4_0 norot": Flips(lost=80)}, control="q4_0/q4_0 norot")
    assert seeing.arms[0].state is State.WITHIN_MARGIN
    assert seeing.control is not None
    assert seeing.control.state is State.DEGRADED
    assert "q4_0/q4_0" not in seeing.headline
    assert any(note.startswith("The positive control q4_0/q4_0 norot shows (") for note in seeing.notes)


def test_a_positive_control_that_shows_at_one_depth_is_seen_as_its_own_verdict_sees_it() -> None:
    """The control that is called degraded is not said not to show."""
    flips = {2048: Flips(lost=14), 8192: Flips(gained=12)}
    arms = {"f16/q4_0": SAME, "q4_0/q4_0 norot": flips}
    verdict = anytime({2048: 80, 8192: 80}, arms, control="q4_0/q4_0 norot")
    assert verdict.control is not None
    assert verdict.control.state is State.DEGRADED
    assert verdict.arms[0].state is State.WITHIN_MARGIN
    assert any(note.startswith("The positive control q4_0/q4_0 norot shows (") for note in verdict.notes)


@pytest.mark.parametrize(("flips", "words"), [(6, "6.7"), (12, "13.4"), (9, "10.0")])
def test_the_margin_that_would_do_is_not_below_the_noise(flips: int, words: str) -> None:
    """12 of 90 flips are 13.33 points: a margin of 13.35 would do, but what is above 13.3 need not."""
    verdict = judge(
        outcomes_of({2048: 90}, 90, {"f16/q4_0": SAME, REPEAT: Flips(lost=flips)}),
        reference=REFERENCE,
        repeat=REPEAT,
        candidates=[spec("f16/q4_0")],
        depths=(2048,),
        alpha=0.05,
        margin=0.05,
    )
    assert any(f"a margin above {words} points would do" in note for note in verdict.notes)


def test_an_arm_kept_from_clearance_by_one_depth_is_told_to_ask_there() -> None:
    """Over all pairs a loss of 5 points is excluded already, so that more of them would settle nothing."""
    flips = {2048: Flips(lost=1), 8192: Flips(lost=6, asked=40)}
    arms = {"q4_0/f16": flips, "f16/q4_0": SAME, "q8_0/q8_0": SAME, "q8_0/f16": SAME}
    arm = anytime({2048: 300, 8192: 300}, arms, probes=300).arms[0]
    assert arm.state is State.INCONCLUSIVE
    assert arm.overall.within_e > 20
    assert arm.sentence == (
        "K at q4_0: undecided, 340 of 340 right → 333 of 340, but it looks worse at 8,192 tokens "
        "(40 of 40 right → 34 of 40); about 60 pairs at that depth alone would settle it."
    )


def test_an_arm_identical_to_the_reference_did_not_engage() -> None:
    """It is not cleared, at no depth, however well it does, and the note says why; other arms are judged as ever."""
    verdict = anytime({2048: 100}, {"q4_0/f16": SAME, "f16/q4_0": SAME}, identical={"q4_0/f16": 100})
    assert [arm.state for arm in verdict.arms] == [State.INCONCLUSIVE, State.WITHIN_MARGIN]
    assert [arm.by_depth[0].state for arm in verdict.arms] == [State.INCONCLUSIVE, State.WITHIN_MARGIN]
    assert "it did not engage" in verdict.arms[0].sentence
    assert any(note.startswith("q4_0/f16 did not engage: in all 100 answers") for note in verdict.notes)


def test_peeking_at_the_whole_verdict_raises_few_false_alarms() -> None:
    """Two candidates that flip at random, looked at after every tenth probe: any is ever called worse in at most 5 of
    100 runs (120 seeded runs of 100 probes; a fixed-n test would be at 10 or more).
    """
    rng = np.random.default_rng(20265)
    alarms = 0
    for _ in range(120):
        right = rng.random((4, 100)) < 0.9
        alarms += any(_worse_after(right, probes) for probes in range(10, 101, 10))
    assert alarms <= 6


def _worse_after(right: np.ndarray, probes: int) -> bool:  # type: ignore[type-arg]
    labels = (REFERENCE, REPEAT, "q4_0/f16", "f16/q4_0")
    verdict = judge(
        {(label, 2048, f"p{i}"): bool(right[arm, i]) for arm, label in enumerate(labels) for i in range(probes)},
        reference=REFERENCE,
        repeat=REPEAT,
        candidates=[spec(label) for label in labels[2:]],
        depths=(2048,),
        alpha=0.05,
        margin=0.1,
        anytime=True,
    )
    return any(arm.state.is_worse for arm in verdict.arms)


def test_formats_computed_in_process_are_no_engines_flags() -> None:
    """What was measured in transformers ends with the advice to measure one's own engine, and names no launch flags."""
    verdict = anytime({2048: 100}, {"q4_0/f16": Flips(lost=50), "f16/q4_0": SAME}, computed=True)
    assert verdict.headline.endswith("measure the one you choose on your own engine before you rely on it.")
    assert "-ctk" not in verdict.headline
