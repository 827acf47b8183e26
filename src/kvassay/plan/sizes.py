"""Sizes of memory as people write them: ``24GiB``, ``24G``, ``16384MiB``, ``24GB``."""

from __future__ import annotations

import re

from kvassay.errors import ConfigError

_UNITS = {"": 1 << 30, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_MOST_BYTES = 1 << 50


def size_bytes(text: str, *, least: int = 1) -> int:
    """Bytes of a size; without a unit GiB are meant. GPUs are sold in GB and hold GiB, so ``24GB`` is 24 GiB too.

    Raises ConfigError for anything else, and for fewer bytes than ``least``.
    """
    match = _SIZE.fullmatch(text.strip())
    found = int(float(match[1]) * _UNITS[match[2].lower()]) if match and (match[2] or not match[3]) else -1
    if not least <= found <= _MOST_BYTES:
        raise ConfigError(f"{text!r} is no size of memory.", hint="Write for example 24GiB, 16384MiB or 24.")
    return found
