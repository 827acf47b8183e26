"""Prompts are written once, stored as texts and read back as the same tokens."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from assay.values import TOOL, probe
from kvassay.assay.prompts import STANDS_ALONE, Place, Written, conversation, digest, read, write
from kvassay.backend.base import Boot
from kvassay.backend.scripted import Scripted
from kvassay.errors import StoreMismatch
from kvassay.types import Arm, KVConfig, Message, Probe, Tool

HISTORY = (Message("system", "You code."), Message("user", "Look around."), Message("assistant", "I did. " * 20))
OTHER = Tool("write_file", "Write a file", {"type": "object", "properties": {}})
PLAIN = probe("recall/0")
OWN_SYSTEM = replace(probe("suite/0"), messages=(Message("system", "You test."), Message("user", "And now?")))
OWN_TOOLS = replace(probe("suite/1"), tools=(OTHER,))
ALONE = replace(probe("suite/2"), stands_alone=True, tools=(OTHER,))


@pytest.fixture
def boot() -> Iterator[Boot]:
    with Scripted([""]).open(Arm(KVConfig("f16", "f16")), context_tokens=10_000) as boot:
        yield boot


@pytest.fixture
def written(boot: Boot) -> Written:
    """Two depths and a case without a session."""
    places = [
        Place(STANDS_ALONE, (), (ALONE,)),
        Place(100, HISTORY[:2], (PLAIN,)),
        Place(200, HISTORY, (PLAIN, OWN_SYSTEM, OWN_TOOLS)),
    ]
    return write(boot, places, (TOOL,))


def test_prompts_are_the_servers_own_rendering_token_by_token(boot: Boot, written: Written) -> None:
    """Prefix and suffix put together are what the template makes of the whole conversation."""
    for prompt in written.book.prompts:
        whole = boot.tokenize(boot.render(prompt.messages, prompt.tools))
        assert written.book.tokens(prompt) == whole
        assert prompt.prompt_tokens == len(whole)
        assert prompt.sha256 == digest(whole)


def test_what_is_stored_makes_the_same_book_again(boot: Boot, written: Written) -> None:
    """Nothing but the stored texts is needed to go on."""
    assert read(boot, written.session, written.probes) == written.book


def test_other_tokens_of_the_same_text_are_refused(boot: Boot, written: Written) -> None:
    """The probe is named: the model or the build has changed."""
    changed = [replace(written.probes[-1], suffix_text=written.probes[-1].suffix_text + "!")]
    with pytest.raises(StoreMismatch, match="'suite/1' at 200 tokens"):
        read(boot, written.session, changed)


def test_a_question_shares_the_whole_prefix_of_its_depth(written: Written) -> None:
    """Only its own words are left to be processed; a deeper prefix begins with the one before."""
    shallow, deep = (next(p for p in written.book.prompts if p.depth == depth) for depth in (100, 200))
    for prompt in (shallow, deep):
        assert prompt.shared == len(written.book.prefixes[prompt.depth])
    assert written.book.prefixes[200][: shallow.shared - 20] == written.book.prefixes[100][: shallow.shared - 20]
    assert len(deep.suffix) < 40


def test_a_case_with_a_system_message_of_its_own_takes_the_sessions_place(written: Written) -> None:
    """The model never sees two system messages, and what is shared ends where they differ."""
    prompt = next(p for p in written.book.prompts if p.probe == OWN_SYSTEM)
    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[0].content == "You test."
    assert 0 < prompt.shared < len(written.book.prefixes[200])


@pytest.mark.parametrize(
    ("history", "asked", "expected"),
    [
        (HISTORY, PLAIN, (*HISTORY, *PLAIN.messages)),
        (HISTORY, OWN_SYSTEM, (OWN_SYSTEM.messages[0], *HISTORY[1:], OWN_SYSTEM.messages[1])),
        ((), OWN_SYSTEM, OWN_SYSTEM.messages),
        ((), PLAIN, PLAIN.messages),
    ],
)
def test_a_conversation_is_the_session_and_the_question(
    history: tuple[Message, ...], asked: Probe, expected: tuple[Message, ...]
) -> None:
    """With and without a session, with and without a system message in the probe."""
    assert conversation(history, asked) == expected


def test_a_digest_is_sha256_over_little_endian_int32() -> None:
    """Other tools can compute it."""
    assert digest((1, 2, 300)) == hashlib.sha256(struct.pack("<3i", 1, 2, 300)).hexdigest()
