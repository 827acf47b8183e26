"""A call against the calls that are right: equality of JSON values, defaults, order of parallel calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kvassay.types import Call, ExpectedCall, JsonObject, JsonValue, Outcome, OutcomeClass, Tool

_SHOWN_CHARS = 80


class Difference(NamedTuple):
    """How far calls are from one accepted alternative: names first, then parameters."""

    names: int
    parameters: int
    outcome: Outcome


def json_equal(a: JsonValue, b: JsonValue) -> bool:
    """Equality of JSON values: 1 equals 1.0, but true is not 1; strings to the character, objects in any order."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(json_equal(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(json_equal, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def judge(calls: Sequence[Call], alternatives: Sequence[Sequence[ExpectedCall]], tools: Mapping[str, Tool]) -> Outcome:
    """Correct where the calls are one of the alternatives (parallel calls in any order); else M11 or M12 against the
    nearest one.
    """
    if any(_pairs_up(calls, expected, tools) for expected in alternatives):
        return Outcome(OutcomeClass.CORRECT)
    nothing = Difference(0, 0, Outcome(OutcomeClass.WRONG_VALUE, "no answer is accepted here"))
    differences = (_difference(calls, expected, tools) for expected in alternatives)
    return min(differences, key=lambda d: (d.names, d.parameters), default=nothing).outcome


def _pairs_up(calls: Sequence[Call], expected: Sequence[ExpectedCall], tools: Mapping[str, Tool]) -> bool:
    """Whether each call can be given an expected one of its own (bipartite matching by augmenting paths)."""
    fits = [[i for i, wanted in enumerate(expected) if not _mismatches(call, wanted, tools)] for call in calls]
    taken: dict[int, int] = {}
    return len(calls) == len(expected) and all(_placed(call, fits, taken, set()) for call in range(len(calls)))


def _placed(call: int, fits: Sequence[Sequence[int]], taken: dict[int, int], tried: set[int]) -> bool:
    for place in fits[call]:
        if place not in tried:
            tried.add(place)
            if place not in taken or _placed(taken[place], fits, taken, tried):
                taken[place] = call
                return True
    return False


def _difference(calls: Sequence[Call], expected: Sequence[ExpectedCall], tools: Mapping[str, Tool]) -> Difference:
    said, wanted = Counter(call.name for call in calls), Counter(call.name for call in expected)
    apart = (said - wanted).total() + (wanted - said).total()
    if apart:
        return Difference(apart, 0, _by_names(said, wanted))
    misses = [min((_mismatches(call, e, tools) for e in expected if e.name == call.name), key=len) for call in calls]
    # Two calls that each fit the same expected one: all parameters match something, yet one is missing.
    detail = next((miss[0] for miss in misses if miss), "a call was made twice where two different ones were wanted")
    return Difference(0, sum(map(len, misses)), Outcome(OutcomeClass.WRONG_VALUE, detail))


def _by_names(said: Counter[str], wanted: Counter[str]) -> Outcome:
    extra, missing = _listed(said - wanted), _listed(wanted - said)
    if not said:
        return Outcome(OutcomeClass.WRONG_TOOL, f"prose where a call to {missing} was wanted")
    if not wanted:
        return Outcome(OutcomeClass.WRONG_TOOL, f"a call to {extra} where none was wanted")
    if extra and missing:
        return Outcome(OutcomeClass.WRONG_TOOL, f"called {extra} where {missing} was wanted")
    if extra:
        known = extra if not set(said) - set(wanted) else f"{extra}, which was not asked for"
        return Outcome(OutcomeClass.WRONG_VALUE, f"extra call to {known}")
    return Outcome(OutcomeClass.WRONG_VALUE, f"no call to {missing} beside the others")


def _listed(names: Counter[str]) -> str:
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in sorted(names.items()))


def _mismatches(call: Call, expected: ExpectedCall, tools: Mapping[str, Tool]) -> list[str]:
    """One sentence per parameter that differs."""
    if call.name != expected.name:
        return [f"called {call.name} where {expected.name} was wanted"]
    defaults = _defaults(tools.get(call.name))
    effective = {**defaults, **call.arguments}
    wanted = {name: accepted for name, accepted in expected.arguments.items() if accepted}
    wrong = []
    for name, accepted in wanted.items():
        if name in expected.optional and name not in call.arguments:
            continue
        missing = name not in effective
        schema = _properties(tools.get(call.name)).get(name)
        if missing or not _among(effective[name], accepted, schema):
            got = "absent" if missing else _shown(effective[name])
            wrong.append(f"{call.name}.{name} is {got}, accepted: {' or '.join(map(_shown, accepted))}")
    for name, value in call.arguments.items():
        default = (defaults[name],) if name in defaults else ()
        if name not in wanted and name not in expected.optional and not _among(value, default):
            wrong.append(f"{call.name}.{name} is {_shown(value)}, accepted: absent")
    return wrong


def _among(value: JsonValue, accepted: Sequence[JsonValue], schema: JsonValue = None) -> bool:
    return any(json_equal(_filled(value, schema), _filled(one, schema)) for one in accepted)


def _filled(value: JsonValue, schema: JsonValue) -> JsonValue:
    """The value with the defaults that its schema declares for what is absent, at every level."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, list):
        return [_filled(item, schema.get("items")) for item in value]
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    return {**_declared(properties), **{name: _filled(inner, properties.get(name)) for name, inner in value.items()}}


def _properties(tool: Tool | None) -> JsonObject:
    properties = tool.parameters.get("properties") if tool else None
    return properties if isinstance(properties, dict) else {}


def _defaults(tool: Tool | None) -> JsonObject:
    return _declared(_properties(tool))


def _declared(properties: JsonObject) -> JsonObject:
    return {
        name: schema["default"]
        for name, schema in properties.items()
        if isinstance(schema, dict) and "default" in schema
    }


def _shown(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
