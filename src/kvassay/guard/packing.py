"""Bodies out of their content encoding."""

from __future__ import annotations

import zlib
from contextlib import suppress

_UNPACKED_BYTES = 64 * 1024 * 1024
_WINDOW_BITS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}  # some servers leave zlib's frame off


def unpacked(body: bytes, encoding: str) -> bytes | None:
    """A body without its content encoding; None for encodings and sizes that are not read (br, zstd; over 64 MiB)."""
    if encoding.lower() in ("", "identity"):
        return body
    for bits in _WINDOW_BITS.get(encoding.lower(), ()):
        with suppress(zlib.error):
            return zlib.decompressobj(bits).decompress(body, _UNPACKED_BYTES)
    return None
