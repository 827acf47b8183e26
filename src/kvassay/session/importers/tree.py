"""Which entries of a tree of entries, each naming its parent, lead to the last one: found without holding the tree."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Node(NamedTuple):
    """An entry's own id and its parent's; None for a root. One that is ``aside`` says nothing, so that a session does
    not end with it, wherever it hangs.
    """

    id: str
    parent: str | None
    aside: bool = False


@dataclass(slots=True)
class _Run:
    """Entries ``first`` to ``last`` of a file, each the child of the one before; ``parent`` is that of the first."""

    first: int
    last: int
    parent: str | None


@dataclass(frozen=True, slots=True)
class Way:
    """The spans of entry numbers (first, last), in order, that lead to the last entry."""

    spans: tuple[tuple[int, int], ...]

    def holds(self, number: int) -> bool:
        """Whether an entry is on the way."""
        at = bisect_right(self.spans, (number, float("inf"))) - 1
        return at >= 0 and self.spans[at][0] <= number <= self.spans[at][1]


def way_to_last(nodes: Callable[[], Iterable[Node | None]]) -> Way:
    """Find the way from the root to the last entry that is not aside. ``nodes`` reads them anew at each call; None is
    an entry outside the tree, which belongs to whatever surrounds it. What stands behind the last entry is on the way.

    A parent that is nowhere in front of its child stood on a damaged line: the child then follows the entry before it.
    Two readings at most; memory grows with the number of branches only.
    """
    runs, last = _runs(nodes())
    if len(runs) < 2:  # noqa: PLR2004
        return Way(tuple((run.first, run.last) for run in runs))
    parents = _numbers(nodes(), {run.parent for run in runs})
    firsts = [run.first for run in runs]
    spans = [(last + 1, runs[-1].last)] if last < runs[-1].last else []
    number: int | None = last
    while number is not None:
        run = runs[bisect_right(firsts, number) - 1]
        spans.append((run.first, number))
        number = _parent(run, parents)
    return Way(tuple(reversed(spans)))


def _parent(run: _Run, parents: dict[str, list[int]]) -> int | None:
    if run.parent is None or run.first == 0:
        return None
    numbers = parents.get(run.parent, [])
    before = bisect_left(numbers, run.first)
    return numbers[before - 1] if before else run.first - 1


def _runs(nodes: Iterable[Node | None]) -> tuple[list[_Run], int]:
    """The runs, and the number of the last entry that is not aside (of the very last, where all are)."""
    runs: list[_Run] = []
    previous: str | None = None
    last = -1
    for number, node in enumerate(nodes):
        if runs and (node is None or node.parent == previous):
            runs[-1].last = number
        else:
            runs.append(_Run(number, number, node.parent if node else None))
        previous = node.id if node else previous
        last = number if node and not node.aside else last
    return runs, last if last >= 0 or not runs else runs[-1].last


def _numbers(nodes: Iterable[Node | None], wanted: set[str | None]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, node in enumerate(nodes):
        if node and node.id in wanted:
            found.setdefault(node.id, []).append(number)
    return found
