"""The words of verdicts, pinned over a table of synthetic results."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from kvassay.verdict import Verdict
from kvassay.verdict.controls import read_controls
from kvassay.verdict.sentences import points
from verdict.synthetic_outcomes import REFERENCE, SAME, Flips, judged

QUIET_60 = "A second boot of f16/f16 flipped 0 of 60 calls: that is the noise floor."
QUIET_120 = QUIET_60.replace("60", "120")
NONE_PROVEN = "No smaller configuration is proven to stay within 5 points yet."
RUN_V = (
    "Run `-ctk f16 -ctv q4_0`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
    "a KV cache about 36 % smaller than f16/f16."
)


@dataclass(frozen=True, slots=True)
class Case:
    """A result and the words that it must get."""

    name: str
    verdict: Verdict
    headline: str
    notes: tuple[str, ...] = (QUIET_60,)


CASES = [
    Case(
        "total loss through K",
        judged(59, {"q4_0/f16": Flips(lost=59), "f16/q4_0": SAME}),
        "K at q4_0 breaks this model's tool calls: 59 of 60 right → 0 of 60. "
        f"V at q4_0: no loss beyond 5 points (59 of 60 right → 59 of 60). {RUN_V}",
    ),
    Case(
        "the demo's arms",
        judged(59, {"q8_0/q8_0": SAME, "q4_0/f16": Flips(lost=57), "f16/q4_0": SAME}),
        "K at q4_0 breaks this model's tool calls: 59 of 60 right → 2 of 60. "
        "V at q4_0: no loss beyond 5 points (59 of 60 right → 59 of 60). "
        "Run `-ctk q8_0 -ctv q8_0`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
        "a KV cache about 47 % smaller than f16/f16.",
    ),
    Case(
        "V only, and a cost rather than a break",
        judged(59, {"q4_0/f16": SAME, "f16/q4_0": Flips(lost=20), "q4_0/q4_0": Flips(lost=21)}),
        "K at q4_0: no loss beyond 5 points (59 of 60 right → 59 of 60). "
        "V at q4_0 costs right tool calls: 59 of 60 right → 39 of 60. "
        "Run `-ctk q4_0 -ctv f16`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
        "a KV cache about 36 % smaller than f16/f16.",
    ),
    Case(
        "both halves",
        judged(58, {"q4_0/f16": Flips(lost=57), "f16/q4_0": Flips(lost=15), "q4_0/q4_0": Flips(lost=58)}),
        "K at q4_0 breaks this model's tool calls: 58 of 60 right → 1 of 60. "
        f"V at q4_0 costs right tool calls: 58 of 60 right → 43 of 60. {NONE_PROVEN}",
    ),
    Case(
        "only both together",
        judged(59, {"q4_0/f16": SAME, "f16/q4_0": SAME, "q4_0/q4_0": Flips(lost=50)}),
        "q4_0/q4_0 breaks this model's tool calls: 59 of 60 right → 9 of 60. Only both together: "
        "K at q4_0 alone 59 of 60 right → 59 of 60 and V at q4_0 alone 59 of 60 right → 59 of 60, "
        f"each no loss beyond 5 points. {RUN_V}",
    ),
    Case(
        "together far more than K alone",
        judged(59, {"q4_0/f16": Flips(lost=12), "f16/q4_0": SAME, "q4_0/q4_0": Flips(lost=50)}),
        "q4_0/q4_0 breaks this model's tool calls: 59 of 60 right → 9 of 60. That is more than one half alone does: "
        "K at q4_0 alone 59 of 60 right → 47 of 60 and V at q4_0 alone 59 of 60 right → 59 of 60. "
        f"K at q4_0 costs right tool calls: 59 of 60 right → 47 of 60. {RUN_V}",
    ),
    Case(
        "together, the halves undecided",
        judged(59, {"q4_0/f16": Flips(lost=2), "f16/q4_0": Flips(lost=2), "q4_0/q4_0": Flips(lost=50)}),
        "q4_0/q4_0 breaks this model's tool calls: 59 of 60 right → 9 of 60. Whether K or V does it is undecided: "
        "K at q4_0 alone 59 of 60 right → 57 of 60 and V at q4_0 alone 59 of 60 right → 57 of 60. "
        f"{NONE_PROVEN}",
    ),
    Case(
        "together, the halves not measured",
        judged(59, {"q4_0/q4_0": Flips(lost=50)}),
        "q4_0/q4_0 breaks this model's tool calls: 59 of 60 right → 9 of 60. "
        f"Whether K or V does it was not measured: run each alone. {NONE_PROVEN}",
    ),
    Case(
        "all fine",
        judged(59, {"q8_0/q8_0": SAME, "q4_0/f16": SAME, "f16/q4_0": Flips(lost=1, gained=1)}, probes=100),
        "No loss beyond 5 points in any of the 3 configurations (at worst, q8_0/q8_0: 59 of 100 right → 59 of 100). "
        "Run `-ctk q8_0 -ctv q8_0`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
        "a KV cache about 47 % smaller than f16/f16.",
        (
            (
                "The model itself is weak at f16/f16 at 2,048 tokens, 59 of 100 right: "
                "the probe set, not the cache, is being measured at 2,048 tokens."
            ),
            QUIET_60.replace("60", "100"),
        ),
    ),
    Case(
        "one arm, fine",
        judged(60, {"q8_0/q8_0": SAME}),
        "q8_0/q8_0: no loss beyond 5 points (60 of 60 right → 60 of 60). "
        "Run `-ctk q8_0 -ctv q8_0`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
        "a KV cache about 47 % smaller than f16/f16.",
    ),
    Case(
        "too few pairs",
        judged(11, {"q4_0/f16": Flips(lost=1), "f16/q4_0": SAME}, probes=12),
        "K at q4_0: undecided, 11 of 12 right → 10 of 12; about 90 more pairs would settle it. "
        f"V at q4_0: undecided, 11 of 12 right → 11 of 12; about 40 more pairs would settle it. {NONE_PROVEN}",
        (QUIET_60.replace("60", "12"),),
    ),
    Case(
        "a weak reference",
        judged(45, {"q4_0/f16": Flips(lost=40), "f16/q4_0": SAME}),
        "K at q4_0 breaks this model's tool calls: 45 of 60 right → 5 of 60. "
        f"V at q4_0: no loss beyond 5 points (45 of 60 right → 45 of 60). {RUN_V}",
        (
            (
                "The model itself is weak at f16/f16 at 2,048 tokens, 45 of 60 right: "
                "the probe set, not the cache, is being measured at 2,048 tokens."
            ),
            QUIET_60,
        ),
    ),
    Case(
        "a failing reference",
        judged(20, {"q4_0/f16": Flips(lost=20), "f16/q4_0": SAME}),
        "Neither K nor V: the model itself fails at f16/f16, 20 of 60 right.",
        (
            (
                "The model itself fails at f16/f16 at 2,048 tokens, 20 of 60 right: "
                "the probe set, not the cache, is being measured at 2,048 tokens."
            ),
            QUIET_60,
        ),
    ),
    Case(
        "a reference that fails at one depth",
        judged({2048: 59, 8192: 10}, {"f16/q4_0": SAME}),
        f"V at q4_0: no loss beyond 5 points (59 of 60 right → 59 of 60). {RUN_V}",
        (
            (
                "The model itself fails at f16/f16 at 8,192 tokens, 10 of 60 right: the probe set, not the cache, is "
                "being measured at 8,192 tokens. The verdicts over all depths leave this depth out."
            ),
            QUIET_60,
        ),
    ),
    Case(
        "a noisy A/A",
        judged(57, {"q4_0/f16": Flips(lost=57), "f16/q4_0": SAME}, repeat=Flips(lost=2, gained=2)),
        "K at q4_0 breaks this model's tool calls: 57 of 60 right → 0 of 60. "
        "V at q4_0: no verdict, 57 of 60 right → 57 of 60; a second boot of f16/f16 flips as many calls as the margin "
        f"allows. {NONE_PROVEN}",
        (
            (
                "A second boot of f16/f16 flipped 4 of 60 calls: the margin of 5 points is not above this noise floor, "
                "so nothing is called within margin; a margin above 6.7 points would do."
            ),
        ),
    ),
    Case(
        "too many dropped pairs",
        judged(59, {"q4_0/f16": Flips(lost=50, faults=3), "f16/q4_0": SAME}),
        "This run is invalid: 3 of 60 pairs of q4_0/f16 fell to infrastructure faults, more than 2 in 100. "
        "What follows is provisional. K at q4_0 breaks this model's tool calls: 57 of 57 right → 7 of 57. "
        f"V at q4_0: no verdict, 59 of 60 right → 59 of 60; too many pairs were dropped. {NONE_PROVEN}",
        ("Infrastructure faults took 3 of 60 pairs of q4_0/f16: more than 2 in 100, so the run is invalid.", QUIET_60),
    ),
    Case(
        "a dropped pair",
        judged(60, {"f16/q4_0": Flips(faults=1)}),
        f"V at q4_0: no loss beyond 5 points (59 of 59 right → 59 of 59). {RUN_V}",
        ("Infrastructure faults took 1 of 60 pairs of f16/q4_0: they are left out.", QUIET_60),
    ),
    Case(
        "every pair dropped",
        judged(60, {"f16/q4_0": Flips(faults=60)}),
        "This run is invalid: 60 of 60 pairs of f16/q4_0 fell to infrastructure faults, more than 2 in 100. "
        "What follows is provisional. Nothing to judge yet: 0 pairs of trials.",
        ("Infrastructure faults took 60 of 60 pairs of f16/q4_0: more than 2 in 100, so the run is invalid.", QUIET_60),
    ),
    Case(
        "fails only at 8k",
        judged({2048: 59, 8192: 58}, {"q4_0/f16": {2048: SAME, 8192: Flips(lost=55)}}),
        "K at q4_0 breaks this model's tool calls at 8,192 tokens (58 of 60 right → 3 of 60); "
        f"no loss beyond 5 points at 2,048 tokens (59 of 60 right → 59 of 60). {NONE_PROVEN}",
        (QUIET_120,),
    ),
    Case(
        "fails at two depths of four, undecided at one",
        judged(
            {0: 60, 2048: 59, 8192: 58, 16384: 57},
            {"q4_0/f16": {0: SAME, 2048: Flips(lost=2), 8192: Flips(lost=9), 16384: Flips(lost=20)}},
        ),
        "K at q4_0 costs right tool calls at 8,192 tokens (58 of 60 right → 49 of 60) and at 16,384 tokens "
        "(57 of 60 right → 37 of 60); no loss beyond 5 points in stand-alone cases (60 of 60 right → 60 of 60); "
        f"undecided at 2,048 tokens (59 of 60 right → 57 of 60). {NONE_PROVEN}",
        (QUIET_60.replace("60", "240"),),
    ),
    Case(
        "a loss at one depth made up for at another",
        judged({2048: 50, 8192: 59}, {"q4_0/f16": {2048: Flips(gained=10), 8192: Flips(lost=9)}}),
        "K at q4_0: undecided, 109 of 120 right → 110 of 120, but it looks worse at 8,192 tokens "
        "(59 of 60 right → 50 of 60); about 70 pairs at that depth alone would settle it. "
        f"{NONE_PROVEN}",
        (QUIET_120,),
    ),
    Case(
        "a loss at one depth that the other hides from a run of many pairs",
        judged(
            {2048: 56, 8192: 52},
            {
                "q5_0/f16": {2048: Flips(lost=16, gained=1), 8192: Flips(lost=3, gained=7)},
                **{pair: {2048: SAME, 8192: SAME} for pair in ("q8_0/f16", "f16/q8_0", "f16/q5_1", "f16/q5_0")},
            },
        ),
        "K at q5_0: undecided, 108 of 120 right → 97 of 120, but it looks worse at 2,048 tokens "
        "(56 of 60 right → 41 of 60); about 70 pairs at that depth alone would settle it. "
        "K at q8_0: no loss beyond 5 points (108 of 120 right → 108 of 120). "
        "V at q8_0, q5_1 and q5_0 (at worst, f16/q8_0): no loss beyond 5 points, 108 of 120 right → 108 of 120. "
        "Run `-ctk f16 -ctv q5_0`, the smallest configuration shown to stay within 5 points "
        "(at 2,048 and 8,192 tokens): a KV cache about 33 % smaller than f16/f16.",
        (QUIET_120,),
    ),
    Case(
        "the worst harm first, though another is of both halves together",
        judged(56, {"q4_0/f16": Flips(lost=50), "q5_0/q5_0": Flips(lost=16), "q5_0/f16": SAME, "f16/q5_0": SAME}),
        "K at q4_0 breaks this model's tool calls: 56 of 60 right → 6 of 60. "
        "q5_0/q5_0 costs right tool calls: 56 of 60 right → 40 of 60. "
        "Only both together: K at q5_0 alone 56 of 60 right → 56 of 60 and V at q5_0 alone 56 of 60 right → 56 of 60, "
        "each no loss beyond 5 points. Run `-ctk f16 -ctv q5_0`, the smallest configuration shown to stay within "
        "5 points (at 2,048 tokens): a KV cache about 33 % smaller than f16/f16.",
        (QUIET_60,),
    ),
    Case(
        "better than the reference",
        judged(50, {"f16/q4_0": Flips(gained=8)}),
        f"V at q4_0: no loss beyond 5 points (50 of 60 right → 58 of 60). {RUN_V}",
        (
            QUIET_60,
            (
                "V at q4_0 was right on 8 of 60 pairs where f16/f16 was wrong, and wrong on 0 where it was right: "
                "this run tests for harm only, so an improvement is not shown."
            ),
        ),
    ),
    Case(
        "worse, but within the margin",
        judged(590, {"q4_0/f16": Flips(lost=8)}, probes=600),
        "K at q4_0 costs right tool calls, but less than 5 points: 590 of 600 right → 582 of 600. "
        "Run `-ctk q4_0 -ctv f16`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
        "a KV cache about 36 % smaller than f16/f16.",
        (QUIET_60.replace("60", "600"),),
    ),
    Case(
        "worse within the margin, and a greater one that is not worse",
        judged(590, {"q8_0/f16": SAME, "q4_0/f16": Flips(lost=8)}, probes=600),
        "K at q4_0 costs right tool calls, but less than 5 points: 590 of 600 right → 582 of 600. "
        "Run `-ctk q8_0 -ctv f16`, the smallest configuration shown to stay within 5 points, not shown to be worse "
        "(at 2,048 tokens): a KV cache about 23 % smaller than f16/f16.",
        (QUIET_60.replace("60", "600"),),
    ),
    Case(
        "no second boot of the reference",
        judged(59, {"f16/q4_0": SAME}, repeat=None),
        f"V at q4_0: no loss beyond 5 points (59 of 60 right → 59 of 60). {RUN_V}",
        ("No second boot of f16/f16 was compared (0 pairs): the noise floor is unknown.",),
    ),
    Case(
        "arms and depths missing",
        judged(60, {"f16/q4_0": Flips(lost=30, asked=40)}, planned=("q4_0/q4_0",), depths=(8192,)),
        f"V at q4_0 breaks this model's tool calls: 40 of 40 right → 10 of 40. {NONE_PROVEN}",
        (
            QUIET_60,
            "Not run: q4_0/q4_0 (0 of 60 probes asked).",
            "Incomplete, judged on what exists (probes asked): f16/q4_0 40 of 60.",
            "No trial yet at 8,192 tokens.",
        ),
    ),
    Case(
        "an empty run",
        judged({}, {}, planned=("q4_0/f16",), depths=(2048,)),
        "Nothing to judge yet: 0 pairs of trials.",
        (
            "No second boot of f16/f16 was compared (0 pairs): the noise floor is unknown.",
            "Not run: f16/f16, q4_0/f16 and f16/f16 #2 (0 of 0 probes asked).",
            "No trial yet at 2,048 tokens.",
        ),
    ),
    Case(
        "only the reference",
        judged(60, {}),
        "Only the reference f16/f16 was measured, 60 of 60 right: no pair to judge.",
        (QUIET_60,),
    ),
    Case(
        "a grid of types",
        judged(
            60,
            {
                "q5_1/f16": Flips(lost=59),
                "q5_0/f16": Flips(lost=58),
                "q4_0/f16": Flips(lost=60),
                "q8_0/f16": SAME,
                "f16/q8_0": SAME,
                "f16/q4_0": SAME,
                "q8_0/q4_0": SAME,
                "q4_0/q4_0": Flips(lost=60),
            },
        ),
        "K at q5_1, q5_0 and q4_0 breaks this model's tool calls (at best, q5_0/f16: 60 of 60 right → 2 of 60). "
        "V at q8_0 and q4_0 (at worst, f16/q8_0): no loss beyond 5 points, 60 of 60 right → 60 of 60. "
        "Run `-ctk q8_0 -ctv q4_0`, the smallest configuration shown to stay within 5 points (at 2,048 tokens): "
        "a KV cache about 59 % smaller than f16/f16.",
    ),
    Case(
        "rotation off",
        judged(60, {"q8_0/q8_0": Flips(lost=50), "q8_0/q8_0 norot": SAME}),
        "q8_0/q8_0 breaks this model's tool calls: 60 of 60 right → 10 of 60. "
        "Whether K or V does it was not measured: run each alone. "
        "Run LLAMA_ATTN_ROT_DISABLE=1 and `-ctk q8_0 -ctv q8_0`, the smallest configuration shown to stay within "
        "5 points (at 2,048 tokens): a KV cache about 47 % smaller than f16/f16.",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_words(case: Case) -> None:
    """Each result gets exactly these words."""
    assert case.verdict.headline == case.headline
    assert case.verdict.notes == case.notes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_sentence_has_its_counts_and_claims_no_equality(case: Case) -> None:
    """Arms' sentences end in a full stop and hold counts; nowhere is "no difference" or a failed proof turned round."""
    for arm in case.verdict.arms:
        assert re.search(r"\d+ of \d+ right → \d+ of \d+|\(0 pairs\)", arm.sentence)
        assert arm.sentence.endswith(".")
    said = " ".join([case.verdict.headline, *case.verdict.notes, *(arm.sentence for arm in case.verdict.arms)])
    assert not re.search(r"no difference|not significant|identical|equal", said)


def test_sentences_of_arms() -> None:
    """One arm's sentence by itself, as the table of a report shows it."""
    verdict = judged(
        59, {"q4_0/q4_0": Flips(lost=59), "f16/q8_0": SAME, "q8_0/f16": Flips(lost=1)}, planned=("q4_0/f16",)
    )
    assert [arm.sentence for arm in verdict.arms] == [
        "q4_0/q4_0 breaks this model's tool calls: 59 of 60 right → 0 of 60.",
        "V at q8_0: no loss beyond 5 points (59 of 60 right → 59 of 60).",
        "K at q8_0: undecided, 59 of 60 right → 58 of 60; about 60 more pairs would settle it.",
        "K at q4_0: not measured (0 pairs).",
    ]


def test_a_recommendation_names_only_the_depths_it_was_shown_at() -> None:
    """An arm asked at 2k only is recommended for 2k only, though the reference went on to 8k."""
    flips = {2048: SAME, 8192: Flips(asked=0)}
    verdict = judged({2048: 60, 8192: 60}, {"f16/q4_0": flips})
    assert "(at 2,048 tokens)" in verdict.headline
    assert "8,192" not in verdict.headline


@pytest.mark.parametrize("label", ["fp8_e4m3/fp8_e4m3", "f16/f32"])
def test_no_flags_for_what_is_not_smaller_or_of_another_engine(label: str) -> None:
    """Types of engines whose flags are not known get none, and a greater cache is no advice."""
    assert judged(60, {label: SAME}).headline.endswith(NONE_PROVEN)


def test_margins_are_said_in_points() -> None:
    """A margin of one point is singular, half points keep their fraction."""

    def said(margin: float) -> str:
        terms = {"reference": REFERENCE, "repeat": None, "candidates": [], "depths": [], "alpha": 0.05}
        return points(read_controls({}, margin=margin, **terms))

    assert [said(0.01), said(0.025), said(0.07)] == ["1 point", "2.5 points", "7 points"]
