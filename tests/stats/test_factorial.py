"""The isolation of K, V and depth: known effects, missing cells, and the calibration of the interaction."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import statsmodels.formula.api as smf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pandas import DataFrame
from scipy.stats import t as student

from kvassay.stats.factorial import Factorial, Observation, Term, factorial
from stats.bell_mccaffrey import cr2

DEPTHS = (2048, 8192, 32768)
Chance = Callable[[bool, bool, float], float]


def suite(chance: Chance, *, seed: int, scenarios: int = 12, depths: tuple[float, ...] = DEPTHS) -> list[Observation]:
    """Each scenario once in each cell; a scenario's own difficulty moves all of its chances alike."""
    rng = np.random.default_rng(seed)
    difficulty = rng.uniform(-0.1, 0.1, size=scenarios)
    return [
        Observation(k, v, depth, scenario, bool(rng.random() < chance(k, v, depth) + difficulty[scenario]))
        for scenario, depth, k, v in product(range(scenarios), depths, (False, True), (False, True))
    ]


def flat(*, level: float) -> Chance:
    return lambda _k, _v, _depth: level


def terms(found: Factorial) -> list[Term]:
    return [effect.term for effect in found.effects]


def exactly(found: Factorial) -> dict[Term, float]:
    return {effect.term: round(effect.effect, 9) for effect in found.effects}


def test_coefficients_are_differences_of_cells() -> None:
    """K breaks all from 8k on, V none, both all: each effect is the one that can be read off the table."""
    broken = [
        Observation(k, v, depth, scenario, not (k and depth > 2048))
        for scenario, depth, k, v in product(range(6), (2048, 8192), (False, True), (False, True))
    ]
    found = factorial(broken)
    expected = dict.fromkeys(Term, 0.0) | {Term.K: -0.5, Term.K_DEPTH: -0.5}
    assert exactly(found) == expected
    assert found.centre_depth == pytest.approx(4096)
    assert (found.clusters, found.observations) == (6, 48)


def test_only_both_together_is_the_interaction() -> None:
    """Where only the pair does harm, K and V are 0 and K × V carries all of it."""
    broken = [
        Observation(k, v, 2048, scenario, not (k and v))
        for scenario, k, v in product(range(8), (False, True), (False, True))
    ]
    found = factorial(broken)
    assert exactly(found) == {Term.K: 0.0, Term.V: 0.0, Term.K_V: -1.0}
    interaction = found.of(Term.K_V)
    assert interaction is not None
    assert interaction.random_p == pytest.approx(2 * 0.5**8)
    assert found.of(Term.DEPTH) is None


def test_equals_statsmodels() -> None:
    """Coefficients are statsmodels'; so are its uncorrected clustered errors but for √(G / (G − 1)), on full blocks."""
    observations = suite(lambda k, v, d: 0.8 - 0.2 * k - 0.1 * v * (d > 4096), seed=1)
    columns = {
        "right": [float(each.right) for each in observations],
        "k": [float(each.k) for each in observations],
        "v": [float(each.v) for each in observations],
        "d": [np.log2(each.depth) - 13 for each in observations],
    }
    kwds = {"groups": [each.cluster for each in observations], "use_correction": False}
    fitted = smf.ols("right ~ k * v * d", DataFrame(columns)).fit(cov_type="cluster", cov_kwds=kwds)
    named = {Term.K: "k", Term.V: "v", Term.K_V: "k:v", Term.DEPTH: "d"}
    named |= {Term.K_DEPTH: "k:d", Term.V_DEPTH: "v:d", Term.K_V_DEPTH: "k:v:d"}
    found = factorial(observations)
    assert terms(found) == list(Term)
    for effect in found.effects:
        half_width = fitted.bse[named[effect.term]] * np.sqrt(12 / 11) * 2.200985  # t of 11 degrees of freedom
        assert effect.effect == pytest.approx(fitted.params[named[effect.term]])
        assert (effect.high - effect.low) / 2 == pytest.approx(half_width, rel=1e-5)
        assert effect.df == pytest.approx(11)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=15)
def test_torn_blocks_have_the_papers_errors(seed: int) -> None:
    """With trials missing, effects, df and p-values are those of a formula's design and the papers' matrices."""
    rng = np.random.default_rng(seed)
    whole = suite(lambda k, v, d: 0.8 - 0.2 * k - 0.1 * v * (d > 4096), seed=seed, scenarios=6)
    observations = [each for each in whole if rng.random() < 0.7]
    centre = np.mean(sorted({np.log2(each.depth) for each in observations}))
    columns = DataFrame(observations).assign(d=[np.log2(each.depth) - centre for each in observations])
    columns = columns.astype({"k": float, "v": float, "right": float})
    fitted = smf.ols("right ~ k + v + k:v + d + k:d + v:d + k:v:d", columns).fit()
    assume(np.linalg.matrix_rank(fitted.model.exog) == 1 + len(Term))
    errors = cr2(fitted.model.exog, fitted.model.endog, columns["cluster"].tolist())
    assume(all(error.variance > 1e-12 for error in errors))  # where scenarios agree there is no t
    named = dict(zip(fitted.model.exog_names, errors, strict=True))
    found = factorial(observations)
    assert terms(found) == list(Term)
    for effect, name in zip(found.effects, ["k", "v", "k:v", "d", "k:d", "v:d", "k:v:d"], strict=True):
        variance, df = named[name]
        assert effect.effect == pytest.approx(fitted.params[name], abs=1e-9)
        assert effect.df == pytest.approx(df, rel=1e-6)
        assert effect.p_value == pytest.approx(2 * student.sf(abs(effect.effect) / np.sqrt(variance), df), abs=1e-6)


ALL = suite(flat(level=0.7), seed=2)


@pytest.mark.parametrize(
    ("kept", "identified"),
    [
        pytest.param(lambda _o: True, list(Term), id="everything"),
        pytest.param(lambda o: not o.v, [Term.K, Term.DEPTH, Term.K_DEPTH], id="K alone"),
        pytest.param(lambda o: not o.k, [Term.V, Term.DEPTH, Term.V_DEPTH], id="V alone"),
        pytest.param(lambda o: o.depth == 2048, [Term.K, Term.V, Term.K_V], id="one depth"),
        pytest.param(lambda o: not o.v and o.depth == 2048, [Term.K], id="K at one depth"),
        pytest.param(lambda o: o.k == o.v, [Term.DEPTH], id="both halves always together"),
        pytest.param(lambda o: not (o.k or o.v), [Term.DEPTH], id="the reference only"),
        pytest.param(lambda o: o.k or o.v, [], id="no reference"),
        pytest.param(lambda o: o.cluster == 0, [], id="one scenario"),
        pytest.param(lambda _o: False, [], id="nothing"),
        pytest.param(
            lambda o: not (o.k and o.v and o.depth > 2048),
            [Term.K, Term.V, Term.DEPTH, Term.K_DEPTH, Term.V_DEPTH],
            id="both at one depth only",
        ),
    ],
)
def test_only_what_is_identified_is_reported(kept: Callable[[Observation], bool], identified: list[Term]) -> None:
    """Missing arms and depths take away the terms that need them, and no others."""
    assert terms(factorial([each for each in ALL if kept(each)])) == identified


@given(st.lists(st.builds(Observation, k=st.booleans(), v=st.booleans(), depth=st.sampled_from([0, 2048, 8192, 16384]),
                          cluster=st.integers(0, 4), right=st.booleans()), max_size=60))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_any_observations_give_effects_inside_their_intervals(observations: list[Observation]) -> None:
    """Whatever is missing, repeated or unbalanced: no crash, no warning, ordered intervals, p-values in range."""
    with np.errstate(all="raise", under="ignore"):
        found = factorial(observations)
    for effect in found.effects:
        assert effect.low <= effect.effect + 1e-9
        assert effect.effect - 1e-9 <= effect.high
        assert 0 <= effect.p_value <= 1
        assert (effect.random_p is None) == (effect.blocks == 0)


def test_the_order_of_the_observations_says_nothing() -> None:
    """Shuffled observations give the same effects."""
    shuffled = [ALL[index] for index in np.random.default_rng(3).permutation(len(ALL))]
    one, other = factorial(ALL), factorial(shuffled)
    assert exactly(one) == exactly(other)
    assert [e.p_value for e in one.effects] == pytest.approx([e.p_value for e in other.effects])


def test_a_clean_run_claims_no_more_than_its_scenarios_carry() -> None:
    """Where all is right everywhere, effects are 0, intervals are wide still, and nothing is significant."""
    for effect in factorial([each._replace(right=True) for each in ALL]).effects:
        assert effect.low < -0.03
        assert effect.high > 0.03
        assert (effect.p_value, effect.random_p) == (1.0, 1.0)


def own_scenarios(chance: Chance, *, seed: int, each: int) -> list[Observation]:
    """Trials of the 2×2 at three depths, ``each`` scenarios a depth that no other depth has."""
    rng = np.random.default_rng(seed)
    return [
        Observation(k, v, depth, (depth, scenario), bool(rng.random() < chance(k, v, depth)))
        for depth, scenario, k, v in product((2048, 8192, 32768), range(each), (False, True), (False, True))
    ]


def test_depths_with_scenarios_of_their_own_are_compared_by_permutation() -> None:
    """K × depth: found where K's loss grows, called in about 5 % of seeded runs where K costs the same everywhere."""
    growing = own_scenarios(lambda k, _v, d: 0.95 - 0.17 * k * np.log2(d / 1024), seed=0, each=40)
    found = factorial(growing).of(Term.K_DEPTH)
    assert found is not None
    assert found.blocks == 120
    assert found.random_p is not None
    assert found.random_p < 0.01
    same = [factorial(own_scenarios(lambda k, _v, _d: 0.9 - 0.3 * k, seed=seed, each=16)) for seed in range(200)]
    p_values = [effect.random_p for one in same if (effect := one.of(Term.K_DEPTH)) and effect.random_p is not None]
    assert len(p_values) == 200
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_length_that_hurts_all_arms_alike_is_depth_and_not_an_interaction() -> None:
    """A main effect of depth alone: the interaction K × depth covers 0 in about 95 % of seeded runs, by both tests."""
    runs = [factorial(suite(lambda _k, _v, d: 1.4 - 0.07 * np.log2(d), seed=seed)) for seed in range(150)]
    interactions = [found.of(Term.K_DEPTH) for found in runs]
    assert np.mean([e is not None and e.low <= 0 <= e.high for e in interactions]) >= 0.91
    assert np.mean([e is not None and (e.random_p or 0) <= 0.05 for e in interactions]) <= 0.09
    slopes = [found.of(Term.DEPTH) for found in runs]
    assert np.mean([e is not None and e.low <= -0.07 <= e.high for e in slopes]) >= 0.91
    assert np.mean([e.effect for e in slopes if e]) == pytest.approx(-0.07, abs=0.01)


def test_damage_that_grows_with_context_is_found() -> None:
    """K costs 15 points more with each doubling: the interaction is found in most seeded runs of 24 scenarios."""
    harm = [suite(lambda k, _v, d: 0.85 - 0.15 * k * (np.log2(d) - 11), seed=seed, scenarios=24) for seed in range(40)]
    runs = [factorial(observations) for observations in harm]
    interactions = [found.of(Term.K_DEPTH) for found in runs]
    assert np.mean([e is not None and e.p_value <= 0.05 for e in interactions]) >= 0.8
    assert np.mean([e.effect for e in interactions if e]) == pytest.approx(-0.15, abs=0.03)
