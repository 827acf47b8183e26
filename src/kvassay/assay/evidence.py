"""Token-level evidence: an arm's distribution beside the reference's at each token of the reference's answer."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvassay.assay.follow import Followed, Said, placed
from kvassay.dialect.base import Declared
from kvassay.dialect.canvas import TokenRole
from kvassay.dialect.roles import roles_of_tokens
from kvassay.stats.divergence import argmax, kl_bounds, logprob_bounds, rank_of
from kvassay.types import Position, TrialKey

_ROLES = tuple(TokenRole)
_HEAD = struct.Struct("<III")
_ROW = struct.Struct("<HBBihffffH")
_FLIP, _SAME = 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """One compared position: the same tokens stand in front of both arms.

    ``index`` counts the reference's answer's tokens from 0; log-probabilities and KL are natural. ``rank`` is that of
    the reference's token under the candidate, 1 for its likeliest; None beyond the top N, and then ``logprob`` is its
    upper bound where it was not asked for. ``flip``: the two would say different tokens. ``same``: whatever the
    reference lists is equal to the last digit.
    """

    index: int
    role: TokenRole
    token_id: int
    text: str
    reference_logprob: float
    logprob: float
    rank: int | None
    flip: bool
    same: bool
    kl_low: float
    kl_high: float


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """The rows of one pair of trials, by the candidate's key; what is not in them is counted.

    ``hidden`` tokens of the reference's answer have no position on one side (parts of a character), ``unreached`` ones
    lie behind the last request that was allowed.
    """

    key: TrialKey
    rows: tuple[Row, ...]
    hidden: int
    unreached: int


def compare(
    reference: Said, followed: Followed, *, key: TrialKey, roles: Sequence[TokenRole], floor_logprob: float
) -> TrialEvidence:
    """Set what a candidate would have said beside what the reference said.

    ``roles`` has one role for each of the reference's tokens (``roles_in``); ``floor_logprob`` is the candidate's, for
    positions that don't tell their rarest token's.
    """
    rows = tuple(
        _row(index, role, mine, its, floor_logprob)
        for index, (role, mine, its) in enumerate(zip(roles, placed(reference), followed.positions, strict=True))
        if mine is not None and its is not None and mine.top and its.top
    )
    hidden = len(roles) - len(rows) - followed.unreached
    return TrialEvidence(key, rows, hidden, followed.unreached)


def roles_in(reference: Said, tools: Declared) -> tuple[TokenRole, ...]:
    """The role of every token of an answer; ``tools`` are those that were on offer (name → parameters' schema)."""
    return roles_of_tokens([position.text if position else "" for position in placed(reference)], tools)


def _row(index: int, role: TokenRole, mine: Position, its: Position, floor_logprob: float) -> Row:
    rarest = floor_logprob if its.least is None else its.least
    kl = kl_bounds(mine.top, its.top, floor_logprob=rarest, asked=its.asked)
    told = dict((*its.top, *its.asked))
    return Row(
        index=index,
        role=role,
        token_id=mine.token_id,
        text=mine.text,
        reference_logprob=mine.logprob,
        logprob=logprob_bounds(mine.token_id, its.top, floor_logprob=rarest, asked=its.asked).high,
        rank=rank_of(mine.token_id, its.top),
        flip=argmax(mine.top) != argmax(its.top),
        same=all(told.get(token) == logprob for token, logprob in mine.top),
        kl_low=kl.low,
        kl_high=kl.high,
    )


# --------------------------------------------------------------------------- to and from the store


def pack(evidence: TrialEvidence) -> bytes:
    """The evidence of one trial as a blob, its key left out; numbers become 32-bit floats."""
    out = bytearray(_HEAD.pack(len(evidence.rows), evidence.hidden, evidence.unreached))
    for row in evidence.rows:
        text = row.text.encode("utf-8", "surrogatepass")
        flags = _FLIP * row.flip | _SAME * row.same
        numbers = (row.reference_logprob, row.logprob, row.kl_low, row.kl_high)
        out += _ROW.pack(row.index, _ROLES.index(row.role), flags, row.token_id, row.rank or -1, *numbers, len(text))
        out += text
    return zlib.compress(bytes(out), 6)


def unpack(key: TrialKey, blob: bytes) -> TrialEvidence:
    """The inverse of pack."""
    data = zlib.decompress(blob)
    count, hidden, unreached = _HEAD.unpack_from(data)
    return TrialEvidence(key, tuple(_unpack_rows(data, count)), hidden, unreached)


def _unpack_rows(data: bytes, count: int) -> Iterator[Row]:
    at = _HEAD.size
    for _ in range(count):
        index, role, flags, token_id, rank, mine, its, low, high, n_text = _ROW.unpack_from(data, at)
        at += _ROW.size
        text = data[at : at + n_text].decode("utf-8", "surrogatepass")
        at += n_text
        yield Row(
            index=index,
            role=_ROLES[role],
            token_id=token_id,
            text=text,
            reference_logprob=mine,
            logprob=its,
            rank=None if rank < 0 else rank,
            flip=bool(flags & _FLIP),
            same=bool(flags & _SAME),
            kl_low=low,
            kl_high=high,
        )
