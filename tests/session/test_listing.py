"""Sessions at a glance, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

from kvassay.session.importers import sessions_in
from kvassay.session.listing import overview, overviews
from kvassay.types import JsonObject
from session.importers.files import chained, document, jsonl
from session.importers.test_chat import CHAT
from session.importers.test_pi import HEAD, message

USAGE = {"input": 100, "output": 20, "cacheRead": 0, "cacheWrite": 0}


def test_recorded_tokens_calls_and_failures_are_counted(tmp_path: Path) -> None:
    """The longest prompt counts, its answer included; poisoned calls are calls."""
    calls = [
        {"type": "toolCall", "id": "c1", "name": "read", "arguments": {}},
        {"type": "toolCall", "id": "c2", "name": "read", "arguments": "{"},
    ]
    entries = [
        message("user", "one"),
        message("assistant", calls, usage=USAGE),
        message("toolResult", "no", toolCallId="c1", isError=True),
        message("assistant", [{"type": "text", "text": "x"}], usage={"input": 1, "output": 1}),
    ]
    (seen,) = overviews([jsonl(tmp_path, HEAD, *chained(entries), "{")])
    assert (seen.prompt_tokens, seen.estimated) == (120, False)
    assert (seen.turns, seen.calls, seen.failed, seen.poisoned, seen.damaged) == (2, 2, 1, 1, 1)


def test_without_recorded_tokens_they_are_estimated(tmp_path: Path) -> None:
    """And without error flags nothing is said about failures; a compaction makes the prompt shorter."""
    chat = [{"role": "user", "content": "x" * 300}, *CHAT[2:]]
    (seen,) = overviews([document(tmp_path, chat)])
    assert seen.estimated
    assert 100 <= seen.prompt_tokens <= 120
    assert seen.failed is None
    long, compaction = message("user", "x" * 3000), {"type": "compaction", "summary": "S", "firstKeptEntryId": "e1"}
    entries: list[JsonObject] = [long, message("user", "y" * 300), compaction, message("user", "z" * 300)]  # type: ignore[list-item]
    (seen,) = overviews([jsonl(tmp_path, HEAD, *chained(entries))])
    assert (seen.prompt_tokens, seen.compactions) == (1100, 1)


def test_files_that_hold_no_session_are_passed_over(tmp_path: Path) -> None:
    """A missing one too."""
    assert list(overviews([document(tmp_path, {"a": 1}), tmp_path / "missing"])) == []


def test_a_long_session_is_read_in_little_memory(tmp_path: Path) -> None:
    """32 MB of entries with two branches: at most a tenth of it at any time, as JSONL and as one document."""
    entry = json.dumps(message("user", "some words and more of them " * 300))
    path = tmp_path / "long.jsonl"
    with path.open("w") as file:
        file.write(json.dumps(HEAD) + "\n")
        for number in range(4000):
            parent = None if number == 0 else f"e{number - 2 if number in (1000, 3000) else number - 1}"
            file.write(f'{{"id": "e{number}", "parentId": {json.dumps(parent)}, {entry[1:]}\n')
    whole = tmp_path / "long.json"
    with whole.open("w") as file:
        file.write('{"messages": [')
        file.writelines(json.dumps({"role": "user", "content": "words and words " * 500}) + "," for _ in range(4000))
        file.write('{"role": "user", "content": "last"}]}')
    for long in (path, whole):
        (source,) = sessions_in(long)
        tracemalloc.start()
        seen = overview(source)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen.prompt_tokens > 10_000_000
        assert peak_bytes < long.stat().st_size / 10
