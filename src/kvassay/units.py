"""Numbers with units as people read and write them, wherever they are shown or given."""

from __future__ import annotations

import re

_DEPTH_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


def duration(seconds: float) -> str:
    """``48 s``, ``3 min``, ``2 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:  # noqa: PLR2004  below that, seconds read better
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"  # noqa: PLR2004


def depth_words(tokens: int) -> str:
    """A depth as people say it: ``2k``, ``32k``, ``1,500``; ``alone`` where no session stands in front."""
    if tokens == 0:
        return "alone"
    for thousand in (1024, 1000):
        if tokens % thousand == 0:
            return f"{tokens // thousand}k"
    return f"{tokens:,}"


def signed_points(difference: float) -> str:
    """A difference of proportions in percentage points: ``−75.0``, ``+4.2``."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}".replace("-", "−")  # + 0.0: no −0.0


def thousands(tokens: int) -> str:
    """Short for a narrow column: ``0.3k``, ``8.2k``, ``32k``."""
    return f"{tokens / 1000:.0f}k" if tokens >= 10_000 else f"{tokens / 1000:.1f}k"  # noqa: PLR2004


def tokens(value: object) -> int:
    """A number of tokens as people write it: ``8192``, ``"8k"`` (8 × 1024). Raises ValueError."""
    match = re.fullmatch(r"(\d+)([kKmM]?)", str(value).strip())
    if match is None:
        msg = f"{value!r} is not a number of tokens; write for example 8192 or 8k"
        raise ValueError(msg)
    return int(match[1]) * _DEPTH_UNITS[match[2].lower()]


def mib(size_bytes: int | None) -> str:
    """Bytes as ``448 MiB``; ``–`` where nothing told."""
    if size_bytes is None:
        return "–"
    value = size_bytes / 2**20
    return f"{value:,.0f} MiB" if value >= 10 else f"{value:.2f} MiB"  # noqa: PLR2004 - small models: decimals matter
