"""Tool-call wire formats: what a model's raw output says, exactly, and what is wrong with what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from kvassay.dialect.catalog import choose, detect, markers, named, names, read_as
from kvassay.dialect.faults import fault_class
from kvassay.dialect.tools import declared
from kvassay.types import Call, JsonObject, ParseFault

__all__ = ["Fault", "Parsed", "ParsedCall", "detect", "fault_class", "form", "markers", "named", "names", "parse"]


def form(name: str) -> str:
    """How a call is written in a dialect, with placeholders for names and values. Raises ConfigError if unknown."""
    return named(name).render([Call("name_of_the_tool", {"name_of_the_parameter": "value"})])


class ParsedCall(TypedDict):
    """A well-formed call, exactly as said."""

    name: str
    arguments: JsonObject


Fault = TypedDict("Fault", {"class": str, "kind": str, "detail": str, "text": str})
"""What is wrong with a call: its failure class (``M1`` or ``M2``), kind, one sentence, and the verbatim piece."""


class Parsed(TypedDict):
    """A raw output, read: ``dialect`` is "" where ``auto`` found nothing of a call."""

    dialect: str
    content: str
    reasoning: str
    calls: list[ParsedCall]
    faults: list[Fault]


def parse(text: str, dialect: str = "auto", tools: Sequence[JsonObject] | None = None) -> Parsed:
    """Read a model's raw output.

    ``dialect`` is one of ``names()``, or ``auto``: the format whose markers stand in the text. ``tools`` are
    OpenAI-format tool definitions or bare functions; they type the parameters of markup formats and tell a call from
    other JSON. Calls come in order of appearance and are never repaired: what is not well-formed is a fault.

    Raises ConfigError for an unknown dialect or a tool without a name.
    """
    known = declared(tools)
    chosen = choose(text, known) if dialect == "auto" else read_as(dialect, text, known)
    reading = chosen.reading
    return Parsed(
        dialect=chosen.name,
        content=reading.content,
        reasoning=reading.reasoning,
        calls=[ParsedCall(name=call.name, arguments=call.arguments) for call in reading.calls],
        faults=[_fault(fault) for fault in reading.faults],
    )


def _fault(fault: ParseFault) -> Fault:
    kind = fault.kind
    return {"class": fault_class(kind).value, "kind": kind, "detail": fault.detail, "text": fault.text}
