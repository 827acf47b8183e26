"""Tables and sentences from rows: who flips where, what breaks first, and what may not be said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import exp, inf

import pytest

from assay.test_follow import ANSWER, PROMPT, boot_of
from kvassay.assay.evidence import Row, TrialEvidence, compare, roles_in
from kvassay.assay.evidence_summary import ArmEvidence, did_not_engage, perplexity_sentence, summarise
from kvassay.assay.follow import follow, said
from kvassay.assay.passage import PerplexityRatio
from kvassay.backend.base import Sampling
from kvassay.dialect.canvas import TokenRole
from kvassay.types import Channel, TrialKey

ARM = "q4_0/f16"
SAMPLING = Sampling(max_tokens=99, top_n=3)


def row(
    index: int,
    role: TokenRole = TokenRole.PUNCTUATION,
    *,
    flip: bool = False,
    same: bool = False,
    rank: int | None = 1,
    kl: float = 0.5,
) -> Row:
    return Row(
        index=index,
        role=role,
        token_id=index,
        text="x",
        reference_logprob=-0.1,
        logprob=-0.2,
        rank=rank,
        flip=flip,
        same=same,
        kl_low=kl,
        kl_high=2 * kl,
    )


def trial(rows: Iterable[Row], *, depth: int = 2048, probe: str = "p", arm: str = ARM, **counts: int) -> TrialEvidence:
    key = TrialKey(arm, depth, probe, Channel.RAW)
    return TrialEvidence(key, tuple(rows), counts.get("hidden", 0), counts.get("unreached", 0))


def told(*trials: TrialEvidence) -> ArmEvidence:
    return summarise(trials, arms=[ARM])[0]


def call(*flipped: int) -> list[Row]:
    """A call of eight tokens, the third its tool's name, the sixth a string."""
    roles = {2: TokenRole.TOOL, 5: TokenRole.STRING}
    return [row(n, roles.get(n, TokenRole.PUNCTUATION), flip=n in flipped) for n in range(8)]


def test_cells_count_positions_flips_and_divergence_by_depth_and_role() -> None:
    arm = told(
        trial([row(0, rank=1, kl=0.2), row(1, TokenRole.TOOL, flip=True, rank=4, kl=1.0)]),
        trial([row(0, rank=2, kl=0.4), row(1, TokenRole.TOOL, rank=None, kl=2.0)], depth=8192, hidden=2, unreached=3),
    )
    whole, tool = arm.cell(None, None), arm.cell(None, TokenRole.TOOL)
    assert whole
    assert tool
    assert (arm.positions, arm.hidden, arm.unreached) == (4, 2, 3)
    assert (whole.positions, whole.flips, whole.flip_share) == (4, 1, 0.25)
    assert whole.kl_low == pytest.approx(0.9)
    assert whole.kl_high == pytest.approx(1.8)
    assert (whole.median_rank, tool.median_rank) == (2, 4)
    deep = arm.cell(8192, TokenRole.TOOL)
    assert deep
    assert (deep.positions, deep.flips, deep.median_rank) == (1, 0, None)
    assert arm.cell(8192, TokenRole.PROSE) is None


def test_the_first_flip_of_an_answer_has_its_token_and_its_role() -> None:
    arm = told(trial(call(2, 5)), trial(call(5)), trial(call()), trial([], depth=8192))
    first = arm.first(None)
    assert first
    assert (first.answers, first.flipped, first.median_index) == (3, 2, 2)
    assert first.roles == {TokenRole.TOOL: 1, TokenRole.STRING: 1}
    assert arm.first(8192) is None


def test_a_boot_that_spoils_the_tools_name_is_found_out_from_its_answers() -> None:
    """The whole way: the reference's answer, the candidate followed along it, rows, table, sentence."""
    call = f"<tool_call>{ANSWER}</tool_call>"
    with boot_of(call) as reference:
        prompt, path = reference.tokenize(PROMPT), said(reference.complete(reference.tokenize(PROMPT), SAMPLING))
    name = next(n for n, position in enumerate(path.positions) if position.text == "read")
    with boot_of(call, range(name, name + 3)) as boot:
        known = said(boot.complete(prompt, SAMPLING))
        followed = follow(boot, prompt, path.tokens, top_n=3, known=known)
    roles = roles_in(path, {"read_file": {}})
    evidence = [
        compare(path, followed, key=TrialKey(ARM, 2048, str(n), Channel.RAW), roles=roles, floor_logprob=-30)
        for n in range(10)
    ]
    arm = told(*evidence)
    tool, rest = arm.cell(2048, TokenRole.TOOL), arm.cell(2048, TokenRole.STRING)
    assert tool
    assert rest
    assert (tool.flips, tool.positions, rest.flips) == (30, 30, 0)
    assert arm.sentence.startswith("With q4_0/f16 the tool name breaks first: it flips at 30 of 30 positions")


def test_arms_come_in_order_and_one_without_evidence_says_so() -> None:
    arms = summarise([trial(call())], arms=["f16/f16 #2", ARM])
    assert [arm.arm for arm in arms] == ["f16/f16 #2", ARM]
    assert arms[0].positions == 0
    assert arms[0].sentence == "Nothing is known about f16/f16 #2 token by token: no position could be compared."


SENTENCES = {
    "a role stands out": (
        [trial(call(2)) for _ in range(30)],
        (
            "With q4_0/f16 the tool name breaks first: it flips at 30 of 30 positions (100.0 %), interval "
            "88.6–100.0 %, everything else at 0 of 210 positions (0.0 %). 30 of 30 answers leave the reference's, "
            "half of these by token 3."
        ),
    ),
    "none stands out": (
        [trial(call(*([2, 5, 6, 7] if n % 2 else [0, 1, 3, 4]))) for n in range(40)],
        (
            "q4_0/f16 flips 160 of 320 positions (50.0 %), interval 44.6–55.4 %, and no role stands out (most often "
            "punctuation: 120 of 240 positions (50.0 %), interval 43.7–56.3 %)."
        ),
    ),
    "one flip is no pattern": (
        [trial(call(2)), *(trial(call()) for _ in range(29))],
        (
            "q4_0/f16 flips 1 of 240 positions (0.4 %), interval 0.1–2.3 %, and no role stands out (most often "
            "tool name: 1 of 30 positions (3.3 %), interval 0.6–16.7 %)."
        ),
    ),
    "one answer's run of flips is one story": (
        [trial([row(n, TokenRole.STRING, flip=True) for n in range(25)]), *(trial(call()) for _ in range(29))],
        (
            "q4_0/f16 flips 25 of 257 positions (9.7 %), interval 6.7–14.0 %, and no role stands out (most often "
            "string value: 25 of 54 positions (46.3 %), interval 33.7–59.4 %)."
        ),
    ),
    "a rare role flips most often": (
        [*(trial(call(2)) for _ in range(2)), *(trial(call(5)) for _ in range(2)), *(trial(call()) for _ in range(15))],
        (
            "q4_0/f16 flips 4 of 152 positions (2.6 %), interval 1.0–6.6 %; what breaks first can't be told: the role "
            "that flips most often, tool name, at 2 of 19 positions (10.5 %), has fewer than the 20 that it takes."
        ),
    ),
    "no flip": (
        [trial(call()) for _ in range(3)],
        "q4_0/f16 would have said every one of the reference's 24 tokens (mean KL 0.5 to 1 nats).",
    ),
    "too few": (
        [trial(call(2))],
        (
            "q4_0/f16 flips 1 of 8 positions (12.5 %), interval 2.2–47.1 %; what breaks first can't be told: the most "
            "frequent role, punctuation, has 6 positions of the 20 that it takes."
        ),
    ),
}


@pytest.mark.parametrize(("trials", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_breaks_first_is_one_sentence_with_its_numbers(trials: list[TrialEvidence], sentence: str) -> None:
    assert told(*trials).sentence == sentence


def test_an_arm_that_equals_the_reference_to_the_last_digit_did_not_engage() -> None:
    same = [row(n, same=True, kl=0.0) for n in range(5)]
    assert did_not_engage(told(trial(same), trial(same, depth=8192))) == (
        "q4_0/f16 equals the reference to the last digit at all 10 compared positions: its cache types did not engage."
    )


def test_one_differing_digit_anywhere_is_engagement() -> None:
    same = [row(n, same=True, kl=0.0) for n in range(5)]
    assert did_not_engage(told(trial(same), trial([*same, row(5)], depth=8192))) is None


def test_where_nothing_was_compared_nothing_is_said_of_engagement() -> None:
    assert did_not_engage(told(trial([]))) is None


@pytest.mark.parametrize(
    ("ratio", "sentence"),
    [
        (
            PerplexityRatio(330, 330, 1.024, 1.024, 1.024),
            "Perplexity 1.02× the reference's (n = 330 tokens), tool calls 0 of 60.",
        ),
        (
            PerplexityRatio(330, 326, 1.02, 0.98, exp(0.2)),
            (
                "Perplexity 1.02× the reference's (n = 326 tokens; 0.98× to 1.22× with the 4 outside the lists), "
                "tool calls 0 of 60."
            ),
        ),
        (
            PerplexityRatio(0, 0, None, 1, 1),
            "Perplexity unknown (no token of the text was listed under both), tool calls 0 of 60.",
        ),
    ],
)
def test_perplexity_stands_beside_the_calls(ratio: PerplexityRatio, sentence: str) -> None:
    assert perplexity_sentence(ratio, correct=0, asked=60) == sentence


def at_depth(depth: int, kl: float, *, count: int = 8) -> list[TrialEvidence]:
    """Answers of one family at a depth, two positions each, their divergences spread a little."""
    return [
        trial([row(i, kl=kl * (1 + n / 100)) for i in range(2)], depth=depth, probe=f"recall/{depth}{n}")
        for n in range(count)
    ]


def tight(trials: Iterable[TrialEvidence]) -> Iterator[TrialEvidence]:
    """The same, with bounds that are as good as one number."""
    for one in trials:
        yield replace(one, rows=tuple(replace(row, kl_high=1.01 * row.kl_low) for row in one.rows))


def test_a_divergence_that_goes_with_the_context_is_said_with_its_ends() -> None:
    """Upwards and downwards; the middle depth is tested but not told."""
    away = told(*at_depth(2048, 0.5), *at_depth(8192, 1.0), *at_depth(30000, 2.0))
    assert away.growth_sentence == (
        "In this session, the longer the context, the further from the reference q4_0/f16 is: mean KL 0.52 to 1 nats "
        "at 2k and 2.1 to 4.1 nats at 30k (24 answers, adjusted p < 0.001)."
    )
    back = told(*tight([*at_depth(2048, 2.0), *at_depth(30000, 0.5)]))
    assert (
        "the nearer to the reference q4_0/f16 is: mean KL 2.1 nats at 2k and 0.52 nats at 30k" in back.growth_sentence
    )


def test_no_growth_is_said_where_none_is_shown_or_the_bounds_don_t_tell() -> None:
    """What the lists leave open may be greater at the shallow end, and so may what nothing bounds."""
    assert told(*at_depth(2048, 0.5), *at_depth(30000, 0.5)).growth_sentence == ""
    wide = [*at_depth(2048, 0.5), *at_depth(30000, 0.9)]
    unbounded = [
        replace(one, rows=tuple(replace(row, kl_high=inf) for row in one.rows))
        for one in (*at_depth(2048, 0.5), *at_depth(30000, 2.0))
    ]
    for trials in (wide, unbounded):
        open_ended = told(*trials)
        assert open_ended.growth
        assert open_ended.growth.shown
        assert open_ended.growth_sentence == ""


def test_a_mean_that_is_no_number_is_not_said() -> None:
    """One answer without a bound at the deep end leaves the test, not the table."""
    strange = trial([row(0, kl=inf)], depth=30000, probe="recall/9")
    arm = told(*tight([*at_depth(2048, 0.5), *at_depth(30000, 2.0), strange]))
    assert arm.growth
    assert arm.growth.shown
    assert arm.growth_sentence == ""


def test_a_growth_too_small_for_its_two_digits_is_not_said() -> None:
    """It would read: 0.5 nats at 2k and 0.5 nats at 30k."""
    trials = [
        trial([replace(row(0, kl=kl), kl_high=kl + 1e-5)], depth=depth, probe=f"recall/{depth}{n}")
        for depth, kl in ((2048, 0.5), (30000, 0.5004))
        for n in range(8)
    ]
    arm = told(*trials)
    assert arm.growth
    assert arm.growth.shown
    assert arm.growth_sentence == ""


def test_a_divergence_within_rounding_grows_nowhere() -> None:
    """Not even where its digits do."""
    trials = [*at_depth(2048, 1e-5), *at_depth(30000, 4e-5)]
    (arm,) = summarise(trials, arms=[ARM], resolution=1e-3)
    assert (arm.growth, arm.growth_sentence) == (None, "")


def test_bounds_that_are_as_good_as_equal_are_one_number() -> None:
    near = replace(row(0, kl=3.855), kl_high=3.857)
    assert "mean KL 3.9 nats" in told(trial([near])).sentence
