"""Parameters that a schema does not declare, at any level, although JSON Schema lets them pass (M6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias, cast

from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, SchemaRegistry

from kvassay.types import JsonObject, JsonValue

_FREE: JsonObject = {"additionalProperties": {}}  # a map with any keys
_CHOICES = ("anyOf", "oneOf")
_ALWAYS = ("allOf", "if", "then", "else", "dependentSchemas")  # all of them may declare; leniently, whatever holds

Schemas: TypeAlias = Sequence[JsonObject]


def first_stranger(validator: Validator, arguments: JsonObject) -> str | None:
    """Find the first parameter that the schema does not declare, as ``options.retries[0].foo``; None where all are.

    An object schema that declares no ``properties`` is a map with free keys, and so is one whose
    ``additionalProperties`` is a schema. A bare ``additionalProperties: true`` beside declared properties is only the
    generator's habit: it legitimises nothing (facts: of six agents' tools almost none says ``false``).
    """
    schema = cast("JsonObject", validator.schema)
    return next(_Walk(validator, schema).strangers([schema], arguments, ""), None)


class _Walk:
    """One schema document and the validator that decides between its alternatives."""

    def __init__(self, validator: Validator, root: JsonObject) -> None:
        self._validator = validator
        resource = Resource.from_contents(root, default_specification=DRAFT202012)
        registry: SchemaRegistry = Registry().with_resource("", resource)
        self._resolver = registry.resolver()

    def strangers(self, schemas: Sequence[JsonValue], value: JsonValue, path: str) -> Iterator[str]:
        """Undeclared keys of a value to which all these schemas apply, in the value's own order."""
        if not isinstance(value, dict | list):
            return
        flat = [part for schema in schemas for part in self._parts(schema, value, frozenset())]
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.strangers(list(_of_item(flat, index)), item, f"{path}[{index}]")
            return
        for key, inner in value.items():
            inside = f"{path}.{key}" if path else key
            declared = list(_of_key(flat, key))
            if not declared and not _is_map(flat):
                yield inside
            yield from self.strangers(declared, inner, inside)

    def _parts(self, schema: JsonValue, value: JsonValue, seen: frozenset[str]) -> list[JsonObject]:
        """The schema and all that it refers to or consists of, as far as it applies to the value."""
        if not isinstance(schema, dict):
            return [_FREE] if schema is True else []
        parts = [schema]
        ref = schema.get("$ref")
        if isinstance(ref, str) and ref not in seen:
            parts += self._parts(self._target(ref), value, seen | {ref})
        for inner in _inner(schema, _ALWAYS):
            parts += self._parts(inner, value, seen)
        chosen = [self._parts(branch, value, seen) for branch in self._chosen(schema, value)]
        if not _declares(parts) and any(not _declares(branch) for branch in chosen):
            parts.append(_FREE)
        return [*parts, *(part for branch in chosen for part in branch)]

    def _chosen(self, schema: JsonObject, value: JsonValue) -> list[JsonValue]:
        """The alternatives that the value satisfies."""
        return [branch for branch in _inner(schema, _CHOICES) if self._holds(branch, value)]

    def _holds(self, schema: JsonValue, value: JsonValue) -> bool:
        return self._validator.evolve(schema=schema).is_valid(value)

    def _target(self, ref: str) -> JsonValue:
        try:
            return cast("JsonValue", self._resolver.lookup(ref).contents)
        except Unresolvable:
            return True


def _inner(schema: JsonObject, keywords: Sequence[str]) -> Iterator[JsonValue]:
    for keyword in keywords:
        found = schema.get(keyword)
        if isinstance(found, list):
            yield from found
        elif keyword == "dependentSchemas" and isinstance(found, dict):
            yield from found.values()
        elif isinstance(found, dict):
            yield found


def _declares(parts: Schemas) -> bool:
    return any("properties" in part for part in parts)


def _is_map(parts: Schemas) -> bool:
    if any(isinstance(part.get("additionalProperties"), dict) for part in parts):
        return True
    named = any(part.get("properties") for part in parts)
    opened = any(part.get("additionalProperties") is True for part in parts)
    return not _declares(parts) or (opened and not named)


def _of_key(parts: Schemas, key: str) -> Iterator[JsonValue]:
    """The schemas that apply to a key; ``additionalProperties`` only where nothing names the key."""
    named = [
        *(
            properties[key]
            for part in parts
            if isinstance(properties := part.get("properties"), dict) and key in properties
        ),
        *(inner for part in parts for inner in _of_pattern(part, key)),
    ]
    rest = (part["additionalProperties"] for part in parts if isinstance(part.get("additionalProperties"), dict))
    yield from named or rest


def _of_pattern(part: JsonObject, key: str) -> Iterator[JsonValue]:
    patterns = part.get("patternProperties")
    for pattern, inner in patterns.items() if isinstance(patterns, dict) else ():
        if re.search(pattern, key):
            yield inner


def _of_item(parts: Schemas, index: int) -> Iterator[JsonValue]:
    for part in parts:
        items = part.get("items")
        first = part.get("prefixItems", items if isinstance(items, list) else [])
        rest = part.get("additionalItems") if isinstance(items, list) else items
        if isinstance(first, list) and index < len(first):
            yield first[index]
        elif rest is not None:
            yield rest
