"""The order of a boot: the ladder's economy and the channels' neighbourhood."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvassay.assay.schedule import boot_order, schedule
from kvassay.types import Arm, Channel, KVConfig, Role

asked = st.sets(st.tuples(st.sampled_from([0, 2048, 8192]), st.text("abc", min_size=1, max_size=3)), max_size=20)


@given(asked, st.floats(0, 1), st.integers(0, 9))
def test_each_probe_is_asked_once_per_channel_depths_ascending(
    probes: set[tuple[int, str]], share: float, seed: int
) -> None:
    """No slot twice, no depth returned to, raw for every probe, streamed only after whole."""
    slots = schedule(probes, channels=("raw", "parsed"), parsed_share=share, seed=seed)
    assert len(set(slots)) == len(slots)
    assert [slot.depth for slot in slots] == sorted(slot.depth for slot in slots)
    assert {(s.depth, s.probe) for s in slots if s.channel is Channel.RAW} == probes
    for before, after in pairwise(slots):
        if after.channel is Channel.STREAM:
            assert before == replace(after, channel=Channel.PLAIN)


def test_the_order_is_shuffled_but_fixed_by_the_seed() -> None:
    """The same seed gives the same order, another one another."""
    probes = [(2048, f"p/{n}") for n in range(50)]
    orders = [schedule(probes, channels=("raw",), parsed_share=0, seed=seed) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert [slot.probe for slot in orders[0]] != [probe for _, probe in probes]


def test_the_parsed_share_is_about_what_was_asked() -> None:
    """A share of 0.2 takes about a fifth of the probes; none and all are exact."""
    probes = [(2048, f"p/{n}") for n in range(1000)]

    def parsed(share: float) -> int:
        slots = schedule(probes, channels=("raw", "parsed"), parsed_share=share, seed=0)
        return sum(slot.channel is Channel.STREAM for slot in slots)

    assert parsed(0) == 0
    assert 160 < parsed(0.2) < 240
    assert parsed(1) == 1000


def test_parsed_alone_asks_every_probe_through_the_chat_endpoint() -> None:
    """Without the raw channel the whole reply is the main one."""
    slots = schedule([(0, "a"), (0, "b")], channels=("parsed",), parsed_share=0, seed=0)
    assert [slot.channel for slot in slots] == [Channel.PLAIN, Channel.PLAIN]


def test_a_round_holds_one_probe_of_each_family() -> None:
    """So that a rung that ends early has asked all families alike; smaller families run out first."""
    sizes = {"edit": 3, "recall": 3, "nested": 1}
    probes = [(2048, f"{family}/{n}") for family, size in sizes.items() for n in range(size)]
    slots = schedule(probes, channels=("raw",), parsed_share=0, seed=0)
    rounds: dict[int, list[str]] = {}
    for slot in slots:
        rounds.setdefault(slot.round, []).append(slot.probe.partition("/")[0])
    assert {number: sorted(families) for number, families in rounds.items()} == {
        0: ["edit", "nested", "recall"], 1: ["edit", "recall"], 2: ["edit", "recall"],
    }  # fmt: skip
    assert [slot.round for slot in slots] == sorted(slot.round for slot in slots)


def test_depths_with_the_same_probes_have_them_in_the_same_rounds() -> None:
    """Else evidence over all depths, which counts probes, could not tell which of them a depth still asks."""
    probes = [(depth, f"{family}/{n}") for depth in (2048, 8192) for family in "abc" for n in range(9)]
    slots = schedule(probes, channels=("raw",), parsed_share=0, seed=4)
    rounds = [{(s.round, s.probe) for s in slots if s.depth == depth} for depth in (2048, 8192)]
    assert rounds[0] == rounds[1]


def test_cases_of_a_suite_make_a_round_each() -> None:
    """Nothing says that they belong together, so a rung may end after any of them."""
    slots = schedule([(0, "a"), (0, "b"), (0, "c")], channels=("raw",), parsed_share=0, seed=0)
    assert [slot.round for slot in slots] == [0, 1, 2]


def test_boots_are_shuffled_between_the_reference_and_its_repeat() -> None:
    """The reference comes first, since others are judged against it; its second boot last; the seed fixes the rest."""
    types = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
    arms = (
        Arm(KVConfig("f16", "f16"), Role.REFERENCE),
        *(Arm(KVConfig(k, "f16")) for k in types),
        Arm(KVConfig("f16", "f16"), Role.REPEAT),
    )
    orders = {seed: boot_order(arms, seed=seed) for seed in range(5)}
    assert all(order[0].role is Role.REFERENCE and order[-1].role is Role.REPEAT for order in orders.values())
    assert all(set(order) == set(arms) for order in orders.values())
    assert len(set(orders.values())) > 1
    assert boot_order(arms, seed=3) == orders[3]
