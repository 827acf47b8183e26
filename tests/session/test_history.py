"""What the model was shown before each turn."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.context import CLEARED
from kvassay.session.history import Moment, Room, moments
from kvassay.session.transcript import Branch, Compaction, Entry, Said
from kvassay.types import Message
from session.transcripts import EVERYTHING, answer, calls, transcript, user

exchanges = st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=25)


def session(sizes: list[tuple[int, bool]]) -> list[Entry]:
    entries: list[Entry] = [user("begin")]
    for size, asks in sizes:
        entries += [calls(("run", {})), answer("x" * size)]
        entries += [user("go on")] if asks else []
    return entries


def test_each_turn_has_all_that_came_before_it() -> None:
    """The system prompt first; another one on request."""
    entries = [user("one"), calls(("run", {})), answer("two"), calls(text="three"), user("four")]
    first, second = moments(transcript(*entries), EVERYTHING)
    assert [m.content for m in first.history] == ["Code.", "one"]
    assert [m.content for m in second.history] == ["Code.", "one", "", "two"]
    assert (first.number, [a.message.content for a in first.answers], second.answers) == (1, ["two"], ())
    other, _ = moments(transcript(*entries), EVERYTHING, system="Else.")
    assert other.history[0] == Message("system", "Else.")


def test_a_compaction_replaces_what_its_agent_replaced() -> None:
    """The replacement, then the messages kept; a result whose call is gone is not kept."""
    summary = Message("user", "summary")
    before = [user("one"), calls(("run", {})), answer("two"), user("three")]
    for kept, told in ((0, []), (1, ["three"]), (2, ["three"]), (3, ["", "two", "three"])):
        (_, last) = moments(transcript(*before, Compaction((summary,), kept, "x"), calls(text="4")), EVERYTHING)
        assert [m.content for m in last.history] == ["Code.", "summary", *told]
        assert last.compactions == 1


def test_what_was_taken_out_is_not_made_up_for_over_a_compaction() -> None:
    """Neither a poisoned turn nor a cut brings back older messages, or an earlier summary."""
    one, two = (Compaction((Message("user", summary),), kept, "x") for summary, kept in (("first", 0), ("second", 3)))
    poisoned = [calls(poisoned=True), answer("?", id_="bad")]
    *_, last = moments(transcript(user("one"), one, user("two"), *poisoned, two, calls(text="3")), EVERYTHING)
    assert [m.content for m in last.history] == ["Code.", "second", "two"]
    *_, last = moments(
        transcript(user("one"), one, user("two"), *poisoned, user("four"), two, calls(text="3")), EVERYTHING
    )
    assert [m.content for m in last.history] == ["Code.", "second", "four"]


def test_a_cut_in_what_a_compaction_keeps_is_still_counted() -> None:
    """And none in what it replaced, which the agent itself no longer showed."""
    entries = [user("one")]
    for at in range(6):
        entries += [calls(("run", {"n": at})), answer("x" * 100)]
    entries += [calls(poisoned=True), answer("?", id_="bad"), user("two")]
    room = Room(400, lambda message: len(message.content))
    for kept, counts in ((16, (4, 0, 1)), (10, (1, 0, 1)), (8, (0, 0, 1)), (0, (0, 0, 0))):
        compaction = Compaction((Message("user", "summary"),), kept, "x")
        told = list(moments(transcript(*entries, calls(text="!"), compaction, calls(text="3")), room))
        last = told[-1]
        assert (last.cleared, last.dropped, last.mended) == counts, kept
        assert sum(message.content == CLEARED for message in last.history) == last.cleared


def test_poisoned_calls_and_their_results_are_taken_out() -> None:
    """No server takes them; what is left of the turn stays, and it is counted."""
    entries = [
        user("one"),
        calls(poisoned=True),
        answer("?", id_="bad"),
        calls(text="two", poisoned=True),
        Branch(3, "x"),
    ]
    *_, last = moments(transcript(*entries, calls(text="three")), EVERYTHING)
    assert [m.content for m in last.history] == ["Code.", "one", "two"]
    assert last.mended == 2


def test_the_oldest_results_are_cleared_first() -> None:
    """Down to three quarters of the room; the newest two stay."""
    room = Room(1000, lambda message: len(message.content))
    *_, last = moments(transcript(*session([(300, False)] * 4), calls(text="end"), system=None), room)
    assert [m.content[:9] for m in last.history if m.role == "tool"] == [CLEARED[:9]] * 2 + ["x" * 9] * 2
    assert (last.cleared, last.dropped, last.fits) == (2, 0, True)


def test_where_that_is_not_enough_the_oldest_messages_go() -> None:
    """The user's first words stay, and no result is left without its call."""
    room = Room(100, lambda _: 10)
    entries = [
        user("task"),
        *(entry for _ in range(9) for entry in (calls(("run", {})), answer("x"))),
        calls(text="end"),
    ]
    *_, last = moments(transcript(*entries), room)
    assert [m.content for m in last.history[:2]] == ["Code.", "task"]
    assert last.history[2].role == "assistant"
    assert last.dropped > 0


@given(exchanges, st.integers(40, 3000))
def test_a_history_fits_or_says_that_it_does_not(sizes: list[tuple[int, bool]], context_tokens: int) -> None:
    """Its tokens are what its messages have, and every result follows its call."""
    room = Room(context_tokens, lambda message: len(message.content) + 5, fixed_tokens=20)
    for moment in moments(transcript(*session(sizes), calls(text="end")), room):
        assert moment.history_tokens == sum(map(room.tokens_of, moment.history))
        assert moment.fits == (moment.history_tokens <= context_tokens - 20)
        for before, message in zip(moment.history, moment.history[1:], strict=False):
            assert message.role != "tool" or before.tool_calls


@given(exchanges, st.integers(40, 3000))
def test_histories_are_prefixes_of_one_another_unless_cut(sizes: list[tuple[int, bool]], context_tokens: int) -> None:
    """What has been cut once is shared by the turns after it."""
    room = Room(context_tokens, lambda message: len(message.content) + 5)
    found: list[Moment] = list(moments(transcript(*session(sizes)), room))
    for one, two in pairwise(found):
        cut = (one.cleared, one.dropped) != (two.cleared, two.dropped)
        assert cut or two.history[: len(one.history)] == one.history


def test_every_assistant_turn_is_a_moment() -> None:
    """Counted from 1."""
    entries = session([(3, True)] * 5)
    found = list(moments(transcript(*entries), EVERYTHING))
    assert [moment.number for moment in found] == [1, 2, 3, 4, 5]
    assert [moment.said for moment in found] == [
        entry for entry in entries if isinstance(entry, Said) and entry.message.role == "assistant"
    ]
