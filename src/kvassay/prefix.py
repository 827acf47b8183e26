"""How far two sequences are the same from their beginning: prompts as text, or as token ids."""

from __future__ import annotations

from collections.abc import Sequence


def shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How many leading items, tokens or characters, two sequences have in common."""
    differing = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))
