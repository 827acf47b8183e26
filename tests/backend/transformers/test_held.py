"""What a cache holds that can't be cut back (linear attention): copies instead."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra: pip install 'kvassay[transformers]'")
pytest.importorskip("transformers", reason="needs the extra: pip install 'kvassay[transformers]'")

from typing import cast

from kvassay.backend.transformers.cache import QuantisingCache
from kvassay.backend.transformers.held import Held


class State:
    """A cache that only grows, and knows what it has seen."""

    def __init__(self) -> None:
        self.seen: list[int] = []


def compute(held: Held, tokens: tuple[int, ...]) -> int:
    """What a boot does with a prompt; how many tokens it had to compute."""
    cached = held.back_to(tokens)
    cast("State", held.cache).seen += tokens[cached:]
    held.add(tokens[cached:])
    assert tuple(cast("State", held.cache).seen) == held.tokens == tokens
    return len(tokens) - cached


def test_questions_behind_a_kept_prefix_cost_their_own_tokens() -> None:
    """After each question the state is that of the prefix again, from a copy; another prefix begins anew."""
    held = Held(cast("QuantisingCache", State()), croppable=False)
    assert compute(held, (1, 2, 3)) == 3
    held.keep()
    assert compute(held, (1, 2, 3, 4, 5)) == 2
    assert compute(held, (1, 2, 3, 4, 6)) == 2
    assert compute(held, (1, 2, 3, 4, 6, 7)) == 1
    assert compute(held, (1, 2, 9)) == 3
    assert compute(held, (8,)) == 1
