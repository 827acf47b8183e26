"""Whether divergence goes with the context: found where it is, not where the questions differ or chance does it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kvassay.assay.evidence_growth import Answer, growths

DEPTHS = (2048, 8192, 16384, 30000)


def answers(kl: Callable[[int, int], float], *, each: int = 6, family: str = "recall") -> list[Answer]:
    """``each`` questions of a family at each depth, none asked at two."""
    return [Answer(depth, f"{family}/{depth}{n}", kl(depth, n)) for depth in DEPTHS for n in range(each)]


def test_a_divergence_that_grows_is_found() -> None:
    found = growths({"q4_0/f16": answers(lambda depth, n: depth * (1 + n / 10))})["q4_0/f16"]
    assert (found.answers, found.up, found.shown) == (24, True, True)
    assert found.p_value == pytest.approx(0.0001)


def test_one_that_shrinks_is_found_as_that() -> None:
    found = growths({"q4_0/f16": answers(lambda depth, n: (1 + n / 10) / depth)})["q4_0/f16"]
    assert (found.up, found.shown) == (False, True)


def test_other_questions_at_other_depths_are_no_growth() -> None:
    """Calls diverge by 1, prose by 9, and the deeper, the more prose is compared."""
    rng = np.random.default_rng(2)
    told = [
        Answer(depth, f"{family}/{depth}{n}", (1 if family == "edit" else 9) + float(rng.normal()))
        for nth, depth in enumerate(DEPTHS)
        for family, count in (("edit", 9 - 3 * nth), ("no_tool", 3 * nth))
        for n in range(count)
    ]
    assert not growths({"q4_0/f16": told})["q4_0/f16"].shown


def test_every_arm_of_a_run_is_a_claim() -> None:
    """What is shown alone may not be beside eleven others."""
    weak = answers(lambda depth, n: n + DEPTHS.index(depth), each=5)
    flat = {f"arm {n}": answers(lambda _, n: float(n), each=5) for n in range(11)}
    assert growths({"weak": weak})["weak"].shown
    beside = growths({"weak": weak, **flat})["weak"]
    assert beside.p_value < 0.05 < beside.adjusted_p


def test_chance_is_called_growth_as_often_as_it_says() -> None:
    """200 runs in which depth changes nothing: 5 % and what 200 may add to it."""
    rng = np.random.default_rng(4)
    runs = [growths({"a": answers(lambda *_: rng.lognormal(0, 2), each=3)})["a"].shown for _ in range(200)]
    assert sum(runs) <= 18


def test_one_question_at_all_depths_is_its_own_control() -> None:
    """A suite's: the slope of each, whatever the questions differ by."""
    told = [Answer(depth, f"case-{n}", 100.0 * n + depth / 1000) for depth in DEPTHS for n in range(12)]
    found = growths({"q4_0/f16": told})["q4_0/f16"]
    assert (found.answers, found.shown) == (12, True)


@pytest.mark.parametrize(
    "told",
    [
        [Answer(2048, f"recall/{n}", float(n)) for n in range(9)],
        [Answer(0, "recall/1", 3.0), Answer(2048, "recall/2", 1.0)],
        [Answer(depth, f"recall/{depth}", 1e-4) for depth in DEPTHS],
        [],
    ],
    ids=["one depth", "what stands alone has no depth", "rounding", "nothing compared"],
)
def test_nothing_is_said_where_nothing_can_be(told: list[Answer]) -> None:
    assert growths({"q4_0/f16": told}, resolution=1e-3) == {}
