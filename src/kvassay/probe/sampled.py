"""One recorded turn asked many times: greedily, and sampled at a temperature with one seed after the other.

The probe's id tells the seed (``replay/31@4``), so that equal seeds of two arms make a pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from kvassay.probe.replay import EDIT_NAME, NAME
from kvassay.types import Probe

_SAMPLED = re.compile(rf"((?:{NAME}|{EDIT_NAME})/\d+)@(\d+)")


class Draw(NamedTuple):
    """How an answer is sampled."""

    temperature: float
    seed: int


def sampled(probe: Probe, *, seeds: int, temperature: float) -> Iterator[Probe]:
    """The probe itself, asked greedily, then ``seeds`` copies of it that are sampled."""
    yield probe
    for seed in range(1, seeds + 1):
        how: dict[str, float | int] = {"temperature": temperature, "seed": seed}
        yield replace(probe, id=f"{probe.id}@{seed}", key={**probe.key, "sampling": {**how}})


def draw_of(probe: Probe) -> Draw | None:
    """How a probe's answer is sampled; None where it is greedy."""
    how = probe.key.get("sampling")
    return Draw(float(str(how["temperature"])), int(str(how["seed"]))) if isinstance(how, dict) else None


def seed_of(probe_id: str) -> int | None:
    """The seed that a sampled probe's id tells; None for any other probe."""
    found = _SAMPLED.fullmatch(probe_id)
    return int(found[2]) if found else None


def scenario_of(probe_id: str) -> str:
    """What several probes have in common: the turn that was sampled; any other probe is a scenario of its own."""
    found = _SAMPLED.fullmatch(probe_id)
    return found[1] if found else probe_id
