"""Loops in a session's history, and what is none."""

from __future__ import annotations

import tracemalloc

import pytest

from guard.traffic import Talk
from kvassay.grade.exchanges import Exchange, read_exchanges
from kvassay.grade.loops import Loop, LoopKind, find_loops
from kvassay.guard.contract import Api

APIS = tuple(Api)


def loops(talk: Talk, api: Api = Api.CHAT) -> tuple[Loop, ...]:
    asked = talk.asked(api)
    return find_loops(read_exchanges(asked.messages, limit=64, failed_ids=asked.failed_ids))


def kinds(talk: Talk, api: Api = Api.CHAT) -> list[tuple[LoopKind, int, bool]]:
    return [(loop.kind, loop.count, loop.act) for loop in loops(talk, api)]


@pytest.mark.parametrize("api", APIS)
def test_the_same_call_with_the_same_result_warns_at_three_and_acts_at_five(api: Api) -> None:
    talk, seen = Talk(), []
    for _ in range(5):
        talk.calls("read", {"path": "a.py"}, "x = 1")
        seen.append(kinds(talk, api))
    assert seen[:2] == [[], []]
    assert seen[2:] == [[(LoopKind.IDENTICAL, n, n >= 5)] for n in (3, 4, 5)]


@pytest.mark.parametrize(
    "results",
    [
        [f"2026-11-24T10:00:0{n}Z done pid {4000 + n} in {n}.5s" for n in range(3)],
        [f"listening on http://localhost:{5000 + n}, object at 0x7f00dead{n:04x}" for n in range(3)],
        [f"wrote /tmp/pytest-of-me/pytest-{n}/out.txt" for n in range(3)],
        [f"job 0b6f2f3e-1c4d-4c2a-9d4e-00000000000{n} done" for n in range(3)],
    ],
)
def test_volatile_fields_do_not_hide_a_loop(results: list[str]) -> None:
    talk = Talk()
    for result in results:
        talk.calls("bash", {"command": "make"}, result)
    assert kinds(talk) == [(LoopKind.IDENTICAL, 3, False)]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("tag", ["environment_details", "system-reminder", "total_tokens"])
def test_what_the_client_adds_to_every_message_is_no_word_of_the_users_and_hides_no_loop(api: Api, tag: str) -> None:
    """Cline and Roo Code tell the time and the cost with each result, Claude Code the tokens left and a to-do list."""
    aside, within = Talk(), Talk()
    for n in range(3):
        note = f"<{tag}>\n# Current Cost\n$0.{n}1, {9000 - n} tokens left\n</{tag}>"
        aside.calls("read", {"path": "a.py"}, "x = 1").user(note)
        within.calls("read", {"path": "a.py"}, f"x = 1\n\n{note}")
    assert kinds(aside, api) == kinds(within, api) == [(LoopKind.IDENTICAL, 3, False)]
    assert kinds(aside.user(f"Try b.py. <{tag}>x</{tag}>").calls("read", {"path": "a.py"}, "x = 1"), api) == []


@pytest.mark.parametrize(
    "results",
    [["1 failed", "2 failed", "3 failed"], ["exit code 1", "exit code 2", "exit code 3"], ["a", "a\nb", "a\nb\nc"]],
)
def test_a_result_that_changes_is_no_loop(results: list[str]) -> None:
    talk = Talk()
    for result in results:
        talk.calls("read", {"path": "log.txt"}, result)
    assert kinds(talk) == []


def test_waiting_for_something_that_still_runs_is_never_a_loop() -> None:
    talk = Talk()
    for second in range(40):
        talk.calls("process", {"action": "poll", "sessionId": "s1"}, f"still running, {second}s elapsed")
    assert kinds(talk) == []


def test_asking_a_poll_that_is_not_told_to_wait_loops_only_after_ten() -> None:
    talk, seen = Talk(), []
    for _ in range(20):
        talk.calls("bash", {"command": "git status"}, "nothing to commit")
        seen.append(kinds(talk))
    assert seen[:9] == [[]] * 9
    assert seen[9] == [(LoopKind.IDENTICAL, 10, False)]
    assert seen[19] == [(LoopKind.IDENTICAL, 20, True)]


def test_what_the_user_says_anew_ends_a_loop() -> None:
    talk = Talk()
    for _ in range(2):
        talk.calls("bash", {"command": "make"}, "ok")
    talk.user("Once more, please.").calls("bash", {"command": "make"}, "ok")
    assert kinds(talk) == []


@pytest.mark.parametrize("period", [2, 3, 4, 5, 7, 12])
def test_a_cycle_is_found_from_its_third_round_on(period: int) -> None:
    talk, seen = Talk().calls("read", {"path": "first.py"}), []
    for step in range(5 * period):
        talk.calls("edit", {"path": f"{step % period}.py", "old_string": "a", "new_string": "b"}, "done")
        seen.append(kinds(talk))
    assert [found for found in seen[: 3 * period - 1] if found] == []
    assert seen[3 * period - 1] == [(LoopKind.CYCLE, 3, False)]
    assert seen[-1] == [(LoopKind.CYCLE, 5, True)]


def test_a_cycle_that_changes_in_one_place_is_none() -> None:
    talk = Talk()
    for step in range(40):
        talk.calls("read", {"path": f"{step % 5}.py"}, f"text {step}" if step % 5 == 2 else "text")
    assert kinds(talk) == []


def test_the_same_six_of_the_last_ten_calls_are_a_loop_whatever_lies_between() -> None:
    talk, seen = Talk(), []
    for other in ("", "a", "", "", "b", "", "c", "", "d", ""):
        talk.calls("grep", {"pattern": other}, "text") if other else talk.calls("read", {"path": "x.py"}, "text")
        seen.append(kinds(talk))
    assert seen[:-1] == [[]] * 9
    assert seen[-1] == [(LoopKind.IDENTICAL, 6, True)]


def test_one_test_between_varying_changes_is_work_however_often() -> None:
    talk = Talk()
    for attempt in range(20):
        talk.calls("bash", {"command": f"sed -i s/a/{attempt}/ a.py"}, "")
        talk.calls("bash", {"command": "pytest -x"}, "1 failed")
    assert kinds(talk) == []


def test_failures_on_one_file_are_a_correction_loop_although_the_arguments_vary() -> None:
    talk = Talk()
    for attempt in range(5):
        arguments = {"path": "./a.py", "old_string": f"x{attempt}", "new_string": "y"}
        talk.calls("edit", arguments, "Error: old_string not found in file")
        talk.calls("read", {"path": "a.py"}, f"text seen {attempt}")
    talk.calls("edit", {"path": "a.py", "old_string": "x9", "new_string": "y"}, "Error: old_string not found in file")
    assert [(loop.kind, loop.count, loop.act, loop.tool) for loop in loops(talk)] == [
        (LoopKind.CORRECTION, 6, True, "edit")
    ]


def test_failing_tests_between_successful_edits_are_work_and_no_loop() -> None:
    talk = Talk()
    for attempt in range(6):
        talk.calls("bash", {"command": "pytest -x"}, f"test_a failed\nassert {attempt} == 9\nexit code: 1")
        talk.calls("edit", {"path": "a.py", "old_string": f"{attempt}", "new_string": "y"}, "Edited a.py")
    talk.calls("bash", {"command": "pytest -x"}, "exit code: 1")
    assert kinds(talk) == []


def test_searches_that_find_nothing_are_no_failures() -> None:
    talk = Talk()
    for word in ("alpha", "beta", "gamma", "delta"):
        talk.calls("grep", {"pattern": word, "path": "src"}, "No matches found")
    assert kinds(talk) == []


def test_a_result_that_anthropic_marks_as_an_error_is_a_failure() -> None:
    talk = Talk()
    for n in range(3):
        talk.calls("edit", {"path": "a.py", "old_string": str(n), "new_string": ""}, "nope", error=True)
    assert kinds(talk, Api.MESSAGES) == [(LoopKind.CORRECTION, 3, False)]
    assert kinds(talk, Api.CHAT) == []


def test_the_tool_behind_a_tool_search_is_the_one_that_loops() -> None:
    talk = Talk()
    for n in range(3):
        arguments = {"id": "notes_edit", "args": {"path": "n.md", "old_string": str(n)}}
        talk.calls("tool_call", arguments, "Error: not found")
    assert [(loop.kind, loop.tool) for loop in loops(talk)] == [(LoopKind.CORRECTION, "notes_edit")]


def test_long_results_are_not_kept_when_they_have_been_compared() -> None:
    """What is remembered between turns to be quick is a few MB, whatever the sessions' tools returned."""
    tracemalloc.start()
    try:
        for n in range(40):
            one, other = (Exchange("bash", "{}", "", f"{n}{word}" + "done\n" * 200_000) for word in ("a", "b"))
            assert not one.same(other)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 10_000_000
