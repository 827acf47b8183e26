"""Arguments against schemas: M4 to M7, at every level, in a fixed order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.schema import schema_fault, schema_problem
from kvassay.types import JsonObject, OutcomeClass, Tool

OPTIONS: JsonObject = {
    "type": "object",
    "properties": {
        "mode": {"enum": ["fast", "slow"]},
        "retries": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
    "required": ["mode"],
}
DEPLOY: JsonObject = {
    "type": "object",
    "properties": {
        "target": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
        "count": {"type": "integer", "minimum": 1},
        "when": {"type": "string", "format": "date"},
        "options": OPTIONS,
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "payload": {"type": "object"},
    },
    "required": ["target"],
}
TREE: JsonObject = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}
ACTION: JsonObject = {
    "type": "object",
    "properties": {
        "do": {
            "anyOf": [
                {"type": "object", "properties": {"kind": {"const": "click"}, "x": {}}, "required": ["kind", "x"]},
                {"type": "object", "properties": {"kind": {"const": "type"}, "text": {}}, "required": ["kind", "text"]},
                {"type": "null"},
            ]
        }
    },
}


def klass(schema: JsonObject, arguments: JsonObject) -> OutcomeClass | None:
    """The class of the fault, None where the tool takes the arguments."""
    fault = schema_fault(Tool("deploy", "", schema), arguments)
    return fault.kind if fault else None


@pytest.mark.parametrize(
    ("schema", "arguments", "expected"),
    [
        (DEPLOY, {"target": "web"}, None),
        (DEPLOY, {"target": "web", "count": 1.0}, None),
        (DEPLOY, {"target": "web", "labels": {"any": "thing"}, "payload": {"free": {"deep": 1}}}, None),
        (DEPLOY, {"target": "web", "options": {"mode": "fast", "retries": [{"n": 1}]}}, None),
        (DEPLOY, {}, OutcomeClass.EMPTY_ARGS),
        (TREE, {}, None),
        (DEPLOY, {"count": 1}, OutcomeClass.MISSING_REQUIRED),
        (DEPLOY, {"target": "web", "options": {}}, OutcomeClass.MISSING_REQUIRED),
        (DEPLOY, {"target": 3}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "WEB"}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "abcdefghi"}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "web", "count": True}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "web", "count": 0}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "web", "when": "tomorrow"}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "web", "options": {"mode": "medium"}}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "web", "labels": {"a": 1}}, OutcomeClass.WRONG_TYPE),
        (DEPLOY, {"target": "web", "cnt": 1}, OutcomeClass.HALLUCINATED_PARAM),
        (DEPLOY, {"target": "web", "options": {"mode": "fast", "speed": 1}}, OutcomeClass.HALLUCINATED_PARAM),
        (
            DEPLOY,
            {"target": "web", "options": {"mode": "fast", "retries": [{"n": 1}, {"m": 2}]}},
            OutcomeClass.HALLUCINATED_PARAM,
        ),
        (TREE, {"root": {"name": "a", "children": [{"name": "b", "children": []}]}}, None),
        (TREE, {"root": {"children": [{"children": [{"nom": "c"}]}]}}, OutcomeClass.HALLUCINATED_PARAM),
        (ACTION, {"do": {"kind": "click", "x": 1}}, None),
        (ACTION, {"do": None}, None),
        (ACTION, {"do": {"kind": "click", "x": 1, "text": "t"}}, OutcomeClass.HALLUCINATED_PARAM),
        (ACTION, {"do": {"kind": "click"}}, OutcomeClass.MISSING_REQUIRED),
        (ACTION, {"do": {"kind": "drag", "x": 1}}, OutcomeClass.WRONG_TYPE),
        (ACTION, {"do": 3}, OutcomeClass.WRONG_TYPE),
    ],
)
def test_arguments_are_classified(schema: JsonObject, arguments: JsonObject, expected: OutcomeClass | None) -> None:
    """Each kind of fault has its class, at the top and inside objects, arrays, references and alternatives."""
    assert klass(schema, arguments) is expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"count": "x", "zzz": 1}, OutcomeClass.MISSING_REQUIRED),
        ({"target": "web", "count": "x", "zzz": 1}, OutcomeClass.WRONG_TYPE),
        ({"target": "web", "options": {"mode": "fast", "zzz": 1}, "count": "x"}, OutcomeClass.WRONG_TYPE),
    ],
)
def test_the_order_is_missing_type_hallucinated(arguments: JsonObject, expected: OutcomeClass) -> None:
    """Of several faults the earliest in M4, M5, M6 names the outcome, wherever each of them stands."""
    assert klass(DEPLOY, arguments) is expected


@pytest.mark.parametrize(
    ("schema", "free"),
    [
        ({}, True),
        ({"type": "object"}, True),
        ({"type": "object", "additionalProperties": True}, True),
        ({"type": "object", "properties": {}, "additionalProperties": True}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {}}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}, True),
        ({"type": "object", "properties": {"a": {}}, "patternProperties": {"^ke": {}}}, True),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"key": {}}}]}, True),
        ({"anyOf": [{"type": "object"}, {"properties": {"a": {}}}]}, True),
        ({"type": "object", "properties": {}}, False),
        ({"type": "object", "properties": {"a": {}}}, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "unevaluatedProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "patternProperties": {"^x-": {}}}, False),
        ({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["key"]}]}, False),
        ({"allOf": [{"properties": {"a": {}}}, {"required": ["key"]}]}, False),
    ],
)
def test_which_schemas_leave_their_keys_free(schema: JsonObject, *, free: bool) -> None:
    """Maps take any key; declared properties are the only ones, whatever a bare ``additionalProperties: true`` says."""
    assert klass(schema, {"key": 1}) is (None if free else OutcomeClass.HALLUCINATED_PARAM)


def test_the_stranger_is_named_by_its_path() -> None:
    """A hallucinated parameter is found again by its path."""
    fault = schema_fault(Tool("deploy", "", TREE), {"root": {"children": [{"name": "x"}, {"nom": 1}]}})
    assert fault
    assert "'root.children[1].nom'" in fault.detail


def test_long_values_are_not_repeated_whole() -> None:
    """A file's content in a wrong place does not flood the report."""
    fault = schema_fault(Tool("deploy", "", DEPLOY), {"target": "X" * 100_000})
    assert fault
    assert len(fault.detail) <= 200


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "objekt"}, "'objekt' is not valid"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "'#/$defs/none' leads nowhere"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/schema"}}}, "leads nowhere"),
    ],
)
def test_a_broken_schema_is_reported_and_accepts_everything(schema: JsonObject, says: str) -> None:
    """The tool's author erred, not the model; nothing is fetched to find out."""
    tool = Tool("deploy", "", schema)
    assert says in (schema_problem(tool) or "")
    assert schema_fault(tool, {"a": 1, "b": 2}) is None


def test_a_pattern_only_javascript_reads_is_left_out() -> None:
    """One unreadable pattern does not switch off the other checks."""
    schema: JsonObject = {"properties": {"a": {"type": "string", "pattern": r"^\p{L}+$"}}, "required": ["a"]}
    assert schema_problem(Tool("deploy", "", schema)) is None
    assert klass(schema, {"a": "ü"}) is None
    assert klass(schema, {"a": 1}) is OutcomeClass.WRONG_TYPE


def test_the_schema_s_own_draft_is_respected() -> None:
    """Draft 4's boolean ``exclusiveMinimum`` is understood where ``$schema`` says draft 4, and refused elsewhere."""
    schema: JsonObject = {"properties": {"n": {"minimum": 1, "exclusiveMinimum": True}}}
    old: JsonObject = {"$schema": "http://json-schema.org/draft-04/schema#", **schema}
    assert klass(old, {"n": 1}) is OutcomeClass.WRONG_TYPE
    assert schema_problem(Tool("deploy", "", schema))


def test_a_tuple_s_items_are_checked_one_by_one() -> None:
    """``prefixItems`` and what follows them have their own schemas."""
    pair: JsonObject = {"prefixItems": [{"properties": {"a": {}}}], "items": {"properties": {"b": {}}}}
    schema: JsonObject = {"properties": {"pair": pair}}
    assert klass(schema, {"pair": [{"a": 1}, {"b": 1}, {"b": 2}]}) is None
    assert klass(schema, {"pair": [{"b": 1}]}) is OutcomeClass.HALLUCINATED_PARAM
    assert klass(schema, {"pair": [{"a": 1}, {"a": 1}]}) is OutcomeClass.HALLUCINATED_PARAM


keys = st.sampled_from("abcdef")
schemas: st.SearchStrategy[JsonObject] = st.recursive(
    st.just({"type": "integer"}),
    lambda inner: (
        st.dictionaries(keys, inner, min_size=1, max_size=3).map(lambda p: {"type": "object", "properties": p})
        | inner.map(lambda i: {"type": "array", "items": i})
        | inner.map(lambda i: {"anyOf": [i, {"type": "null"}]})
    ),
    max_leaves=6,
)


def example(schema: JsonObject, *, stranger: bool) -> object:
    """Arguments that the schema declares in full; with ``stranger`` each object also holds a key that it does not."""
    match schema:
        case {"properties": dict(properties)}:
            inner = {key: example(value, stranger=stranger) for key, value in properties.items()}  # type: ignore[arg-type]
            return {**inner, "zzz": 1} if stranger else inner
        case {"items": dict(items)}:
            return [example(items, stranger=stranger)]
        case {"anyOf": [dict(first), _]}:
            return example(first, stranger=stranger)
        case _:
            return 1


@given(schemas)
def test_declared_keys_pass_and_strangers_are_found_at_any_depth(schema: JsonObject) -> None:
    """However objects, arrays and alternatives nest, what is declared passes and one key more does not."""
    tool: JsonObject = {"type": "object", "properties": {"top": schema}}
    assert klass(tool, {"top": example(schema, stranger=False)}) is None  # type: ignore[dict-item]
    has_object = "properties" in str(schema)
    expected = OutcomeClass.HALLUCINATED_PARAM if has_object else None
    assert klass(tool, {"top": example(schema, stranger=True)}) is expected  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("factor", "value", "takes"),
    [(0.1, 0.3, True), (0.01, 19.99, True), (0.1, 0.35, False), (2, 4.0, True), (2, 3, False), (0.1, 1e300, True)],
)
def test_a_multiple_is_one_of_the_decimals_as_written(factor: float, value: float, *, takes: bool) -> None:
    """0.3 is a multiple of 0.1, though not in binary."""
    tool = Tool("t", "", {"type": "object", "properties": {"n": {"type": "number", "multipleOf": factor}}})
    assert (schema_fault(tool, {"n": value}) is None) is takes
