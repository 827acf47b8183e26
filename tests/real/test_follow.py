"""Following an answer on embedded llama.cpp: what it reports at the end of a turn and inside characters."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp

import pytest

from kvassay.assay.follow import follow, placed, said
from kvassay.backend import make
from kvassay.backend.base import Boot, Sampling
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig, Stop

pytestmark = pytest.mark.real

ASKED = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def boot() -> Iterator[Boot]:
    backend = make("embedded", model_path=resolve("smollm2-135m").path, threads=2, model_sha256="abc")
    with backend.open(Arm(KVConfig("f16", "f16")), context_tokens=512) as boot:
        yield boot


def test_the_end_of_the_turn_is_a_token_with_a_position(boot: Boot) -> None:
    prompt = boot.tokenize(ASKED.format("Say hello.") + "Hello! How can I help you today?")
    answer = boot.complete(prompt, Sampling(max_tokens=8, top_n=5))
    assert answer.stop is Stop.EOS
    end = answer.positions[-1]
    assert (end.token_id, end.text) == (answer.tokens[-1], "")
    assert boot.tokenize("<|im_end|>") == (end.token_id,)


def test_a_character_of_several_tokens_has_its_last_ones_position_only(boot: Boot) -> None:
    prompt = boot.tokenize(ASKED.format("Say 🌈🌈🌈.") + "🌈🌈🌈")
    answer = said(boot.complete(prompt, Sampling(max_tokens=6, top_n=3)))
    rainbow = boot.tokenize("🌈")
    assert answer.tokens == rainbow * 2
    assert [position is not None for position in placed(answer)] == [False, False, True] * 2


def test_probabilities_are_the_plain_softmax(boot: Boot) -> None:
    """Over the whole vocabulary they add up to 1; temperature changes nothing about them."""
    prompt = boot.tokenize(ASKED.format("Say ok."))
    (whole,) = boot.complete(prompt, Sampling(max_tokens=1, top_n=1 << 24)).positions
    assert len(whole.top) == 49152
    assert sum(exp(logprob) for _, logprob in whole.top) == pytest.approx(1, abs=2e-3)
    (some,) = boot.complete(prompt, Sampling(max_tokens=1, top_n=5, temperature=1.5)).positions
    assert some.top == tuple((token, pytest.approx(logprob, abs=1e-4)) for token, logprob in whole.top[:5])


def test_following_costs_one_prompt_token_a_request_and_agrees_with_asking_step_by_step(boot: Boot) -> None:
    prompt = boot.tokenize(ASKED.format("Name a colour."))
    known = said(boot.complete(prompt, Sampling(max_tokens=12, top_n=5)))
    path = boot.tokenize("The colour of the sky at noon is blue.")
    followed = follow(boot, prompt, path, top_n=5, known=known)
    assert followed.timings.processed_tokens == followed.requests
    assert (followed.hidden, followed.unreached) == (0, 0)
    steps = [boot.complete((*prompt, *path[:at]), Sampling(max_tokens=1, top_n=5)) for at in range(1, len(path))]
    for found, step in zip(followed.positions[1:], steps, strict=True):
        assert found
        assert found.top == step.positions[0].top


def test_an_arm_that_is_the_reference_repeats_it_to_the_last_digit(boot: Boot) -> None:
    prompt = boot.tokenize(ASKED.format("Name a fruit."))
    boot.complete(prompt, Sampling(max_tokens=1))
    first = said(boot.complete(prompt, Sampling(max_tokens=16, top_n=5)))
    again = follow(boot, prompt, first.tokens, top_n=5)
    assert [position and position.top for position in again.positions] == [p.top for p in first.positions]
    assert again.requests == 5  # 1 + 2 + 4 + 8 + 1 tokens
