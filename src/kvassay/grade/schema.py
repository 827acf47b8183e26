"""Arguments against a tool's JSON Schema: M4, M5, M6 and M7."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # jsonschema's own, untyped
from referencing.exceptions import Unresolvable

from kvassay.grade.strangers import first_stranger
from kvassay.types import JsonObject, JsonValue, Outcome, OutcomeClass, Tool

_CLASSES = {
    "required": OutcomeClass.MISSING_REQUIRED,
    "dependentRequired": OutcomeClass.MISSING_REQUIRED,
    "dependencies": OutcomeClass.MISSING_REQUIRED,
    "minProperties": OutcomeClass.MISSING_REQUIRED,
    "additionalProperties": OutcomeClass.HALLUCINATED_PARAM,
    "unevaluatedProperties": OutcomeClass.HALLUCINATED_PARAM,
    "propertyNames": OutcomeClass.HALLUCINATED_PARAM,
}
_PRECEDENCE = (OutcomeClass.MISSING_REQUIRED, OutcomeClass.WRONG_TYPE, OutcomeClass.HALLUCINATED_PARAM)
_SHOWN_CHARS = 200


class _Built(NamedTuple):
    validator: Validator | None
    problem: str | None


def schema_problem(tool: Tool) -> str | None:
    """Say what is wrong with a tool's own schema, None where it can be used. A broken schema accepts everything."""
    return _build(json.dumps(tool.parameters)).problem


def schema_fault(tool: Tool, arguments: JsonObject) -> Outcome | None:
    """Classify arguments that the tool would not take, in the order M7, M4, M5, M6; None where it takes them.

    Draft 2020-12 unless ``$schema`` names another. References are resolved within the schema only: nothing is fetched.
    """
    validator = _build(json.dumps(tool.parameters)).validator
    if validator is None:
        return None
    faults = [_outcome(leaf) for error in validator.iter_errors(arguments) for leaf in leaves(error)]
    faults.sort(key=lambda fault: _PRECEDENCE.index(fault.kind))  # stable: within a class, the schema's own order
    if not faults:
        return _stranger(validator, tool, arguments)
    if not arguments and faults[0].kind is OutcomeClass.MISSING_REQUIRED:
        return Outcome(OutcomeClass.EMPTY_ARGS, f"{tool.name} was called without arguments: {faults[0].detail}")
    return faults[0]


class TypeFault(NamedTuple):
    """A value of another JSON type than its schema takes: where it stands, and the types that would do."""

    place: tuple[str | int, ...]
    wanted: tuple[str, ...]


def type_faults(tool: Tool, arguments: JsonObject) -> tuple[TypeFault, ...]:
    """Find the values that have the wrong JSON type, in the schema's own order."""
    validator = _build(json.dumps(tool.parameters)).validator
    errors = validator.iter_errors(arguments) if validator else ()
    return tuple(
        TypeFault(tuple(leaf.absolute_path), _types(leaf.validator_value))
        for error in errors
        for leaf in leaves(error)
        if leaf.validator == "type"
    )


def _types(wanted: object) -> tuple[str, ...]:
    return tuple(map(str, wanted)) if isinstance(wanted, list) else (str(wanted),)


def _stranger(validator: Validator, tool: Tool, arguments: JsonObject) -> Outcome | None:
    stranger = first_stranger(validator, arguments)
    if stranger is None:
        return None
    return Outcome(OutcomeClass.HALLUCINATED_PARAM, f"{tool.name} has no parameter {stranger!r}")


@lru_cache(maxsize=512)
def _build(schema: str) -> _Built:
    """The validator, or what is wrong with the schema. The key is the schema's text: dicts can't be hashed."""
    parsed = cast("JsonObject", _readable(json.loads(schema)))
    kind = validator_for(parsed, default=Draft202012Validator)
    try:
        kind.check_schema(parsed)
    except SchemaError as error:
        return _Built(None, f"{error.json_path}: {error.message}")
    exact = extend(kind, {"multipleOf": _multiple_of})  # type: ignore[no-untyped-call]  # untyped in the stubs
    validator = exact(parsed, registry=REGISTRY, format_checker=kind.FORMAT_CHECKER)
    lost = next((ref for ref in _refs(parsed) if not _resolves(validator, ref)), None)
    return _Built(validator, None) if lost is None else _Built(None, f"$ref {lost!r} leads nowhere")


def _multiple_of(
    validator: Validator, factor: float, instance: JsonValue, _schema: JsonObject
) -> Iterator[ValidationError]:
    """``multipleOf`` of the decimals as they are written: in binary, 0.3 is no multiple of 0.1."""
    if not validator.is_type(instance, "number"):
        return
    if (Fraction(str(instance)) / Fraction(str(factor))).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {factor!r}")


def _readable(schema: JsonValue) -> JsonValue:
    """Leave out patterns that JavaScript reads and Python's `re` doesn't (Unicode classes): the rest is checked."""
    if isinstance(schema, list):
        return [_readable(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _readable(inner) for key, inner in schema.items() if key != "pattern" or _compiles(inner)}
    if isinstance(patterns := kept.get("patternProperties"), dict):
        kept["patternProperties"] = {key: inner for key, inner in patterns.items() if _compiles(key)}
    return kept


def _compiles(pattern: JsonValue) -> bool:
    try:
        re.compile(pattern if isinstance(pattern, str) else "")
    except re.error:
        return False
    return True


def _refs(schema: JsonValue) -> Iterator[str]:
    if isinstance(schema, dict) and isinstance(ref := schema.get("$ref"), str):
        yield ref
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _refs(inner)


def _resolves(validator: Validator, ref: str) -> bool:
    try:
        # Any instance does: the reference is followed before anything is checked.
        validator.evolve(schema={"$ref": ref, "type": []}).is_valid(None)
    except Unresolvable:
        return False
    return True


def leaves(error: ValidationError) -> Sequence[ValidationError]:
    """Find the errors behind an error: of several alternatives, those of the one that was most likely meant."""
    if not error.context:
        return [error]
    branches: dict[object, list[ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = min(branches.values(), key=_unlikelihood)
    return [leaf for inner in meant for leaf in leaves(inner)]


def _unlikelihood(errors: Sequence[ValidationError]) -> tuple[bool, bool, int]:
    """An alternative of another type was not meant, nor one whose constants (its discriminator) differ."""
    other_type = any(not error.path and error.validator == "type" for error in errors)
    other_constant = any(error.validator in {"const", "enum"} for error in errors)
    return other_type, other_constant, len(errors)


def _outcome(error: ValidationError) -> Outcome:
    kind = _CLASSES.get(str(error.validator), OutcomeClass.WRONG_TYPE)
    detail = f"{error.json_path.removeprefix('$').removeprefix('.') or 'the arguments'}: {error.message}"
    return Outcome(kind, detail if len(detail) <= _SHOWN_CHARS else f"{detail[: _SHOWN_CHARS - 1]}…")
