"""What an agent does, said in any agent's tools: an act and its values become a schema-valid call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from kvassay.types import JsonObject, JsonValue, Tool

Values = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Act:
    """One kind of deed. ``names`` and ``slots`` are patterns over normalised names (lower case, letters and digits
    only); ``needs`` are the slots a tool must have to be meant; ``shell`` says the same as a command line.
    """

    names: str
    needs: frozenset[str]
    shell: str


_SLOTS: dict[str, str] = {
    "path": r"(absolute|target)?(file|filepath|path|filename|directory|dir|dirpath)",
    "start": r"start|startline|offset|from|fromline",
    "end": r"end|endline|to|toline",
    "count": r"limit|maxresults|headlimit|lines|numlines|tail",
    "pattern": r"pattern|query|regex|q",
    "old": r"old(text|string|str)?|search",
    "new": r"new(text|string|str)?|replace",
    "target": r"target|tests?",
    "what": r"what",
    "ticket": r"ticket(id)?",
    "job": r"job(id)?",
    "id": r"id",
    "stream": r"stream",
    "status": r"status",
    "command": r"command|cmd|script",
}

ACTS: dict[str, Act] = {
    "read": Act(r"read(file)?|view(file)?|openfile|cat", frozenset({"path"}), "sed -n '{start},{end}p' {path}"),
    "list": Act(r"ls|list(dir|directory|files)?", frozenset({"path"}), "ls {path}"),
    "search": Act(
        r"(search|grep)(text|files|search|filecontent)?", frozenset({"pattern"}), "grep -rn '{pattern}' {path}"
    ),
    "edit": Act(r"edit(file)?|replace|strreplace", frozenset({"path", "old", "new"}), "patch {path} < change.diff"),
    "test": Act(r"runtests?|test", frozenset({"target"}), "make test T={target}"),
    "open": Act(r"listopen", frozenset({"what"}), "tracker list {what}"),
    "ticket": Act(r"getticket", frozenset({"ticket"}), "tracker show {ticket}"),
    "close": Act(r"updateticket", frozenset({"ticket", "status"}), "tracker set {ticket} {status}"),
    "status": Act(r"jobstatus", frozenset({"job"}), "tracker job {job}"),
    "logs": Act(r"joblogs", frozenset({"job", "stream"}), "tracker logs {job} --{stream}"),
}

_SHELL = re.compile(r"bash|shell|exec|execcommand|run(command|shellcommand|terminalcmd)?|shellcommand|terminal")


@dataclass(frozen=True, slots=True)
class Said:
    """An act in the words of one tool."""

    tool: Tool
    arguments: JsonObject


def tool_for(act: str, tools: Sequence[Tool]) -> Tool | None:
    """The tool made for this act, by its name and its parameters; None where the list has none."""
    wanted = ACTS[act]
    for tool in tools:
        if re.fullmatch(wanted.names, plain(tool.name)) and wanted.needs <= _slots(tool.parameters):
            return tool
    return None


def say(act: str, values: Values, tools: Sequence[Tool]) -> Said:
    """The call an agent with these tools would make: its own tool for the act, else its shell, else the tool whose
    name comes nearest, with arguments that satisfy the schema.
    """
    if (tool := tool_for(act, tools)) is not None:
        return Said(tool, fill(tool.parameters, values))
    command = {"command": ACTS[act].shell.format_map(values)}
    if (shell := shell_of(tools)) is not None:
        return Said(shell, fill(shell.parameters, command))
    _, _, nearest = process.extract(act, [tool.name for tool in tools], scorer=fuzz.WRatio, limit=1)[0]
    return Said(tools[nearest], fill(tools[nearest].parameters, {**values, **command}))


def shell_of(tools: Sequence[Tool]) -> Tool | None:
    """The tool that runs command lines, if there is one."""
    fits = (tool for tool in tools if _SHELL.fullmatch(plain(tool.name)) and "command" in _slots(tool.parameters))
    return next(fits, None)


def fill(schema: JsonObject, values: Values) -> JsonObject:
    """Arguments for an object schema: each property that means one of the values gets it (if its type takes it), each
    other required property the simplest value its schema allows.
    """
    required = schema.get("required", [])
    filled: JsonObject = {}
    for name, sub in properties(schema).items():
        value = values.get(slot_of(name) or "")
        if value is not None and _takes(sub, value):
            filled[name] = value
        elif isinstance(required, list) and name in required:
            filled[name] = _simplest(sub, values)
    return filled


def properties(schema: JsonObject) -> dict[str, JsonObject]:
    """The property schemas of an object schema."""
    found = schema.get("properties")
    return {name: sub for name, sub in found.items() if isinstance(sub, dict)} if isinstance(found, dict) else {}


def slot_of(name: str) -> str | None:
    """What a parameter of this name is for, or None."""
    return next((slot for slot, pattern in _SLOTS.items() if re.fullmatch(pattern, plain(name))), None)


def plain(name: str) -> str:
    """A name without case and separators: ``file_path`` and ``filePath`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _slots(schema: JsonObject) -> set[str | None]:
    """Slots of the properties, those inside the items of arrays included (pi's ``edits[].oldText``)."""
    found: set[str | None] = set()
    for name, sub in properties(schema).items():
        items = sub.get("items")
        found |= {slot_of(name)} | (_slots(items) if isinstance(items, dict) else set())
    return found


def _takes(schema: JsonObject, value: str | int) -> bool:
    kind, options = schema.get("type"), schema.get("enum")
    right_type = kind == "string" if isinstance(value, str) else kind in ("integer", "number")
    return right_type and (not isinstance(options, list) or value in options)


def _simplest(schema: JsonObject, values: Values) -> JsonValue:
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return options[0]
    match schema.get("type"):
        case "object":
            return fill(schema, values)
        case "array":
            items = schema.get("items")
            return [_simplest(items, values)] if isinstance(items, dict) else []
        case "integer" | "number":
            return int(minimum) if isinstance(minimum := schema.get("minimum"), int | float) else 1
        case "boolean":
            return False
        case _:
            return next((value for value in values.values() if isinstance(value, str)), ".")
