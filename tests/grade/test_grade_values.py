"""Right calls and near misses: JSON equality, defaults, parallel calls, M11 and M12."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.values import json_equal, judge
from kvassay.types import Call, ExpectedCall, JsonObject, JsonValue, OutcomeClass, Tool

values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 1.5]) | st.sampled_from(["", "1", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TOOLS = {
    "read": Tool("read", "", {"properties": {"path": {}, "limit": {"default": 100}, "raw": {"default": False}}}),
    "write": Tool("write", "", {"properties": {"path": {}}}),
}


def canonical(value: JsonValue) -> str:
    """Equality by text: numbers as floats, keys sorted."""

    def plain(item: JsonValue) -> JsonValue:
        match item:
            case bool():
                return item
            case int() | float():
                return float(item)
            case list():
                return [plain(inner) for inner in item]
            case dict():
                return {key: plain(inner) for key, inner in item.items()}
            case _:
                return item

    return json.dumps(plain(value), sort_keys=True)


@given(values, values)
def test_json_equality_is_that_of_the_canonical_text(a: JsonValue, b: JsonValue) -> None:
    """1 equals 1.0, true is not 1, "1" is not 1, key order does not matter: as an independent rendering says."""
    assert json_equal(a, b) == (canonical(a) == canonical(b))
    assert json_equal(a, json.loads(json.dumps(a)))


def wanted(name: str = "read", optional: tuple[str, ...] = (), **accepted: tuple[JsonValue, ...]) -> ExpectedCall:
    """An expected call."""
    return ExpectedCall(name, dict(accepted), frozenset(optional))


READ = wanted(path=("a.py", "./a.py"))


@pytest.mark.parametrize(
    ("arguments", "expected", "right"),
    [
        ({"path": "a.py"}, READ, True),
        ({"path": "./a.py"}, READ, True),
        ({"path": "a.py "}, READ, False),
        ({}, READ, False),
        ({"path": "a.py", "limit": 100}, READ, True),
        ({"path": "a.py", "limit": 100.0}, READ, True),
        ({"path": "a.py", "limit": 5}, READ, False),
        ({"path": "a.py", "raw": 0}, READ, False),
        ({"path": "a.py"}, wanted(path=("a.py",), limit=(100,)), True),
        ({"path": "a.py"}, wanted(path=("a.py",), limit=(5,)), False),
        ({"path": "a.py", "limit": 5}, wanted(path=("a.py",), limit=(5,)), True),
        ({"path": "a.py", "limit": 7}, wanted(("read"), ("limit",), path=("a.py",)), True),
        ({"path": "a.py"}, wanted("read", ("other",), path=("a.py",), other=("x",)), True),
        ({"path": "a.py"}, wanted("read", ("limit",), path=("a.py",), limit=(5,)), True),
        ({"path": "a.py", "other": "y"}, wanted("read", ("other",), path=("a.py",), other=("x",)), False),
    ],
)
def test_one_call_against_one_expected(arguments: JsonObject, expected: ExpectedCall, *, right: bool) -> None:
    """Accepted values are exact; a parameter at its default is as if absent; optional ones may be left out."""
    assert judge([Call("read", arguments)], [[expected]], TOOLS).correct is right


A, B = Call("read", {"path": "a.py"}), Call("read", {"path": "b.py"})
W = Call("write", {"path": "w.py"})
EXPECT_A, EXPECT_B, EXPECT_W = wanted(path=("a.py",)), wanted(path=("b.py",)), wanted("write", path=("w.py",))
EXPECT_AB = wanted(path=("a.py", "b.py"))


@pytest.mark.parametrize(
    ("calls", "alternatives", "kind", "says"),
    [
        ([], [[]], OutcomeClass.CORRECT, ""),
        ([A], [[], [EXPECT_A]], OutcomeClass.CORRECT, ""),
        ([A, B], [[EXPECT_B, EXPECT_A]], OutcomeClass.CORRECT, ""),
        ([B, A], [[EXPECT_AB, EXPECT_B]], OutcomeClass.CORRECT, ""),
        ([], [[EXPECT_A]], OutcomeClass.WRONG_TOOL, "prose where a call to read was wanted"),
        ([A], [[]], OutcomeClass.WRONG_TOOL, "a call to read where none was wanted"),
        ([W], [[EXPECT_A]], OutcomeClass.WRONG_TOOL, "called write where read was wanted"),
        ([A, A], [[EXPECT_A]], OutcomeClass.WRONG_VALUE, "extra call to read"),
        ([A, W], [[EXPECT_A]], OutcomeClass.WRONG_VALUE, "extra call to write"),
        ([A], [[EXPECT_A, EXPECT_W]], OutcomeClass.WRONG_VALUE, "no call to write"),
        ([A, A], [[EXPECT_A, EXPECT_B]], OutcomeClass.WRONG_VALUE, "made twice"),
        ([B], [[EXPECT_A]], OutcomeClass.WRONG_VALUE, "read.path is 'b.py', accepted: 'a.py'"),
        ([B], [[EXPECT_W], [EXPECT_A]], OutcomeClass.WRONG_VALUE, "read.path is 'b.py', accepted: 'a.py'"),
        ([A], [], OutcomeClass.WRONG_VALUE, "no answer is accepted"),
    ],
)
def test_calls_against_alternatives(
    calls: list[Call], alternatives: list[list[ExpectedCall]], kind: OutcomeClass, says: str
) -> None:
    """Any alternative will do, parallel calls in any order; otherwise the nearest one says what is wrong."""
    outcome = judge(calls, alternatives, TOOLS)
    assert outcome.kind is kind
    assert says in outcome.detail


def test_many_parallel_calls_are_matched_quickly() -> None:
    """Thirty calls that fit each other's places, one of them wrong: no search through all orders."""
    calls = [Call("read", {"path": "a.py"})] * 29 + [Call("read", {"path": "z.py"})]
    outcome = judge(calls, [[EXPECT_AB] * 30], TOOLS)
    assert "read.path is 'z.py'" in outcome.detail
    assert judge([*calls[:29], B], [[EXPECT_AB] * 28 + [EXPECT_B, EXPECT_A]], TOOLS).correct


def test_a_default_declared_at_any_level_is_as_if_absent() -> None:
    """Saying what the schema would fill in anyway changes nothing; saying something else does."""
    flags: JsonObject = {"type": "object", "properties": {"fast": {"type": "boolean", "default": False}}}
    tool = Tool("run", "", {"type": "object", "properties": {"options": flags}})
    expected = ((ExpectedCall("run", {"options": ({},)}),),)
    assert judge([Call("run", {"options": {"fast": False}})], expected, {"run": tool}).correct
    assert not judge([Call("run", {"options": {"fast": True}})], expected, {"run": tool}).correct
