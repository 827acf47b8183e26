"""Suite files: other people's cases, one JSON object a line (docs/suites.md)."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from kvassay.errors import ConfigError, SuiteError
from kvassay.grade.schema import leaves, schema_fault, schema_problem
from kvassay.types import ExpectedCall, JsonObject, JsonValue, Message, Probe, Tool
from kvassay.wire import half_character, message_from_openai, parse_json, probe_to_json, tool_from_openai

FAMILY = "suite"
_MOST_SHOWN = 10
_REASON_CHARS = 160
_BOM = b"\xef\xbb\xbf"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Suite:
    """The cases of one file. ``sha256`` is over the file's bytes. A case's depth stands in its probe's
    ``key["depth"]``; a probe without one ``stands_alone``.
    """

    name: str
    sha256: str
    probes: tuple[Probe, ...]


@cache
def suite_schema() -> JsonObject:
    """The JSON Schema of one line, as shipped."""
    text = files("kvassay.probe").joinpath("suite.schema.json").read_text(encoding="utf-8")
    return cast("JsonObject", parse_json(text))


def load_suite(path: Path) -> Suite:
    """Read a suite file. Raises SuiteError naming file, line, field and reason of every bad line (ten at most)."""
    raw = _bytes(path)
    probes: list[Probe] = []
    lines_of: dict[str, int] = {}
    faults: list[str] = []
    for number, line in _lines(raw):
        try:
            probe = _probe(line, seed=len(probes))
        except SuiteError as error:
            faults.append(f"line {number}: {error.message}")
            continue
        probes.append(probe)
        if lines_of.setdefault(probe.id, number) != number:
            faults.append(f"line {number}: id: {probe.id!r} stands on line {lines_of[probe.id]} already")
    if faults:
        raise _collected(path, faults)
    if not probes:
        raise SuiteError(f"{path}: holds no case", hint="Put one JSON object on each line (docs/suites.md).")
    return Suite(path.stem, hashlib.sha256(raw).hexdigest(), tuple(probes))


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SuiteError(f"{path}: can't be read: {error.strerror}") from error
    if raw.removeprefix(_BOM).lstrip().startswith(b"["):
        raise SuiteError(
            f"{path}: line 1: begins a JSON array",
            hint="A suite is JSONL: one object a line, no brackets or commas around them. `jq -c '.[]'` converts it.",
        )
    return raw


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1. Only line feeds count: U+2028 and its like may stand in strings."""
    for number, line in enumerate(raw.removeprefix(_BOM).split(b"\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _collected(path: Path, faults: list[str]) -> SuiteError:
    shown = faults[:_MOST_SHOWN]
    if len(faults) > _MOST_SHOWN:
        shown.append(f"and {len(faults) - _MOST_SHOWN} more bad lines")
    return SuiteError("\n".join(f"{path}: {fault}" for fault in shown), hint="The format stands in docs/suites.md.")


def _probe(line: bytes, *, seed: int) -> Probe:
    case = _case(line)
    tools = _tools(cast("list[JsonValue]", case["tools"]))
    depth = case.get("depth")
    probe = Probe(
        id=cast("str", case["id"]),
        family=FAMILY,
        seed=seed,
        messages=_messages(cast("list[JsonValue]", case["messages"])),
        expected=_alternatives(case["expected"], {tool.name: tool for tool in tools}),
        key={} if depth is None else {"depth": depth},
        tools=tools,
        stands_alone=depth is None,
        tags=tuple(cast("list[str]", case.get("tags", []))),
    )
    if half := half_character(probe_to_json(probe)):
        raise SuiteError(f"{half} is half a character, which no UTF-8 can hold")
    return probe


def _case(line: bytes) -> JsonObject:
    """The line as an object that the shipped schema takes."""
    try:
        case = parse_json(line.decode())
    except UnicodeDecodeError as error:
        raise SuiteError(f"byte {error.start + 1} ({line[error.start]:#04x}) is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise SuiteError(f"is not a JSON object on one line: {error.msg} at column {error.colno}") from None
    except ValueError as error:
        raise SuiteError(f"is not JSON: {error}") from None
    refused = next(Draft202012Validator(suite_schema()).iter_errors(case), None)
    if refused:
        raise _refused(leaves(refused)[0])
    _refuse_misspelt(cast("JsonObject", case))
    return cast("JsonObject", case)


def _refused(error: ValidationError) -> SuiteError:
    field = error.json_path.removeprefix("$").removeprefix(".")
    if error.validator == "required":
        required, given = cast("list[str]", error.validator_value), cast("JsonObject", error.instance)
        missing = next(name for name in required if name not in given)
        return SuiteError(f"{field}{'.' if field else ''}{missing}: is missing")
    reason = error.message if len(error.message) <= _REASON_CHARS else f"{error.message[: _REASON_CHARS - 1]}…"
    return SuiteError(f"{field or 'the case'}: {reason}")


def _refuse_misspelt(case: JsonObject) -> None:
    """Foreign fields are ignored, but one that looks like a field of ours was meant to be it."""
    known = list(cast("JsonObject", suite_schema()["properties"]))
    for name in case.keys() - set(known):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
            raise SuiteError(f"{name}: is no field; did you mean {near[0]!r}?")


def _messages(wires: list[JsonValue]) -> tuple[Message, ...]:
    messages = tuple(_at(f"messages[{i}]", message_from_openai, wire) for i, wire in enumerate(wires))
    if messages[-1].role not in ("user", "tool"):
        raise SuiteError(f"messages: the last is of role {messages[-1].role!r}: the model is asked nothing")
    return messages


def _tools(wires: list[JsonValue]) -> tuple[Tool, ...]:
    tools = tuple(_at(f"tools[{i}]", tool_from_openai, wire) for i, wire in enumerate(wires))
    names = [tool.name for tool in tools]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise SuiteError(f"tools: {twice!r} is declared twice")
    for index, tool in enumerate(tools):
        if problem := schema_problem(tool):
            raise SuiteError(f"tools[{index}].parameters: is no usable JSON Schema: {problem}")
    return tools


def _at(field: str, read: Callable[[JsonValue], _T], wire: JsonValue) -> _T:
    try:
        return read(wire)
    except ConfigError as error:
        raise SuiteError(f"{field}: {error.message}") from None


def _alternatives(expected: JsonValue, tools: Mapping[str, Tool]) -> tuple[tuple[ExpectedCall, ...], ...]:
    if isinstance(expected, str):
        return ((),)
    return tuple(
        tuple(_expected(call, tools, f"expected[{i}][{j}]") for j, call in enumerate(_calls(alternative)))
        for i, alternative in enumerate(cast("list[JsonValue]", expected))
    )


def _calls(alternative: JsonValue) -> list[JsonObject]:
    return [] if isinstance(alternative, str) else cast("list[JsonObject]", alternative)


def _expected(wire: JsonObject, tools: Mapping[str, Tool], field: str) -> ExpectedCall:
    name = cast("str", wire["name"])
    if name not in tools:
        known = ", ".join(tools) or "none"
        raise SuiteError(f"{field}.name: no tool is called {name!r}; declared: {known}")
    accepted = cast("JsonObject", wire.get("arguments", wire.get("parameters", {})))
    call = ExpectedCall(
        name=name,
        arguments={key: tuple(value) if isinstance(value, list) else (value,) for key, value in accepted.items()},
        optional=frozenset(cast("list[str]", wire.get("optional", []))),
    )
    _refuse_impossible(call, tools[name], field)
    return call


def _refuse_impossible(call: ExpectedCall, tool: Tool, field: str) -> None:
    """Every accepted value must be one that the tool takes: no answer could be right otherwise."""
    required = cast("list[JsonValue]", tool.parameters.get("required", []))
    open_ = [name for name in required if name not in call.optional]  # an optional one may hold anything
    relaxed = replace(tool, parameters={**tool.parameters, "required": cast("JsonValue", open_)})
    first = {name: values[0] for name, values in call.arguments.items()}
    variants = [{**first, name: value} for name, values in call.arguments.items() for value in values]
    for arguments in variants or [first]:
        if fault := schema_fault(relaxed, arguments):
            hint = " (an accepted array stands in a list of its own: [[…]])" if "type 'array'" in fault.detail else ""
            raise SuiteError(f"{field}: the tool itself refuses what is accepted: {fault.detail}{hint}")
