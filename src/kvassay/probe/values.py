"""Schema-valid arguments for any tool, and the words that state them literally."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from jsonschema import Draft202012Validator

from kvassay.session.acts import plain, properties, slot_of
from kvassay.session.scene import Scene
from kvassay.types import JsonObject, JsonValue, Tool

_WORDS = (
    "cache", "retry", "parser", "buffer", "socket", "header", "cursor", "signal", "thread", "schema", "export",
    "import", "report", "backup", "worker", "window", "filter", "layout", "module", "render",
)  # fmt: skip
_LABELS = (
    "regression", "backend", "urgent", "docs", "flaky", "security", "needs-review", "windows", "linux", "speed",
    "slow", "network", "unit", "nightly", "smoke", "gpu",
)  # fmt: skip
_MAX_ITEMS = 2
_SMALL_OBJECT = 4  # properties


class Unsayable(Exception):
    """A schema for which no short literal value can be made up."""


def scalar(schema: JsonObject) -> bool:
    """Whether a value of this schema is one word or number."""
    return "enum" in schema or schema.get("type") in ("string", "integer", "number", "boolean")


def required(schema: JsonObject) -> tuple[str, ...]:
    """Names of the required properties, in the schema's order."""
    names = schema.get("required")
    return tuple(name for name in properties(schema) if isinstance(names, list) and name in names)


def arguments(tool: Tool, wanted: list[str], dice: random.Random, scene: Scene, level: int) -> JsonObject | None:
    """Values for the wanted parameters, or None where the schema wants what can't be stated shortly."""
    maker = _Maker(tool, dice, scene, level)
    schemas = properties(tool.parameters)
    try:
        made: JsonObject = {name: maker.value(name, schemas[name]) for name in wanted}
    except Unsayable:
        return None
    _put_in_order(made)
    return made if Draft202012Validator(tool.parameters).is_valid(made) else None


def _put_in_order(made: JsonObject) -> None:
    """A first line comes before the last one."""
    by_slot = {slot_of(name): name for name in made}
    if "start" in by_slot and "end" in by_slot:
        start, end = by_slot["start"], by_slot["end"]
        first, last = made[start], made[end]
        if isinstance(first, int) and isinstance(last, int):
            made[start], made[end] = min(first, last), max(first, last)


def stated(values: JsonObject, *, as_json: bool = False) -> str:
    """Arguments in words, every value literal: ``max results 20 and path `src/json```. ``as_json`` writes objects and
    arrays as JSON: ``options `{"verbose": true}```.
    """
    said = _written if as_json else _said
    return _listed([f"{spoken(name)} {said(value)}" for name, value in values.items()])


def spoken(name: str) -> str:
    """A name as people say it: ``maxResults`` and ``max_results`` are "max results"."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)).lower() or name


class _Maker:
    """Makes values by the parameter's name and schema; real paths and ids where the name asks for one."""

    def __init__(self, tool: Tool, dice: random.Random, scene: Scene, level: int) -> None:
        self._dice = dice
        self._scene = scene
        self._level = level
        about = plain(tool.name)
        path = self._folder if about.startswith(("list", "ls")) else self._path
        id_ = self._job if "job" in about else self._ticket if "ticket" in about else self._text
        self._by_slot: dict[str, Callable[[], str]] = {
            "path": path, "target": path, "ticket": self._ticket, "job": self._job, "id": id_, "command": self._command,
        }  # fmt: skip

    def value(self, name: str, schema: JsonObject) -> JsonValue:
        options = schema.get("enum")
        if isinstance(options, list) and options:
            return self._dice.choice(options)
        match schema.get("type"):
            case "string" if not {"pattern", "format"} & schema.keys():
                return self._by_slot.get(slot_of(name) or "", self._text)()
            case "integer" | "number":
                return self._integer(schema)
            case "boolean":
                return self._dice.random() < 0.5  # noqa: PLR2004
            case "array":
                return self._items(name, schema)
            case "object":
                return self._object(schema)
        raise Unsayable

    def _items(self, name: str, schema: JsonObject) -> list[JsonValue]:
        items = schema.get("items")
        if not isinstance(items, dict):
            raise Unsayable
        count = min(max(1, self._level - 1), _MAX_ITEMS)
        if items.get("type") == "string" and "enum" not in items:
            return list(self._dice.sample(_LABELS, count))
        return [self.value(name, items) for _ in range(count if "enum" not in items else 1)]

    def _object(self, schema: JsonObject) -> JsonObject:
        """Every property of a small object: what is left open, a model may well fill in."""
        found, needed = properties(schema), required(schema)
        chosen = [*found] if len(found) <= _SMALL_OBJECT else [*needed]
        if not chosen:
            raise Unsayable
        return {name: self.value(name, found[name]) for name in chosen}

    def _integer(self, schema: JsonObject) -> int:
        low, high = schema.get("minimum", 2), schema.get("maximum", 10**self._level)
        if not isinstance(low, int) or not isinstance(high, int) or low > high:
            raise Unsayable
        return self._dice.randint(low, min(high, low + 10**self._level))

    def _text(self) -> str:
        return self._word() if self._level == 1 else f"{self._word()}-{self._dice.randrange(16 ** (2 * self._level)):x}"

    def _word(self) -> str:
        return "-".join(self._dice.sample(_WORDS, 2))

    def _path(self) -> str:
        paths = [view.path for view in self._scene.files] + [fact.value for fact in self._scene.known("hit")]
        return self._dice.choice(paths)

    def _folder(self) -> str:
        return self._path().rpartition("/")[0] or "."

    def _command(self) -> str:
        return f"make {self._word()}"

    def _ticket(self) -> str:
        return self._dice.choice(self._scene.known("ticket")).value

    def _job(self) -> str:
        return self._dice.choice(self._scene.known("job")).value


def _said(value: JsonValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"`{value}`"
        case dict():
            return f"({stated(value)})"
        case list() if any(isinstance(item, dict) for item in value):
            return (
                f"with {len(value)} {'entry' if len(value) == 1 else 'entries'}: {_listed([_said(v) for v in value])}"
            )
        case list():
            return _listed([_said(item) for item in value])
        case _:
            return str(value)


def _written(value: JsonValue) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`" if isinstance(value, dict | list) else _said(value)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
