"""The tools of a recorded session: declared, given, or reconstructed from the calls seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvassay.grade.schema import schema_fault
from kvassay.session.transcript import Said, Transcript
from kvassay.types import JsonObject, JsonValue, Tool, ToolCall

_TYPES = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object",
}  # fmt: skip
_ENOUGH_CALLS = 5  # what stands in all of so many calls is taken as required


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools to declare. ``reconstructed`` names those whose schema is not the agent's own but ours: it knows the
    parameters seen and their types, claims nothing about others (M6 can't occur), and requires only what never failed
    to be there: some argument at least, where every call had one. ``disproved`` are those among them that were
    declared, but with a schema that takes less than half of the recorded calls: another version's.
    """

    tools: tuple[Tool, ...]
    reconstructed: frozenset[str] = frozenset()
    disproved: frozenset[str] = frozenset()


def toolbox(transcript: Transcript, given: Sequence[Tool] = ()) -> Toolbox:
    """The tools given, else those of the transcript. What was called but not declared, or called in a way that the
    declared schema refuses for the most part, is reconstructed from the calls.
    """
    declared = tuple(given) or transcript.tools or ()
    calls = calls_by_name(entry for entry in transcript.entries if isinstance(entry, Said))
    calls.pop("", None)
    disproved = {tool.name for tool in declared if _refuses_most(tool, calls.get(tool.name, []))}
    made = {name: reconstructed(name, [call.arguments for call in calls[name]]) for name in sorted(calls)}
    kept = [made[tool.name] if tool.name in disproved else tool for tool in declared]
    missing = [tool for name, tool in made.items() if name not in {tool.name for tool in declared}]
    return Toolbox((*kept, *missing), frozenset(tool.name for tool in missing) | disproved, frozenset(disproved))


def _refuses_most(tool: Tool, calls: Sequence[ToolCall]) -> bool:
    return 2 * sum(schema_fault(tool, call.arguments) is not None for call in calls) > len(calls)


def calls_by_name(entries: Iterable[Said]) -> dict[str, list[ToolCall]]:
    """The well-formed calls of each tool."""
    found: dict[str, list[ToolCall]] = defaultdict(list)
    for entry in entries:
        for call in entry.message.tool_calls:
            found[call.name].append(call)
    return found


def reconstructed(name: str, seen: Sequence[JsonObject]) -> Tool:
    """A tool that takes all the arguments seen."""
    values: dict[str, list[JsonValue]] = defaultdict(list)
    for arguments in seen:
        for parameter, value in arguments.items():
            values[parameter].append(value)
    required: list[JsonValue] = [p for p, found in values.items() if len(found) == len(seen) >= _ENOUGH_CALLS]
    properties: JsonObject = {parameter: _schema(found) for parameter, found in values.items()}
    schema: JsonObject = {"type": "object", "properties": properties, "additionalProperties": {}}
    if all(seen):
        schema["minProperties"] = 1
    description = f"(Schema reconstructed from {len(seen)} recorded calls.)"
    return Tool(name, description, {**schema, "required": required} if required else schema)


def _schema(values: Sequence[JsonValue]) -> JsonObject:
    """What all the values have in common, as far as types go."""
    types = sorted({_type(value) for value in values})
    if "number" in types and "integer" in types:
        types.remove("integer")
    names: list[JsonValue] = [*types]
    schema: JsonObject = {"type": names[0] if len(names) == 1 else names}
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        schema["items"] = _schema(items)
    return schema


def _type(value: JsonValue) -> str:
    if isinstance(value, float) and value.is_integer():
        return "integer"
    return _TYPES.get(type(value), "null")
