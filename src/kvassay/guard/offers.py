"""The tools that a request offers: those with a schema to judge calls by, and the names of those without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvassay import fields
from kvassay.errors import ConfigError
from kvassay.guard.loose import too_deep
from kvassay.types import JsonObject, Tool
from kvassay.wire import tool_from_openai


class Offers(NamedTuple):
    """What may be called. ``unjudged`` names have no JSON Schema: freeform, hosted, defined by the API, or broken."""

    tools: tuple[Tool, ...]
    unjudged: frozenset[str]


def read_offers(body: JsonObject) -> Offers:
    """Read the tools of a request in any of the three APIs' forms."""
    tools: dict[str, Tool] = {}
    unjudged: set[str] = set()
    for wire in (*fields.sections(body, "tools"), *fields.sections(body, "functions")):
        for offer in _offers(wire):
            if isinstance(offer, Tool):
                tools.setdefault(offer.name, offer)
            else:
                unjudged.add(offer)
    return Offers(tuple(tools.values()), frozenset(unjudged - tools.keys()))


def _offers(wire: JsonObject) -> Iterator[Tool | str]:
    if fields.text(wire, "type") == "namespace":
        yield from _namespaced(fields.text(wire, "name"), wire)
        return
    try:
        tool = tool_from_openai(wire)
    except ConfigError:
        yield from filter(None, (_name(wire), fields.text(wire, "type")))
    else:
        yield tool.name if too_deep(tool.parameters) else tool


def _namespaced(space: str, wire: JsonObject) -> Iterator[Tool | str]:
    """The tools of a Responses namespace, under each name by which a server may report a call to them."""
    for inner in fields.sections(wire, "tools"):
        for offer in _offers(inner):
            for spelling in ("{1}", "{0}.{1}", "{0}__{1}", "{0}{1}"):
                name = spelling.format(space, offer.name if isinstance(offer, Tool) else offer)
                yield Tool(name, offer.description, offer.parameters) if isinstance(offer, Tool) else name


def _name(wire: JsonObject) -> str:
    inner = fields.section(wire, "function") or fields.section(wire, "custom") or wire
    return fields.text(inner, "name")
