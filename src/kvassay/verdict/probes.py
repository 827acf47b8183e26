"""A probe asked at several depths is one witness: how many probes were lost, and how many gained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from kvassay.stats.paired import Flips
from kvassay.verdict.effects import Trials, paired


def flipped_probes(reference: Trials, candidate: Trials, *, depths: Collection[int]) -> Flips:
    """Lost are the probes that lose at more of these depths than they gain at, gained the reverse."""
    net: Counter[str] = Counter()
    for (_, probe), before, now in paired(reference, candidate, depths=depths):
        net[probe] += now - before
    return Flips(lost=sum(change < 0 for change in net.values()), gained=sum(change > 0 for change in net.values()))
