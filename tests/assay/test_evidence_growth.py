"""Whether divergence goes with the context: found where it is, not where the questions differ or chance does it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest

from kvassay.assay.evidence_growth import Answer, growths
from kvassay.dialect.canvas import TokenRole

DEPTHS = (2048, 8192, 16384, 30000)
ARM = "q4_0/f16"
PROSE = TokenRole.PROSE


def answers(kl: Callable[[int, int], float], *, each: int = 6, family: str = "recall") -> list[Answer]:
    """``each`` questions of a family at each depth, none asked at two; all of their tokens prose."""
    return [Answer(depth, f"{family}/{depth}{n}", 1, {PROSE: kl(depth, n)}) for depth in DEPTHS for n in range(each)]


def test_a_divergence_that_grows_is_found() -> None:
    found = growths({ARM: answers(lambda depth, n: depth * (1 + n / 10))})[ARM]
    assert (found.answers, found.shallowest, found.deepest, found.up, found.shown) == (24, 2048, 30000, True, True)
    assert found.p_value == pytest.approx(0.0001)


def test_one_that_shrinks_is_found_as_that() -> None:
    found = growths({ARM: answers(lambda depth, n: (1 + n / 10) / depth)})[ARM]
    assert (found.up, found.shown) == (False, True)


def test_a_doubling_counts_as_much_wherever_it_is() -> None:
    """2k to 8k is two doublings, 16k to 30k less than one: a rise to 8k and beyond, and a fall at the end."""
    kl = {2048: (0.0, 1.0, 2.0), 8192: (3.0, 4.0, 5.0), 16384: (6.0, 7.0, 8.0), 30000: (2.5, 3.5, 4.5)}
    found = growths({ARM: answers(lambda depth, n: kl[depth][n], each=3)})[ARM]
    assert found.p_value < 0.05


def test_other_questions_at_other_depths_are_no_growth() -> None:
    """Calls diverge by 1, prose by 9, and the deeper, the more questions want prose."""
    rng = np.random.default_rng(2)
    told = [
        Answer(depth, f"{family}/{depth}{n}", 1, {PROSE: (1 if family == "edit" else 9) + float(rng.normal())})
        for nth, depth in enumerate(DEPTHS)
        for family, count in (("edit", 9 - 3 * nth), ("no_tool", 3 * nth))
        for n in range(count)
    ]
    assert not growths({ARM: told})[ARM].shown


def test_answers_with_prose_are_compared_with_their_like() -> None:
    """They diverge thrice as much in their names too, and the deeper, the more of a family's answers have it."""
    rng = np.random.default_rng(3)

    def answer(depth: int, n: int, *, has_prose: bool) -> Answer:
        kl = float(rng.lognormal()) * (3 if has_prose else 1)
        roles = (TokenRole.TOOL, PROSE) if has_prose else (TokenRole.TOOL,)
        return Answer(depth, f"recall/{depth}{n}", 1, dict.fromkeys(roles, kl))

    def run() -> list[Answer]:
        return [answer(depth, n, has_prose=n < 2 + nth) for nth, depth in enumerate(DEPTHS) for n in range(8)]

    assert sum(growths({ARM: run()})[ARM].shown for _ in range(100)) <= 11


def test_harder_questions_at_shallow_depths_are_no_growth() -> None:
    """They diverge thrice as much, and at depth only the easier ones are right under the reference."""
    rng = np.random.default_rng(5)
    hard = {2048: 6, 8192: 4, 16384: 2, 30000: 1}

    def run() -> list[Answer]:
        levels = [(depth, n, 2 if n < hard[depth] else 1) for depth in DEPTHS for n in range(10)]
        return [
            Answer(depth, f"recall/{depth}{n}", level, {PROSE: float(rng.lognormal()) * (3 if level == 2 else 1)})
            for depth, n, level in levels
        ]

    assert sum(growths({ARM: run()})[ARM].shown for _ in range(100)) <= 11


def test_what_is_compared_at_one_depth_only_is_not_counted() -> None:
    """A family that was right at 2k alone neither counts nor sets where the growth is said to begin."""
    told = [one for one in answers(lambda depth, n: depth * (1 + n / 10)) if one.depth > DEPTHS[0]]
    alone = [Answer(DEPTHS[0], f"edit/{n}", 1, {PROSE: float(n)}) for n in range(6)]
    found = growths({ARM: told + alone})[ARM]
    assert (found.answers, found.shallowest, found.deepest) == (18, 8192, 30000)


def test_every_arm_of_a_run_is_a_claim() -> None:
    """What is shown alone may not be beside eleven others."""
    weak = answers(lambda depth, n: n + DEPTHS.index(depth), each=5)
    flat = {f"arm {n}": answers(lambda _, n: float(n), each=5) for n in range(11)}
    assert growths({"weak": weak})["weak"].shown
    beside = growths({"weak": weak, **flat})["weak"]
    assert beside.p_value < 0.05 < beside.adjusted_p


def test_chance_is_called_growth_as_often_as_it_says() -> None:
    """400 runs in which depth changes nothing: 5 % (20), and three standard deviations of that."""
    rng = np.random.default_rng(4)
    runs = [growths({ARM: answers(lambda *_: rng.lognormal(0, 2), each=3)})[ARM].shown for _ in range(400)]
    assert sum(runs) <= 33


def test_one_question_at_all_depths_is_its_own_control() -> None:
    """A suite's: whatever the questions differ by, each is dealt out among its own depths."""
    told = [Answer(depth, f"case-{n}", 1, {PROSE: 100.0 * n + depth / 1000}) for depth in DEPTHS for n in range(12)]
    found = growths({ARM: told})[ARM]
    assert (found.answers, found.shown) == (48, True)


def test_questions_of_one_depth_count_beside_those_of_several() -> None:
    """One that was right at two depths doesn't throw away the others."""
    lone = answers(lambda depth, n: depth * (1 + n / 10))
    twice = [Answer(depth, "recall/twice", 1, {PROSE: 1.0}) for depth in DEPTHS[:2]]
    assert growths({ARM: lone + twice})[ARM].shown


def test_seeds_of_one_turn_are_one_scenario() -> None:
    """Twenty samples of a turn at one depth tell no more than their mean: three turns a depth are twelve values."""
    kl = {depth: float(nth) for nth, depth in enumerate(DEPTHS)}
    once = [Answer(depth, f"replay/{depth}{n}", 1, {PROSE: kl[depth] + n}) for depth in DEPTHS for n in range(3)]
    often = [one._replace(probe=f"{one.probe}@{seed}") for one in once for seed in range(20)]
    assert growths({ARM: often})[ARM].p_value == growths({ARM: once})[ARM].p_value


def test_rounding_ranks_nothing() -> None:
    """Digits below the resolution are equal, though one answer diverges for real."""
    told = [*answers(lambda depth, n: 1e-9 * depth + 1e-9 * n), Answer(8192, "recall/1", 1, {PROSE: 0.5})]
    assert growths({ARM: told})[ARM].shown
    assert not growths({ARM: told}, resolution=1e-3)[ARM].shown


def test_what_is_no_number_is_left_out() -> None:
    """Whichever comes first."""
    told = answers(lambda depth, n: depth * (1 + n / 10))
    strange = [Answer(30000, f"recall/{n}", 1, {PROSE: value}) for n, value in enumerate((nan, inf))]
    assert growths({ARM: [*strange, *told]}) == growths({ARM: told})


@pytest.mark.parametrize(
    "told",
    [
        [Answer(2048, f"recall/{n}", 1, {PROSE: float(n)}) for n in range(9)],
        [Answer(depth, f"recall/{depth}{n}", 1, {PROSE: float(n)}) for depth in (0, 2048) for n in range(9)],
        [Answer(depth, f"recall/{depth}{n}", 1, {PROSE: 1e-4}) for depth in DEPTHS for n in range(3)],
        [Answer(1000 * n, f"replay/{n}@{seed}", 1, {PROSE: float(n)}) for n in range(1, 20) for seed in range(9)],
        [
            Answer(depth, f"{family}/{n}", 1, {PROSE: 1.0})
            for depth, family in ((2048, "a"), (8192, "b"))
            for n in range(3)
        ],
        [],
    ],
    ids=[
        "one depth",
        "what stands alone has no depth",
        "rounding",
        "a replay's turns differ by more than their depth",
        "no family at two depths",
        "nothing compared",
    ],
)
def test_nothing_is_said_where_nothing_can_be(told: list[Answer]) -> None:
    assert growths({ARM: told}, resolution=1e-3) == {}
