"""Loops are told from text that repeats itself for a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.degenerate import REPEATS, repeated_text

TABLE = "| a | b | c |\n|---|---|---|\n" + "".join(f"| {n} | x{n} | {n * 7} |\n" for n in range(12))
CODE = "\n".join(f"{' ' * 40}self.value_{n} = compute(first_{n}, second_{n})" for n in range(12))


@pytest.mark.parametrize(
    "text",
    [
        "-" * 120,
        "=" * 80 + "\n" + "title\n" + "=" * 80,
        "    " * 50 + "x",
        "}\n" * 20,
        "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]",
        "0x00, " * 16,
        "\\n" * 30,
        TABLE,
        CODE,
        "he said no no no no no no no no no to all of it, and then went on to speak of something else altogether",
        "",
    ],
)
def test_rulers_indentation_tables_and_zeros_are_no_loops(text: str) -> None:
    """Punctuation, blanks and short rows repeat in any source file."""
    assert repeated_text(text) is None


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("I'll read it: " + "the file " * 30, "the file"),
        ("no no no no no no no no no no", "no"),
        ("!" * 500, "!"),
        ("A" * 400, "AAAA"),
        ("数据" * 100, "数据数据"),
        ('{"name": "read", "arguments": {"path": "a.py"}}\n' * 8, '{"name": "read", "arguments": {"path": "a.py"}}'),
        ("x = 1\ny = 2\nprint(x, y)\n" * 9, "x = 1\ny = 2\nprint(x, y)"),
    ],
)
def test_loops_are_found_with_their_unit(text: str, unit: str) -> None:
    """Words, signs, unbroken letters, other scripts and whole calls said over and over."""
    assert repeated_text(text) == unit


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=1, max_size=10), st.integers(0, 7))
def test_seven_times_is_not_eight(words: list[str], times: int) -> None:
    """The threshold is eight repetitions, whatever the unit: counted over the shortest period of the phrase."""
    distinct = [f"{word}{'xyzwvutsrq'[i]}" for i, word in enumerate(words)]
    phrase = " ".join(distinct) + " "
    assert repeated_text(phrase * times) is None
    assert repeated_text(phrase * REPEATS) is not None
