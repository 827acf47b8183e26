"""The order in which a boot asks: depths ascending, probes shuffled within a depth, channels of a probe together."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from kvassay.types import Channel, TrialKey

Asked = tuple[int, str]  # depth, probe id


@dataclass(frozen=True, slots=True)
class Slot:
    """One trial to be run under every arm."""

    depth: int
    probe: str
    channel: Channel

    def key(self, arm: str) -> TrialKey:
        """The stored key of this slot under an arm."""
        return TrialKey(arm, self.depth, self.probe, self.channel)


def schedule(asked: Iterable[Asked], *, channels: Sequence[str], parsed_share: float, seed: int) -> tuple[Slot, ...]:
    """Every slot of one boot, the same for each arm. With both channels the parsed one is asked for a share of the
    probes, right after the raw one, so that the prompt cache serves it; streamed replies are compared with whole ones.
    """
    slots: list[Slot] = []
    for depth, group in groupby(sorted(asked), key=lambda item: item[0]):
        probes = [probe for _, probe in group]
        random.Random(f"{seed}/{depth}").shuffle(probes)  # noqa: S311  an order, no secret
        for probe in probes:
            chosen = _fraction(f"{seed}/{depth}/{probe}") < parsed_share
            slots += [Slot(depth, probe, channel) for channel in _channels(channels, chosen=chosen)]
    return tuple(slots)


def _channels(wanted: Sequence[str], *, chosen: bool) -> Iterator[Channel]:
    if "raw" in wanted:
        yield Channel.RAW
    if "parsed" in wanted and (chosen or "raw" not in wanted):
        yield Channel.PLAIN
    if "parsed" in wanted and chosen:
        yield Channel.STREAM


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
