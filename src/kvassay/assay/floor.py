"""How rare a token can be under an arm: whole vocabularies read at a few places, for the upper bounds of divergence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from kvassay.assay.follow import NO_WORK, Said, add, placed
from kvassay.backend.base import Boot, Sampling
from kvassay.types import Timings

WHOLE_VOCABULARY = 1 << 24
"""More tokens than any vocabulary has: llama.cpp then lists them all."""

ROOM = 15.0
"""Nats left below the least log-probability seen (docs/design/evidence.md)."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The least log-probability (nats) seen over whole vocabularies, less some room.

    ``excess`` is by how much those vocabularies' probabilities add up to more than 1: llama.cpp sums them in 32-bit
    floats, so that no divergence below it means anything. ``timings`` are of the requests made.
    """

    logprob: float
    excess: float
    positions: int
    timings: Timings


def measure_floor(boot: Boot, prompts: Sequence[Sequence[int]], *, top_n: int = WHOLE_VOCABULARY) -> Floor | None:
    """Read the whole vocabulary's log-probabilities behind each prompt; None where the back end shows none.

    Tokens are rarest where the model is surest (``surest``). Costs one request a prompt, 3 to 10 s each for 152k tokens
    on two busy cores. Raises what the boot raises.
    """
    least, excess, timings, positions = 0.0, 0.0, NO_WORK, 0
    for prompt in prompts:
        answer = boot.complete(prompt, Sampling(max_tokens=1, top_n=top_n))
        timings = add(timings, answer.timings)
        for position in answer.positions[:1]:
            logprobs = [logprob for _, logprob in position.top]
            least, excess = min(least, *logprobs), max(excess, sum(map(exp, logprobs)) - 1)
            positions += 1
    return Floor(least - ROOM, excess, positions, timings) if positions else None


def surest(prompt: Sequence[int], answer: Said) -> tuple[int, ...]:
    """The prompt and as much of its answer as stands in front of the token that was surest."""
    told = [(position.logprob, -at) for at, position in enumerate(placed(answer)) if position]
    return (*prompt, *answer.tokens[: -max(told)[1]]) if told else tuple(prompt)
