"""A bounded reader of GGUF headers: all keys and the tensor table, never tensor data.

Format: ggml/docs/gguf.md and ggml/src/gguf.cpp of llama.cpp b11434, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from kvassay.errors import ModelFileError

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Scalar | tuple[Scalar, ...]

MAX_HEADER_BYTES = 64 << 20  # real headers reach 20 MB (250k tokens with merges); this bounds time and memory
MAX_KEYS = 4096  # real files have fewer than a hundred
MAX_TENSORS = 131_072  # the largest mixtures with one tensor per expert have some 50,000
KEPT_ARRAY_LENGTH = 1024  # per-layer arrays are kept, vocabularies are only counted
DEFAULT_ALIGNMENT = 32
_MAX_DIMS = 4
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class BlockSize(NamedTuple):
    """How a ggml type is stored: a block of so many elements takes so many bytes."""

    elements: int
    n_bytes: int


# ggml type id → block; GGML_QUANT_SIZES of gguf-py/gguf/constants.py, llama.cpp b11434
BLOCK_SIZES: dict[int, BlockSize] = {
    type_id: BlockSize(elements, n_bytes)
    for elements, members in {
        1: {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2},
        32: {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 9: 36, 20: 18, 39: 17},
        64: {40: 36, 42: 18},
        128: {41: 18},
        256: {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 15: 292, 16: 66, 17: 74, 18: 98, 19: 50}
        | {21: 110, 22: 82, 23: 136, 29: 56, 34: 54, 35: 66},
    }.items()
    for type_id, n_bytes in members.items()
}


class HeaderTruncatedError(ModelFileError):
    """The bytes end before the header does: the file is cut off, or a range read fetched too little."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table. ``dims`` has the fastest-varying dimension first; ``offset`` is in bytes from the
    start of the data section; ``type_id`` is ggml's number.
    """

    name: str
    dims: tuple[int, ...]
    type_id: int
    offset: int

    @property
    def n_bytes(self) -> int | None:
        """Bytes of the tensor's data; None for a type that this table doesn't know (forks add their own)."""
        block = BLOCK_SIZES.get(self.type_id)
        if block is None:
            return None
        elements = 1
        for dim in self.dims:
            elements *= dim
        return elements // block.elements * block.n_bytes


class HeadDims(NamedTuple):
    """Dimensions of one attention head: keys and values."""

    k: int
    v: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """What a GGUF file says of itself.

    ``metadata`` holds every scalar and every array of at most ``KEPT_ARRAY_LENGTH`` elements under its full key;
    longer arrays appear in ``array_lengths`` only. ``data_offset`` is where tensor data starts, in bytes.
    """

    version: int
    metadata: Mapping[str, Value]
    array_lengths: Mapping[str, int]
    tensors: tuple[TensorInfo, ...]
    data_offset: int

    @property
    def required_bytes(self) -> int:
        """The least size of a file that holds all tensors; for types of unknown size, as far as their start."""
        return max((self.data_offset + t.offset + (t.n_bytes or 0) for t in self.tensors), default=self.data_offset)

    @property
    def architecture(self) -> str | None:
        return self._text("general.architecture")

    @property
    def name(self) -> str | None:
        return self._text("general.name")

    @property
    def chat_template(self) -> str | None:
        return self._text("tokenizer.chat_template")

    @property
    def context_length(self) -> int | None:
        """The context the model was trained for, in tokens."""
        return self.integer("context_length")

    @property
    def block_count(self) -> int | None:
        """Layers, as the header counts them."""
        return self.integer("block_count")

    @property
    def head_dims(self) -> HeadDims | None:
        """Head dimensions of full attention: stated, or else embedding length over heads as llama.cpp does."""
        k, v = self.integer("attention.key_length"), self.integer("attention.value_length")
        if k is not None and v is not None:
            return HeadDims(k, v)
        embedding, heads = self.integer("embedding_length"), self.integer("attention.head_count")
        if not embedding or not heads:
            return None
        return HeadDims(k or embedding // heads, v or embedding // heads)

    def get(self, key: str) -> Value | None:
        """The value of an architecture's key, named without its prefix: ``attention.head_count_kv``."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def integer(self, key: str) -> int | None:
        """An architecture's key where it is one whole number, else None."""
        value = self.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None


def read_header(path: Path) -> GGUFHeader:
    """Read a GGUF file's header through a memory map; tensor data is not touched and need not be there.

    Raises ModelFileError where the file can't be read, is no GGUF, or has a header that no loader would take.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                raise ModelFileError(f"{str(path)!r} is empty.", hint="Download it again.")
            with mmap.mmap(file.fileno(), min(size, MAX_HEADER_BYTES), access=mmap.ACCESS_READ) as data:
                return parse_header(data, source=str(path))
    except OSError as error:
        raise ModelFileError(f"{str(path)!r} can't be read: {error.strerror or error}.") from error


def parse_header(data: bytes | mmap.mmap, *, source: str) -> GGUFHeader:
    """Parse the first bytes of a GGUF file; ``source`` names it in messages.

    Raises HeaderTruncatedError where more bytes are needed, ModelFileError where no more bytes would help.
    """
    cursor = _Cursor(data, source)
    version = _preamble(cursor)
    n_tensors, n_keys = cursor.count("tensors", limit=MAX_TENSORS), cursor.count("keys", limit=MAX_KEYS)
    metadata: dict[str, Value] = {}
    array_lengths: dict[str, int] = {}
    for _ in range(n_keys):
        _entry(cursor, metadata, array_lengths)
    alignment = _alignment(cursor, metadata)
    tensors = tuple(_tensor(cursor) for _ in range(n_tensors))
    data_offset = -(-cursor.pos // alignment) * alignment if tensors else cursor.pos
    return GGUFHeader(version, metadata, array_lengths, tensors, data_offset)


class _Cursor:
    """A position in the header's bytes. Every read is checked against their end."""

    __slots__ = ("data", "end", "pos", "source")

    def __init__(self, data: bytes | mmap.mmap, source: str) -> None:
        self.data = data
        self.end = len(data)
        self.pos = 0
        self.source = source

    def bad(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.source!r} has a damaged GGUF header: {what} (byte {self.pos}).", hint=_AGAIN)

    def advance(self, n_bytes: int) -> int:
        """Step over so many bytes and return where they start."""
        start = self.pos
        if n_bytes > self.end - start:
            if self.end >= MAX_HEADER_BYTES:
                raise self.bad(f"it is longer than {MAX_HEADER_BYTES} bytes")
            raise HeaderTruncatedError(
                f"{self.source!r} ends inside its GGUF header, after {self.end} bytes.", hint=_AGAIN
            )
        self.pos = start + n_bytes
        return start

    def u32(self) -> int:
        value: int = _U32.unpack_from(self.data, self.advance(4))[0]
        return value

    def u64(self) -> int:
        value: int = _U64.unpack_from(self.data, self.advance(8))[0]
        return value

    def text(self) -> str:
        """A string; bytes that are not UTF-8 (some vocabularies have them) show as replacement characters."""
        start = self.advance(self.u64())
        return self.data[start : self.pos].decode("utf-8", "replace")

    def scalars(self, code: str, count: int) -> tuple[Scalar, ...]:
        layout = struct.Struct(f"<{count}{code}")
        return layout.unpack_from(self.data, self.advance(layout.size))

    def count(self, what: str, *, limit: int) -> int:
        """A count of things; an absurd one is refused."""
        count = self.u64()
        if count > limit:
            raise self.bad(f"it claims {count} {what}")
        return count

    def skip_strings(self, count: int) -> None:
        """Step over strings without making them: a tenth of a microsecond each."""
        unpack, data, pos = _U64.unpack_from, self.data, self.pos
        try:
            for _ in range(count):
                pos += 8 + unpack(data, pos)[0]
        except (struct.error, OverflowError):  # the next length lies beyond the end
            pos = self.end + 1
        self.advance(pos - self.pos)


_AGAIN = "The download may be incomplete: fetch the file again and compare its SHA-256."


def _preamble(cursor: _Cursor) -> int:
    """Check magic and version."""
    magic = bytes(cursor.data[:4])
    if magic != b"GGUF":
        raise ModelFileError(
            f"{cursor.source!r} is not a GGUF file: it starts with {magic!r}, not b'GGUF'.",
            hint="kvassay runs GGUF models (llama.cpp's format); safetensors and EXL files need converting.",
        )
    cursor.advance(4)
    version = cursor.u32()
    if version & 0xFFFF == 0:
        raise cursor.bad("it is big-endian, which no llama.cpp build here reads")
    if version not in (2, 3):
        raise cursor.bad(f"version {version} is not one of 2, 3")
    return version


def _entry(cursor: _Cursor, metadata: dict[str, Value], array_lengths: dict[str, int]) -> None:
    """Read one key and its value."""
    key = cursor.text()
    if not key or key in metadata or key in array_lengths:
        raise cursor.bad(f"key {key!r} is empty or stands there twice")
    type_id = cursor.u32()
    if type_id != _ARRAY:
        metadata[key] = _values(cursor, key, type_id, 1)[0]
        return
    type_id = cursor.u32()
    length = cursor.count(f"elements in {key!r}", limit=MAX_HEADER_BYTES)
    if length <= KEPT_ARRAY_LENGTH:
        metadata[key] = _values(cursor, key, type_id, length)
        return
    array_lengths[key] = length
    if type_id == _STRING:
        cursor.skip_strings(length)
    else:
        cursor.advance(length * struct.calcsize(_scalar_code(cursor, key, type_id)))


def _values(cursor: _Cursor, key: str, type_id: int, count: int) -> tuple[Scalar, ...]:
    if type_id == _STRING:
        return tuple(cursor.text() for _ in range(count))
    return cursor.scalars(_scalar_code(cursor, key, type_id), count)


def _scalar_code(cursor: _Cursor, key: str, type_id: int) -> str:
    code = _SCALARS.get(type_id)
    if code is None:  # 9 here is an array of arrays, which llama.cpp refuses as well
        raise cursor.bad(f"key {key!r} has type {type_id}, which can't stand there")
    return code


def _alignment(cursor: _Cursor, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0 or value & (value - 1):
        raise cursor.bad(f"general.alignment is {value!r}, not a power of two")
    return value


def _tensor(cursor: _Cursor) -> TensorInfo:
    name = cursor.text()
    n_dims = cursor.u32()
    if n_dims > _MAX_DIMS:
        raise cursor.bad(f"tensor {name!r} has {n_dims} dimensions, more than {_MAX_DIMS}")
    dims = tuple(cursor.u64() for _ in range(n_dims))
    return TensorInfo(name, dims, type_id=cursor.u32(), offset=cursor.u64())
