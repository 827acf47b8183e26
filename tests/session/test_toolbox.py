"""Tools of a session whose agent did not record them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.schema import schema_fault, schema_problem
from kvassay.session.toolbox import reconstructed, toolbox
from kvassay.types import JsonObject, Tool
from session.transcripts import calls, transcript

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)
arguments = st.dictionaries(st.sampled_from(["path", "limit", "edits"]), values)
STRICT = Tool("run", "", {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]})


@given(st.lists(arguments, min_size=1, max_size=8))
def test_a_reconstructed_schema_takes_all_that_it_was_made_from(seen: list[JsonObject]) -> None:
    """And is itself a schema."""
    tool = reconstructed("read", seen)
    assert schema_problem(tool) is None
    assert [schema_fault(tool, each) for each in seen] == [None] * len(seen)


def test_it_claims_no_more_than_it_saw() -> None:
    """Types are known; other parameters may exist; a few calls make nothing required."""
    tool = reconstructed("read", [{"path": "a", "limit": 1}, {"path": "b"}])
    assert schema_fault(tool, {"path": 3}) is not None
    assert schema_fault(tool, {"other": 3}) is None
    often = reconstructed("read", [{"path": "a", "limit": 1}] + [{"path": "b"}] * 4)
    assert schema_fault(often, {"limit": 1}) is not None
    assert schema_fault(often, {"path": "c"}) is None


def test_what_was_called_but_not_declared_is_reconstructed_and_marked() -> None:
    """Given tools come before recorded ones."""
    said = calls(("run", {"command": "ls"}), ("read", {"path": "a"}))
    assert toolbox(transcript(said)).reconstructed == {"run", "read"}
    box = toolbox(transcript(said, tools=(Tool("old", "", {}),)), [STRICT])
    assert [tool.name for tool in box.tools] == ["run", "read"]
    assert box.reconstructed == {"read"}
    assert toolbox(transcript(said, tools=(STRICT,))).tools[0] == STRICT


def test_another_versions_schema_is_told_by_the_calls_it_refuses() -> None:
    """Where it takes less than half of them; a single slip of the model disproves nothing."""
    slip, fine = calls(("run", {"cmd": "ls"})), calls(("run", {"command": "ls"}))
    assert toolbox(transcript(slip, fine), [STRICT]).disproved == set()
    box = toolbox(transcript(slip, slip, fine), [STRICT])
    assert box.disproved == box.reconstructed == {"run"}
    assert schema_fault(box.tools[0], {"cmd": "ls"}) is None
