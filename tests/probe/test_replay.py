"""Recorded turns as probes, and what they are graded by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade import Context, grade
from kvassay.grade.context import CLEARED
from kvassay.probe.replay import EDIT_NAME, NAME, Replay, askable, check, outcomes_of, quotes_of, replay, spread
from kvassay.session.history import Moment, moments
from kvassay.session.masked import masked, redactor_for
from kvassay.session.toolbox import Toolbox, toolbox
from kvassay.session.transcript import Compaction, Entry, Transcript
from kvassay.types import Call, JsonObject, Message, OutcomeClass, ToolCall, Turn
from session.transcripts import EVERYTHING, answer, calls, transcript, user

FILE = "def f():\n    return 1\n"
READ: list[Entry] = [user("Fix src/a.py, see src/b.py."), calls(("read", {"path": "src/a.py"})), answer(FILE)]
EDIT: JsonObject = {"path": "src/a.py", "oldText": "return 1", "newText": "return 2"}


def last(*entries: Entry) -> tuple[Replay, Toolbox]:
    """The probe of the last turn asked."""
    told = transcript(*entries)
    box = toolbox(told)
    return replay(list(askable(moments(told, EVERYTHING)))[-1], box), box


def graded(asked: tuple[Replay, Toolbox], *made: tuple[str, JsonObject]) -> OutcomeClass:
    """The outcome of an answer with these calls."""
    found, box = asked
    turn = Turn("", "", tuple(Call(name, arguments) for name, arguments in made))
    context = Context.from_messages(found.moment.history, box.tools)
    return grade(turn, found.probe, box.tools, context, check=check, max_tokens=100).kind


def test_many_answers_are_right() -> None:
    """The recorded one, another edit that quotes the file, another file to look at."""
    asked = last(*READ, calls(("edit", EDIT)), answer("ok"))
    assert graded(asked, ("edit", EDIT)) is OutcomeClass.CORRECT
    assert graded(asked, ("edit", {**EDIT, "oldText": "def f():\n    return"})) is OutcomeClass.CORRECT
    assert graded(asked, ("read", {"path": "src/b.py"}), ("edit", EDIT)) is OutcomeClass.CORRECT


def test_what_the_session_disproves_is_wrong() -> None:
    """A quote that is not there, a path never named, a parameter of another type, an unknown tool, no call."""
    asked = last(*READ, calls(("edit", EDIT)), answer("ok"))
    assert graded(asked, ("edit", {**EDIT, "oldText": "return  1"})) is OutcomeClass.VERBATIM_MISS
    assert graded(asked, ("read", {"path": "src/c.py"})) is OutcomeClass.UNGROUNDED_ID
    assert graded(asked, ("read", {"path": 1})) is OutcomeClass.WRONG_TYPE
    assert graded(asked, ("write", {"path": "src/a.py"})) is OutcomeClass.UNKNOWN_TOOL
    assert graded(asked) is OutcomeClass.WRONG_TOOL


@pytest.mark.parametrize("path", ["/home/ann/p/src/a.py", "./src/a.py", "/home/ann/p/lib/c.py", "lib/c.py"])
def test_a_path_may_be_put_together_from_what_was_said(path: str) -> None:
    """A working directory and a path below it."""
    asked = last(user("In /home/ann/p: fix src/a.py, see lib/c.py."), *READ[1:], calls(("edit", EDIT)), answer("ok"))
    assert graded(asked, ("read", {"path": path})) is OutcomeClass.CORRECT
    for other in ("/src/a.py", "/home/bob/p/src/a.py", "lib/a.py2"):
        assert graded(asked, ("read", {"path": other})) is OutcomeClass.UNGROUNDED_ID


def test_a_masked_session_is_graded_like_its_original() -> None:
    """A masked path is one that occurred, and a quote that holds a secret stands in the file as it is masked."""
    path, secret = "/home/astrid/p/.env", "hunter2hunter2"
    edit: JsonObject = {"path": path, "oldText": f"{secret}'", "newText": "'"}
    told = masked_transcript(
        user(f"Look at {path}."), calls(("read", {"path": path})), answer(f"DB_PASS='{secret}'\n"),
        calls(("edit", edit)), answer("ok"),
    )  # fmt: skip
    box = toolbox(told)
    asked = replay(list(askable(moments(told, EVERYTHING)))[-1], box), box
    (recorded,) = asked[0].moment.said.message.tool_calls
    assert secret not in str(recorded.arguments)
    assert "astrid" not in str(recorded.arguments)
    assert graded(asked, ("edit", recorded.arguments)) is OutcomeClass.CORRECT
    assert graded(asked, ("read", {"path": recorded.arguments["path"]})) is OutcomeClass.CORRECT
    assert graded(asked, ("read", {"path": path})) is OutcomeClass.UNGROUNDED_ID
    assert graded(asked, ("edit", {**recorded.arguments, "oldText": f"{secret}'"})) is OutcomeClass.VERBATIM_MISS


def masked_transcript(*entries: Entry) -> Transcript:
    told = transcript(*entries)
    return masked(told, redactor_for(told))


def test_an_edit_that_does_not_say_where_is_wrong() -> None:
    """Agents refuse an old text that is empty or stands there twice, unless every place is meant."""
    twice = FILE + "\ndef g():\n    return 1\n"
    asked = last(READ[0], READ[1], answer(twice), calls(("edit", {**EDIT, "oldText": "def f():"})), answer("ok"))
    assert graded(asked, ("edit", {**EDIT, "oldText": "return 1"})) is OutcomeClass.WRONG_VALUE
    assert graded(asked, ("edit", {**EDIT, "oldText": ""})) is OutcomeClass.WRONG_VALUE
    assert graded(asked, ("edit", {**EDIT, "oldText": "return 1", "replaceAll": True})) is OutcomeClass.CORRECT
    assert graded(asked, ("edit", {**EDIT, "oldText": "def g():\n    return 1"})) is OutcomeClass.CORRECT
    shown = last(READ[0], READ[1], answer(twice), calls(("edit", EDIT)), answer("ok"))  # this tool takes the first
    assert graded(shown, ("edit", {**EDIT, "newText": "return 3"})) is OutcomeClass.CORRECT


def test_a_cleared_result_shows_no_file() -> None:
    """The placeholder is not what stands in the file: quotes can't be judged by it."""
    asked = last(READ[0], READ[1], answer(CLEARED), calls(("edit", EDIT)), answer("not found", failed=True))
    assert graded(asked, ("edit", {**EDIT, "oldText": "def f():"})) is OutcomeClass.CORRECT


def test_no_arguments_are_wrong_where_every_call_had_some() -> None:
    """Of a reconstructed schema too."""
    asked = last(*READ, calls(("edit", EDIT)), answer("ok"))
    assert graded(asked, ("edit", {})) is OutcomeClass.EMPTY_ARGS


def test_a_call_that_failed_then_is_wrong_now() -> None:
    """The very same call; with the reason that can be seen, where there is one."""
    asked = last(*READ, calls(("read", {"path": "src/b.py"})), answer("no such file", failed=True))
    assert graded(asked, ("read", {"path": "src/b.py"})) is OutcomeClass.WRONG_VALUE
    assert graded(asked, ("read", {"path": "src/a.py"})) is OutcomeClass.CORRECT
    assert asked[0].probe.tags == ("schema-reconstructed", "recorded-call-failed")
    missed = {**EDIT, "oldText": "return 7"}
    asked = last(*READ, calls(("edit", missed)), answer("not found", failed=True))
    assert graded(asked, ("edit", missed)) is OutcomeClass.VERBATIM_MISS
    assert "recorded-quote-missed" in asked[0].probe.tags


def test_without_a_flag_nothing_is_proven() -> None:
    """The recorded call is then judged as any other."""
    asked = last(*READ, calls(("read", {"path": "src/b.py"})), answer("?", failed=None))
    assert graded(asked, ("read", {"path": "src/b.py"})) is OutcomeClass.CORRECT


def test_what_the_recorded_call_shows_to_be_no_rule_is_not_asked() -> None:
    """An edit that succeeded against our view of the file, a path that was guessed rightly."""
    stale = last(*READ, calls(("edit", {**EDIT, "oldText": "return 7"})), answer("ok"))
    assert graded(stale, ("edit", {**EDIT, "oldText": "return 8"})) is OutcomeClass.CORRECT
    guessed = last(*READ, calls(("read", {"path": "lib/z.py"})), answer("z"))
    assert graded(guessed, ("read", {"path": "lib/y.py"})) is OutcomeClass.CORRECT


def test_edits_that_quote_what_was_seen_are_a_family_of_their_own() -> None:
    """With the distance to the newest message that shows the text."""
    found, _ = last(*READ, calls(text="Aha."), user("Go on."), calls(("edit", EDIT)))
    (quote,) = found.quotes
    assert (found.probe.family, found.probe.id) == (EDIT_NAME, f"{EDIT_NAME}/3")
    assert (quote.chars, quote.messages_back) == (len("return 1"), 3)
    assert quote.chars_back == len("\n") + len("Aha.") + len("Go on.")
    other, _ = last(*READ, calls(("edit", {**EDIT, "oldText": "never seen"})))
    assert (other.probe.family, other.quotes) == (NAME, ())


def test_text_just_written_was_seen_too() -> None:
    """A file that the model wrote is shown by its own call, in a list of edits as well."""
    wrote = Message("assistant", "", (ToolCall("c", "write", {"path": "a", "content": 'say("x")\n'}),))
    edit = ToolCall("c", "edit", {"path": "a", "edits": [{"oldText": 'say("x")', "newText": ""}]})
    (quote,) = quotes_of(edit, [wrote, Message("tool", "ok")])
    assert (quote.parameter, quote.messages_back) == ("edits[0].oldText", 2)


def test_only_whole_turns_with_calls_are_asked() -> None:
    """Not talk, not what was broken off, not what was poisoned, not what has nothing in front, or the model itself."""
    run: tuple[str, JsonObject] = ("run", {})
    entries = [user("x"), calls(text="talk"), calls(run, stop="aborted"), calls(run, poisoned=True), user("y"),
               calls(run), calls(run)]  # fmt: skip
    assert [m.number for m in askable(moments(transcript(*entries), EVERYTHING))] == [4]
    assert list(askable(moments(transcript(calls(run), system=None), EVERYTHING))) == []


def test_results_belong_to_their_calls_by_id_or_by_order() -> None:
    """A call without a result proves nothing."""
    two = calls(("run", {}), ("run", {}))
    (moment,) = moments(transcript(two, answer("x", id_="c1", failed=True)), EVERYTHING)
    assert outcomes_of(moment) == (None, False)


def test_tags_say_what_was_done_to_the_history() -> None:
    """A compaction before the turn, a poisoned call taken out of what it kept."""
    found, _ = last(user("x"), calls(poisoned=True), Compaction((), 1, "x"), user("y"), calls(("run", {})))
    assert set(found.probe.tags) == {"after-compaction", "history-mended", "schema-reconstructed"}


def at_depths(depths: list[int]) -> list[Moment]:
    said = calls(("run", {}))
    return [Moment(number, (), said, (), depth) for number, depth in enumerate(depths)]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(1, 70))
def test_selected_turns_are_distinct_and_in_the_sessions_order(depths: list[int], n: int) -> None:
    """As many as asked for, or all; the shallowest and the deepest among them."""
    found = spread(at_depths(depths), n)
    numbers = [moment.number for moment in found]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(n, len(depths))
    chosen = [moment.history_tokens for moment in found]
    assert min(depths) in chosen
    assert n == 1 or max(depths) in chosen


@pytest.mark.parametrize("crowd", [0, 990])
def test_selection_spreads_over_depth_not_over_turns(crowd: int) -> None:
    """Many turns at one depth don't take the others' places."""
    depths = [crowd + at // 100 for at in range(900)] + [0, 250, 500, 750, 1000]
    chosen = {moment.history_tokens for moment in spread(at_depths(depths), 5)}
    assert {250, 500, 750} <= chosen
