"""Recorded logs for the tests."""

from __future__ import annotations

from pathlib import Path


def cassette(name: str) -> str:
    """One recorded log."""
    return (Path(__file__).parent / "cassettes" / f"{name}.log").read_text(encoding="utf-8")
