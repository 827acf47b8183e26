"""Nested: objects, arrays and enums inside the arguments, every value stated."""

from __future__ import annotations

import random

from kvassay.probe.base import Family, call_probe, dice, exactly
from kvassay.probe.values import arguments, required, scalar, stated
from kvassay.session.acts import properties
from kvassay.session.scene import Scene
from kvassay.types import Probe, Tool

_NAME = "nested"
_SMALL_TOOL = 5  # parameters


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    tools = [tool for tool in scene.tools if _deep(tool)]
    for tool in rng.sample(tools, len(tools)):
        values = arguments(tool, _wanted(tool, rng, level), rng, scene, level)
        if values:
            request = f"Use {tool.name} with {stated(values, as_json=level == 1)}."
            return call_probe(_NAME, seed, level, request, exactly(tool.name, values))
    return None


def _wanted(tool: Tool, rng: random.Random, level: int) -> list[str]:
    """Level 1: the required parameters, one of them (or one more) nested, and written as JSON in the question. Then all
    of a small tool's parameters, in words: what is left open, a model may well fill in.
    """
    names, needed, deep = [*properties(tool.parameters)], {*required(tool.parameters)}, _deep(tool)
    if level > 1 and len(names) <= _SMALL_TOOL:
        return names
    chosen = needed if needed & {*deep} else needed | {rng.choice(deep)}
    return [name for name in names if name in chosen]


def _deep(tool: Tool) -> list[str]:
    return [name for name, schema in properties(tool.parameters).items() if not scalar(schema)]


FAMILY = Family(_NAME, _make)
