"""The monitor: sessions, recoveries, re-sent requests, alarms, bounds."""

from __future__ import annotations

import pytest

from guard.traffic import Talk, answers, asked, replied
from kvassay.grade.loops import LoopKind
from kvassay.guard.contract import NO_REPLY, Api, Asked, Limits, Observed
from kvassay.guard.monitor import Monitor
from kvassay.types import OutcomeClass

APIS = tuple(Api)
GOOD, BAD = ("read", '{"path": "a.py"}'), ("read", '{"path": ')


def turn(monitor: Monitor, question: Asked, *calls: tuple[str, str]) -> Observed:
    return monitor.observe(question, answers(question, "" if calls else "Done.", calls), 0.0)


@pytest.mark.parametrize("api", APIS)
def test_a_growing_conversation_is_one_session(api: Api) -> None:
    monitor, talk = Monitor(), Talk("Read a.py")
    seen = []
    for step in range(6):
        seen.append(turn(monitor, talk.asked(api), GOOD))
        talk.calls("read", {"path": "a.py"}, f"text {step}")
    assert {observed.session for observed in seen} == {seen[0].session}
    assert [observed.turn_index for observed in seen] == [1, 2, 3, 4, 5, 6]
    assert {observed.depth_tokens for observed in seen} == {1200}


def test_two_conversations_with_one_beginning_are_two_sessions() -> None:
    monitor = Monitor()
    first, second = Talk("Go").says("One."), Talk("Go").says("Two.")
    names = [turn(monitor, Talk("Go").asked()).session for _ in range(1)]
    names += [turn(monitor, talk.user("on").asked()).session for talk in (first, second, first, second)]
    assert names[0] == names[1] == names[3]
    assert names[2] == names[4] != names[0]


@pytest.mark.parametrize("headers", [{"X-Session-Id": "s-1"}, {"session_id": "s-1"}, {"x-opencode-session": "s-1"}])
def test_a_clients_own_session_id_names_the_session(headers: dict[str, str]) -> None:
    assert Monitor().expect(Talk().asked(headers=headers)).session == "s-1"


def test_a_session_id_that_could_do_harm_is_hashed() -> None:
    name = Monitor().expect(Talk().asked(headers={"session_id": "<script>alert(1)</script>"})).session
    assert name.isalnum()


def test_codex_names_its_session_in_the_body() -> None:
    assert Talk().asked(Api.RESPONSES, prompt_cache_key="01a2-b3").session == "01a2-b3"


def test_expecting_twice_changes_nothing() -> None:
    monitor, question = Monitor(), Talk().asked()
    assert monitor.expect(question) == monitor.expect(question)
    assert turn(monitor, question).turn_index == 1


def test_recovery_is_a_fine_turn_after_one_or_two_failures() -> None:
    monitor, talk = Monitor(), Talk()
    recovered = []
    for step, call in enumerate([GOOD, BAD, GOOD, GOOD, BAD, BAD, GOOD, BAD, BAD, BAD, GOOD]):
        talk.user(str(step))
        recovered.append(turn(monitor, talk.asked(headers={"session_id": "s"}), call).recovered)
    assert [step for step, was in enumerate(recovered) if was] == [2, 6]


def test_a_request_re_sent_after_an_error_is_a_loop_and_after_success_is_none() -> None:
    monitor, question = Monitor(), Talk().asked()
    assert turn(monitor, question, BAD).loops == ()
    resent = monitor.expect(question).loops
    assert [(loop.kind, loop.count, loop.act) for loop in resent] == [(LoopKind.RESENT, 1, False)]
    turn(monitor, question, BAD)
    turn(monitor, question, BAD)
    assert [(loop.count, loop.act) for loop in monitor.expect(question).loops if loop.kind is LoopKind.RESENT] == [
        (3, True)
    ]
    turn(monitor, question, GOOD)
    assert monitor.expect(question).loops == ()


def test_trying_again_where_the_server_asks_for_it_is_no_loop() -> None:
    monitor, question = Monitor(), Talk().asked()
    monitor.observe(question, replied(question, b"slow down", status=429), 0.0)
    assert monitor.expect(question).loops == ()


def test_bad_calls_that_the_client_hides_are_a_correction_loop() -> None:
    monitor, talk = Monitor(), Talk()
    for step in range(3):
        seen = turn(monitor, talk.user(f"again {step}").asked(headers={"session_id": "s"}), BAD)
    assert [(loop.kind, loop.tool, loop.count) for loop in seen.loops] == [(LoopKind.CORRECTION, "read", 3)]


def test_loops_are_found_although_responses_sends_only_what_is_new() -> None:
    monitor = Monitor()
    for step in range(3):
        items = [
            {"type": "function_call", "call_id": f"c{step}", "name": "read", "arguments": '{"path": "a.py"}'},
            {"type": "function_call_output", "call_id": f"c{step}", "output": f"done in {step}.2s"},
        ]
        body = {"model": "m", "stream": True, "input": items, "previous_response_id": f"resp_{step}"}
        question = asked(Api.RESPONSES, body, {"session_id": "s"})
        seen = turn(monitor, question)
    assert [(loop.kind, loop.count) for loop in seen.loops] == [(LoopKind.IDENTICAL, 3)]


def test_one_alarm_for_the_model_and_one_for_the_session_when_the_rate_leaves_its_baseline() -> None:
    monitor = Monitor(Limits(baseline_turns=50))
    alarms = []
    for step in range(110):
        question = Talk(str(step)).asked(headers={"session_id": f"s{step // 55}"})
        alarms += turn(monitor, question, BAD if step >= 60 else GOOD).alarms
    assert sorted((alarm.scope, alarm.subject) for alarm in alarms) == [("model", "m"), ("session", "s1")]
    assert alarms[0].failures > 0
    assert alarms[0].evidence >= 200


def test_requests_without_tools_say_nothing_about_tool_calls() -> None:
    monitor = Monitor(Limits(baseline_rate=0.01))
    for step in range(50):
        question = Talk(str(step)).asked(tools=[])
        assert turn(monitor, question, BAD).alarms == ()


def test_sessions_are_bounded_and_the_least_recently_used_goes_first() -> None:
    monitor = Monitor(Limits(sessions=3))
    for step in range(50):
        turn(monitor, Talk().asked(headers={"session_id": f"s{step}"}))
        turn(monitor, Talk(f"start {step}").asked())
    assert turn(monitor, Talk().asked(headers={"session_id": "s49"})).turn_index == 2
    assert turn(monitor, Talk().asked(headers={"session_id": "s0"})).turn_index == 1
    assert len(monitor) == 3


def test_the_guards_own_second_try_is_not_the_agent_sending_its_request_again() -> None:
    monitor, question = Monitor(), Talk().asked()
    turn(monitor, question, BAD)
    second = monitor.observe(question, answers(question, "", (BAD,)), 0.0, second_try=True)
    assert second.turn_index == 1
    assert second.outcome is not None
    assert second.outcome.kind is OutcomeClass.JSON_INVALID
    assert second.loops == ()
    assert [(loop.kind, loop.count) for loop in monitor.expect(question).loops] == [(LoopKind.RESENT, 1)]


def test_after_a_good_second_try_the_agent_is_in_no_trouble() -> None:
    monitor, question = Monitor(), Talk().asked()
    turn(monitor, question, BAD)
    second = monitor.observe(question, answers(question, "", (GOOD,)), 0.0, second_try=True)
    assert not second.recovered
    assert monitor.expect(question).loops == ()
    assert not turn(monitor, Talk().calls("read", {"path": "a.py"}).asked(), GOOD).recovered


def test_second_tries_change_no_rate_and_no_run_of_failures() -> None:
    """Of the model's turns every second one fails; its failed second tries would make it three of four."""
    monitor = Monitor(Limits(baseline_rate=0.5))
    for step in range(100):
        question = Talk(f"go {step}").asked(headers={"session_id": "s"})
        seen = turn(monitor, question, BAD if step % 2 else GOOD)
        assert (seen.alarms, seen.loops) == ((), ())
        if step % 2:
            second = monitor.observe(question, answers(question, "", (BAD,)), 0.0, second_try=True)
            assert (second.alarms, second.loops) == ((), ())


def test_asking_again_where_nobody_answered_is_no_loop_and_no_failure() -> None:
    monitor, question = Monitor(), Talk().asked()
    for _ in range(3):
        seen = monitor.observe(question, replied(question, status=NO_REPLY, complete=False), 0.0)
        assert (seen.outcome, seen.skipped, seen.loops) == (None, "no reply came", ())
