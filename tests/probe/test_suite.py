"""Suite files: what is read, and how every bad line is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from kvassay.errors import SuiteError
from kvassay.grade import Context, grade
from kvassay.probe.suite import load_suite, suite_schema
from kvassay.types import Call, ExpectedCall, JsonValue, Message, Turn

DOCS = Path(__file__).parents[2] / "docs" / "suites.md"
READ: JsonValue = {
    "name": "read",
    "parameters": {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "limit": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "why": {"type": "string"},
        },
        "required": ["path", "why"],
    },
}
ANSWER: JsonValue = {"name": "read", "arguments": {"path": ["a.py"]}, "optional": ["why"]}


def case(**changes: JsonValue) -> dict[str, JsonValue]:
    """A good case, with changes; None takes a field away."""
    good: dict[str, JsonValue] = {
        "id": "c1",
        "messages": [{"role": "user", "content": "Read a.py"}],
        "tools": [READ],
        "expected": [[ANSWER]],
    }
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Write lines (objects, or raw bytes) to a suite file."""

    def write(*lines: dict[str, JsonValue] | bytes) -> Path:
        path = tmp_path / "cases.jsonl"
        path.write_bytes(
            b"\n".join(
                line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode() for line in lines
            )
        )
        return path

    return write


def test_the_documented_example_is_a_suite(tmp_path: Path) -> None:
    """What docs/suites.md shows can be copied and run."""
    path = tmp_path / "example.jsonl"
    path.write_text(DOCS.read_text(encoding="utf-8").split("```jsonl\n")[1].split("```")[0], encoding="utf-8")
    loaded = load_suite(path)
    read, talk, two = loaded.probes
    assert (loaded.name, loaded.sha256) == ("example", hashlib.sha256(path.read_bytes()).hexdigest())
    assert (read.id, read.family, read.stands_alone, read.key, read.tags) == (
        "read-1",
        "suite",
        False,
        {"depth": 8000},
        ("read",),
    )
    assert (talk.stands_alone, talk.expected, talk.key) == (True, ((),), {})
    right = (
        Call("label", {"ticket": "OPS-17", "labels": ["urgent", "bug"]}),
        Call("run", {"command": "pytest", "description": "?"}),
    )
    assert grade(Turn("", "", right[::-1]), two, two.tools or (), Context(), max_tokens=256).correct


def test_a_case_becomes_a_probe(suite: Callable[..., Path]) -> None:
    """Messages, tools and accepted values arrive; each case has its own seed."""
    first, second = load_suite(suite(case(), case(id="c2", tags=["x"]))).probes
    assert first.messages == (Message("user", "Read a.py"),)
    assert [tool.name for tool in first.tools or ()] == ["read"]
    assert first.expected == ((ExpectedCall("read", {"path": ("a.py",)}, frozenset({"why"})),),)
    assert (first.seed, second.seed, second.tags) == (0, 1, ("x",))


@pytest.mark.parametrize("nothing", ["no call", "no_call", ["no call"], ["no_call"], [[]]])
def test_no_call_has_several_spellings(suite: Callable[..., Path], nothing: JsonValue) -> None:
    """All of them mean the alternative without calls."""
    assert load_suite(suite(case(expected=nothing))).probes[0].expected == ((),)


@pytest.mark.parametrize(
    ("accepted", "values"),
    [
        ({"path": "a.py"}, {"path": ("a.py",)}),
        ({"path": ["a.py", "b.py"]}, {"path": ("a.py", "b.py")}),
        ({"path": "a.py", "limit": 5}, {"path": ("a.py",), "limit": (5,)}),
        ({"path": "a.py", "tags": [["x", "y"]]}, {"path": ("a.py",), "tags": (["x", "y"],)}),
    ],
)
@pytest.mark.parametrize("key", ["arguments", "parameters"])
def test_accepted_values_are_lists_or_single_values(
    suite: Callable[..., Path], key: str, accepted: JsonValue, values: dict[str, tuple[JsonValue, ...]]
) -> None:
    """What is not a list is the only accepted value, under either key."""
    path = suite(case(expected=[[{"name": "read", key: accepted, "optional": ["why"]}]]))
    assert load_suite(path).probes[0].expected[0][0].arguments == values


def test_bom_crlf_blank_lines_and_foreign_fields_do_no_harm(suite: Callable[..., Path]) -> None:
    """Files from other systems and tools are read; U+2028 inside a string does not end a line."""
    one = json.dumps(case(id="a\u2028b", source="elsewhere"), ensure_ascii=False).encode()
    path = suite(b"\xef\xbb\xbf" + one + b"\r", b"", b"  \r", json.dumps(case()).encode() + b"\r\n")
    assert [probe.id for probe in load_suite(path).probes] == ["a\u2028b", "c1"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "is not a JSON object on one line: Expecting property name enclosed in double quotes at column 2"),
        (b'{"id": NaN}', "is not JSON: it holds NaN"),
        (b"[" * 5000, "is not JSON: nested too deeply"),
        (json.dumps(case(id="\ud83d")).encode(), "\\ud83d is half a character"),
        (b"3", "the case: 3 is not of type 'object'"),
        (b'{"id": "\xff"}', "byte 9 (0xff) is not UTF-8"),
        (case(id=None), "id: is missing"),
        (case(expected=None), "expected: is missing"),
        (case(id=""), "id: "),
        (case(id=7), "id: 7 is not of type 'string'"),
        (case(depth="deep"), "depth: 'deep' is not of type 'integer'"),
        (case(depth=0), "depth: 0 is less than the minimum of 1"),
        (case(depth=True), "depth: True is not of type 'integer'"),
        (case(tags=[1]), "tags[0]: 1 is not of type 'string'"),
        (case(depht=4000), "depht: is no field; did you mean 'depth'?"),
        (case(messages=[]), "messages: "),
        (case(messages=[{"role": "robot"}]), "messages[0].role: 'robot' is not one of"),
        (
            case(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
            "messages[0]: content[0] is 'image_url'",
        ),
        (case(messages=[{"role": "assistant", "content": "Hi"}]), "messages: the last is of role 'assistant'"),
        (
            case(messages=[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]),
            "messages[0]: tool_calls[0].function.arguments is '{', not a JSON object",
        ),
        (case(tools=[{"name": ""}]), "tools[0]: name is ''"),
        (case(tools=[READ, READ]), "tools: 'read' is declared twice"),
        (
            case(tools=[{"name": "f", "parameters": {"type": "objekt"}}]),
            "tools[0].parameters: is no usable JSON Schema",
        ),
        (case(expected=[]), "expected: "),
        (case(expected="none"), "expected: 'none' is not one of ['no call', 'no_call']"),
        (case(expected=[ANSWER]), "expected[0]: "),
        (case(expected=[[{"arguments": {}}]]), "expected[0][0].name: is missing"),
        (
            case(expected=[[{"name": "read", "args": {}}]]),
            "expected[0][0]: Additional properties are not allowed ('args'",
        ),
        (case(expected=[[{"name": "read", "arguments": {"path": []}}]]), "expected[0][0].arguments.path: [] "),
        (case(expected=[[{"name": "reed"}]]), "expected[0][0].name: no tool is called 'reed'; declared: read"),
        (
            case(expected=[[{"name": "read", "arguments": {"path": ["a.py", 3]}, "optional": ["why"]}]]),
            "expected[0][0]: the tool itself refuses what is accepted: path: 3 is not of type 'string'",
        ),
        (
            case(expected=[[{"name": "read", "arguments": {"path": "a", "tags": ["x"]}, "optional": ["why"]}]]),
            "stands in a list of its own",
        ),
        (
            case(expected=[[{"name": "read", "arguments": {"path": "a", "file": "b"}, "optional": ["why"]}]]),
            "read has no parameter 'file'",
        ),
        (case(expected=[[{"name": "read", "arguments": {"path": "a"}}]]), "'why' is a required property"),
    ],
)
def test_a_bad_line_is_named_by_number_field_and_reason(
    suite: Callable[..., Path], line: dict[str, JsonValue] | bytes, says: str
) -> None:
    """The second of three lines is bad; the message says which, where, and why."""
    with pytest.raises(SuiteError) as caught:
        load_suite(suite(case(id="first"), line, case(id="third")))
    where, reason = caught.value.message.split("cases.jsonl: line 2: ")
    assert "\n" not in where
    assert says in reason


def test_an_id_stands_once(suite: Callable[..., Path]) -> None:
    """The second use of an id names the line of the first."""
    with pytest.raises(SuiteError, match="line 3: id: 'c1' stands on line 1 already"):
        load_suite(suite(case(), b"", case()))


def test_all_bad_lines_are_named_up_to_ten(suite: Callable[..., Path]) -> None:
    """One look at the message is enough to mend the file."""
    with pytest.raises(SuiteError) as caught:
        load_suite(suite(*[case(id=str(n), depth=-1) for n in range(13)]))
    lines = caught.value.message.splitlines()
    assert [f"line {n}:" in line for n, line in enumerate(lines[:10], start=1)] == [True] * 10
    assert lines[10].endswith("cases.jsonl: and 3 more bad lines")
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "holds no case"), (b"\n \n", "holds no case"), (b' [\n{"id": 1}]', "begins a JSON array")],
)
def test_what_is_no_suite_at_all_is_said_so(suite: Callable[..., Path], content: bytes, says: str) -> None:
    """An empty file, and the commonest mistake: one JSON array."""
    with pytest.raises(SuiteError, match=says) as caught:
        load_suite(suite(content))
    assert caught.value.hint


def test_a_missing_file_is_one_clear_message(tmp_path: Path) -> None:
    """A path that isn't there, or is a directory."""
    with pytest.raises(SuiteError, match="No such file"):
        load_suite(tmp_path / "none.jsonl")
    with pytest.raises(SuiteError, match="can't be read"):
        load_suite(tmp_path)


def test_the_shipped_schema_is_a_schema() -> None:
    """The JSON Schema that other tools may use is itself valid, and takes the good case."""
    Draft202012Validator.check_schema(suite_schema())
    assert Draft202012Validator(suite_schema()).is_valid(case())
