"""Teacher forcing through free generation: what an arm would say at each place of another arm's answer.

Generate and resync: the arm generates freely after prompt + path[:i]; as long as it says the path's tokens, each
position is comparable. At a flip that position still is (the same tokens stand in front); then the path's token is
appended to the prompt and generation goes on behind it. Chunks grow 1, 2, 4 … while arm and path agree, so that a
flip wastes less than what has been gained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kvassay.backend.base import Boot, Sampling
from kvassay.prefix import shared
from kvassay.types import Completion, Position, Timings

MAX_REQUESTS = 64
"""What following one answer may cost: on a broken arm nearly every token is a flip, and a request."""

NO_WORK = Timings(0, 0, 0.0, 0, 0.0)


class Said(NamedTuple):
    """What a boot generated: token ids, and the positions it reported, in order."""

    tokens: tuple[int, ...]
    positions: tuple[Position, ...]


def said(answer: Completion) -> Said:
    """The tokens and positions of an answer; a back end without token ids has those of its positions."""
    return Said(answer.tokens or tuple(position.token_id for position in answer.positions), answer.positions)


@dataclass(frozen=True, slots=True)
class Followed:
    """The arm's distribution at each token of a path, None where there is none, and what it cost.

    ``hidden`` counts places that the server did not report (all but the last token of a character of several tokens),
    ``unreached`` those behind the last request that the budget allowed. ``timings`` adds up the requests made here:
    their ``processed_tokens`` belong to the boot's prompt tokens.
    """

    positions: tuple[Position | None, ...]
    hidden: int
    unreached: int
    requests: int
    timings: Timings


def follow(
    boot: Boot,
    prompt: Sequence[int],
    path: Sequence[int],
    *,
    top_n: int,
    known: Said | None = None,
    ids: Sequence[frozenset[int]] = (),
    max_requests: int = MAX_REQUESTS,
) -> Followed:
    """What the boot would say at every token of ``path`` behind ``prompt``, both in token ids.

    ``known`` is what it said freely behind that prompt, if it was asked: up to its first flip that costs nothing more.
    ``ids`` are tokens asked for beside the top N at each place of the path (``Sampling.ids``).
    Ask right after it, with the prompt still in the server's cache: then each request computes one prompt token, and
    numerically in the same way as generation does. Raises what ``Boot.complete`` raises.
    """
    reading = _Reading(path)
    if known is not None and known.tokens:
        reading.take(known)
    chunk, timings, requests = 1, NO_WORK, 0
    while reading.at < len(path) and requests < max_requests:
        room = min(chunk, len(path) - reading.at)
        wanted = Sampling(max_tokens=room, top_n=top_n, ids=tuple(ids[reading.at : reading.at + room]))
        answer = boot.complete((*prompt, *path[: reading.at]), wanted)
        agreed = reading.take(said(answer))
        chunk = 2 * chunk if agreed else 1
        timings, requests = add(timings, answer.timings), requests + 1
    found = tuple(reading.found)
    missing = found.count(None)
    unreached = len(path) - reading.at
    return Followed(found, missing - unreached, unreached, requests, timings)


class _Reading:
    """How far a path has been followed, and what was found."""

    def __init__(self, path: Sequence[int]) -> None:
        self.path = path
        self.at = 0
        self.found: list[Position | None] = [None] * len(path)

    def take(self, generated: Said) -> bool:
        """Read what was generated behind path[:at], and move behind its last comparable token. Whether all agreed."""
        ahead = self.path[self.at :]
        agreed = shared(generated.tokens, ahead)
        flipped = agreed < min(len(generated.tokens), len(ahead))
        for offset, position in enumerate(placed(generated)[: agreed + flipped]):
            self.found[self.at + offset] = position
        # A back end that says nothing at all has stopped here: its position can't be had, the next one can.
        self.at += agreed + (flipped or not generated.tokens)
        return not flipped and bool(generated.tokens)


def placed(generated: Said) -> tuple[Position | None, ...]:
    """The positions by the tokens they belong to, None for tokens without one.

    llama.cpp reports nothing for a token that ends inside a character, so that a character of several tokens has one
    position, its last token's. Positions are therefore a subsequence of the tokens; where it can be laid over them in
    more than one way, those positions whose place differs are left out.
    """
    tokens, positions = generated
    if len(tokens) == len(positions):
        return positions
    first = _embed(tokens, [position.token_id for position in positions])
    last = _embed(tokens[::-1], [position.token_id for position in reversed(positions)])
    latest = [len(tokens) - 1 - place for place in reversed(last)]
    found: list[Position | None] = [None] * len(tokens)
    if len(first) < len(positions):  # not a subsequence: nothing can be told
        return tuple(found)
    for position, low, high in zip(positions, first, latest, strict=True):
        if low == high:
            found[low] = position
    return tuple(found)


def _embed(tokens: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """The leftmost places of a subsequence; fewer than wanted where it is none."""
    places: list[int] = []
    for at, token in enumerate(tokens):
        if len(places) < len(wanted) and token == wanted[len(places)]:
            places.append(at)
    return places


def add(one: Timings, other: Timings) -> Timings:
    """Two requests' counts together."""
    return Timings(
        cached_tokens=one.cached_tokens + other.cached_tokens,
        processed_tokens=one.processed_tokens + other.processed_tokens,
        prompt_ms=one.prompt_ms + other.prompt_ms,
        predicted_tokens=one.predicted_tokens + other.predicted_tokens,
        predicted_ms=one.predicted_ms + other.predicted_ms,
    )
