"""Attached engines on a real server: ik_llama.cpp speaks as llama.cpp does, so that its engine can ask the embedded
server, started by a command of --serve.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from kvassay.backend import embedded_child
from kvassay.backend.attached import Attached
from kvassay.backend.base import Boot, Sampling
from kvassay.backend.engines.ik_llama import IkLlama
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig, Message

pytestmark = pytest.mark.real

MESSAGES = (Message("user", "Say these words again: alpha, beta."),)


@pytest.fixture(scope="module")
def model() -> Path:
    """The smallest real model, fetched the way users fetch it."""
    return resolve("smollm2-135m").path


@pytest.fixture(scope="module")
def backend(model: Path) -> Attached:
    """The engine with a command that starts the embedded server for a pair, and the model's file as tokenizer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = embedded_child.ChildConfig(
        str(model), "{k}", "{v}", context_tokens=512, flash_attention=-1, threads=2, gpu_layers=None, port=port
    )
    command = f"{sys.executable} -P {embedded_child.__file__} '{json.dumps(asdict(config))}'"
    return Attached(IkLlama(), url=f"http://127.0.0.1:{port}", serve=command, tokenizer=model)


@pytest.fixture(scope="module")
def boot(backend: Attached) -> Iterator[Boot]:
    """A boot of a mixed pair."""
    with backend.open(Arm(KVConfig("q8_0", "q4_0")), context_tokens=400) as boot:
        yield boot


def test_the_pair_is_read_back_from_the_commands_log(boot: Boot) -> None:
    """Types and bytes come from the log of the user's own command."""
    facts = boot.facts
    assert (facts.k_type, facts.v_type, facts.stated_by_user) == ("q8_0", "q4_0", False)
    assert facts.k_bytes is not None
    assert facts.v_bytes is not None
    assert facts.k_bytes / facts.v_bytes == pytest.approx(8.5 / 4.5, rel=0.01)
    assert facts.context_tokens == 512


def test_the_models_file_writes_as_the_server_would(boot: Boot) -> None:
    """A GGUF file as pen makes the prompt, the ids and the text that the server's own template and tokenizer make."""
    text = boot.render(MESSAGES, [])
    tokens = boot.tokenize(text)
    lent = IkLlama().pen(boot._line, boot._met)  # type: ignore[attr-defined]
    assert lent is not None
    assert lent.render(MESSAGES, []) == text
    assert lent.tokenize(text) == tokens
    assert boot._pen.detokenize(tokens) == text  # type: ignore[attr-defined]


def test_the_prompt_cache_is_used_and_counted(boot: Boot) -> None:
    """What was processed once is not processed again; both channels answer."""
    tokens = boot.tokenize(boot.render(MESSAGES, []))
    boot.prefill(tokens)
    answer = boot.complete(tokens, Sampling(max_tokens=4))
    assert answer.text
    assert answer.timings.processed_tokens < len(tokens) // 2
    reply = boot.chat(MESSAGES, [], Sampling(max_tokens=4), stream=True)
    assert reply.content
    assert reply.finish_reason == "length"
    plain = boot.chat(MESSAGES, [], Sampling(max_tokens=4), stream=False)
    assert plain.content == reply.content
