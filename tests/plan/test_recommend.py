"""The order in which pairs are worth measuring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.plan.advice import Attention
from kvassay.plan.evidence import Evidence, Grade
from kvassay.plan.planner import PAIRS, Row, bits
from kvassay.plan.recommend import Ranking, ranking, roomier
from kvassay.plan.view import Entry
from kvassay.types import KVConfig

FAST = Attention("fast", "its kernel is compiled.")
SLOW = Attention("slow-on-gpu", "it is converted first.")
ON_CPU = Attention("cpu", "there is no kernel.")
REFUSED = Attention("refused", "it has one type for both.")
UNKNOWN = Attention("unknown", "it depends on the build.")
NOTHING = Evidence(Grade.NONE)
WITHIN = Evidence(Grade.MEASURED, "within margin at up to 8,192 tokens", "s", is_within=True)
BOTH = Evidence(Grade.MEASURED, "both at up to 8,192 tokens", "s", is_worse=True, is_within=True)
BROKEN = Evidence(Grade.MEASURED, "degraded at up to 8,192 tokens", "s", is_worse=True)
UNDECIDED = Evidence(Grade.MEASURED, "inconclusive at up to 8,192 tokens", "s")
PRINTED = Evidence(Grade.PUBLISHED, "median KLD .001", "a README")


def entry(
    pair: str,
    evidence: Evidence = NOTHING,
    attention: Attention = FAST,
    most: int = 70_000,
    refused: str | None = None,
) -> Entry:
    k, v = pair.split("/")
    row = Row(KVConfig(k, v), 0 if refused else most, None, fits=not refused and most >= 65_536, refused=refused)
    return Entry(row, attention, evidence)


def ranked(*entries: Entry, device: str = "cuda") -> Ranking:
    return ranking(entries, device=device, wanted=65_536)


def names(found: Ranking) -> list[str]:
    return [candidate.name for candidate in found.candidates]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry("q8_0/q4_0"), entry("q5_1/q5_1"), entry("q8_0/q8_0")], ["q8_0/q8_0", "q5_1/q5_1", "q8_0/q4_0"]),
        ([entry("q4_0/f16"), entry("f16/q4_0"), entry("q8_0/q4_0")], ["f16/q4_0", "q8_0/q4_0", "q4_0/f16"]),
        ([entry("q8_0/q8_0"), entry("q4_0/q4_0", WITHIN)], ["q4_0/q4_0", "q8_0/q8_0"]),
        ([entry("q8_0/q8_0"), entry("q4_0/q4_0", PRINTED)], ["q4_0/q4_0", "q8_0/q8_0"]),
        ([entry("q8_0/q8_0", PRINTED), entry("q4_0/q4_0", WITHIN)], ["q4_0/q4_0", "q8_0/q8_0"]),
        ([entry("q8_0/q8_0", BROKEN), entry("q4_0/q4_0")], ["q4_0/q4_0"]),
        ([entry("q8_0/q8_0"), entry("q4_0/q4_0", BOTH)], ["q4_0/q4_0", "q8_0/q8_0"]),
        ([entry("q8_0/q8_0", UNDECIDED), entry("q4_0/q4_0")], ["q8_0/q8_0", "q4_0/q4_0"]),
        ([entry("f16/q8_0", WITHIN, SLOW), entry("q8_0/q8_0")], ["q8_0/q8_0", "f16/q8_0"]),
        ([entry("f16/q8_0", attention=ON_CPU), entry("q4_0/q4_0")], ["q4_0/q4_0", "f16/q8_0"]),
        ([entry("f16/q8_0", attention=UNKNOWN), entry("q8_0/q8_0")], ["f16/q8_0", "q8_0/q8_0"]),
        ([entry("f16/q8_0", attention=REFUSED), entry("q8_0/q8_0", refused="MLA")], []),
        ([entry("f16/q8_0", most=60_000), entry("f16/f16"), entry("q8_0/q8_0", most=0)], []),
    ],
)
def test_evidence_comes_first_then_bits_and_what_runs_badly_is_last(entries: list[Entry], expected: list[str]) -> None:
    """The weaker side's bits before K's before V's; harmed, refused and too large ones are out."""
    assert names(ranked(*entries)) == expected


@given(st.permutations(PAIRS))
def test_every_pair_is_a_candidate_or_left_out_with_a_reason_whatever_the_order_given(pairs: list[KVConfig]) -> None:
    """Only the reference is neither."""
    entries = [entry(str(kv), most=60_000 if kv.k == "f16" else 70_000) for kv in pairs]
    found = ranked(*entries)
    assert len(found.candidates) + len(found.left_out) == len(PAIRS) - 1
    assert all(left.why for left in found.left_out)
    weaker = [min(bits(candidate.row)) for candidate in found.candidates]
    assert weaker == sorted(weaker, reverse=True)


def test_on_the_cpu_the_cpu_is_no_handicap() -> None:
    """There is nothing better there."""
    (candidate,) = ranked(entry("q8_0/q8_0", attention=ON_CPU), device="cpu").candidates
    assert not candidate.runs_badly
    assert candidate.caution == ""


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (entry("q8_0/q8_0", attention=SLOW), "not measured. Put last: attention runs slowly. it is converted first."),
        (entry("q8_0/q8_0", attention=UNKNOWN), "not known. it depends on the build."),
        (entry("q8_0/q8_0", PRINTED), "published (a README): median KLD .001."),
        (entry("q8_0/q8_0", WITHIN), "measured on your machine: within margin"),
    ],
)
def test_each_candidate_says_why_it_stands_where_it_stands(one: Entry, words: str) -> None:
    """Evidence and attention."""
    assert words in ranked(one).candidates[0].why


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (entry("q8_0/q8_0", refused="MLA takes equal types"), "refused: MLA takes equal types"),
        (entry("q8_0/q8_0", attention=REFUSED), "one type for both"),
        (entry("q8_0/q8_0", most=512), "does not hold 65,536 tokens: it reaches 512"),
        (entry("q8_0/q8_0", most=0), "doesn't fit at all"),
        (entry("q8_0/q8_0", BROKEN), "degraded"),
    ],
)
def test_what_is_left_out_says_why(one: Entry, words: str) -> None:
    """In one sentence."""
    assert words in ranked(one).left_out[0].why


def test_the_runner_up_is_the_next_smaller_pair_that_holds_more() -> None:
    """Not a broken or refused one; a slow one only where there is no other."""
    chosen = entry("q8_0/q8_0")
    larger = [
        entry("q5_1/q5_1", BROKEN, most=80_000),
        entry("q5_0/q5_0", attention=SLOW, most=85_000),
        entry("q4_0/q4_0", most=99_000),
    ]
    found = roomier([chosen, *larger], chosen.row, device="cuda")
    assert found is not None
    assert str(found.row.kv) == "q4_0/q4_0"
    slow = roomier([chosen, *larger[:2]], chosen.row, device="cuda")
    assert slow is not None
    assert str(slow.row.kv) == "q5_0/q5_0"
    assert roomier([chosen, larger[0]], chosen.row, device="cuda") is None
