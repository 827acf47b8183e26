"""Tokens and log-probabilities out of logits."""

from __future__ import annotations

from math import exp, fsum, log

import pytest

pytest.importorskip("torch", reason="needs an extra: pip install 'kvassay[transformers]'")
pytest.importorskip("transformers", reason="needs an extra: pip install 'kvassay[transformers]'")

from typing import cast

import torch
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.base import Sampling
from kvassay.backend.in_process.answer import Answer
from kvassay.backend.in_process.words import Words
from kvassay.errors import BackendError
from kvassay.types import Stop

VALUES = st.lists(st.floats(-20, 20, width=16), min_size=2, max_size=40)


class Letters:
    """A tokenizer of one letter a token, as far as an answer uses one."""

    def text(self, tokens: list[int]) -> str:
        return "".join(chr(97 + token % 26) for token in tokens)


def answer(**sampling: float) -> Answer:
    return Answer(cast("Words", Letters()), Sampling(**sampling))  # type: ignore[arg-type]


@given(VALUES)
def test_log_probabilities_are_over_the_whole_vocabulary(values: list[float]) -> None:
    """Logarithms of the softmax of an engine's float16 logits: the chosen token's, the top N's; all sum to one."""
    one = answer(max_tokens=1, top_n=len(values))
    assert one.add(torch.tensor(values, dtype=torch.float16), frozenset())
    (place,) = one.positions
    norm = log(fsum(map(exp, values)))
    assert dict(place.top) == pytest.approx({at: value - norm for at, value in enumerate(values)}, rel=1e-6, abs=1e-7)
    assert fsum(exp(value) for _, value in place.top) == pytest.approx(1, rel=3e-6)
    assert place.logprob == max(value for _, value in place.top)


@given(VALUES, st.floats(1e-6, 0.5), st.integers(1, 5))
def test_a_list_with_a_tail_ends_where_no_more_is_left(values: list[float], tail: float, top_n: int) -> None:
    """The fewest of the likeliest that leave at most the tail, but never fewer than the top N."""
    one = answer(max_tokens=1, top_n=top_n, tail=tail)
    one.add(torch.tensor(values, dtype=torch.float16), frozenset())
    logprobs = torch.log_softmax(torch.tensor(values, dtype=torch.float16).double(), 0).sort(descending=True).values
    told = [value for _, value in one.positions[0].top]
    assert told == logprobs.float()[: len(told)].tolist()
    left = 1 - logprobs.exp().cumsum(0)
    least = min(top_n, len(values))
    assert len(told) >= least
    assert left[len(told) - 1] <= tail + 1e-12
    assert len(told) == least or left[len(told) - 2] > tail - 1e-12


def test_tokens_asked_for_by_id_stand_beside_the_list() -> None:
    """Each generated token has ids of its own; what is listed isn't said twice; without ids there are none."""
    one = answer(max_tokens=3, top_n=1, ids=(frozenset({0, 2}), frozenset({3})))
    for logits in ([0.0, 5.0, 1.0, 2.0], [0.0, 1.0, 2.0, 5.0], [1.0, 0.0, 0.0, 0.0]):
        one.add(torch.tensor(logits), frozenset())
    asked = [dict(place.asked) for place in one.positions]
    assert [set(each) for each in asked] == [{0, 2}, set(), set()]
    expected = torch.log_softmax(torch.tensor([0.0, 5.0, 1.0, 2.0]).double(), 0).float()
    assert asked[0] == {0: float(expected[0]), 2: float(expected[2])}


@given(VALUES)
def test_of_equal_logits_the_lowest_id_is_chosen(values: list[float]) -> None:
    """Logits in float16 tie often: the choice has to be the same on every machine."""
    one = answer(max_tokens=1)
    one.add(torch.tensor([*values, max(values)], dtype=torch.float16), frozenset())
    assert one.tokens == [values.index(max(values))]


def test_an_end_or_the_limit_ends_an_answer() -> None:
    """The token that ends the turn belongs to it."""
    first = torch.tensor([0.0, 9.0])
    one = answer(max_tokens=2)
    assert not one.add(first, frozenset({0}))
    assert one.add(first, frozenset({0}))
    assert (one.stop, one.tokens, one.text) == (Stop.LIMIT, [1, 1], "bb")
    other = answer(max_tokens=2)
    assert other.add(first, frozenset({1}))
    assert (other.stop, other.tokens) == (Stop.EOS, [1])


def test_a_seed_fixes_what_temperature_draws() -> None:
    """The same seed draws the same tokens, and temperature really draws."""

    def drawn(seed: int) -> list[int]:
        one = answer(max_tokens=30, temperature=1.0, seed=seed)
        while not one.add(torch.zeros(50), frozenset()):
            pass
        return one.tokens

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) > 5


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_an_overflow_is_no_answer(broken: float) -> None:
    """Where half precision has overflowed the logits are no numbers, and no token is made of them; a token that can't
    be chosen is none the worse for it.
    """
    with pytest.raises(BackendError, match="not numbers"):
        answer(max_tokens=2, top_n=2).add(torch.tensor([1.0, broken, 2.0]), frozenset())
    one = answer(max_tokens=1, top_n=1)
    one.add(torch.tensor([1.0, -float("inf"), 2.0]), frozenset())
    assert one.tokens == [2]
