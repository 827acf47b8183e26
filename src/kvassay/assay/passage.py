"""The perplexity of a short text of ours under each arm: what tool calls are set beside."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from math import exp

from kvassay.assay.follow import follow
from kvassay.backend.base import Boot
from kvassay.stats.divergence import Bounds, logprob_bounds
from kvassay.types import Timings

PASSAGE = files("kvassay.assay").joinpath("passage.txt").read_text("utf-8")
"""Plain English and a little code, written for this project and printed nowhere else."""

TOP_N = 512
"""Of the alternatives that are asked for at each token: text is far less certain than a call."""

_LEAD = 16  # tokens in front of the first scored one


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


def score_passage(
    boot: Boot,
    *,
    floor_logprob: float,
    context_tokens: int,
    top_n: int = TOP_N,
    whole: bool = False,
    text: str = PASSAGE,
) -> PassageScore:
    """Score a text token by token, as much of it as the context of ``context_tokens`` holds. It takes the place of what
    stands in the server's prompt cache: ask after the climb. ``whole``: the back end tells any token's log-probability.
    Raises what the boot raises.
    """
    tokens = boot.tokenize(text)[: context_tokens - 1]
    path = tokens[_LEAD:]
    ids = tuple(frozenset({token}) for token in path) if whole else ()
    followed = follow(boot, tokens[:_LEAD], path, top_n=top_n, ids=ids, max_requests=len(path))
    scored = tuple(
        logprob_bounds(token, position.top, floor_logprob=floor_logprob, asked=position.asked)
        if position and position.top
        else None
        for token, position in zip(path, followed.positions, strict=True)
    )
    return PassageScore(scored, followed.requests, followed.timings)


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
