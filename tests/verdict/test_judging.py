"""Which claims stand in a whole run: multiplicity, controls, depths."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kvassay.stats.power import more_pairs
from kvassay.stats.stopping import more_pairs_anytime
from kvassay.verdict import State, Verdict, judge
from verdict.synthetic_outcomes import REFERENCE, REPEAT, SAME, Flips, judged, outcomes_of, spec


def states(verdict: object) -> dict[str, State]:
    """Each arm's state."""
    return {arm.arm: arm.state for arm in verdict.arms}


def test_holm_guards_harm_over_many_candidates() -> None:
    """Five lost of sixty (p = .031) is harm for the only candidate, and not for one of three."""
    loss = Flips(lost=5)
    assert states(judged(60, {"q4_0/f16": loss})) == {"q4_0/f16": State.DEGRADED}
    several = states(judged(60, {"q4_0/f16": loss, "f16/q4_0": SAME, "q8_0/q8_0": SAME}))
    assert several["q4_0/f16"] is State.INCONCLUSIVE


def test_holm_counts_the_candidates_not_yet_run() -> None:
    """The family of claims is what the run planned: an arm without trials still counts."""
    verdict = judged(60, {"q4_0/f16": Flips(lost=5)}, planned=("f16/q4_0", "q4_0/q4_0"))
    assert states(verdict)["q4_0/f16"] is State.INCONCLUSIVE


@pytest.mark.parametrize("rule", [True, False], ids=["anytime", "fixed"])
def test_the_pairs_still_missing_are_those_that_holm_asks_for(rule: bool) -> None:  # noqa: FBT001
    """An arm that lost 8 and gained 2 of 60: open claims beside it make harm dearer, one already shown does not."""
    missing = [
        said(
            judge(
                outcomes_of({2048: 58}, 60, {"q4_0/f16": Flips(lost=8, gained=2), **others}),
                reference=REFERENCE,
                repeat=None,
                candidates=[spec(label) for label in ("q4_0/f16", *others)],
                depths=(2048,),
                alpha=0.05,
                margin=0.05,
                anytime=rule,
            )
        )
        for others in (
            {},
            {"f16/q4_0": Flips(lost=40)},
            {"f16/q4_0": SAME},
            {"f16/q4_0": SAME, "q8_0/q8_0": SAME, "f16/q8_0": SAME},
        )
    ]
    ask = more_pairs_anytime if rule else more_pairs
    assert missing == [ask(8, 2, 60, margin=0.05, alpha=0.05, claims=claims) for claims in (1, 1, 2, 4)]
    assert missing[1] < missing[2] < missing[3]


@pytest.mark.parametrize("rule", [True, False], ids=["anytime", "fixed"])
def test_the_pairs_still_missing_over_several_depths_are_of_probes_that_flip(rule: bool) -> None:  # noqa: FBT001
    """Two probes lost at each of four depths are no eight witnesses: asked as many more as is said, harm is shown."""
    depths = (2048, 4096, 8192, 16384)

    def over(probes: int) -> Verdict:
        return judge(
            outcomes_of(dict.fromkeys(depths, probes), probes, {"q4_0/f16": Flips(lost=-(-probes // 30))}, alike=True),
            reference=REFERENCE,
            repeat=None,
            candidates=[spec("q4_0/f16")],
            depths=depths,
            alpha=0.05,
            margin=0.01,
            anytime=rule,
        )

    missing = said(over(60))
    assert missing > 240
    assert over(60 + missing // 4).arms[0].state is State.DEGRADED


def test_no_pairs_are_promised_where_probes_and_pairs_disagree() -> None:
    """One probe lost at all of eight depths, two gained at one: a loss beyond the margin that no probes witness."""
    depths = tuple(2048 * (1 + rung) for rung in range(8))
    flips = {depth: Flips(lost=1, gained=2 * (depth == 2048)) for depth in depths}
    (arm,) = judge(
        outcomes_of(dict.fromkeys(depths, 50), 60, {"q4_0/f16": flips}, alike=True),
        reference=REFERENCE,
        repeat=None,
        candidates=[spec("q4_0/f16")],
        depths=depths,
        alpha=0.05,
        margin=0.01,
    ).arms
    assert arm.sentence.endswith("; at these rates no number of pairs would settle it.")


def said(verdict: Verdict) -> int:
    """The pairs that the first arm's sentence says are missing."""
    (found,) = re.findall(r"about (\d+) more pairs", verdict.arms[0].sentence)
    return int(found)


def test_nothing_is_within_a_margin_below_the_noise() -> None:
    """Three A/A flips of sixty are 5 points: no arm is within that margin, but harm can still be found."""
    arms = {"q4_0/f16": Flips(lost=50), "f16/q4_0": SAME}
    noisy = judged(58, arms, repeat=Flips(lost=2, gained=1))
    assert states(noisy) == {"q4_0/f16": State.DEGRADED, "f16/q4_0": State.INCONCLUSIVE}
    quiet = judged(58, arms, repeat=Flips(lost=1, gained=1))
    assert states(quiet)["f16/q4_0"] is State.WITHIN_MARGIN


def test_nothing_is_within_margin_in_an_invalid_run() -> None:
    """Two dropped pairs of sixty are above 2 in 100, in whichever arm; one is not."""
    arms = {"q4_0/f16": Flips(faults=2), "f16/q4_0": SAME}
    assert set(states(judged(60, arms)).values()) == {State.INCONCLUSIVE}
    arms["q4_0/f16"] = Flips(faults=1)
    assert set(states(judged(60, arms)).values()) == {State.WITHIN_MARGIN}


def test_faults_of_the_reference_and_of_its_repeat_count() -> None:
    """A fault on the reference's side drops the pair in every arm; the repeat's faults make a run invalid too."""
    for verdict in (
        judged(60, {"f16/q4_0": SAME}, reference=Flips(faults=2)),
        judged(60, {"f16/q4_0": SAME}, repeat=Flips(faults=2)),
    ):
        assert states(verdict) == {"f16/q4_0": State.INCONCLUSIVE}
        assert verdict.headline.startswith("This run is invalid: 2 of 60 pairs of f16/")


def test_a_depth_at_which_the_model_fails_is_left_out() -> None:
    """Agreement in failure is no evidence: the overall effect holds only the depths at which the reference works."""
    verdict = judged({2048: 60, 8192: 20}, {"f16/q4_0": SAME})
    (arm,) = verdict.arms
    assert arm.state is State.WITHIN_MARGIN
    assert arm.overall.pairs == 60
    assert [(found.depth, found.pairs, found.state) for found in arm.by_depth] == [
        (2048, 60, State.WITHIN_MARGIN),
        (8192, 60, State.INCONCLUSIVE),
    ]


def test_agreement_in_failure_is_not_within_margin() -> None:
    """A model that is right on 20 of 60 and stays so proves nothing of its cache."""
    assert states(judged(20, {"f16/q4_0": SAME})) == {"f16/q4_0": State.INCONCLUSIVE}


def test_one_bad_depth_is_not_hidden_by_the_others() -> None:
    """Ten gained at 2k and ten lost at 8k leave no difference in sum, and yet nothing is called within margin."""
    flips = {2048: Flips(gained=10), 8192: Flips(lost=10)}
    verdict = judged({2048: 150, 8192: 200}, {"f16/q4_0": flips}, probes=200)
    assert states(verdict) == {"f16/q4_0": State.INCONCLUSIVE}
    assert verdict.arms[0].overall.low > -0.05


def test_a_slight_loss_over_all_with_a_great_one_at_a_depth_is_degraded() -> None:
    """Ten lost of 500 are within the margin, but not where all ten fell among 100."""
    depths = dict.fromkeys((2048, 4096, 8192, 16384, 32768), 100)
    flips = {depth: Flips(lost=10 if depth == 32768 else 0) for depth in depths}
    (arm,) = judged(depths, {"f16/q4_0": flips}, probes=100).arms
    assert arm.state is State.DEGRADED
    assert arm.overall.low > -0.05
    assert [found.state for found in arm.by_depth] == [State.WITHIN_MARGIN] * 4 + [State.DEGRADED]


def test_a_depth_is_called_worse_only_in_an_arm_that_is() -> None:
    """The gate over all depths comes first, so that many depths don't make many false alarms."""
    flips = {2048: Flips(gained=6), 8192: Flips(lost=6)}
    (arm,) = judged({2048: 50, 8192: 60}, {"f16/q4_0": flips}).arms
    assert all(not found.state.is_worse for found in arm.by_depth)


def test_arms_stay_in_the_order_of_the_run() -> None:
    """The verdict lists the candidates as the run does, those without trials included."""
    verdict = judged(60, {"q8_0/q8_0": SAME, "f16/q4_0": SAME}, planned=("q4_0/f16",))
    assert [arm.arm for arm in verdict.arms] == ["q8_0/q8_0", "f16/q4_0", "q4_0/f16"]


def test_false_alarms_of_the_whole_verdict() -> None:
    """With four candidates that only flip at random, a run calls any of them worse in at most 5 of 100 cases.

    200 seeded runs of 2 × 60 probes; the reference and every arm err independently on 5 % of calls.
    """
    rng = np.random.default_rng(20264)
    labels = ("q8_0/q8_0", "q4_0/f16", "f16/q4_0", "q4_0/q4_0")
    alarms = 0
    for _ in range(200):
        right = rng.random((2 + len(labels), 2, 60)) < 0.95
        outcomes = {
            (label, depth, f"probe-{i}"): bool(right[arm, rung, i])
            for arm, label in enumerate((REFERENCE, REPEAT, *labels))
            for rung, depth in enumerate((2048, 8192))
            for i in range(60)
        }
        verdict = judge(
            outcomes,
            reference=REFERENCE,
            repeat=REPEAT,
            candidates=[spec(label) for label in labels],
            depths=(2048, 8192),
            alpha=0.05,
            margin=0.1,
        )
        alarms += any(state.is_worse for state in states(verdict).values())
    assert alarms <= 10
