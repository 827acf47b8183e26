"""What the tools do, and what an agent says to a call that went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kvassay.errors import ConfigError
from kvassay.loops.actions import ACTIONS, MAX_HITS, MAX_RESULT_CHARS, Bench, Result, carry_out
from kvassay.loops.families import make
from kvassay.loops.replies import AGENTS, Unread, Wrong, voice_of
from kvassay.loops.workspace import Workspace
from kvassay.session.tools import TOOLS
from kvassay.types import Call, JsonObject

FILES = {"a.py": "one = 1\ntwo = 2\n\n\ndef twice(n):\n    return n * two\n", "pkg/b.py": "two = 2\ntwo_more = 3\n"}
Do = Callable[..., Result]


@pytest.fixture
def space() -> Iterator[Workspace]:
    with Workspace(FILES) as made:
        yield made


def bench(space: Workspace, agent: str = "pi") -> Bench:
    return Bench(space, make("bug", 0), voice_of(agent), {tool.name: tool for tool in TOOLS})


@pytest.fixture
def do(space: Workspace) -> Do:
    def carry(tool: str, agent: str = "pi", **arguments: object) -> Result:
        return carry_out(Call(tool, arguments), bench(space, agent))  # type: ignore[arg-type]

    return carry


def test_a_file_is_read_whole_or_in_part(do: Do) -> None:
    assert do("read_file", file_path="a.py") == Result(FILES["a.py"].rstrip())
    assert do("read_file", file_path="a.py", start_line=2, end_line=2) == Result("two = 2")
    assert do("read_file", file_path="a.py", start_line=-5, end_line=1) == Result("one = 1")
    assert do("read_file", file_path="a.py", start_line=90) == Result("")


def test_listing_and_searching_show_the_files(do: Do) -> None:
    assert do("list_dir", path=".") == Result("     51 a.py\n     21 pkg/b.py")
    assert do("list_dir", path="pkg/") == Result("     21 pkg/b.py")
    assert do("search_text", pattern="two = 2") == Result("a.py:2: two = 2\npkg/b.py:1: two = 2")
    assert do("search_text", pattern="two", path="pkg", max_results=1) == Result("pkg/b.py:1: two = 2")
    assert do("search_text", pattern="(a+)+$") == Result("no matches")
    assert do("find_symbol", query="twice") == Result("a.py:5: def twice(n):")
    assert do("find_symbol", query="two") == Result("a.py:2: two = 2\npkg/b.py:1: two = 2")


def test_an_edit_needs_its_old_text_exactly_once(do: Do, space: Workspace) -> None:
    assert do("edit_file", file_path="a.py", old_string="one = 1", new_string="one = 7").wrong is None
    assert space.files()["a.py"].startswith("one = 7\n")
    for old, new, wrong in (("nine", "9", Wrong.NO_MATCH), ("", "9", Wrong.NO_MATCH), ("two", "2", Wrong.MANY_MATCHES),
                            ("one = 7", "one = 7", Wrong.NO_CHANGE)):  # fmt: skip
        assert do("edit_file", file_path="a.py", old_string=old, new_string=new).wrong is wrong
    assert space.files()["a.py"].count("two") == 2


def test_a_file_is_written_and_the_tests_are_told(do: Do, space: Workspace) -> None:
    assert do("write_file", target_file="new/c.py", content="x = 1\n") == Result("new/c.py: 1 lines written")
    assert space.files()["new/c.py"] == "x = 1\n"
    assert "failed" in do("run_tests", target="tests").text


def test_results_are_cut(do: Do) -> None:
    do("write_file", target_file="long.txt", content="word\n" * 5000)
    shown = do("read_file", file_path="long.txt").text
    assert len(shown) < MAX_RESULT_CHARS + 60
    assert "more characters are not shown" in shown
    assert do("search_text", pattern="word", max_results=10**6).text.count("\n") == MAX_HITS - 1


def test_tools_of_the_tracker_are_declared_but_offline(do: Do) -> None:
    arguments: dict[str, JsonObject] = {
        "list_open": {"what": "tickets"}, "get_ticket": {"ticket": "T"}, "job_status": {"job_id": "1"},
        "update_ticket": {"ticket": "T", "status": "done"}, "job_logs": {"job_id": "1", "stream": "stderr"},
        "start_job": {"name": "n", "resources": {"cpus": 1, "memory_gb": 1}}, "cancel_job": {"id": "1"},
    }  # fmt: skip
    assert set(arguments) | set(ACTIONS) == {tool.name for tool in TOOLS}
    for tool, given in arguments.items():
        assert do(tool, **given).wrong is Wrong.OFFLINE


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "pkg", "~root/.ssh/id"])
def test_no_tool_reaches_outside(do: Do, path: str) -> None:
    for result in (
        do("read_file", file_path=path),
        do("edit_file", file_path=path, old_string="a", new_string="b"),
        do("write_file", target_file=path, content="b"),
    ):
        assert result.wrong is Wrong.REFUSED
        assert result.text.startswith(f"error: {path}: ")
    if path != "pkg":
        assert do("list_dir", path=path).wrong is Wrong.REFUSED
        assert do("search_text", pattern="root", path=path).wrong is Wrong.REFUSED


def test_a_very_long_path_is_shown_in_part(do: Do) -> None:
    assert len(do("read_file", file_path="x" * 100_000).text) < 500


def test_an_unknown_parameter_is_passed_over_as_agents_do_but_a_missing_one_is_not(do: Do) -> None:
    assert do("read_file", file_path="a.py", why="so").wrong is None
    assert do("read_file", path="a.py").wrong is Wrong.BAD_ARGUMENTS
    assert do("read_file").wrong is Wrong.BAD_ARGUMENTS
    assert do("read_file", file_path=3).wrong is Wrong.BAD_ARGUMENTS


SAID = {
    ("opencode", Wrong.UNKNOWN_TOOL): "The arguments provided to the tool are invalid: Model tried to call unavailable "
    "tool 'grep'. Available tools: read_file, ",
    ("opencode", Wrong.BAD_ARGUMENTS): "The read_file tool was called with invalid arguments: ",
    ("opencode", Wrong.NO_FILE): "File not found: no.py",
    ("opencode", Wrong.NO_MATCH): "Could not find oldString in the file. It must match exactly",
    ("opencode", Wrong.MANY_MATCHES): "Found multiple matches for oldString. Provide more surrounding context",
    ("opencode", Wrong.NO_CHANGE): "No changes to apply: oldString and newString are identical.",
    ("qwen-code", Wrong.UNKNOWN_TOOL): 'Tool "grep" not found in registry. Tools must use the exact names',
    ("qwen-code", Wrong.BAD_ARGUMENTS): "params ",
    ("qwen-code", Wrong.NO_FILE): "File not found: no.py",
    ("qwen-code", Wrong.NO_MATCH): "Failed to edit, 0 occurrences found for old_string in a.py. No edits made.",
    ("qwen-code", Wrong.MANY_MATCHES): "Failed to edit. Found 2 occurrences for old_string in a.py but replace_all",
    ("qwen-code", Wrong.NO_CHANGE): "No changes to apply. The old_string and new_string are identical in file: a.py",
    ("pi", Wrong.UNKNOWN_TOOL): "Tool grep not found",
    ("pi", Wrong.BAD_ARGUMENTS): 'Validation failed for tool "read_file":\n  - ',
    ("pi", Wrong.NO_FILE): "File not found: no.py",
    ("pi", Wrong.NO_MATCH): "Could not find the exact text in a.py. The old text must match exactly including all",
    ("pi", Wrong.MANY_MATCHES): "Found 2 occurrences of the text in a.py. The text must be unique.",
    ("pi", Wrong.NO_CHANGE): "No changes made to a.py. The replacement produced identical content.",
    ("codex", Wrong.UNKNOWN_TOOL): "unsupported call: grep",
    ("codex", Wrong.BAD_ARGUMENTS): "failed to parse function arguments: ",
    ("codex", Wrong.NO_FILE): "no.py: No such file or directory",
    ("codex", Wrong.NO_MATCH): "apply_patch verification failed: Failed to find expected lines in a.py:\nnine",
    ("codex", Wrong.MANY_MATCHES): "apply_patch verification failed: 2 places in a.py",
    ("codex", Wrong.NO_CHANGE): "apply_patch verification failed: nothing changes in a.py",
}
CALLS: dict[Wrong, tuple[str, JsonObject]] = {
    Wrong.UNKNOWN_TOOL: ("grep", {}),
    Wrong.BAD_ARGUMENTS: ("read_file", {"file_path": 3}),
    Wrong.NO_FILE: ("read_file", {"file_path": "no.py"}),
    Wrong.NO_MATCH: ("edit_file", {"file_path": "a.py", "old_string": "nine", "new_string": "9"}),
    Wrong.MANY_MATCHES: ("edit_file", {"file_path": "a.py", "old_string": "two", "new_string": "9"}),
    Wrong.NO_CHANGE: ("edit_file", {"file_path": "a.py", "old_string": "one", "new_string": "one"}),
}


@pytest.mark.parametrize(("agent", "wrong"), SAID)
def test_each_agent_answers_in_its_own_words(do: Do, agent: str, wrong: Wrong) -> None:
    tool, arguments = CALLS[wrong]
    result = do(tool, agent, **arguments)
    assert result.wrong is wrong
    assert result.text.startswith(SAID[agent, wrong])


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("wrong", Wrong)
def test_every_agent_has_words_for_everything(agent: str, wrong: Wrong) -> None:
    values = dict.fromkeys(("tool", "tools", "path", "count", "text", "problem", "arguments"), "{braces} stay")
    said = voice_of(agent).say(wrong, **values)
    assert said or (wrong is Wrong.MALFORMED and voice_of(agent).unread is Unread.RESEND)


def test_openclaw_speaks_like_pi_and_stops_after_one_more_try() -> None:
    assert AGENTS["openclaw"].words == AGENTS["pi"].words
    assert (AGENTS["openclaw"].unread, AGENTS["openclaw"].resends) == (Unread.RESEND, 1)


def test_an_unknown_agent_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown agent 'aider'") as caught:
        voice_of("aider")
    assert "opencode, qwen-code, pi, codex, openclaw" in str(caught.value)
