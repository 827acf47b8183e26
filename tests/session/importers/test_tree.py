"""Which entries lead to the last one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvassay.session.importers.tree import Node, way_to_last

parents = st.lists(st.integers(-1, 30), max_size=30)


def naive(nodes: list[Node]) -> set[int]:
    """Walk up from the last, with all of the tree in memory."""
    numbers = {node.id: number for number, node in enumerate(nodes)}
    at: int | None = len(nodes) - 1 if nodes else None
    found: set[int] = set()
    while at is not None:
        found.add(at)
        parent = nodes[at].parent
        at = None if parent is None else numbers[parent]
    return found


@given(parents)
def test_the_way_is_the_way_up_from_the_last_entry(choices: list[int]) -> None:
    """For every tree whose parents stand in front of their children."""
    nodes = [Node(str(n), str(choice % n) if n and choice >= 0 else None) for n, choice in enumerate(choices)]
    way = way_to_last(lambda: nodes)
    assert {n for n in range(len(nodes)) if way.holds(n)} == naive(nodes)
    assert not way.holds(len(nodes))


def test_entries_outside_the_tree_belong_to_their_surroundings() -> None:
    """A header has no parent and breaks no chain."""
    nodes = [None, Node("a", None), None, Node("b", "a")]
    assert way_to_last(lambda: nodes).spans == ((0, 3),)


def test_a_damaged_parent_does_not_lose_what_came_before() -> None:
    """The entry whose parent can't be found goes on from the one in front of it."""
    nodes = [Node("a", None), Node("b", "a"), Node("d", "c"), Node("e", "d")]
    assert way_to_last(lambda: nodes).spans == ((0, 1), (2, 3))


def test_a_circle_ends() -> None:
    """Entries that name each other as parents are damage, not an endless walk."""
    nodes = [Node("a", "c"), Node("b", "x"), Node("c", "a"), Node("a", "c"), Node("c", "a")]
    assert way_to_last(lambda: nodes).holds(4)
