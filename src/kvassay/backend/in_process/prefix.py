"""How far two prompts are the same."""

from __future__ import annotations

from collections.abc import Sequence


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """The number of tokens at the beginning that both have."""
    differing = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))
