"""Parameter text typed by schemas."""

from __future__ import annotations

import pytest

from kvassay.dialect.values import parameter_schema, typed, types_of
from kvassay.types import JsonObject, JsonValue

CASES: list[tuple[JsonObject, str, JsonValue]] = [
    ({"type": "string"}, "1", "1"),
    ({"type": "string"}, "null", "null"),
    ({"type": "integer"}, " 1\n", 1),
    ({"type": "integer"}, "one", "one"),
    ({"type": "number"}, "1.5", 1.5),
    ({"type": "boolean"}, "true", True),
    ({"type": "boolean"}, "False", False),
    ({"type": "array"}, '["a"]', ["a"]),
    ({"type": "object"}, '{"a": NaN}', '{"a": NaN}'),
    ({"type": "object"}, "{'a': True, \"b\": [None, 1.5], 'c': {}}", {"a": True, "b": [None, 1.5], "c": {}}),
    ({"type": "array"}, r"""['it\'s', 'True', "it's", '\d\n']""", ["it's", "True", "it's", "\\d\n"]),
    ({"type": ["string", "array"]}, "['a']", ["a"]),
    ({"type": "string"}, "['a']", "['a']"),
    ({"type": "array"}, "['a', 'b'", "['a', 'b'"),
    ({"type": "array"}, "['a',]", "['a',]"),
    ({"type": "array"}, "['a' 'b']", "['a' 'b']"),
    ({"type": "array"}, r"['\x']", r"['\x']"),
    ({"type": "array"}, r"['\ud800']", r"['\ud800']"),
    ({"type": "object"}, "{'a': 1, 'a': 2}", "{'a': 1, 'a': 2}"),
    ({"type": "object"}, "{1: 2}", "{1: 2}"),
    ({"type": ["string", "null"]}, "null", None),
    ({"type": ["string", "null"]}, "7", "7"),
    ({"type": ["integer", "null"]}, "None", None),
    ({"anyOf": [{"type": "string"}, {"type": "object"}]}, '{"a": 1}', {"a": 1}),
    ({"anyOf": [{"type": "string"}, {"type": "object"}]}, '"a"', '"a"'),
    ({"enum": ["1", "2"]}, "1", "1"),
    ({"enum": [1, 2]}, "1", 1),
    ({"const": True}, "true", True),
    ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, "1", 1),
    ({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}, "1", "untyped"),
    ({"description": "anything"}, "1", "untyped"),
]


@pytest.mark.parametrize(("schema", "raw", "value"), CASES)
def test_the_schema_says_what_text_means(schema: JsonObject, raw: str, value: JsonValue) -> None:
    """Strings stay; JSON, be it in Python's quotes and words, is read where it is wanted; other text stays text."""
    assert typed(raw, schema, untyped=lambda _: "untyped") == value


def test_a_parameters_schema_keeps_the_definitions_it_refers_to() -> None:
    """References into the tool's own ``$defs`` resolve; what is not declared has no schema."""
    tools = {"f": {"$defs": {"n": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/n"}}}}
    schema = parameter_schema(tools, "f", "x")  # type: ignore[arg-type]
    assert schema is not None
    assert types_of(schema) == {"integer"}
    assert parameter_schema(tools, "f", "y") is None  # type: ignore[arg-type]
    assert parameter_schema(tools, "g", "x") is None  # type: ignore[arg-type]
