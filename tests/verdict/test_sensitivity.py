"""Other methods on the same pairs: which pairs they count, and that no state follows them."""

from __future__ import annotations

import pytest

from kvassay.stats.eprocess import harm_e_value
from kvassay.stats.paired import mcnemar_harm_midp, newcombe_interval
from kvassay.verdict import State, Verdict, judge
from verdict.synthetic_outcomes import REFERENCE, SAME, Arms, Flips, outcomes_of, spec


def judged(
    right: dict[int, int], arms: Arms, *, anytime: bool = True, planned: tuple[str, ...] = (), alike: bool = False
) -> Verdict:
    """The verdict over runs of 100 probes a depth at α .05 and a margin of 5 points."""
    return judge(
        outcomes_of(right, 100, arms, alike=alike),
        reference=REFERENCE,
        repeat=None,
        candidates=[spec(label) for label in (*arms, *planned)],
        depths=tuple(right),
        alpha=0.05,
        margin=0.05,
        anytime=anytime,
    )


@pytest.mark.parametrize("rule", [True, False], ids=["anytime", "fixed"])
def test_at_one_depth_they_count_its_pairs(rule: bool) -> None:  # noqa: FBT001
    """Mid-p and Newcombe's interval, at the level of the run's own, of the table 84, 8, 3, 5; the same over all."""
    (arm,) = judged({2048: 92}, {"q4_0/f16": Flips(lost=8, gained=3)}, anytime=rule).arms
    interval = newcombe_interval(84, 8, 3, 5, level=0.9)
    for found, depth in zip(arm.sensitivity, (None, 2048), strict=True):
        assert found.depth == depth
        assert found.mid_p == mcnemar_harm_midp(8, 3)
        assert (found.newcombe_low, found.newcombe_high) == interval


def test_over_several_depths_mid_p_counts_probes_and_newcombe_says_nothing() -> None:
    """Three probes lost at each of two depths are three flips; an interval that takes them for six is not given. Where
    each depth has probes of its own, six are six.
    """
    apart, alike = (
        judged({2048: 92, 8192: 92}, {"q4_0/f16": Flips(lost=3)}, alike=alike).arms[0] for alike in (False, True)
    )
    assert apart.sensitivity[0].mid_p == mcnemar_harm_midp(6, 0)
    assert apart.sensitivity[0].newcombe_low == newcombe_interval(178, 6, 0, 16, level=0.9).low
    whole, *by_depth = alike.sensitivity
    assert whole.mid_p == mcnemar_harm_midp(3, 0)
    assert (whole.newcombe_low, whole.newcombe_high) == (None, None)
    assert [found.newcombe_low for found in by_depth] == [newcombe_interval(89, 3, 0, 8, level=0.9).low] * 2


def test_what_e_bh_would_call_is_told_and_decides_nothing() -> None:
    """Two of three arms with seven lost: e-BH calls both at a false discovery rate of 5 %, Holm neither."""
    loss = Flips(lost=7)
    verdict = judged({2048: 95}, {"q4_0/f16": loss, "f16/q4_0": loss}, planned=("q8_0/q8_0",))
    e_value = harm_e_value(7, 0)
    assert 30 < e_value < 60
    assert [(m.arm, m.e_bh) for m in verdict.multiplicity] == [
        ("q4_0/f16", True), ("f16/q4_0", True), ("q8_0/q8_0", False),
    ]  # fmt: skip
    assert verdict.multiplicity[0].closed_e == pytest.approx((e_value + 1) / 2)  # beside the arm not run
    assert {arm.state for arm in verdict.arms} == {State.INCONCLUSIVE}


@pytest.mark.parametrize("rule", [True, False], ids=["anytime", "fixed"])
def test_harm_is_shown_where_holms_p_reaches_alpha(rule: bool) -> None:  # noqa: FBT001
    """The adjusted p-value that is told is the one that the states rest on."""
    some = {"q4_0/f16": Flips(lost=40), "f16/q4_0": Flips(lost=7, gained=1), "q8_0/f16": Flips(lost=9)}
    arms = {**some, "f16/q8_0": SAME}
    verdict = judged({2048: 95}, arms, anytime=rule)
    assert [m.holm_p <= 0.05 for m in verdict.multiplicity] == [arm.state.is_worse for arm in verdict.arms]
    assert {m.holm_p <= 0.05 for m in verdict.multiplicity} == {True, False}


def test_the_positive_control_is_none_of_the_claims() -> None:
    """It has its own figures and counts for no other arm's adjustment."""
    verdict = judge(
        outcomes_of({2048: 95}, 100, {"f16/q4_0": SAME, "q4_0/q4_0": Flips(lost=80)}),
        reference=REFERENCE,
        repeat=None,
        candidates=[spec("f16/q4_0")],
        depths=(2048,),
        alpha=0.05,
        margin=0.05,
        control=spec("q4_0/q4_0"),
    )
    assert verdict.control is not None
    assert verdict.control.sensitivity[0].mid_p == mcnemar_harm_midp(80, 0)
    assert [m.arm for m in verdict.multiplicity] == ["f16/q4_0"]
