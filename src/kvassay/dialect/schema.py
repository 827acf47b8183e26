"""The way down a JSON Schema beside a value: a member's and an element's schema, and whether it is an enum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvassay.dialect.values import resolve, types_of
from kvassay.types import JsonObject, JsonValue

_MAX_HOPS = 8  # of $ref and nested unions: schemas may be circular


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema inside the whole that its references point into. Total: what is no schema allows anything."""

    here: JsonValue
    root: JsonObject

    def member(self, key: str) -> Schema:
        """The schema of an object's member."""
        for option in self._options():
            properties = option.get("properties")
            if isinstance(properties, dict) and key in properties:
                return Schema(properties[key], self.root)
        return Schema(self._first("additionalProperties"), self.root)

    def element(self) -> Schema:
        """The schema of an array's elements."""
        return Schema(self._first("items"), self.root)

    @property
    def is_enum(self) -> bool:
        """Whether the value is one of a stated few."""
        return any("enum" in option or "const" in option for option in self._options())

    @property
    def takes_text(self) -> bool:
        """Whether the value may be any string: then a text that looks like JSON is still text."""
        return not self.is_enum and any("string" in types_of(option) for option in self._options())

    def _first(self, keyword: str) -> JsonValue:
        return next((option[keyword] for option in self._options() if keyword in option), None)

    def _options(self) -> Iterator[JsonObject]:
        """The schema itself, what it refers to, and what it joins."""
        yield from _expand(self.here, self.root, _MAX_HOPS)


ANYTHING = Schema(None, {})
"""The schema of what nobody declared."""


def _expand(schema: JsonValue, root: JsonObject, hops: int) -> Iterator[JsonObject]:
    if not isinstance(schema, dict) or not hops:
        return
    yield schema
    if isinstance(reference := schema.get("$ref"), str):
        yield from _expand(resolve(reference, root), root, hops - 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        joined = schema.get(keyword)
        for option in joined if isinstance(joined, list) else ():
            yield from _expand(option, root, hops - 1)
