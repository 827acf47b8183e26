"""The depths at which a pair is measured when nobody names them."""

from __future__ import annotations

from kvassay.kv_cache import PAD

FIRST, STEP = 2048, 4


def ladder(deepest: int, reach: int) -> tuple[int, ...]:
    """2k, 8k, 32k … below the limit, and the limit itself, a multiple of 256 tokens.

    ``reach`` is the depth that the unquantised reference holds: no deeper, unless it holds no rung at all, where the
    reference has to run elsewhere than planned in any case.
    """
    limit = max((min(deepest, reach) if reach >= FIRST else deepest) // PAD * PAD, PAD)
    rungs = []
    depth = FIRST
    while depth < limit:
        rungs.append(depth)
        depth *= STEP
    return (*rungs, limit)
