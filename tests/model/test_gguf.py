"""GGUF headers: what is read, what is refused, and that nothing else happens."""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvassay.errors import ModelFileError
from kvassay.model.gguf import (
    BLOCK_SIZES,
    GGUFHeader,
    HeadDims,
    HeaderTruncatedError,
    TensorInfo,
    parse_header,
    read_header,
)
from model.model_fixtures import SMALL, gguf_bytes, gguf_text, small_gguf


def parse(data: bytes) -> GGUFHeader:
    """Parse bytes as a header."""
    return parse_header(data, source="x.gguf")


def test_helpers_read_the_architectures_keys() -> None:
    """The common facts are found under the architecture's prefix."""
    header = parse(gguf_bytes(SMALL))
    assert (header.architecture, header.name, header.chat_template) == ("llama", "Tiny", "{{ messages }}")
    assert (header.context_length, header.block_count, header.head_dims) == (2048, 2, HeadDims(64, 64))


def test_stated_head_dims_win_over_the_quotient() -> None:
    """Key and value lengths are taken as stated where they are."""
    keys = SMALL | {"llama.attention.key_length": (4, 192), "llama.attention.value_length": (4, 128)}
    assert parse(gguf_bytes(keys)).head_dims == HeadDims(192, 128)


def test_missing_facts_are_none() -> None:
    """A header without keys answers None, not an error."""
    header = parse(gguf_bytes())
    assert (header.architecture, header.context_length, header.head_dims, header.chat_template) == (None,) * 4


@pytest.mark.parametrize(
    ("type_id", "value"),
    [
        *((0, 255), (1, -1), (2, 65535), (3, -2), (4, 2**32 - 1), (5, -3), (6, 0.5), (7, True), (8, "né")),
        *((10, 2**64 - 1), (11, -(2**63)), (12, 0.1)),
    ],
)
def test_every_scalar_type_is_read(type_id: int, value: object) -> None:
    """Each of the format's scalar types comes back as it was written, alone and in an array."""
    header = parse(gguf_bytes({"a": (type_id, value), "b": (9, (type_id, [value, value]))}))
    assert header.metadata == {"a": value, "b": (value, value)}
    assert type(header.metadata["a"]) is type(value)


def test_long_arrays_are_counted_and_what_follows_is_read() -> None:
    """Vocabularies leave only their length; the keys after them are there."""
    keys = {"tokens": (9, (8, ["é" * (n % 7) for n in range(2000)])), "types": (9, (5, [1] * 1500)), "z": (4, 7)}
    header = parse(gguf_bytes(keys))
    assert header.array_lengths == {"tokens": 2000, "types": 1500}
    assert header.metadata == {"z": 7}


def test_tensor_table_gives_the_size_the_file_must_have() -> None:
    """The required size ends with the last tensor's data, wherever it stands in the table."""
    data = gguf_bytes(SMALL, {"b": ((32, 3), 8, 64), "a": ((4, 2), 0, 0), "one": ((), 0, 32)})
    header = parse(data)
    assert header.tensors[0] == TensorInfo("b", (32, 3), 8, 64)
    assert [tensor.n_bytes for tensor in header.tensors] == [3 * 34, 32, 4]
    assert (header.data_offset, header.required_bytes) == (len(data), len(data) + 64 + 102)


def test_a_forks_tensor_type_still_gives_a_lower_bound() -> None:
    """A type that the table doesn't know counts as far as its start."""
    header = parse(gguf_bytes({}, {"w": ((32,), 999, 96)}))
    assert header.tensors[0].n_bytes is None
    assert header.required_bytes == header.data_offset + 96


def test_block_sizes_are_whole_and_give_sane_bits_per_weight() -> None:
    """Every type takes between 1 and 64 bits per element, and no element count is odd for a block format."""
    bits = {type_id: 8 * block.n_bytes / block.elements for type_id, block in BLOCK_SIZES.items()}
    assert (bits[2], bits[8], bits[12], bits[39]) == (4.5, 8.5, 4.5, 4.25)
    assert all(1 <= each <= 64 for each in bits.values())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04" + bytes(99), "not a GGUF"),
        (gguf_bytes(version=1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "claims 9223372036854775808 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "claims 1099511627776 keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("a") + struct.pack("<I", 13) + bytes(8), "type 13"),
        (gguf_bytes({"a": (9, (4, []))}).replace(b"\x04\0\0\0\0\0\0\0", b"\x09\0\0\0\0\0\0\0"), "type 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("a") + struct.pack("<IIQ", 9, 4, 2**62), "elements in 'a'"),
        (gguf_bytes({"general.alignment": (4, 48)}), "not a power of two"),
        (gguf_bytes({"general.alignment": (8, "x")}), "not a power of two"),
        (gguf_bytes({"": (4, 48)}), "empty"),
        (gguf_bytes({}, {"w": ((1,) * 5, 0, 0)}), "5 dimensions"),
    ],
)
def test_hostile_headers_are_refused_with_their_reason(data: bytes, says: str) -> None:
    """What no loader would take raises ModelFileError and names the reason."""
    with pytest.raises(ModelFileError, match=says):
        parse(data)


def test_a_key_that_stands_twice_is_refused() -> None:
    """Two values for one key can't both be meant."""
    once = gguf_bytes({"a": (4, 1), "b": (4, 2)})
    with pytest.raises(ModelFileError, match="'a' is empty or stands there twice"):
        parse(once.replace(b"b" + struct.pack("<I", 4), b"a" + struct.pack("<I", 4)))


@pytest.mark.parametrize("tokens", [3, 2000])
def test_every_truncation_is_called_one(tokens: int) -> None:
    """Cut anywhere inside the header, the error says so: a range reader answers with more bytes."""
    keys = SMALL | {"tokens": (9, (8, ["abc"] * tokens)), "ids": (9, (4, [1] * tokens))}
    whole = gguf_bytes(keys, {"w": ((32, 2), 8, 0)})
    end = len(whole) - 31  # padding to the data section may be missing
    for cut in range(4, end, 1 + end // 400):
        with pytest.raises(HeaderTruncatedError):
            parse(whole[:cut])


@settings(max_examples=400, deadline=2000)
@given(st.data())
def test_mutated_headers_give_a_header_or_a_model_file_error(data: st.DataObject) -> None:
    """Whatever bytes change, the reader ends soon and raises nothing but ModelFileError."""
    keys = SMALL | {"tokens": (9, (8, ["ab"] * 1100)), "heads": (9, (4, [4, 8])), "f": (6, 0.5)}
    raw = bytearray(gguf_bytes(keys, {"w": ((32, 2), 8, 0), "v": ((4,), 0, 96)}))
    near_keys = st.integers(4, 500) | st.integers(len(raw) - 400, len(raw) - 1) | st.integers(0, len(raw) - 1)
    byte = st.sampled_from([0, 1, 4, 7, 8, 9, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
    for at, value in data.draw(st.lists(st.tuples(near_keys, byte), min_size=1, max_size=8)):
        raw[at] = value
    try:
        header = parse(bytes(raw))
    except ModelFileError:
        return
    assert header.required_bytes >= header.data_offset
    assert header.head_dims is None or len(header.head_dims) == 2


@given(st.binary(max_size=200))
def test_random_bytes_after_the_magic_raise_only_model_file_errors(junk: bytes) -> None:
    """Random counts and types are no way out of the error tree."""
    with suppress(ModelFileError):
        parse(b"GGUF\x03\0\0\0" + junk)


def test_a_large_vocabulary_is_counted_and_not_kept(tmp_path: Path) -> None:
    """Long arrays are stepped over: their length is known, their strings are not held."""
    words = [f"tok{n % 997}" for n in range(50_000)]
    path = tmp_path / "big.gguf"
    path.write_bytes(gguf_bytes(SMALL | {"tokenizer.ggml.tokens": (9, (8, words))}))
    header = read_header(path)
    assert header.array_lengths["tokenizer.ggml.tokens"] == 50_000
    assert "tokenizer.ggml.tokens" not in header.metadata


def test_a_header_longer_than_the_limit_ends_in_bounded_time(tmp_path: Path) -> None:
    """A sparse file that claims millions of empty strings is refused within seconds."""
    path = tmp_path / "sparse.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("a") + struct.pack("<IIQ", 9, 8, 60_000_000)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(1 << 30)
    start = time.perf_counter()
    with pytest.raises(ModelFileError, match="longer than"):
        read_header(path)
    assert time.perf_counter() - start < 10


def test_tensor_data_need_not_be_there(tmp_path: Path) -> None:
    """A header alone is enough for planning."""
    path = tmp_path / "head.gguf"
    whole = small_gguf(1 << 16)
    path.write_bytes(whole[: len(whole) - (1 << 15)])
    header = read_header(path)
    assert header.required_bytes == len(whole)
