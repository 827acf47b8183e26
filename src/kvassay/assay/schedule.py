"""The order in which a boot asks: depths ascending, rounds of one probe a family, channels of a probe together; and the
order of the boots themselves.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from kvassay.probe.sampled import seed_of
from kvassay.types import Arm, Channel, Role, TrialKey

Asked = tuple[int, str]  # depth, probe id


@dataclass(frozen=True, slots=True)
class Slot:
    """One trial to be run under every arm. A rung may end after any of its rounds (assay/stopping.py)."""

    depth: int
    probe: str
    channel: Channel
    round: int = 0

    def key(self, arm: str) -> TrialKey:
        """The stored key of this slot under an arm."""
        return TrialKey(arm, self.depth, self.probe, self.channel)


def schedule(asked: Iterable[Asked], *, channels: Sequence[str], parsed_share: float, seed: int) -> tuple[Slot, ...]:
    """Every slot of one boot, the same for each arm. With both channels the parsed one is asked for a share of the
    probes, right after the raw one, so that the prompt cache serves it; streamed replies are compared with whole ones.
    Depths with the same probes have them in the same rounds, so that before a round begins one knows which depths still
    ask it, and evidence over all depths may count probes (docs/design/statistics.md).
    """
    slots: list[Slot] = []
    for depth, group in groupby(sorted(asked), key=lambda item: item[0]):
        for number, probes in enumerate(_rounds([probe for _, probe in group], _dice(f"{seed}/rounds"))):
            for probe in probes:
                chosen = _fraction(f"{seed}/{depth}/{probe}") < parsed_share
                slots += [Slot(depth, probe, channel, number) for channel in _channels(channels, chosen=chosen)]
    return tuple(slots)


def in_order(asked: Iterable[Asked], *, channels: Sequence[str], parsed_share: float, seed: int) -> tuple[Slot, ...]:
    """Every slot of one boot of a replay: the turns as the session went, each one's channels together. Sampled answers
    are asked by one channel only: two channels need not draw the same.
    """
    slots: list[Slot] = []
    for depth, probe in asked:
        if seed_of(probe) is not None:
            slots.append(Slot(depth, probe, Channel.RAW if "raw" in channels else Channel.PLAIN))
        else:
            chosen = _fraction(f"{seed}/{depth}/{probe}") < parsed_share
            slots += [Slot(depth, probe, channel) for channel in _channels(channels, chosen=chosen)]
    return tuple(slots)


def boot_order(arms: Sequence[Arm], *, seed: int) -> tuple[Arm, ...]:
    """The arms as they are booted: the reference first, since all others are judged against it while they run; the
    rest shuffled, so that no candidate always meets the coldest or the warmest machine; the reference's second boot
    last, so that the noise floor spans the whole run.
    """
    others = [arm for arm in arms if arm.role not in (Role.REFERENCE, Role.REPEAT)]
    _dice(f"{seed}/arms").shuffle(others)
    ends = {role: [arm for arm in arms if arm.role is role] for role in (Role.REFERENCE, Role.REPEAT)}
    return (*ends[Role.REFERENCE], *others, *ends[Role.REPEAT])


def _rounds(probes: Sequence[str], dice: random.Random) -> Iterator[list[str]]:
    """One probe of each family a round (``family/seed``; a suite's case without a slash makes a round of its own)."""
    families: defaultdict[str, list[str]] = defaultdict(list)
    for probe in probes:
        families[probe.rpartition("/")[0]].append(probe)
    for members in families.values():
        dice.shuffle(members)
    for row in zip_longest(*families.values()):
        members = [probe for probe in row if probe is not None]
        dice.shuffle(members)
        yield members


def _channels(wanted: Sequence[str], *, chosen: bool) -> Iterator[Channel]:
    if "raw" in wanted:
        yield Channel.RAW
    if "parsed" in wanted and (chosen or "raw" not in wanted):
        yield Channel.PLAIN
    if "parsed" in wanted and chosen:
        yield Channel.STREAM


def _dice(text: str) -> random.Random:
    return random.Random(text)  # noqa: S311  an order, no secret


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
