"""The context ladder: depths are hit, prefixes hold, nothing is said twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kvassay.errors import ConfigError
from kvassay.session.corpus import directory
from kvassay.session.ladder import Ladder, climb
from kvassay.session.tools import TOOLS
from kvassay.types import Message, Tool
from session.sessions import count, ladder, sources

SHELL = Tool(
    "bash",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
PI_EDIT = Tool(
    "edit",
    "Edit a file.",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "edits": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}},
                    "required": ["oldText", "newText"],
                },
            },
        },
        "required": ["path", "edits"],
    },
)
ODD = Tool(
    "ponder",
    "Think.",
    {
        "type": "object",
        "properties": {
            "mood": {"type": "string", "enum": ["calm", "wild"]},
            "weight": {"type": "integer", "minimum": 5},
            "about": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
        },
        "required": ["mood", "weight", "about"],
    },
)


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_every_depth_is_hit_within_two_percent(seed: int) -> None:
    """The prompt tokens in front of the question are those asked for, ± 2 %, whatever the seed."""
    for rung in ladder(seed, 2048, 4096, 8192).rungs:
        assert rung.prompt_tokens == count(rung.scene.messages, rung.scene.tools)
        assert abs(rung.prompt_tokens - rung.depth) <= 0.02 * rung.depth


def test_a_rung_is_a_prefix_of_the_next() -> None:
    """Prompt processing is paid once because each rung's messages begin the next rung's."""
    built = ladder(3, 2048, 4096, 16384)
    lengths = [rung.n_messages for rung in built.rungs]
    assert lengths == sorted(set(lengths))
    assert all(rung.scene.messages == built.messages[: rung.n_messages] for rung in built.rungs)


def test_a_question_can_follow_every_rung() -> None:
    """Each rung ends with the assistant's remark, and users and assistants alternate, as strict templates demand."""
    for rung in ladder(4, 2048, 8192).rungs:
        said = [m.role for m in rung.scene.messages[1:] if m.role != "tool" and not m.tool_calls]
        assert said == ["user", "assistant"] * (len(said) // 2)
        assert rung.scene.messages[-1].role == "assistant"


def test_equal_input_makes_the_equal_session() -> None:
    """Seed, corpus and depths fix every character; another seed makes another session."""
    again = climb(seed=5, tools=None, corpus=sources(), depths=(2048, 4096), count=count)
    assert again == ladder(5, 2048, 4096)
    assert again.sha256 != ladder(6, 2048, 4096).sha256


def test_the_count_is_asked_rarely() -> None:
    """A count costs up to a second: at most eight for each rung."""
    asked = Counter[str]()

    def costly(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
        asked["count"] += 1
        return count(messages, tools)

    climb(seed=7, tools=None, corpus=sources(), depths=(2048, 8192, 32768), count=costly)
    assert asked["count"] <= 3 * 8


def test_nothing_is_said_twice_up_to_128k() -> None:
    """No five lines of source in a row, no table and no remark about another file come again in 128k tokens."""
    built = ladder(8, 131072)
    windows = Counter(window for content in _readings(built) for window in _windows(content))
    assert len(windows) > 2000
    assert [window for window, times in windows.items() if times > 1] == []
    results = Counter(m.content for m in built.messages if m.role == "tool" and m.content.count("\n") > 2)
    assert max(results.values()) == 1


def test_every_call_of_the_history_is_answered_and_valid() -> None:
    """The history shows calls as they should be: declared, schema-valid, each with its own result."""
    _assert_valid(ladder(9, 16384))


@pytest.mark.parametrize("tools", [(SHELL, PI_EDIT), (ODD,), TOOLS[:1], (ODD, *TOOLS[:4])])
def test_the_traffic_speaks_any_agents_tools(tools: tuple[Tool, ...]) -> None:
    """With another tool list the history calls only those tools, with schema-valid arguments."""
    _assert_valid(climb(seed=1, tools=tools, corpus=sources(), depths=(8192,), count=count))


def test_another_agents_edit_is_used_as_its_schema_says() -> None:
    """Edits go into the agent's own edit tool where its parameters mean the same, nested or not."""
    built = climb(seed=1, tools=(SHELL, PI_EDIT), corpus=sources(), depths=(16384,), count=count)
    edits = [call.arguments for message in built.messages for call in message.tool_calls if call.name == "edit"]
    assert edits
    assert all(set(edit) == {"path", "edits"} and len(str(edit["edits"])) > 20 for edit in edits)


def test_views_follow_the_edits() -> None:
    """What a scene holds of a file is what the session showed of it, with every later edit made."""
    scene = ladder(10, 32768).rungs[-1].scene
    edits = [c.arguments for m in scene.messages for c in m.tool_calls if c.name == "edit_file"]
    views = {view.path: view for view in scene.files}
    assert edits
    last = {edit["file_path"]: edit for edit in edits}
    for path, edit in last.items():
        assert str(edit["new_string"]) in views[str(path)].lines
    shown = "\n".join(_readings(ladder(10, 32768))).split("\n")
    untouched = [view for view in scene.files if view.path not in last]
    assert all(line in shown for view in untouched for line in view.lines)


def test_facts_stand_where_they_say() -> None:
    """Every id, path and line number that can be asked back stands in the message it names, once for its key."""
    scene = ladder(11, 32768).rungs[-1].scene
    assert {fact.kind for fact in scene.facts} == {"ticket", "job", "hit"}
    for fact in scene.facts:
        place = f"{fact.value}:{fact.line}: " if fact.line else f"{fact.key}: {fact.value} ("
        rows = [line for line in scene.messages[fact.message].content.splitlines() if line.startswith(place)]
        assert len(rows) == 1
        assert fact.key in rows[0]
    keys = [(fact.kind, fact.key) for fact in scene.facts]
    assert len(set(keys)) == len(keys)


def test_a_depth_below_the_least_session_names_the_smallest() -> None:
    """A depth that system prompt and tools fill already is refused, with a depth that works."""
    with pytest.raises(ConfigError, match="Depth 500 is too small") as caught:
        ladder(1, 500)
    smallest = int(caught.value.hint.rstrip(".").split()[-1])
    assert ladder(1, smallest).rungs[0].depth == smallest


def test_depths_too_close_together_are_refused() -> None:
    """A rung needs room for a reading after the one before it; the message says which is next possible."""
    with pytest.raises(ConfigError, match="too close") as caught:
        ladder(1, 4096, 4100)
    assert "The smallest depth is 4" in caught.value.hint


def test_a_session_without_tools_is_refused() -> None:
    """There is no agent without tools."""
    with pytest.raises(ConfigError, match="at least one tool"):
        climb(seed=1, tools=(), corpus=sources(), depths=(4096,), count=count)


def test_a_flat_repository_works(tmp_path: Path) -> None:
    """Files beside each other in the root, with no folder at all, are searched and read like others."""
    for name in "abcdefgh":
        code = "".join(f"def {name}_step_{i}(source):\n    return source.advance(steps={i})\n\n" for i in range(60))
        (tmp_path / f"module_{name}.py").write_text(code)
    built = climb(seed=1, tools=None, corpus=directory(tmp_path), depths=(8192,), count=count)
    searches = {call.id for m in built.messages for call in m.tool_calls if call.name == "search_text"}
    assert searches
    assert all(m.content for m in built.messages if m.tool_call_id in searches)


def test_a_corpus_too_small_for_the_depth_is_refused(tmp_path: Path) -> None:
    """Rather than repeat itself, the session says that the sources are used up."""
    code = "\n".join(f"def step_{i}(x):\n    return x + {i}\n" for i in range(60))
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(code.replace("step", f"step_{name}"))
    with pytest.raises(ConfigError, match="used up"):
        climb(seed=1, tools=None, corpus=directory(tmp_path), depths=(65536,), count=count)


def _assert_valid(built: Ladder) -> None:
    schemas = {tool.name: Draft202012Validator(tool.parameters) for tool in built.tools}
    pending: list[str] = []
    ids = [call.id for message in built.messages for call in message.tool_calls]
    assert len(set(ids)) == len(ids)
    for message in built.messages:
        for call in message.tool_calls:
            assert schemas[call.name].is_valid(call.arguments), call
            pending.append(call.id)
        if message.role == "tool":
            assert message.tool_call_id == pending.pop()
    assert not pending


def _readings(built: Ladder) -> Iterator[str]:
    """What the reads returned."""
    reads = {call.id for message in built.messages for call in message.tool_calls if call.name == "read_file"}
    return (message.content for message in built.messages if message.tool_call_id in reads)


def _windows(content: str) -> Iterator[tuple[str, ...]]:
    said = [line.strip() for line in content.splitlines() if len(line.strip()) > 3]
    return (tuple(said[i : i + 5]) for i in range(len(said) - 4))
