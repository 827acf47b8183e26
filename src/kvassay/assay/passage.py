"""The perplexity of a short text of ours under each arm, and how rare a token can be under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import exp

from kvassay.assay.follow import NO_WORK, add, follow
from kvassay.backend.base import Boot, Sampling
from kvassay.stats.divergence import Bounds, logprob_bounds
from kvassay.types import Timings

PASSAGE = files("kvassay.assay").joinpath("passage.txt").read_text("utf-8")
"""Plain English and a little code, written for this project and printed nowhere else."""

TOP_N = 512
"""Of the alternatives that are asked for at each token: text is far less certain than a call."""

WHOLE_VOCABULARY = 1 << 24
"""More tokens than any vocabulary has: llama.cpp then lists them all."""

_LEAD = 16  # tokens in front of the first scored one
_ROOM = 25.0


@dataclass(frozen=True, slots=True)
class Floor:
    """How rare a token can be under an arm: the least log-probability (nats) seen over whole vocabularies, less some
    room. ``excess`` is by how much those vocabularies' probabilities add up to more than 1: llama.cpp sums them in
    32-bit floats, so that no divergence below it means anything. ``timings`` are of the requests made.
    """

    logprob: float
    excess: float
    positions: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class PassageScore:
    """Bounds of each scored token's log-probability (nats) under an arm, None where the server hid it."""

    tokens: tuple[Bounds | None, ...]
    requests: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class PerplexityRatio:
    """A candidate's perplexity over the reference's, on one text.

    ``tokens`` were scored under both. ``ratio`` is over the ``listed`` ones among them, which stand in both arms' lists
    (None if there are none); ``low`` and ``high`` bound the ratio over all of them.
    """

    tokens: int
    listed: int
    ratio: float | None
    low: float
    high: float


def score_passage(boot: Boot, *, floor_logprob: float, top_n: int = TOP_N, text: str = PASSAGE) -> PassageScore:
    """Score a text token by token. It takes the place of what stands in the server's prompt cache: ask before the
    climb, or after it. Raises what the boot raises.
    """
    tokens = boot.tokenize(text)
    path = tokens[_LEAD:]
    followed = follow(boot, tokens[:_LEAD], path, top_n=top_n, max_requests=len(path))
    scored = tuple(
        logprob_bounds(token, position.top, floor_logprob=floor_logprob) if position and position.top else None
        for token, position in zip(path, followed.positions, strict=True)
    )
    return PassageScore(scored, followed.requests, followed.timings)


def measure_floor(boot: Boot, *, top_n: int = WHOLE_VOCABULARY, text: str = PASSAGE) -> Floor | None:
    """Read the whole vocabulary's log-probabilities behind half of a text and behind all of it; None where the back
    end shows none. Like ``score_passage``, it takes the place of the prompt cache.

    The least of them varies by some 25 nats with the position (docs/design/evidence.md): that much room is left.
    """
    tokens = boot.tokenize(text)
    least, excess, timings, positions = 0.0, 0.0, NO_WORK, 0
    for end in (len(tokens) // 2, len(tokens)):
        answer = boot.complete(tokens[:end], Sampling(max_tokens=1, top_n=top_n))
        timings = add(timings, answer.timings)
        for position in answer.positions[:1]:
            logprobs = [logprob for _, logprob in position.top]
            least, excess = min(least, *logprobs), max(excess, sum(map(exp, logprobs)) - 1)
            positions += 1
    return Floor(least - _ROOM, excess, positions, timings) if positions else None


def perplexity(scores: Sequence[Bounds | None]) -> Bounds:
    """Bounds of exp(−mean log-probability); (1, ∞) would say nothing, and nothing scored says it: (1, inf)."""
    told = [score for score in scores if score is not None]
    if not told:
        return Bounds(1.0, float("inf"))
    return Bounds(*(exp(-sum(values) / len(told)) for values in ([s.high for s in told], [s.low for s in told])))


def perplexity_ratio(reference: PassageScore, candidate: PassageScore) -> PerplexityRatio:
    """The candidate's perplexity as a multiple of the reference's, over the tokens that both show."""
    both = [(r, c) for r, c in zip(reference.tokens, candidate.tokens, strict=True) if r is not None and c is not None]
    listed = [r.low - c.low for r, c in both if r.low == r.high and c.low == c.high]
    low, high = sum(r.low - c.high for r, c in both), sum(r.high - c.low for r, c in both)
    count = max(1, len(both))
    return PerplexityRatio(
        tokens=len(both),
        listed=len(listed),
        ratio=exp(sum(listed) / len(listed)) if listed else None,
        low=exp(low / count),
        high=exp(high / count),
    )
