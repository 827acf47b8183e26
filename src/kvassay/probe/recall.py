"""Recall: a tool and the exact names of its parameters, defined at the very start; the values are stated."""

from __future__ import annotations

import random
from collections.abc import Sequence

from kvassay.probe.base import Family, call_probe, dice, exactly
from kvassay.probe.values import arguments, required, scalar, spoken, stated
from kvassay.session.acts import properties, slot_of
from kvassay.session.scene import Scene
from kvassay.types import Probe, Tool

_NAME = "recall"
_MAX_DESCRIPTION = 120


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    rng = dice(_NAME, seed)
    tools = [tool for tool in scene.tools if _flat(tool)]
    tools = [tool for tool in tools if len(properties(tool.parameters)) <= level + 1] or tools
    for tool in rng.sample(tools, len(tools)):
        values = arguments(tool, _wanted(tool, rng, level), rng, scene, level)
        if values:
            request = f"Use {_called(tool, scene.tools, level)} with {stated(values)}."
            return call_probe(_NAME, seed, level, request, exactly(tool.name, values))
    return None


def _wanted(tool: Tool, rng: random.Random, level: int) -> list[str]:
    """The required parameters, and up to ``level + 1`` in all: for most tools every one, so that none is left open."""
    needed = required(tool.parameters)
    optional = [name for name in _scalars(tool) if name not in needed]
    more = rng.sample(optional, min(len(optional), max(level + 1 - len(needed), 0)))
    return [name for name in _scalars(tool) if name in needed or name in more]


def _called(tool: Tool, tools: Sequence[Tool], level: int) -> str:
    """The tool by its name; from level 2 by its name in words; at level 3 by what it does."""
    names, does = [spoken(other.name) for other in tools], [_does(other) for other in tools]
    if level == 3 and does.count(_does(tool)) == 1 and len(_does(tool)) <= _MAX_DESCRIPTION:  # noqa: PLR2004
        return f'the tool for this: "{_does(tool)}",'
    return f"the {spoken(tool.name)} tool" if level > 1 and names.count(spoken(tool.name)) == 1 else tool.name


def _does(tool: Tool) -> str:
    return tool.description.partition("\n")[0].partition(". ")[0].rstrip(".")


def _flat(tool: Tool) -> bool:
    """Whether one word or number for each parameter makes a call that means something (an edit's texts don't)."""
    names = properties(tool.parameters)
    return len(_scalars(tool)) == len(names) > 0 and "old" not in map(slot_of, names)


def _scalars(tool: Tool) -> list[str]:
    return [name for name, schema in properties(tool.parameters).items() if scalar(schema)]


FAMILY = Family(_NAME, _make)
