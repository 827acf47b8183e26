"""Token-level evidence where whole vocabularies are at hand: the bounds close around the divergence itself."""

from __future__ import annotations

from math import exp

import pytest

pytest.importorskip("torch", reason="needs the extra: pip install 'kvassay[transformers]'")
pytest.importorskip("transformers", reason="needs the extra: pip install 'kvassay[transformers]'")

from backend.transformers.test_engine import open_boot, words
from backend.transformers.tiny import save_tiny
from kvassay import backend
from kvassay.assay.evidence import compare
from kvassay.assay.follow import follow, said
from kvassay.assay.passage import score_passage
from kvassay.backend.base import Backend, Sampling
from kvassay.dialect.canvas import TokenRole
from kvassay.types import Channel, Position, TrialKey

WHOLE = 1 << 24
KEY = TrialKey("2/f16", 2048, "recall/1", Channel.RAW)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    return backend.make("transformers", model_path=save_tiny(tmp_path_factory.mktemp("t")), device="cpu", threads=1)


def logprobs(place: Position | None) -> list[float]:
    assert place is not None
    return [logprob for _, logprob in sorted(place.top)]


@pytest.mark.parametrize("tail", [0.05, 1e-6])
def test_divergence_is_known_but_for_the_tail(engine: Backend, tail: float) -> None:
    """With the reference's tokens asked for by id, the truth lies between bounds that differ by the tail."""
    whole = Sampling(max_tokens=8, top_n=WHOLE)
    with open_boot(engine, "f16/f16") as boot:
        prompt = words(boot, "def add(one, other):")
        mine = said(boot.complete(prompt, Sampling(max_tokens=8, top_n=5, tail=tail)))
    with open_boot(engine, "f16/f16") as boot:
        theirs = boot.complete(prompt, whole).positions
    ids = tuple(frozenset(token for token, _ in place.top) for place in mine.positions)
    with open_boot(engine, "2/f16") as boot:
        own = said(boot.complete(prompt, Sampling(max_tokens=8, top_n=5, ids=ids)))
        followed = follow(boot, prompt, mine.tokens, top_n=5, known=own, ids=ids)
    with open_boot(engine, "2/f16") as boot:
        its = follow(boot, prompt, mine.tokens, top_n=WHOLE, known=said(boot.complete(prompt, whole))).positions
    rows = compare(mine, followed, key=KEY, roles=[TokenRole.PROSE] * 8, floor_logprob=-40.0).rows
    assert len(rows) == 8
    for row, p, q in zip(rows, theirs, its, strict=True):
        truth = sum(exp(one) * (one - other) for one, other in zip(logprobs(p), logprobs(q), strict=True))
        assert row.kl_low - 1e-5 <= truth <= row.kl_high + 1e-5
        assert row.kl_high - row.kl_low <= -min(logprobs(q)) * tail + 1e-5
    assert max(row.kl_low for row in rows) > 0.01  # two bits of K do change something


def test_a_boot_along_its_own_answer_is_the_same_to_the_last_digit(engine: Backend) -> None:
    """Whole lists and lists by id hold the same numbers, so that an arm that computes the same is caught."""
    with open_boot(engine, "f16/f16") as boot, open_boot(engine, "f16/f16") as again:
        prompt = words(boot, "class A:")
        mine = said(boot.complete(prompt, Sampling(max_tokens=6, top_n=5, tail=1e-6)))
        ids = tuple(frozenset(token for token, _ in place.top) for place in mine.positions)
        own = said(again.complete(prompt, Sampling(max_tokens=6, top_n=5, ids=ids)))
        followed = follow(again, prompt, mine.tokens, top_n=5, known=own, ids=ids)
    rows = compare(mine, followed, key=KEY, roles=[TokenRole.PROSE] * 6, floor_logprob=-40.0).rows
    assert all(row.same and not row.flip and row.kl_high < 1e-4 for row in rows)


def test_every_token_of_the_short_text_has_its_probability(engine: Backend) -> None:
    """No bounds where each can be asked for, be the list ever so short."""
    with open_boot(engine, "f16/f16") as boot:
        scored = score_passage(boot, floor_logprob=-40.0, context_tokens=64, top_n=1, whole=True)
    assert len(scored.tokens) > 40
    assert all(bounds is not None and bounds.low == bounds.high for bounds in scored.tokens)
