"""Every recorded turn has a depth of its own, and a verdict by depth needs several pairs: turns of like depth are
grouped (docs/design/replay.md).
"""

from __future__ import annotations

from collections.abc import Sequence

SMALLEST = 6  # turns in a group
MOST = 4  # groups


def grouped(depths: Sequence[int]) -> tuple[int, ...]:
    """For each turn the group it is counted in, named by the group's greatest depth.

    Groups follow each other by depth and are about equally large: at most four, of at least six turns each, or one.
    Turns of equal depth are never parted.
    """
    ascending = sorted(depths)
    names = _names(ascending)
    return tuple(next(name for name in names if depth <= name) for depth in depths)


def _names(ascending: Sequence[int]) -> tuple[int, ...]:
    parts = max(1, min(MOST, len(ascending) // SMALLEST))
    names: list[int] = []
    counted = 0
    for part in range(1, parts):
        name = ascending[len(ascending) * part // parts - 1]
        upto = sum(depth <= name for depth in ascending)
        if upto - counted >= SMALLEST and len(ascending) - upto >= SMALLEST:
            names.append(name)
            counted = upto
    return (*names, *ascending[-1:])
