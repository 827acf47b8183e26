"""ExLlamaV3 itself on a card, on the model folder that KVASSAY_GPU_MODEL names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvassay import backend
from kvassay.backend.base import Sampling
from kvassay.plan.exllama import side_bytes
from kvassay.types import Arm, KVConfig, Message

MODEL = os.environ.get("KVASSAY_GPU_MODEL")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(MODEL is None, reason="needs a CUDA device and ExLlamaV3: set KVASSAY_GPU_MODEL to a folder"),
]
FILLER = "".join(f"Line {n}: {n * 7919 % 1000}.\n" for n in range(300))
GREEDY = Sampling(max_tokens=24, top_n=5)


@pytest.mark.parametrize("pair", ["f16/f16", "8/4", "4/8"])
def test_types_are_read_back_and_a_prefix_is_reused(pair: str) -> None:
    """The layers hold the pair; an answer behind a reused prefix is the one without reuse."""
    engine = backend.make("exllamav3", model_path=Path(str(MODEL)))
    k, _, v = pair.partition("/")
    with engine.open(Arm(KVConfig(k, v)), context_tokens=4096) as boot:
        assert (boot.facts.k_type, boot.facts.v_type) == (k, v)
        first, second = (
            boot.tokenize(boot.render([Message("system", FILLER), Message("user", text)], ()))
            for text in ("What is on line 7?", "What is on line 123?")
        )
        alone = boot.complete(second, GREEDY)
        boot.complete(first, GREEDY)
        reused = boot.complete(second, GREEDY)
        assert alone.timings.cached_tokens == 0
        assert reused.timings.cached_tokens > 0.9 * len(second)
        assert reused.tokens == alone.tokens


def test_bytes_are_the_planners() -> None:
    """K and V of 4/8, over all layers, in the proportion of their bits and scales."""
    engine = backend.make("exllamav3", model_path=Path(str(MODEL)))
    with engine.open(Arm(KVConfig("4", "8")), context_tokens=1000) as boot:
        facts = boot.facts
        assert facts.kv_cells == 1024
        assert facts.k_bytes is not None
        assert facts.v_bytes is not None
        assert facts.k_bytes * side_bytes(1024, 32, 8) == facts.v_bytes * side_bytes(1024, 32, 4)
