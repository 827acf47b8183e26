"""Numbers with units as people read them, wherever they are shown."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``48 s``, ``3 min``, ``2 h 05 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:  # noqa: PLR2004  below that, seconds read better
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"  # noqa: PLR2004
