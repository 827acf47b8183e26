"""Typed reading of a header's hyper-parameters: what llama.cpp's loader would refuse is refused here, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvassay.errors import ModelFileError
from kvassay.model.gguf import GGUFHeader, Value

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS, llama-hparams.h of b11434
_MAX_U32 = 2**32 - 1
_HINT = "The file may be damaged, or written by a converter that llama.cpp doesn't go with: fetch it again."


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one header; ``source`` names it in messages. All readers raise ModelFileError."""

    header: GGUFHeader
    source: str

    def bad(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self.source!r} has a header that no loader would take: {what}.", hint=_HINT)

    def has(self, key: str) -> bool:
        return self._full(key) in self.header.metadata or self._full(key) in self.header.array_lengths

    def has_list(self, key: str) -> bool:
        """Whether the key holds an array, of whatever length."""
        full = self._full(key)
        return full in self.header.array_lengths or isinstance(self.header.metadata.get(full), tuple)

    def u32(self, key: str, default: int | None = None, *, most: int = _MAX_U32) -> int:
        """A whole number from 0; without a ``default`` the key must be there."""
        value = self.header.metadata.get(self._full(key))
        if value is None and not self.has(key):
            if default is None:
                raise self.bad(f"key {self._full(key)!r} is missing")
            return default
        return self._whole(key, value, most)

    def listed(self, key: str, lengths: Sequence[int]) -> tuple[int, ...]:
        """An array of whole numbers or flags, of one of these lengths."""
        value = self.header.metadata.get(self._full(key))
        if not isinstance(value, tuple):
            found = self.header.array_lengths.get(self._full(key))
            what = "is missing or no array" if found is None else f"has {found} elements"
            raise self.bad(f"key {self._full(key)!r} {what}")
        if len(value) not in lengths:
            expected = " or ".join(str(length) for length in dict.fromkeys(lengths))
            raise self.bad(f"key {self._full(key)!r} has {len(value)} elements, expected {expected}")
        return tuple(self._whole(key, int(each) if isinstance(each, bool) else each, _MAX_U32) for each in value)

    def per_layer(self, key: str, n_layers: int, default: Sequence[int]) -> tuple[int, ...]:
        """One number for all layers, or an array with one for each (``get_key_or_arr``)."""
        if not self.has(key):
            return tuple(default)
        if self.has_list(key):
            return self.listed(key, (n_layers,))
        return (self.u32(key),) * n_layers

    def _whole(self, key: str, value: Value | None, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            shown = f"an array of {len(value)}" if isinstance(value, tuple) else repr(value)
            raise self.bad(f"key {self._full(key)!r} is {shown[:80]}, not a whole number from 0 to {most}")
        return value

    def _full(self, key: str) -> str:
        return f"{self.header.architecture}.{key}"
