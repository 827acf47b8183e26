"""Which calls can't be taken back."""

from __future__ import annotations

import pytest

from kvassay.grade.deeds import deed, executes, irreversible
from kvassay.types import Call, JsonObject


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("write", {"path": "a", "content": "x"}),
        ("edit", {"path": "a", "oldText": "x", "newText": "y"}),
        ("MultiEdit", {"file_path": "a", "edits": [{"old_string": "x", "new_string": "y"}]}),
        ("str_replace_editor", {"command": "create", "path": "a"}),
        ("delete_file", {"path": "a"}),
        ("apply_patch", {"input": "*** Begin Patch"}),
        ("execute_command", {"command": "make"}),
        ("bash", {}),
        ("replace_in_file", {"path": "a", "diff": "------- SEARCH"}),
        ("shell", {"command": ["bash", "-lc", "rm x"]}),
        ("local_shell", {"type": "exec", "command": ["rm", "x"]}),
        ("git_commit", {"message": "x"}),
    ],
)
def test_what_writes_deletes_or_executes_is_irreversible(name: str, arguments: JsonObject) -> None:
    """By the words of its name, its sub-command, or the texts it replaces."""
    assert irreversible(Call(name, arguments))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read", {"path": "a"}),
        ("grep", {"pattern": "x"}),
        ("str_replace_based_edit_tool", {"command": "view", "path": "a"}),
        ("list_directory", {"path": "."}),
        ("shell", {"command": ["bash", "-lc", "ls | head"]}),
        ("local_shell", {"type": "exec", "command": ["grep", "-n", "a > b", "c"]}),
        ("TodoWrite", {"todos": [{"content": "x"}]}),
        ("update_plan", {"plan": []}),
    ],
)
def test_what_only_reads_is_not(name: str, arguments: JsonObject) -> None:
    """An editor that is asked for a view as well."""
    assert not irreversible(Call(name, arguments))


@pytest.mark.parametrize(
    "command",
    ["ls -la", "cat a | grep 'b > c; rm'", "sed -n '1,20p' f.py", "grep -n x y 2>/dev/null | head -3",
     "cd a && git diff HEAD~1", "find . -name '*.ts' -type f", "ls a; ls b\nwc -l c", "sort a | uniq 2>&1", "wc -l < a",
     "[ -f a ] && ps aux"],
)  # fmt: skip
def test_a_command_that_only_looks_is_not_irreversible(command: str) -> None:
    """Each part of a pipeline or list must be known to change nothing; quoted operators are text."""
    assert not irreversible(Call("bash", {"command": command}))
    assert executes(Call("bash", {"command": command}))


@pytest.mark.parametrize(
    "command",
    ["rm x", "ls; rm x", "ls\nrm x", "ls # it\nrm x", "echo hi > f", "echo hi >> f", "cat <<EOF\nx\nEOF",
     "sed -i s/a/b/ f", "sed -n 'w f' x", "find . -delete", "find . -exec rm {} +", "git commit -m x", "echo $(rm x)",
     "echo `rm x`", "(rm x)", "ls &", "A=1 ls", "sort -o f f", "npm test", "git", "echo 'open",
     "tree -o out", "uniq a b", "git grep --open-files-in-pager=x y", "rg --pre x y", "date -s 0", "diff <(rm a) b"],
)  # fmt: skip
def test_any_other_command_is_taken_to_do_something(command: str) -> None:
    """Where in doubt too: substitutions, redirections, unknown programs, quotes that don't end."""
    assert irreversible(Call("bash", {"command": command}))


def test_calls_that_do_the_same_have_the_same_deed() -> None:
    """Whatever the order of parameters and the way a path is written."""
    one = Call("write", {"path": "./src//a.py", "content": "x"})
    assert deed(one) == deed(Call("write", {"content": "x", "path": "src/a.py"}))
    assert deed(one) != deed(Call("write", {"content": "y", "path": "src/a.py"}))
