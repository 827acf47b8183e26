"""One table over all classes, and the order in which they are asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade import Context, grade
from kvassay.types import (
    Call,
    ExpectedCall,
    JsonValue,
    Message,
    Outcome,
    OutcomeClass,
    ParseFault,
    Probe,
    Stop,
    Tool,
    Turn,
)

READ = Tool("read", "", {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]})
EDIT = Tool(
    "edit",
    "",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "old_string": {"type": "string"}, "new_string": {"type": "string"}},
        "required": ["path", "old_string", "new_string"],
    },
)
WRITE = Tool(
    "write",
    "",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
)
TICKET = Tool(
    "get_ticket", "", {"type": "object", "properties": {"ticket": {"type": "string"}}, "required": ["ticket"]}
)
TOOLS = (READ, EDIT, WRITE, TICKET)
FILE = "def total(items):\n    return sum(items)\n"
CONTEXT = Context(files={"src/a.py": FILE}, said=f"src/a.py lib b.py OPS-17 {FILE}")
PROBE = Probe("p", "recall", 1, (Message("user", "?"),), ((ExpectedCall("read", {"path": ("src/a.py",)}),),))
RIGHT = Call("read", {"path": "src/a.py"})


def turn(*calls: Call, faults: tuple[ParseFault, ...] = (), text: str = "…", **other: object) -> Turn:
    """A turn with these calls."""
    return replace(Turn(text, "", calls, faults), **other)  # type: ignore[arg-type]


def graded(given_turn: Turn, probe: Probe = PROBE, context: Context = CONTEXT) -> Outcome:
    """The outcome of a turn."""
    return grade(given_turn, probe, TOOLS, context, max_tokens=256)


def said(name: str, **arguments: JsonValue) -> Turn:
    """A turn with one call."""
    return turn(Call(name, dict(arguments)))


def server(status: int, body: str) -> Turn:
    """A chat endpoint's error."""
    return turn(text=body, status=status)


PEG = "The model produced output that does not match the expected peg-native format"
LOOP = "and so on " * 40


@pytest.mark.parametrize(
    ("given_turn", "kind"),
    [
        (turn(RIGHT), "CORRECT"),
        (turn(faults=(ParseFault("truncated", "ends inside a string"),)), "JSON_INVALID"),
        (turn(faults=(ParseFault("empty", "nothing between the tags"),)), "JSON_INVALID"),
        (turn(faults=(ParseFault("leaked_marker", "<tool_call> in the text"),)), "CALL_LEAKED"),
        (said("reed", path="src/a.py"), "UNKNOWN_TOOL"),
        (said("edit", path="src/a.py"), "MISSING_REQUIRED"),
        (said("read", path=3), "WRONG_TYPE"),
        (said("read", path="src/a.py", encoding="utf-8"), "HALLUCINATED_PARAM"),
        (said("read"), "EMPTY_ARGS"),
        (said("edit", path="src/a.py", old_string="    return sum(item)", new_string="x"), "VERBATIM_MISS"),
        (said("read", path="src/nowhere.py"), "UNGROUNDED_ID"),
        (said("get_ticket", ticket="OPS-18"), "UNGROUNDED_ID"),
        (turn(text=LOOP), "DEGENERATE"),
        (turn(faults=(ParseFault("truncated", "…"),), stop=Stop.LIMIT), "DEGENERATE"),
        (turn(), "WRONG_TOOL"),
        (said("get_ticket", ticket="OPS-17"), "WRONG_TOOL"),
        (said("edit", path="src/a.py", old_string="sum(items)", new_string="x"), "WRONG_TOOL"),
        (said("write", path="src/brand_new.py", content=""), "WRONG_TOOL"),
        (said("read", path="lib/b.py"), "WRONG_VALUE"),
        (turn(RIGHT, RIGHT), "WRONG_VALUE"),
        (server(400, "Failed to initialize samplers: failed to parse grammar"), "SCHEMA_REJECTED"),
        (
            server(400, "JSON schema conversion failed:\nPattern must start with '^' and end with '$'"),
            "SCHEMA_REJECTED",
        ),
        (server(422, "no idea what you want"), "SCHEMA_REJECTED"),
        (server(500, "Failed to parse tool call arguments as JSON: [json.exception…]"), "HISTORY_POISONED"),
        (server(400, "Can only get item pairs from a mapping."), "HISTORY_POISONED"),
        (server(500, PEG), "JSON_INVALID"),
        (server(500, f"{PEG}: missing required parameter 'path'"), "MISSING_REQUIRED"),
        (server(500, """error parsing tool call: raw='{"name": "read", "argu', err=unexpected end"""), "JSON_INVALID"),
        (
            server(500, """error parsing tool call: raw='{"name": "read", "arguments": {}}', err=missing"""),
            "MISSING_REQUIRED",
        ),
        (server(503, "loading model"), "PARSER_FAULT"),
    ],
)
def test_every_class_has_its_turn(given_turn: Turn, kind: str) -> None:
    """One example for each way in which an answer can be right or wrong."""
    assert graded(given_turn).kind is OutcomeClass[kind]


@pytest.mark.parametrize(
    ("given_turn", "kind"),
    [
        (replace(server(400, "failed to parse grammar"), stop=Stop.LIMIT, calls=(RIGHT,)), "SCHEMA_REJECTED"),
        (turn(Call("nope", {}), faults=(ParseFault("truncated", "…"),), text=LOOP), "DEGENERATE"),
        (
            turn(Call("nope", {}), faults=(ParseFault("leaked_object", "…"), ParseFault("stray_tail", "…"))),
            "JSON_INVALID",
        ),
        (turn(Call("nope", {}), faults=(ParseFault("leaked_object", "…"),)), "CALL_LEAKED"),
        (turn(Call("read", {}), Call("nope", {})), "UNKNOWN_TOOL"),
        (turn(Call("edit", {"path": "src/a.py"}), Call("read", {})), "EMPTY_ARGS"),
        (turn(Call("read", {"path": 3}), Call("edit", {"path": "src/a.py"})), "MISSING_REQUIRED"),
        (turn(Call("read", {"path": "src/a.py", "x": 1}), Call("read", {"path": 3})), "WRONG_TYPE"),
        (said("edit", path="src/a.py", old_string="nope", new_string="x", why="src/no.py"), "HALLUCINATED_PARAM"),
        (
            turn(
                Call("read", {"path": "src/nowhere.py"}),
                Call("edit", {"path": "src/a.py", "old_string": "absent", "new_string": "x"}),
            ),
            "VERBATIM_MISS",
        ),
        (said("get_ticket", ticket="OPS-99"), "UNGROUNDED_ID"),
    ],
)
def test_the_first_class_in_order_names_the_outcome(given_turn: Turn, kind: str) -> None:
    """Where several things are wrong, docs/outcomes.md says which one counts, in whatever order they stand."""
    assert graded(given_turn).kind is OutcomeClass[kind]


def test_a_right_call_is_right_however_repetitive() -> None:
    """A file may hold a hundred equal lines; only a call that also ran to the limit is a loop."""
    content = "row = table.next()\n" * 20
    probe = replace(PROBE, expected=((ExpectedCall("write", {"path": ("b.py",), "content": (content,)}),),))
    right = turn(Call("write", {"path": "b.py", "content": content}), text=content)
    assert graded(right, probe).correct
    assert graded(replace(right, stop=Stop.LIMIT), probe).kind is OutcomeClass.DEGENERATE
    assert graded(right).kind is OutcomeClass.DEGENERATE


def test_no_call_is_right_where_none_is_wanted() -> None:
    """Prose is the right answer to a question that needs no tool."""
    probe = replace(PROBE, expected=((),))
    assert graded(turn(), probe).correct
    assert graded(turn(RIGHT), probe).kind is OutcomeClass.WRONG_TOOL


def test_a_call_in_another_dialect_is_graded_by_what_it_says() -> None:
    """Coder models answer in fences although their template says otherwise: raw, the call itself counts."""
    assert graded(turn(RIGHT, native=False, dialect="fenced")).correct


def test_the_family_s_check_decides_what_is_right() -> None:
    """A check's outcome is final for well-formed calls; None leaves it to the expected calls."""
    miss = Outcome(OutcomeClass.VERBATIM_MISS, "by the family")

    def ask(given_turn: Turn, checked: Outcome | None) -> Outcome:
        return grade(given_turn, PROBE, TOOLS, CONTEXT, check=lambda *_: checked, max_tokens=256)

    assert ask(turn(RIGHT), miss) is miss
    assert ask(turn(), Outcome(OutcomeClass.CORRECT)).correct
    assert ask(turn(RIGHT), None).correct
    assert ask(turn(), None).kind is OutcomeClass.WRONG_TOOL
    assert ask(said("reed"), Outcome(OutcomeClass.CORRECT)).kind is OutcomeClass.UNKNOWN_TOOL


def test_a_verbatim_miss_says_how_far_it_is() -> None:
    """The edit distance goes to the nearest stretch of the newest view."""
    outcome = graded(said("edit", path="./src/a.py", old_string="    return sum(item)", new_string="x"))
    assert (outcome.kind, outcome.edit_distance) == (OutcomeClass.VERBATIM_MISS, 1)
    assert "old_string is not in ./src/a.py" in outcome.detail


def test_arguments_nested_without_end_are_an_outcome_too() -> None:
    """The grader is total: no answer of a model raises."""
    deep: JsonValue = 1
    for _ in range(5000):
        deep = [deep]
    tool = Tool(
        "read", "", {"properties": {"path": {"$ref": "#/$defs/l"}}, "$defs": {"l": {"items": {"$ref": "#/$defs/l"}}}}
    )
    outcome = grade(said("read", path=deep), PROBE, [tool], CONTEXT, max_tokens=256)
    assert outcome.kind is OutcomeClass.WRONG_TYPE


json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["read", "edit", "write", "get_ticket", "nope"])
parameters = st.sampled_from(["path", "old_string", "new_string", "content", "ticket", "edits", "x"])
any_calls = st.lists(st.builds(Call, names, st.dictionaries(parameters, json_values, max_size=4)), max_size=3)
any_faults = st.lists(
    st.builds(ParseFault, st.sampled_from(["truncated", "leaked_object"]), st.text(max_size=4)), max_size=1
)


@given(any_calls, any_faults, st.text(max_size=60), st.sampled_from(Stop), st.sampled_from([200, 400, 500]))
def test_any_turn_gets_the_same_outcome_twice(
    calls: list[Call], faults: list[ParseFault], text: str, stop: Stop, status: int
) -> None:
    """Whatever a model says has an outcome, and only the right call is correct."""
    any_turn = Turn(text, "", tuple(calls), tuple(faults), stop=stop, status=status)
    outcome = graded(any_turn)
    assert outcome == graded(any_turn)
    assert not outcome.correct or (status == 200 and calls == [RIGHT] and not faults)
