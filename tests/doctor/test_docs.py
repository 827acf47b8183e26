"""The documentation says what the program does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """The script that writes both pages."""
    spec = importlib.util.spec_from_file_location("doctor_results", ROOT / "benchmarks" / "doctor_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_rules_is_the_table(writer: ModuleType) -> None:
    """Written by the script and up to date."""
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert writer.documented(text) == text


def test_the_results_are_what_the_program_prints(writer: ModuleType) -> None:
    """All five set-ups."""
    assert writer.results() == (ROOT / "docs" / "results" / "doctor" / "README.md").read_text(encoding="utf-8")
