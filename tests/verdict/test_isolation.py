"""The isolation in words: K, V, both, and whether the damage grows with the context."""

from __future__ import annotations

import pytest

from kvassay.stats.factorial import Term
from kvassay.verdict import Verdict
from kvassay.verdict.controls import Measurements
from verdict.synthetic_outcomes import REFERENCE, SAME, Arms, Flips, judged

DEPTHS = {2048: 58, 8192: 58, 32768: 58}


def of(arms: Arms, right: dict[int, int] | None = None) -> Verdict:
    return judged(right or DEPTHS, arms)


def test_a_break_of_k_alone_is_laid_on_k() -> None:
    """All of the damage is K's, none V's, and nothing is left for both together."""
    loss = Flips(lost=57)
    (found,) = of({"q4_0/f16": loss, "f16/q4_0": SAME, "q4_0/q4_0": loss}).isolation
    assert (found.k, found.v, found.arms) == ("q4_0", "q4_0", ("q4_0/f16", "f16/q4_0", "q4_0/q4_0"))
    effects = {effect.term: effect.effect for effect in found.found.effects}
    assert effects[Term.K] == pytest.approx(-0.95)
    assert effects[Term.V] == pytest.approx(0, abs=1e-9)
    assert effects[Term.K_V] == pytest.approx(0, abs=1e-9)
    first, *rest = found.sentences
    assert first.startswith("K at q4_0 −95.0 (")
    assert "V at q4_0 +0.0 (" in first
    assert f"points of right calls against {REFERENCE}; both together +0.0 (" in first
    assert [line for line in rest if "grows with the context" in line and "not shown" not in line] == []


def test_damage_that_grows_is_said_of_the_half_that_does_it() -> None:
    """The claim under test is the interaction of K with depth; V stays out of it."""
    growing = {2048: Flips(), 8192: Flips(lost=15), 32768: Flips(lost=40)}
    (found,) = of({"q4_0/f16": growing, "f16/q4_0": SAME}).isolation
    (k,) = [line for line in found.sentences if line.startswith("Per doubling of the context K at q4_0 changes by −")]
    assert k.endswith("points: the damage grows with the context.")
    (v,) = [line for line in found.sentences if "context V at q4_0 changes" in line]
    assert v.endswith("that it grows with the context is not shown.")


def test_one_interval_among_many_that_leaves_0_out_is_no_growth() -> None:
    """A change that would stand alone does not where nine halves were looked at, and the sentence says by how much."""
    right = {2048: 54, 8192: 40, 16384: 34}
    growing = {2048: Flips(), 8192: Flips(lost=1), 16384: Flips(lost=6)}
    (lone,) = judged(right, {"f16/q4_0": growing}).isolation
    assert "V at q4_0 changes by −3.0 (−5.2 … −0.8) points: the damage grows with the context." in lone.sentences[1]
    types = ("q8_0", "q5_1", "q5_0", "q4_1")
    others = {pair: Flips(lost=1, gained=1) for one in types for pair in (f"{one}/f16", f"f16/{one}")}
    lines = [line for one in judged(right, {"f16/q4_0": growing, **others}).isolation for line in one.sentences]
    (line,) = [line for line in lines if "context V at q4_0 changes" in line]
    assert line.endswith("points: that it grows with the context is not shown (adjusted p = 0.083).")


def test_growth_needs_the_random_test_too() -> None:
    """Few flips per depth: the interval leaves 0 out, dealing the same flips out among the depths anew does not."""
    changes = {2048: Flips(gained=1), 8192: Flips(lost=3, gained=4), 16384: Flips(lost=6)}
    (found,) = judged({2048: 54, 8192: 40, 16384: 34}, {"f16/q4_0": changes}).isolation
    effect = found.found.of(Term.V_DEPTH)
    assert effect is not None
    assert effect.high < 0
    (line,) = [line for line in found.sentences if line.startswith("Per doubling")]
    assert "is not shown (adjusted p = 0.051)" in line


def test_a_depth_that_hurts_the_reference_too_is_no_damage_of_the_cache() -> None:
    """Length alone is told apart: the reference falls with depth, the difference between the arms does not."""
    (found,) = of({"q4_0/f16": SAME}, {2048: 58, 8192: 50, 32768: 42}).isolation
    assert found.v is None
    (length,) = [line for line in found.sentences if line.startswith("Length alone changes f16/f16 by −")]
    assert "points per doubling" in length
    (grown,) = [line for line in found.sentences if line.startswith("Per doubling")]
    assert grown.endswith("is not shown.")


def test_a_loss_of_everything_is_said_to_shrink_only_as_the_reference_falls() -> None:
    """A half that leaves nothing right at any depth loses fewer points where the reference has fewer: no recovery."""
    right = {2048: 58, 8192: 50, 32768: 42}
    everything = {depth: Flips(lost=count) for depth, count in right.items()}
    (found,) = of({"q4_0/f16": everything}, right).isolation
    (grown,) = [line for line in found.sentences if line.startswith("Per doubling")]
    assert grown.endswith("points: the loss shrinks with the context, as does what there is to lose.")


def test_gains_that_grow_are_no_loss_that_shrinks() -> None:
    """A half that gains at depth and loses nowhere has no damage to speak of."""
    gains = {2048: Flips(), 8192: Flips(gained=8), 32768: Flips(gained=16)}
    (found,) = of({"f16/q6": gains}, right={2048: 58, 8192: 40, 32768: 30}).isolation
    (line,) = [line for line in found.sentences if line.startswith("Per doubling of the context V at q6 changes by +")]
    assert line.endswith("points: there is no damage that grows.")


def test_a_gain_that_shrinks_is_no_damage_that_grows() -> None:
    """The candidate is right where the reference fails, less often with depth: nothing is lost anywhere."""
    gains = {2048: Flips(gained=28), 8192: Flips(gained=14), 32768: Flips(gained=2)}
    (found,) = of({"q8_0/f16": gains}, right={2048: 31, 8192: 45, 32768: 58}).isolation
    (line,) = [
        line for line in found.sentences if line.startswith("Per doubling of the context K at q8_0 changes by −")
    ]
    assert line.endswith("points: what it gains shrinks with the context.")


def test_a_loss_that_shrinks_where_the_reference_does_not_fall_is_that_alone() -> None:
    """30 of 58 lost at 2k, 6 of 58 at 8k."""
    flips = {2048: Flips(lost=30), 8192: Flips(lost=6)}
    (found,) = of({"q5_0/f16": flips}, {2048: 58, 8192: 58}).isolation
    (grown,) = [line for line in found.sentences if line.startswith("Per doubling")]
    assert grown.endswith("points: the loss shrinks with the context.")


def test_a_loss_at_one_depth_and_gains_beyond_are_no_loss_that_shrinks() -> None:
    """As K at 6 bits under ExLlamaV3: 13 lost and 1 gained at 2k, 10 and 18 beyond. Over all depths none is shown."""
    right = {2048: 54, 8192: 39, 16384: 33}
    flips = {2048: Flips(lost=13, gained=1), 8192: Flips(lost=4, gained=8), 16384: Flips(lost=6, gained=10)}
    (found,) = of({"q6/f16": flips}, right).isolation
    (grown,) = [line for line in found.sentences if line.startswith("Per doubling of the context K at q6 changes by +")]
    assert grown.endswith("points: there is no damage that grows.")


def test_gains_that_turn_into_losses_are_no_damage_that_grows() -> None:
    """20 gained at 2k, 18 lost at 32k: over all depths no loss is shown, and what goes on is said."""
    flips = {2048: Flips(gained=20), 8192: Flips(), 32768: Flips(lost=18)}
    (found,) = of({"f16/q4_0": flips}, {2048: 38, 8192: 50, 32768: 50}).isolation
    (line,) = [
        line for line in found.sentences if line.startswith("Per doubling of the context V at q4_0 changes by −")
    ]
    assert line.endswith("points: it does worse the longer the context.")


def test_one_depth_says_nothing_of_growth() -> None:
    """Then no sentence speaks of doublings."""
    (found,) = judged(58, {"q4_0/f16": Flips(lost=20), "f16/q4_0": SAME}).isolation
    assert not any("doubling" in line for line in found.sentences)


def test_a_grid_gives_a_square_for_each_joint_pair() -> None:
    """Every pair that changes both halves with its two halves alone; halves run alone make one of their own."""
    grid = {f"{k}/{v}": SAME for k in ("f16", "q8_0", "q4_0") for v in ("f16", "q4_0") if (k, v) != ("f16", "f16")}
    found = of({**grid, "q5_0/f16": SAME}).isolation
    assert [(one.k, one.v) for one in found] == [("q8_0", "q4_0"), ("q4_0", "q4_0"), ("q5_0", None)]


def test_rotation_is_kept_apart() -> None:
    """A pair without rotation makes a square of its own, named so."""
    found = of({"q4_0/f16": Flips(lost=50), "q4_0/f16 norot": Flips(lost=58)}).isolation
    assert [one.rotation for one in found] == [True, False]
    assert found[1].sentences[0].startswith("K at q4_0 without rotation −96.7 (")


def test_beyond_the_suite_the_same_probe_counts_once() -> None:
    """Three depths of 60 probes are 60 scenarios, not 180."""
    (arm,) = judged(DEPTHS, {"q4_0/f16": Flips(lost=6)}, alike=True).arms
    assert arm.beyond.clusters == 60
    assert arm.beyond.pairs == 180
    assert arm.beyond.difference == pytest.approx(-0.1)
    assert arm.beyond.low < -0.1 < arm.beyond.high


def test_where_f16_stands_beside_no_other_type_the_clean_pair_is_the_base() -> None:
    """ExLlamaV3 quantises both halves or neither: K alone is 4/8, V alone 8/4, and what they cost is against 8/8."""
    loss = Flips(lost=57)
    arms = {"8/8": SAME, "4/8": loss, "8/4": SAME, "4/4": loss}
    verdict = judged(DEPTHS, arms, measured=Measurements(clean="8"))
    (found,) = verdict.isolation
    assert (found.k, found.v, found.arms) == ("4", "4", ("4/8", "8/4", "4/4"))
    assert "points of right calls against 8/8" in found.sentences[0]
    assert verdict.headline.startswith("K at 4 beside V at 8 breaks this model's tool calls: ")
    assert "Run `--cache-mode 8,4`, the smallest configuration shown to stay within" in verdict.headline
    assert "61 % smaller than f16/f16" not in verdict.headline  # 4.5 + 8.5 bits of 32
    assert "59 % smaller than f16/f16" in verdict.headline


def test_what_several_halves_stand_beside_is_said_once() -> None:
    """And after the last of them, where it belongs to all."""
    arms = {"8/8": SAME, "5/8": Flips(lost=55), "4/8": Flips(lost=57)}
    told = judged(DEPTHS, arms, measured=Measurements(clean="8")).headline
    assert told.startswith("K at 5 and 4 beside V at 8 breaks this model's tool calls (at best, 5/8: ")
    bare = {"q5_0/f16 norot": Flips(lost=55), "q4_0/f16 norot": Flips(lost=57)}
    assert judged(DEPTHS, bare).headline.startswith("K at q5_0 without rotation and q4_0 without rotation breaks")


def test_without_the_clean_pair_nothing_is_laid_on_a_half() -> None:
    """A square without its base gives no numbers, rather than some against another base."""
    arms = {"4/8": Flips(lost=57), "8/4": SAME}
    assert judged(DEPTHS, arms, measured=Measurements(clean="8")).isolation == ()


def test_harm_of_both_clean_halves_is_not_explained_by_a_harsher_half() -> None:
    """8/8 that costs calls is told, though 4/8 has V at 8 too and does worse."""
    arms = {"8/8": Flips(lost=20), "4/8": Flips(lost=57), "8/4": Flips(lost=20)}
    assert "8/8 costs right tool calls" in judged(DEPTHS, arms, measured=Measurements(clean="8")).headline


def test_what_length_costs_is_said_once_and_a_pair_without_its_halves_isolates_nothing() -> None:
    """Squares share their reference; q8_0/q8_0 without rotation was run without its halves."""
    arms = {"q8_0/f16": SAME, "f16/q8_0": SAME, "q4_0/f16": SAME, "f16/q4_0": SAME, "q8_0/q8_0 norot": SAME}
    found = of(arms, {2048: 58, 8192: 50, 32768: 42}).isolation
    assert [(one.k, one.v, one.rotation) for one in found] == [("q8_0", "q8_0", True), ("q4_0", "q4_0", True)]
    assert [sum("Length alone" in line for line in one.sentences) for one in found] == [1, 0]


def test_pairs_without_their_halves_still_say_what_length_costs() -> None:
    """Nothing of K or V is identified, but the reference was asked at several depths."""
    (found,) = of({"q8_0/q8_0": SAME, "q4_0/q4_0": SAME}, {2048: 58, 8192: 50, 32768: 42}).isolation
    assert [line.split(" changes")[0] for line in found.sentences] == ["Length alone"]
