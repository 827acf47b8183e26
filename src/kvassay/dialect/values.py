"""Untyped parameter text → JSON value, as the tool's schema types it."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator

from kvassay.dialect.base import Declared
from kvassay.dialect.strict_json import Scanned, read
from kvassay.types import JsonObject, JsonValue

# Chat templates render values with Jinja's `string` filter, so that models learn Python's words from their history.
_PYTHON = {"True": True, "False": False, "None": None}
_PYTHON_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.?)*+(?:'|\Z)|"(?:[^"\\]|\\.?)*+(?:"|\Z)|\b(?:True|False|None)\b""", re.DOTALL
)
_MAX_HOPS = 16  # of $ref and nested unions: schemas may be circular


def parameter_schema(tools: Declared, tool: str, parameter: str) -> JsonObject | None:
    """The schema of one parameter, ``$defs`` of the whole put beside it; None where it is not declared."""
    root = tools.get(tool)
    properties = root.get("properties") if isinstance(root, dict) else None
    schema = properties.get(parameter) if isinstance(properties, dict) else None
    if not isinstance(root, dict) or not isinstance(schema, dict):
        return None
    return {**{key: root[key] for key in ("$defs", "definitions") if key in root}, **schema}


def typed(raw: str, schema: JsonObject, *, untyped: Callable[[str], JsonValue]) -> JsonValue:
    """The value that ``raw`` stands for under its schema.

    A string stays as it is, unless the schema also takes another type and the text is JSON of that type, be it in
    Python's quotes and words. Other text where the schema wants JSON stays text: what was said is of the wrong type,
    and the grade says so. A schema that names no type leaves it to ``untyped``.
    """
    types = types_of(schema)
    if not types:
        return untyped(raw)
    if types == {"string"}:
        return raw
    text = raw.strip()
    if text in _PYTHON and "string" not in types:
        return _PYTHON[text]
    outcome = read(text)
    if not isinstance(outcome, Scanned) and text.startswith(("{", "[")):
        outcome = read(_as_json(text))
    if not isinstance(outcome, Scanned):
        return raw
    fits = not isinstance(outcome.value, str) and _names(outcome.value) & types
    return outcome.value if fits or "string" not in types else raw


def _as_json(literal: str) -> str:
    """An object or list as Python writes it, with JSON's quotes and words: ``{'a': True}``. The vendors' parsers take
    it (vLLM and SGLang: ``ast.literal_eval``; llama.cpp: ``normalize_container_value``).
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # an odd escape of the model's is nothing for the terminal
            return _PYTHON_TOKEN.sub(_json_token, literal)
    except (SyntaxError, ValueError):
        return literal


def _json_token(token: re.Match[str]) -> str:
    said = token[0]
    return said if said.startswith('"') else json.dumps(ast.literal_eval(said))


def as_json_or_text(raw: str) -> JsonValue:
    """The value of a parameter without a schema where the reference parser tries JSON first (GLM)."""
    outcome = read(raw.strip())
    return outcome.value if isinstance(outcome, Scanned) else raw


def as_text_or_null(raw: str) -> JsonValue:
    """The value of a parameter without a schema where the reference parser knows text and null only (Qwen, MiniMax)."""
    return None if raw == "null" else raw


def types_of(schema: JsonObject) -> frozenset[str]:
    """The JSON types a schema takes, by ``type``, unions, ``enum``, ``const`` and local ``$ref``; empty for any."""
    return frozenset(_types(schema, schema, _MAX_HOPS))


def _types(schema: JsonValue, root: JsonObject, hops: int) -> Iterator[str]:
    if not isinstance(schema, dict) or not hops:
        return
    stated = schema.get("type")
    yield from (word for word in (stated if isinstance(stated, list) else [stated]) if isinstance(word, str))
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        for option in options if isinstance(options, list) else ():
            yield from _types(option, root, hops - 1)
    if stated is None:
        values = schema.get("enum")
        for value in [*(values if isinstance(values, list) else ()), *([schema["const"]] if "const" in schema else ())]:
            yield from _names(value)
    if isinstance(schema.get("$ref"), str):
        yield from _types(resolve(str(schema["$ref"]), root), root, hops - 1)


def resolve(reference: str, root: JsonObject) -> JsonValue:
    """What a local ``$ref`` points to; None where there is nothing."""
    node: JsonValue = root
    for step in reference.removeprefix("#/").split("/"):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def _names(value: JsonValue) -> set[str]:
    names: dict[type, set[str]] = {
        str: {"string"},
        bool: {"boolean"},
        int: {"integer", "number"},
        float: {"number"},
        list: {"array"},
        dict: {"object"},
    }
    return names.get(type(value), {"null"})


def written(value: JsonValue) -> str:
    """A value as tagged formats write it: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
