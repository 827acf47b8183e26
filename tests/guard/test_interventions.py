"""Interventions on requests: the least change, told, in all three APIs."""

from __future__ import annotations

import difflib
import json
from dataclasses import replace

import pytest

from guard.traffic import PATHS, Talk, answers, asked, replied
from kvassay.grade.loops import Loop, LoopKind
from kvassay.guard.asking import read_request
from kvassay.guard.contract import Api, Asked, Edited
from kvassay.guard.interventions import (
    nudged,
    sanitised,
    should_fall_back,
    should_retry,
    stop_loop,
    stop_text,
    warned,
)
from kvassay.types import Outcome, OutcomeClass

APIS = tuple(Api)
LOOP = Loop(LoopKind.IDENTICAL, "read", 5, act=True, detail="the same call with the same result, 5 times")
BAD = Outcome(OutcomeClass.WRONG_TYPE, 'limit: "5" is not an integer')


def again(question: Asked, edited: Edited) -> Asked:
    found = read_request(PATHS[question.api], {}, edited.body)
    assert found is not None
    return found


def changed(before: bytes, after: bytes) -> list[tuple[str, str]]:
    """What was taken out and put in, byte for byte."""
    a, b = before.decode(), after.decode()
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return [(a[i:j], b[k:m]) for tag, i, j, k, m in blocks if tag != "equal"]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("poison", ['{"path": "a', "[1]", "", '"{}"', "null", "{} {}"])
def test_a_poisoned_history_is_readable_afterwards_and_nothing_else_changed(api: Api, poison: str) -> None:
    talk = Talk().calls("read", poison, "bad call").calls("read", {"path": "b.py"}, "text")
    question = talk.asked(api)
    edited = sanitised(question)
    assert [bad.text for bad in question.poisoned] == [poison]
    assert edited is not None
    clean = again(question, edited)
    assert clean.poisoned == ()
    assert clean.messages == question.messages
    assert len(edited.did) == 1
    assert edited.did[0].endswith("is {}")
    empty = b"{}" if api is Api.MESSAGES else b'"{}"'
    assert edited.body == question.body.replace(json.dumps(poison).encode(), empty, 1)


@pytest.mark.parametrize("api", APIS)
def test_a_healthy_history_is_left_alone(api: Api) -> None:
    assert sanitised(Talk().calls("read", {"path": "a"}, "x").asked(api)) is None


@pytest.mark.parametrize("api", APIS)
def test_a_loop_warning_stands_at_the_end_of_the_last_tool_result(api: Api) -> None:
    question = Talk().calls("read", {"path": "a"}, "first").calls("read", {"path": "a"}, "last").asked(api)
    edited = warned(question, LOOP)
    assert edited is not None
    results = [message.content for message in again(question, edited).messages if message.role == "tool"]
    assert results[0] == "first"
    assert results[1].startswith("last\n\n[kvassay guard: the same call with the same result, 5 times.")
    assert [gone for gone, _ in changed(question.body, edited.body)] == [""]


@pytest.mark.parametrize("api", APIS)
def test_a_request_without_tool_results_gets_no_warning(api: Api) -> None:
    assert warned(Talk().asked(api), LOOP) is None


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("talk", [Talk("Go"), Talk().calls("read", {"path": "a"}, "text")])
def test_a_second_try_is_told_what_was_wrong_and_has_another_seed(api: Api, talk: Talk) -> None:
    question = talk.asked(api)
    edited = nudged(question, BAD, seed=7)
    assert edited is not None
    after = again(question, edited)
    assert 'limit: "5" is not an integer' in after.messages[-1].content
    assert after.messages[:-1] == question.messages[:-1]
    assert json.loads(edited.body).get("seed") == (None if api is Api.MESSAGES else 7)
    assert all(gone == "" for gone, _ in changed(question.body, edited.body))


def test_a_seed_that_was_sent_is_replaced() -> None:
    edited = nudged(Talk().asked(seed=1), BAD, seed=2)
    assert edited is not None
    assert json.loads(edited.body)["seed"] == 2


def test_responses_input_may_be_one_string() -> None:
    question = asked(Api.RESPONSES, {"model": "m", "input": "Go"})
    edited = nudged(question, BAD, seed=7)
    assert edited is not None
    assert json.loads(edited.body)["input"].startswith("Go\n\n[kvassay guard")


@pytest.mark.parametrize("api", APIS)
def test_there_is_no_second_try_where_the_model_spoke_last(api: Api) -> None:
    assert nudged(Talk().says("I think that").asked(api), BAD, seed=7) is None


@pytest.mark.parametrize("api", APIS)
def test_two_interventions_can_be_made_one_after_the_other(api: Api) -> None:
    question = Talk().calls("read", "{", "bad call").asked(api)
    first = sanitised(question)
    assert first is not None
    second = warned(replace(question, body=first.body), LOOP)
    assert second is not None
    clean = again(question, second)
    assert clean.poisoned == ()
    assert "[kvassay guard" in clean.messages[-1].content


@pytest.mark.parametrize(
    ("kind", "retry"),
    [
        (OutcomeClass.CORRECT, False),
        (OutcomeClass.JSON_INVALID, True),
        (OutcomeClass.VERBATIM_MISS, True),
        (OutcomeClass.SCHEMA_REJECTED, False),
        (OutcomeClass.PARSER_FAULT, False),
        (None, False),
    ],
)
def test_only_the_models_own_failures_are_tried_again(kind: OutcomeClass | None, *, retry: bool) -> None:
    assert should_retry(None if kind is None else Outcome(kind)) is retry


def test_another_server_is_asked_where_this_one_failed_or_is_down_but_not_where_the_request_is_wrong() -> None:
    question = Talk().asked()
    fine = answers(question, "Hi")
    assert should_fall_back(Outcome(OutcomeClass.JSON_INVALID), fine)
    assert should_fall_back(None, replied(question, b"", status=503))
    assert should_fall_back(None, replied(question, b"data: {", complete=False))
    assert not should_fall_back(Outcome(OutcomeClass.CORRECT), fine)
    assert not should_fall_back(None, replied(question, b"", status=401))
    assert not should_fall_back(Outcome(OutcomeClass.SCHEMA_REJECTED), replied(question, b"", status=400))


def test_only_a_loop_that_went_round_often_enough_stops_a_session() -> None:
    assert stop_loop([replace(LOOP, act=False), LOOP]) is LOOP
    assert stop_loop([replace(LOOP, act=False)]) is None
    assert "L1" in stop_text(LOOP)
