"""Bounds of the divergence between truncated distributions, against whole ones."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import entropy

from kvassay.stats.divergence import ROUNDING, argmax, kl_bounds, logprob_bounds, rank_of

Logs = npt.NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, size: int, spread: float, change: float) -> tuple[Logs, Logs]:
    """A reference's and a candidate's log-probabilities; ``change`` is how much the candidate's logits differ."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, size)
    return log_softmax(logits), log_softmax(logits + rng.normal(0, change, size))


def top(logs: Logs, n: int) -> list[tuple[int, float]]:
    order = np.argsort(-logs, kind="stable")[:n]
    return [(int(token), float(logs[token])) for token in order]


def true_kl(p: Logs, q: Logs) -> float:
    return float(entropy(np.exp(p), np.exp(q)))


@settings(max_examples=200, deadline=None)
@given(seeds, st.integers(2, 60), st.floats(0.1, 8), st.floats(0, 6), st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_the_true_divergence_lies_between_the_bounds(
    seed: int, size: int, spread: float, change: float, listed: tuple[int, int]
) -> None:
    p, q = drawn(seed, size, spread, change)
    low, high = kl_bounds(top(p, listed[0]), top(q, listed[1]), floor_logprob=float(q.min()))
    assert low <= true_kl(p, q) + 1e-9
    assert true_kl(p, q) <= high + 1e-9
    assert 0 <= low <= high


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 60), st.floats(0.1, 6), st.floats(0, 4))
def test_the_bounds_meet_where_the_lists_hold_the_whole_vocabulary(
    seed: int, size: int, spread: float, change: float
) -> None:
    p, q = drawn(seed, size, spread, change)
    low, high = kl_bounds(top(p, size), top(q, size), floor_logprob=float(q.min()))
    assert low == pytest.approx(true_kl(p, q), abs=1e-9)
    assert high == pytest.approx(low, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(8, 40), st.floats(0.5, 6), st.floats(0.1, 5), st.integers(1, 6))
def test_the_lower_bound_is_at_least_that_of_the_merged_groups(
    seed: int, size: int, spread: float, change: float, n: int
) -> None:
    """Log-sum inequality over {common tokens, all else}: what ignores the caps can't be sharper."""
    p, q = drawn(seed, size, spread, change)
    a, b = dict(top(p, n)), dict(top(q, n))
    groups = [(exp(a[t]), exp(b[t])) for t in a.keys() & b.keys()]
    only_q = sum(exp(b[t]) for t in b.keys() - a.keys())
    rest_p, rest_q = 1 - sum(x for x, _ in groups), only_q + max(1 - sum(map(exp, b.values())), ROUNDING)
    merged = sum(x * log(x / y) for x, y in [*groups, (rest_p, rest_q)] if x > 1e-12)
    assert kl_bounds(list(a.items()), list(b.items()), floor_logprob=-50).low >= merged - 1e-9


@settings(max_examples=200, deadline=None)
@given(seeds, st.integers(2, 60), st.floats(0.1, 8), st.floats(0, 6), st.tuples(st.integers(1, 60), st.integers(1, 8)))
def test_a_candidate_asked_for_the_references_tokens_leaves_only_the_references_tail_open(
    seed: int, size: int, spread: float, change: float, listed: tuple[int, int]
) -> None:
    """The truth lies between the bounds, and they are no wider apart than what the reference's list leaves out."""
    p, q = drawn(seed, size, spread, change)
    reference, candidate = top(p, listed[0]), top(q, listed[1])
    shown = dict(candidate)
    asked = [(token, float(q[token])) for token, _ in reference if token not in shown]
    floor = float(q.min())
    low, high = kl_bounds(reference, candidate, floor_logprob=floor, asked=asked)
    left = max(0.0, 1 - sum(exp(logprob) for _, logprob in reference))
    assert low <= true_kl(p, q) + 1e-9
    assert true_kl(p, q) <= high + 1e-9
    assert high - low <= left * (reference[-1][1] - floor - min(0.0, log(left or 1))) + 1e-5
    for token, _ in reference:
        assert logprob_bounds(token, candidate, floor_logprob=floor, asked=asked) == (q[token], q[token])


@pytest.mark.parametrize("seed", [*range(7), *range(8, 13)])  # with 7 the lists hold the same tokens
def test_the_lower_bound_is_the_least_that_a_numerical_optimiser_finds(seed: int) -> None:
    """Masses outside the common tokens as free variables under their sums and caps (SLSQP)."""
    p, q = drawn(seed, 14, 1.5, 2.5)
    a, b = dict(top(p, 4)), dict(top(q, 4))
    only_p, only_q = [exp(a[t]) for t in a.keys() - b.keys()], [exp(b[t]) for t in b.keys() - a.keys()]
    common = sum(exp(a[t]) * (a[t] - b[t]) for t in a.keys() & b.keys())
    rest_p, rest_q = (1 - sum(map(exp, listed.values())) for listed in (a, b))
    cap_p, cap_q = (exp(min(listed.values())) for listed in (a, b))

    def divergence(x: Logs) -> float:
        free_q, free_p = x[: len(only_p)], x[len(only_p) :]
        left_q, left_p = rest_q - free_q.sum(), rest_p - free_p.sum()
        pairs = [*zip(only_p, free_q, strict=True), *zip(free_p, only_q, strict=True), (left_p, left_q)]
        return common + sum(max(u, 1e-12) * log(max(u, 1e-12) / max(v, 1e-12)) for u, v in pairs)

    start = np.array([rest_q / 20] * len(only_p) + [rest_p / 20] * len(only_q))
    found = minimize(
        divergence,
        start,
        method="SLSQP",
        bounds=[(1e-9, cap_q)] * len(only_p) + [(1e-9, cap_p)] * len(only_q),
        constraints=[
            {"type": "ineq", "fun": lambda x: rest_q - x[: len(only_p)].sum() - 1e-9},
            {"type": "ineq", "fun": lambda x: rest_p - x[len(only_p) :].sum() - 1e-9},
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    low = kl_bounds(list(a.items()), list(b.items()), floor_logprob=-50).low
    assert found.fun - 5e-3 <= low <= found.fun + 1e-6  # next to a boundary SLSQP stops a little early


def test_equal_lists_diverge_by_nothing_at_least_and_by_their_hidden_mass_at_most() -> None:
    both = [(1, log(0.7)), (2, log(0.2))]
    low, high = kl_bounds(both, both, floor_logprob=log(1e-6))
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(0.1 * (log(0.2) - log(1e-6)))


def test_lists_without_a_common_token_diverge_by_what_the_caps_force() -> None:
    """P's token has at most what Q leaves to it: 0.9 ln(0.9/0.1), and as much the other way round, mirrored."""
    low = kl_bounds([(1, log(0.9))], [(2, log(0.9))], floor_logprob=-30).low
    assert low == pytest.approx(0.9 * log(9) + 0.1 * log(0.1 / 0.9), abs=1e-4)


def test_nothing_listed_bounds_nothing() -> None:
    assert kl_bounds([], [(1, -0.1)], floor_logprob=-30) == (0.0, inf)


def test_lists_that_add_up_to_more_than_one_by_rounding_stay_finite() -> None:
    """32-bit softmax over a large vocabulary sums up to 1.001."""
    low, high = kl_bounds([(1, 0.0004), (2, -20.0)], [(1, 0.0005), (3, -20.0)], floor_logprob=-40)
    assert 0 <= low <= high < 1e-3


def test_probabilities_that_underflow_do_no_harm() -> None:
    low, high = kl_bounds([(1, 0.0), (2, -3.4e38)], [(2, 0.0), (1, -3.4e38)], floor_logprob=-104)
    assert 0 < low <= high


lists = st.dictionaries(st.integers(0, 6), st.floats(-3.5e38, 0.001), max_size=5).map(lambda found: list(found.items()))


@settings(max_examples=300, deadline=None)
@given(lists, lists, st.floats(-200, 0) | st.just(-inf))
def test_whatever_a_server_reports_has_bounds(
    p: list[tuple[int, float]], q: list[tuple[int, float]], floor: float
) -> None:
    low, high = kl_bounds(p, q, floor_logprob=floor)
    assert 0 <= low <= high


def test_the_rank_of_a_token_counts_the_likelier_ones() -> None:
    listed = [(7, -3.0), (5, -0.1), (9, -4.0)]
    assert [rank_of(token, listed) for token in (5, 7, 9, 1)] == [1, 2, 3, None]
    assert argmax(listed) == 5
    assert argmax([]) is None


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(3, 40), st.floats(0.1, 6), st.integers(1, 40), st.data())
def test_a_tokens_log_probability_lies_between_its_bounds(
    seed: int, size: int, spread: float, n: int, data: st.DataObject
) -> None:
    logs, _ = drawn(seed, size, spread, 0)
    token = data.draw(st.integers(0, size - 1))
    low, high = logprob_bounds(token, top(logs, n), floor_logprob=float(logs.min()))
    assert low - 1e-12 <= logs[token] <= high + 1e-9


def test_a_list_without_entries_leaves_everything_open() -> None:
    assert logprob_bounds(1, [], floor_logprob=-9.0) == (-9.0, 0.0)


@given(st.permutations([(7, -1.0), (3, -1.0), (5, -2.0), (4, -2.0)]))
def test_of_equals_the_lowest_id_comes_first_in_whatever_order_they_are_listed(listed: list[tuple[int, float]]) -> None:
    """As a greedy choice does it: engines list ties in an order that depends on how many they list."""
    assert argmax(listed) == 3
    assert [rank_of(token, listed) for token in (3, 7, 4, 5)] == [1, 2, 3, 4]
