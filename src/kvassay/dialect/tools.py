"""Tool definitions as people and APIs write them → names and parameter schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvassay.dialect.base import Declared
from kvassay.errors import ConfigError
from kvassay.types import JsonObject, JsonValue


def declared(tools: Sequence[Mapping[str, JsonValue]] | None) -> Declared:
    """The tools of a request: OpenAI's ``{"type": "function", "function": {…}}`` or the bare function.

    Raises ConfigError for an entry without a name.
    """
    return dict(_declared(tool) for tool in tools or ())


def _declared(tool: Mapping[str, JsonValue]) -> tuple[str, JsonObject]:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str):
        hint = 'A tool is {"type": "function", "function": {"name": …, "parameters": {…}}}.'
        raise ConfigError(f"A tool has no name: {tool!r:.200}", hint=hint)
    schema = function.get("parameters")
    return name, schema if isinstance(schema, dict) else {}
