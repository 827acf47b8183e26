"""What the model has seen: views of files rebuilt from reads, writes and edits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.context import Context, failed
from kvassay.types import JsonObject, Message, Tool, ToolCall

TEN = "\n".join(f"line {n}" for n in range(1, 11))


def exchange(name: str, arguments: JsonObject, result: str, id_: str = "c1") -> tuple[Message, Message]:
    """One call and its result."""
    call = ToolCall(id_, name, arguments)
    return Message("assistant", tool_calls=(call,)), Message("tool", result, tool_call_id=id_)


def view_after(*exchanges: tuple[Message, ...]) -> Context:
    """The context after these exchanges."""
    return Context.from_messages([message for pair in exchanges for message in pair], ())


def read(result: str, **arguments: str | int | list[int]) -> tuple[Message, Message]:
    """A read of a.py."""
    return exchange("read_file", {"path": "a.py", **arguments}, result)


@pytest.mark.parametrize("name", ["read", "read_file", "readFile", "view", "open_file", "cat", "Read"])
def test_what_a_reading_tool_returns_is_the_file(name: str) -> None:
    """The tool's name says that it reads, in any spelling; the path parameter says what."""
    assert view_after(exchange(name, {"filePath": "a.py"}, TEN)).files == {"a.py": TEN}


def test_other_tools_results_are_no_views() -> None:
    """A search or a shell's output mentions a file, but is not its text."""
    context = view_after(exchange("search_text", {"path": "a.py"}, TEN), exchange("bash", {"command": "cat a.py"}, TEN))
    assert context.files == {}


@pytest.mark.parametrize(
    "gutter",
    [
        lambda n, line: f"{n:6}\t{line}",
        lambda n, line: f"{n}→{line}",
        lambda n, line: f"{n:05}| {line}",
        lambda n, line: f"{n}|{line}",
        lambda n, line: f"{n}: {line}",
    ],
)
def test_line_numbers_are_taken_off(gutter: Callable[[int, str], str]) -> None:
    """A gutter of line numbers is the tool's, not the file's; indentation stays."""
    lines = ["def f():", "    return 1", "", "x = f()"]
    numbered = "\n".join(gutter(n, line) for n, line in enumerate(lines, start=1))
    assert view_after(read(numbered)).files["a.py"] == "\n".join(lines)
    assert view_after(read(f"<file>\n{numbered}\n\n(End of file)\n</file>")).files["a.py"] == "\n".join(lines)


@pytest.mark.parametrize("text", ["1: one\nand more", "1\tone\n3\tthree", "2024: x\n1999: y", "10|a\n10|b"])
def test_numbers_that_do_not_count_lines_stay(text: str) -> None:
    """Numbers that are the file's own are left alone: not all lines have them, or they don't count up."""
    assert view_after(read(text + "\n" * 8 + "end")).files["a.py"].startswith(text)


def test_a_gutter_says_where_a_part_belongs() -> None:
    """The numbers place a partial read, whatever the arguments are called."""
    context = view_after(read(TEN), read("5\tFIVE\n6\tSIX", from_here=5))
    assert context.files["a.py"].split("\n")[3:7] == ["line 4", "FIVE", "SIX", "line 7"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"offset": 5, "limit": 2},
        {"start_line": 5, "end_line": 6},
        {"view_range": [5, 6]},
        {"offset": "5", "limit": "2"},
        {"lines": "5-6"},
    ],
)
def test_a_partial_read_replaces_its_lines(arguments: dict[str, str | int | list[int]]) -> None:
    """A read of some lines renews those and keeps the others; a notice behind them is not the file's."""
    context = view_after(read(TEN), read("FIVE\nSIX\n\n[4 more lines in file]", **arguments))
    assert context.files["a.py"].split("\n") == [*TEN.split("\n")[:4], "FIVE", "SIX", *TEN.split("\n")[6:]]


@given(st.permutations([(1, 3), (3, 6), (6, 11), (2, 8)]))
def test_parts_in_any_order_make_the_whole(parts: list[tuple[int, int]]) -> None:
    """Overlapping partial reads of an unchanged file add up to the file."""
    lines = TEN.split("\n")
    reads = [read("\n".join(lines[a - 1 : b - 1]), offset=a, limit=b - a) for a, b in parts]
    assert view_after(*reads).files["a.py"] == TEN


def test_unseen_lines_leave_a_gap() -> None:
    """What was not read is not in the view."""
    context = view_after(read("line 1", offset=1, limit=1), read("line 9", offset=9, limit=1))
    assert context.files["a.py"] == "line 1\nline 9"


def test_a_whole_read_replaces_everything() -> None:
    """The newest view counts: what a file no longer holds is gone."""
    assert view_after(read(TEN), read("short\n")).files["a.py"] == "short\n"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("edit", {"path": "a.py", "oldText": "line 2", "newText": "two\nand a half"}),
        ("edit_file", {"file_path": "a.py", "old_string": "line 2", "new_string": "two\nand a half"}),
        ("edit", {"path": "a.py", "edits": [{"oldText": "line 2", "newText": "two\nand a half"}]}),
        (
            "str_replace_based_edit_tool",
            {"command": "str_replace", "path": "a.py", "old_str": "line 2", "new_str": "two\nand a half"},
        ),
    ],
)
def test_an_edit_changes_the_view(name: str, arguments: JsonObject) -> None:
    """After a successful edit the view holds the new text, and later partial reads find their lines moved."""
    context = view_after(read(TEN), exchange(name, arguments, "ok"), read("TEN", offset=11, limit=1))
    assert context.files["a.py"] == TEN.replace("line 2", "two\nand a half").replace("line 10", "TEN")


@pytest.mark.parametrize(
    "result",
    [
        "Error: old_string not found",
        "Could not find the exact text in a.py.",
        "Found 3 occurrences of the text in a.py. The text must be unique.",  # pi
        "Found multiple matches for oldString. Provide more surrounding context to make the match unique.",  # opencode
        "No changes to apply: oldString and newString are identical.",
        "Found 3 matches of the string to replace, but replace_all is false.",  # Claude Code
        "File has not been read yet. Read it first before writing to it.",
        "File has been modified since read, either by the user or by a linter.",
        "The user doesn't want to proceed with this tool use. The tool use was rejected",
        "No replacement was performed. Multiple occurrences of old_str `x` in lines [1, 2].",  # str_replace
    ],
)
def test_a_failed_edit_changes_nothing(result: str) -> None:
    """An edit that the tool refused left the file as it was."""
    arguments: JsonObject = {"path": "a.py", "old_string": "line 2", "new_string": "two"}
    assert view_after(read(TEN), exchange("edit", arguments, result)).files["a.py"] == TEN


@pytest.mark.parametrize("result", ["Found 3 matches", "1 replacement made", "Applied. 0 errors, 2 warnings"])
def test_what_only_counts_is_no_refusal(result: str) -> None:
    """Searches and edits tell how many there were."""
    assert not failed(result)


@pytest.mark.parametrize(("every", "left"), [(False, 1), (True, 0)])
def test_replace_all_replaces_all(*, every: bool, left: int) -> None:
    """``replace_all`` is followed; without it only the first occurrence changes."""
    arguments: JsonObject = {"path": "a.py", "old_string": "x", "new_string": "y", "replace_all": every}
    assert view_after(read("x x"), exchange("edit", arguments, "ok")).files["a.py"].count("x") == left


def test_a_written_file_is_seen_by_its_writer() -> None:
    """The model knows what it wrote."""
    assert view_after(exchange("write", {"path": "b.py", "content": "x = 1\n"}, "ok")).files == {"b.py": "x = 1\n"}


def test_a_change_that_cannot_be_followed_ends_the_view() -> None:
    """Better no view than a stale one."""
    insert: JsonObject = {"command": "insert", "path": "a.py", "insert_line": 3, "insert_text": "new"}
    assert view_after(read(TEN), exchange("str_replace_based_edit_tool", insert, "ok")).files == {}


def test_a_failed_read_is_no_view() -> None:
    """An error message is not the file's text."""
    assert view_after(read("Error: ENOENT: no such file or directory")).files == {}


def test_results_find_their_calls_by_id_and_without_ids_by_order() -> None:
    """Parallel reads keep their own results."""
    calls = tuple(ToolCall(id_, "read", {"path": path}) for id_, path in (("1", "a"), ("2", "b")))
    by_id = [
        Message("assistant", tool_calls=calls),
        Message("tool", "B", tool_call_id="2"),
        Message("tool", "A", tool_call_id="1"),
    ]
    in_order = [Message("assistant", tool_calls=calls), Message("tool", "A"), Message("tool", "B")]
    assert Context.from_messages(by_id, ()).files == Context.from_messages(in_order, ()).files == {"a": "A", "b": "B"}


@pytest.mark.parametrize("path", ["src/a.py", "./src/a.py", "/home/me/src/a.py", "src\\a.py", "src/b/../a.py"])
def test_a_file_is_the_same_however_its_path_is_written(path: str) -> None:
    """Absolute, relative and Windows forms find the same view."""
    assert Context(files={"src/a.py": "x", "lib/a.py": "y"}).view(path) == "x"


def test_an_ambiguous_tail_names_no_file() -> None:
    """``a.py`` may be either of two files, so it is neither."""
    assert Context(files={"src/a.py": "x", "lib/a.py": "y"}).view("a.py") is None


def test_known_views_replace_found_ones() -> None:
    """The session's maker knows the files better than their traces do."""
    context = Context.from_messages([*read("seen")], (), files={"a.py": "known"})
    assert context.files == {"a.py": "known"}


def test_everything_said_is_mentioned() -> None:
    """Prompts, tools, arguments (unescaped too) and results count as said; nothing else does."""
    messages = [
        Message("system", "SYSTEM"),
        Message("user", "USER"),
        *exchange("run", {"cmd": 'say "hi"', "deep": [{"id": 4711}]}, "RESULT"),
    ]
    context = Context.from_messages(messages, [Tool("deploy", "DESCRIPTION", {"enum": ["blue-green"]})])
    for value in ("SYSTEM", "USER", 'say "hi"', "4711", "RESULT", "deploy", "DESCRIPTION", "blue-green"):
        assert context.mentions(value), value
    assert not context.mentions("src/never.py")
