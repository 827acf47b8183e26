"""How far two next-token distributions lie apart, where only the top N of each is known: bounds that always hold.

The reference is P, the candidate Q, and every divergence is KL(P ‖ Q) in nats. A truncated list says more than its own
numbers: all else has together what is missing to 1, and no unlisted token has more than the least listed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from sys import float_info
from typing import NamedTuple

Top = Sequence[tuple[int, float]]
"""The N likeliest tokens as (token id, natural-log probability), in any order."""

ROUNDING = 1e-6
"""Probability that a list of 32-bit floats may hide: a remainder known to hold tokens is taken for at least this."""

_HALVINGS = 70  # of 140 nats: to the last digit of a double
_NATS = 70.0


class Bounds(NamedTuple):
    """Between these a number lies, in nats; ``high`` is infinite where nothing bounds it."""

    low: float
    high: float


def kl_bounds(reference: Top, candidate: Top, *, floor_logprob: float, asked: Top = ()) -> Bounds:
    """Bounds of KL(P ‖ Q) from the top N of each, and of those of Q's tokens that were ``asked`` for besides.

    The lower bound is the least divergence of any two distributions with these lists: unlisted probabilities are free
    but for their sum and their cap. It is never below the log-sum inequality over {common tokens, all else merged}
    (Cover & Thomas, Elements of Information Theory, 2nd ed., th. 2.7.1), which ignores the caps.

    The upper bound needs to know how rare a token can be under Q: ``floor_logprob`` (nats) is taken for the least
    log-probability of any token; P's unlisted mass may all lie on such tokens, each with P's cap:
    Σ_common p ln(p/q) + Σ_only-P p (ln p − floor) + rest_P (ln cap_P − floor).

    An empty list bounds nothing: (0, ∞).
    """
    if not reference or not candidate:
        return Bounds(0.0, inf)
    listed_p, listed_q = dict(reference), dict((*candidate, *asked))
    common = sum(exp(lp) * (lp - listed_q[token]) for token, lp in reference if token in listed_q)
    only_p = [exp(lp) for token, lp in reference if token not in listed_q]
    rest = _unlisted(reference)
    outside = _Outside(
        only_p=only_p,
        only_q=[exp(lq) for token, lq in listed_q.items() if token not in listed_p],
        rest_p=rest,
        rest_q=max(_unlisted((*candidate, *asked)), ROUNDING),
        cap_p=_cap(reference),
        cap_q=_cap(candidate),
    )
    low = max(0.0, common + outside.least())
    high = common + sum(p * (log(p) - floor_logprob) for p in only_p if p)
    if rest:
        high += rest * (log(outside.cap_p) - floor_logprob)
    return Bounds(low, max(low, high))


def rank_of(token: int, top: Top) -> int | None:
    """How likely a token is among a list, 1 for the likeliest, of equals the lowest id first; None if not listed."""
    ordered = sorted(top, key=lambda entry: (-entry[1], entry[0]))
    return next((place for place, (listed, _) in enumerate(ordered, 1) if listed == token), None)


def logprob_bounds(token: int, top: Top, *, floor_logprob: float, asked: Top = ()) -> Bounds:
    """A token's log-probability: exact where it is listed or was ``asked`` for, else between the floor and what the
    list leaves to it.
    """
    listed = dict((*top, *asked))
    if token in listed:
        return Bounds(listed[token], listed[token])
    high = min(log(_cap(top)), log(max(_unlisted(top), ROUNDING))) if top else 0.0
    return Bounds(min(floor_logprob, high), high)


def argmax(top: Top) -> int | None:
    """The likeliest token of a list, of equals the lowest id, whatever the list's order; None of an empty one."""
    return max(top, key=lambda entry: (entry[1], -entry[0]))[0] if top else None


def _unlisted(top: Top) -> float:
    """What a list leaves to all other tokens together."""
    return max(0.0, 1.0 - sum(exp(logprob) for _, logprob in top))


def _cap(top: Top) -> float:
    """What an unlisted token can have at most; never 0, which llama.cpp's list may say of what underflows."""
    return max(exp(min(logprob for _, logprob in top)), float_info.min)


@dataclass(frozen=True, slots=True)
class _Outside:
    """The tokens that are not in both lists: p of those only in P's, q of those only in Q's, and what is left."""

    only_p: Sequence[float]
    only_q: Sequence[float]
    rest_p: float
    rest_q: float
    cap_p: float
    cap_q: float

    def least(self) -> float:
        """The least that these tokens can add to the divergence.

        Minimising Σ p ln(p/q) over the free masses is convex. By its Karush-Kuhn-Tucker conditions all free tokens
        and the rest share one ratio λ = p/q, but for those that meet their cap: p = min(cap_P, λq), q = min(cap_Q,
        p/λ). λ is where both sides' rests agree, left_p = λ left_q; where the lists use up both rests, each side has a
        ratio of its own.
        """
        ratio_q = _least_ratio(lambda ratio: self._left_q(ratio) >= max(0.0, self._left_p(ratio) / ratio))
        ratio_p = ratio_q
        if self._left_p(ratio_q) < 0:
            ratio_p = _least_ratio(lambda ratio: self._left_p(ratio) <= 0)
        listed = sum(p * max(log(p / self.cap_q), log(ratio_q)) for p in self.only_p if p)
        free = [(min(self.cap_p, ratio_p * q), q) for q in self.only_q if q]
        return listed + sum(p * log(p / q) for p, q in free if p) + max(0.0, self._left_p(ratio_p)) * log(ratio_p)

    def _left_p(self, ratio: float) -> float:
        return self.rest_p - sum(min(self.cap_p, ratio * q) for q in self.only_q)

    def _left_q(self, ratio: float) -> float:
        return self.rest_q - sum(min(self.cap_q, p / ratio) for p in self.only_p)


def _least_ratio(enough: Callable[[float], bool]) -> float:
    """The least ratio from which on a monotone condition holds."""
    low, high = -_NATS, _NATS
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(exp(middle)) else (middle, high)
    return exp(high)
