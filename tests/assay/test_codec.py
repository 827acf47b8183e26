"""What goes into the store's columns comes back the same."""

from __future__ import annotations

import json
import struct

from hypothesis import given
from hypothesis import strategies as st

from kvassay.assay import codec
from kvassay.types import (
    BootFacts,
    Call,
    Channel,
    ChatReply,
    ParseFault,
    Position,
    Stop,
    Timings,
    Turn,
    WireCall,
)


def joined(text: str) -> str:
    """Surrogates that meet make one character, as JSON has it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


# any code point, lone surrogates included: models write them as escapes within JSON
text = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8).map(joined)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
counts = st.integers(0, 2**40)
timings = st.builds(Timings, counts, counts, st.floats(0, 1e9), counts, st.floats(0, 1e9))
calls = st.lists(st.builds(Call, text, st.dictionaries(text, value, max_size=3)), max_size=2).map(tuple)
faults = st.lists(st.builds(ParseFault, text, text, text), max_size=2).map(tuple)
turns = st.builds(
    Turn, text, text, calls, faults, text, st.booleans(), st.sampled_from(Stop), st.sampled_from(Channel), counts
)
replies = st.builds(
    ChatReply,
    text,
    text,
    st.lists(st.builds(WireCall, text, text), max_size=2).map(tuple),
    st.none() | text,
    st.none() | timings,
    counts,
    text,
)
facts = st.builds(
    BootFacts, text, build=st.none() | text, k_bytes=st.none() | counts, chat_template=text,
    devices=st.lists(text, max_size=2).map(tuple), warnings=st.lists(text, max_size=2).map(tuple),
    stated_by_user=st.booleans(),
)  # fmt: skip
single = st.floats(width=32, allow_nan=False)
ids = st.integers(-1, 2**31 - 1)
positions = st.lists(
    st.builds(Position, ids, text, single, st.lists(st.tuples(ids, single), max_size=3).map(tuple)), max_size=4
).map(tuple)


@given(turns)
def test_turns_come_back(turn: Turn) -> None:
    """Whatever a model said, in text that any UTF-8 column can hold."""
    stored = codec.turn_to_json(turn)
    assert codec.turn_from_json(stored.encode().decode()) == turn


@given(replies)
def test_replies_come_back(reply: ChatReply) -> None:
    """Whatever a server sent."""
    assert codec.reply_from_json(codec.reply_to_json(reply).encode().decode()) == reply


@given(facts)
def test_facts_come_back(boot: BootFacts) -> None:
    """Whatever a boot told of itself."""
    assert codec.facts_from_json(codec.facts_to_json(boot).encode().decode()) == boot


@given(positions)
def test_positions_come_back(path: tuple[Position, ...]) -> None:
    """Token ids, texts and log-probabilities in single precision."""
    assert codec.unpack_positions(codec.pack_positions(path)) == path


def test_llama_cpps_lowest_log_probability_can_be_packed() -> None:
    """It writes the lowest single-precision number for a probability of zero."""
    lowest = struct.unpack("<f", b"\xff\xff\x7f\xff")[0]
    assert codec.unpack_positions(codec.pack_positions([Position(1, "", lowest)]))[0].logprob == lowest


@given(text)
def test_storable_text_is_utf8_and_leaves_other_text_alone(said: str) -> None:
    """Only lone surrogates change."""
    stored = codec.storable(said)
    assert stored.encode().decode() == stored
    assert (stored == said) == (not any("\ud800" <= char <= "\udfff" for char in said))


def test_dumped_json_keeps_unicode_readable() -> None:
    """People read the store and the exports."""
    assert codec.dump({"path": "ü✓", "odd": "\ud83d"}) == '{"path":"ü✓","odd":"\\ud83d"}'
    assert json.loads(codec.dump("\ud83d")) == "\ud83d"
