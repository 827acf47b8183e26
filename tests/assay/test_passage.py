"""The short text's perplexity: scored under any boot, bounded where lists end, and set beside the reference's."""

from __future__ import annotations

from math import exp, log
from statistics import fmean

import pytest

from kvassay.assay.follow import NO_WORK
from kvassay.assay.passage import (
    PASSAGE,
    PassageScore,
    perplexity_ratio,
    score_passage,
)
from kvassay.backend.base import Boot
from kvassay.backend.scripted import Scripted
from kvassay.stats.divergence import Bounds
from kvassay.types import Arm, KVConfig

WORDS = len(PASSAGE.split())


def boot(script: str, *, log_probs: bool = True) -> Boot:
    arm = Arm(KVConfig("f16", "f16"))
    return Scripted(lambda prompt, _: (script[len(prompt) :] if script.startswith(prompt) else "!"),
                    log_probs=log_probs).open(arm, context_tokens=4000)  # fmt: skip


ROOM = 4096


def score(*bounds: Bounds | None) -> PassageScore:
    return PassageScore(bounds, 1, NO_WORK)


def exact(probability: float) -> Bounds:
    return Bounds(log(probability), log(probability))


def test_the_passage_is_short_english_with_code() -> None:
    assert 180 <= WORDS <= 300
    assert "```python" in PASSAGE


def test_a_model_that_knows_the_text_scores_every_token_of_it() -> None:
    """The scripted back end gives each token that it says the log-probability −0.05."""
    with boot(PASSAGE) as known:
        scored = score_passage(known, floor_logprob=-30, context_tokens=ROOM, top_n=3)
    told = [bounds for bounds in scored.tokens if bounds]
    assert len(told) == len(scored.tokens)
    assert set(told) == {Bounds(-0.05, -0.05)}
    assert scored.requests < 30  # chunks double


def test_a_small_context_scores_as_much_as_it_holds() -> None:
    """The last token that is scored needs one place behind it."""
    with boot(PASSAGE) as known:
        whole = score_passage(known, floor_logprob=-30, context_tokens=ROOM, top_n=3)
        part = score_passage(known, floor_logprob=-30, context_tokens=100, top_n=3)
        none = score_passage(known, floor_logprob=-30, context_tokens=10, top_n=3)
    assert part.tokens == whole.tokens[: 100 - 1 - 16]
    assert none.tokens == ()


def test_a_model_that_knows_nothing_is_bounded_by_what_its_lists_leave() -> None:
    with boot("") as strange:
        scored = score_passage(strange, floor_logprob=-30, context_tokens=ROOM, top_n=2)
    told = [bounds for bounds in scored.tokens if bounds]
    assert fmean(bounds.high for bounds in told) < -log(10)
    assert -30 <= fmean(bounds.low for bounds in told) < -29  # a quote is listed beside "!"


def test_without_log_probabilities_there_is_no_score() -> None:
    with boot(PASSAGE, log_probs=False) as silent:
        assert set(score_passage(silent, floor_logprob=-30, context_tokens=ROOM, top_n=3).tokens) == {None}


def test_the_ratio_compares_what_both_list_and_bounds_the_rest() -> None:
    reference = score(exact(0.5), exact(0.5), exact(0.25), None)
    candidate = score(exact(0.25), exact(0.5), Bounds(-30, log(0.1)), exact(0.5))
    ratio = perplexity_ratio(reference, candidate)
    assert (ratio.tokens, ratio.listed) == (3, 2)
    assert ratio.ratio == pytest.approx(2**0.5)
    assert ratio.low == pytest.approx((2 * 0.25 / 0.1) ** (1 / 3))
    assert ratio.high == pytest.approx(exp((log(2) + log(0.25) + 30) / 3))


def test_the_reference_against_itself_is_one() -> None:
    own = score(exact(0.5), exact(0.1))
    ratio = perplexity_ratio(own, own)
    assert (ratio.ratio, ratio.low, ratio.high) == (1.0, 1.0, 1.0)


def test_nothing_in_common_is_no_ratio() -> None:
    assert perplexity_ratio(score(None), score(exact(0.5))).ratio is None
