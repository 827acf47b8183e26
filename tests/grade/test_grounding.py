"""Quotes that are not there, and paths and ids nobody mentioned."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from kvassay.grade.context import Context
from kvassay.grade.grounding import nearest_distance, ungrounded, verbatim_miss
from kvassay.types import Call, JsonObject

TEXT = "\n".join(f"def function_{n}(argument):\n    return argument * {n}  # number {n}" for n in range(60))


@pytest.mark.parametrize(
    ("quote", "distance"),
    [
        ("return argument * 30", 0),
        ("return argumnt * 30", 1),
        ("return argument * 30  # nomber 30", 1),
        ("  return argument *  30  # number 30", 1),
        ("return argument * 30  # number 30\ndef function_31(arg):", 2),
        ("", 0),
    ],
)
def test_the_distance_counts_single_slips(quote: str, distance: int) -> None:
    """A letter lost, changed or added is a distance of one, not of two for the window's other end."""
    assert nearest_distance(quote, TEXT) == distance


@given(st.integers(0, 2000), st.integers(12, 80), st.integers(0, 79))
def test_one_deleted_character_is_at_most_one_away(start: int, length: int, at: int) -> None:
    """Wherever a quote is damaged by one character, the distance says one (or nothing, if it still stands there)."""
    quote = TEXT[start : start + length]
    damaged = quote[: at % length] + quote[at % length + 1 :]
    assert nearest_distance(damaged, TEXT) <= 1


@given(st.text("ab \n", max_size=12), st.text("ab \n", max_size=30))
def test_the_distance_is_the_least_over_all_stretches(quote: str, text: str) -> None:
    """It equals the minimum over every stretch of the text, the empty one included, as rapidfuzz measures it."""
    stretches = [text[a:b] for a in range(len(text) + 1) for b in range(a, len(text) + 1)]
    assert nearest_distance(quote, text) == min(Levenshtein.distance(quote, s) for s in stretches)


def test_a_large_file_takes_no_time() -> None:
    """A text soup of 8,000 characters against a file of 100,000 is measured within seconds, a slip exactly."""
    words = random.Random(7)  # noqa: S311 - test data
    text = "".join(words.choice("abcdefghij (){}=.\n") for _ in range(100_000))
    soup = "".join(words.choice("klmnopqrst (){}=.\n") for _ in range(8_000))
    slip = text[40_000:44_000] + text[44_001:48_000]
    started = time.perf_counter()
    assert nearest_distance(slip, text) == 1
    assert nearest_distance(soup, text) > 3_000
    assert time.perf_counter() - started < 10


FILE = "alpha\nbeta\ngamma\n"
CONTEXT = Context(files={"src/a.py": FILE}, said="src/a.py lib/tools helper.py OPS-17 8f3a 42 see docs/ too")


@pytest.mark.parametrize(
    ("arguments", "missed"),
    [
        ({"path": "src/a.py", "old_string": "beta", "new_string": "x"}, None),
        ({"path": "src/a.py", "old_string": "beta\nGamma", "new_string": "x"}, 1),
        ({"path": "unseen.py", "old_string": "zeta", "new_string": "x"}, None),
        (
            {"path": "src/a.py", "edits": [{"oldText": "beta", "newText": "b"}, {"oldText": "gamm", "newText": "c"}]},
            None,
        ),
        ({"path": "src/a.py", "edits": [{"oldText": "beta", "newText": "b"}, {"oldText": "beta", "newText": "c"}]}, 2),
        ({"path": "src/a.py", "search": "betta", "replace": "x"}, 1),
        ({"path": "src/a.py", "search": "betta"}, None),
    ],
)
def test_old_texts_must_stand_in_the_newest_view(arguments: JsonObject, missed: int | None) -> None:
    """Each old text of an edit, after the edits before it; a search is no quote, an unseen file no measure."""
    outcome = verbatim_miss(Call("edit", arguments), CONTEXT)
    assert (outcome.edit_distance if outcome else None) == missed


@pytest.mark.parametrize(
    ("name", "arguments", "grounded"),
    [
        ("read", {"path": "src/a.py"}, True),
        ("read", {"path": "./src/a.py"}, True),
        ("read", {"path": "lib/tools/helper.py"}, True),
        ("read", {"path": "src/b.py"}, False),
        ("read", {"filePath": "other.py"}, False),
        ("write_file", {"path": "src/new.py", "content": ""}, True),
        ("edit", {"command": "create", "path": "src/new.py"}, True),
        ("search", {"pattern": "src/none.py"}, True),
        ("get", {"ticket": "OPS-17"}, True),
        ("get", {"ticket": "OPS-71"}, False),
        ("get", {"job_id": "9e4b"}, False),
        ("get", {"options": {"ids": ["8f3a", "8f3b"]}}, False),
        ("get", {"id": 42}, True),
        ("get", {"session_id": 4711}, False),
        ("get", {"id": True}, True),
        ("get", {"ticket": "the newest one"}, True),
    ],
)
def test_paths_and_ids_must_have_been_mentioned(name: str, arguments: JsonObject, *, grounded: bool) -> None:
    """In path and id parameters only, at any level; files being created need not exist."""
    assert (ungrounded(Call(name, arguments), CONTEXT) is None) is grounded
