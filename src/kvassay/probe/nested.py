"""Nested: objects, arrays and enums inside the arguments, every value stated."""

from __future__ import annotations

import random

from kvassay.probe.base import Family, call_probe, dice, exactly
from kvassay.probe.values import arguments, required, scalar, stated
from kvassay.session.acts import properties
from kvassay.session.scene import Scene
from kvassay.types import Probe, Tool

_NAME = "nested"


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    tools = [tool for tool in scene.tools if _deep(tool)]
    for tool in rng.sample(tools, len(tools)):
        values = arguments(tool, _wanted(tool, rng, level), rng, scene, level)
        if values:
            request = f"Use {tool.name} with {stated(values)}."
            return call_probe(_NAME, seed, level, request, exactly(tool.name, values))
    return None


def _wanted(tool: Tool, rng: random.Random, level: int) -> list[str]:
    """The required parameters and at least one that is nested; more of the optional ones at each level."""
    needed = {*required(tool.parameters)}
    deep = rng.sample(_deep(tool), len(_deep(tool)))
    others = [name for name in properties(tool.parameters) if name not in needed and name not in deep]
    chosen = needed if needed & {*deep} else needed | {deep[0]}
    more = [name for name in [*deep, *others] if name not in chosen][: level - 1]
    return [name for name in properties(tool.parameters) if name in chosen or name in more]


def _deep(tool: Tool) -> list[str]:
    return [name for name, schema in properties(tool.parameters).items() if not scalar(schema)]


FAMILY = Family(_NAME, _make)
