"""`--executor` and what belongs to it: shared by the commands that measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from kvassay.errors import ConfigError
from kvassay.executor.base import Executor
from kvassay.executor.local import LOCAL

Command = Callable[..., Any]
OPTIONS = (
    click.option(
        "--executor", type=click.Choice(["local", "ray"]), default="local",
        help="Where boots take place: one by one here, or on a Ray cluster (docs/cluster.md). [local]",
    ),
    click.option("--ray-address", metavar="ADDR", help="auto (this machine's cluster) or HOST:PORT. [auto]"),
    click.option("--gpus-per-boot", type=click.FloatRange(0), metavar="N",
                 help="GPUs of a boot on Ray; 0.25: four share one. [1 if any]"),
    click.option("--cpus-per-boot", type=click.IntRange(1), metavar="N", help="CPUs of a boot on Ray. [its share]"),
    click.option("--node-resource", metavar="NAME", help="Use machines that offer this Ray resource only."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Executing:
    """What the flags say. ``ray_address`` and the rest concern Ray alone."""

    executor: str = "local"
    ray_address: str | None = None
    gpus_per_boot: float | None = None
    cpus_per_boot: int | None = None
    node_resource: str | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """The same again on a command line, for "go on with"."""
        if self.executor == "local":
            return ()
        given = {"--ray-address": self.ray_address, "--gpus-per-boot": self.gpus_per_boot,
                 "--cpus-per-boot": self.cpus_per_boot, "--node-resource": self.node_resource}  # fmt: skip
        stated = ((flag, str(value)) for flag, value in given.items() if value is not None)
        return ("--executor", self.executor, *(word for pair in stated for word in pair))


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs take place: ``executor`` makes one for each run, ``halt`` ends what waits, ``at_once`` says whether
    several runs may be under way together.
    """

    executor: Callable[[], Executor]
    halt: Callable[[], None] = lambda: None
    at_once: bool = False


def executing(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def taken(flags: dict[str, object]) -> Executing:
    """Take the options' values out of a command's flags. Raises ConfigError for Ray's without ``--executor ray``."""
    values: dict[str, Any] = {name: flags.pop(name, None) for name in Executing.__slots__}
    asked = Executing(**values)
    idle = [f"--{name.replace('_', '-')}" for name, value in values.items() if name != "executor" and value is not None]
    if idle and asked.executor != "ray":
        raise ConfigError(f"{', '.join(idle)}: only with --executor ray")
    gpus = asked.gpus_per_boot or 0
    if not (gpus <= 1 or float(gpus).is_integer()):
        raise ConfigError(f"--gpus-per-boot {gpus:g}: above 1 it has to be a whole number")
    return asked


@contextmanager
def place(asked: Executing) -> Iterator[Place]:
    """The place that the flags name, for as long as this is entered."""
    if asked.executor == "local":
        yield Place(lambda: LOCAL)
        return
    from kvassay.executor.nodes import Wish  # noqa: PLC0415  who doesn't use Ray loads nothing of it
    from kvassay.executor.on_ray import cluster_at  # noqa: PLC0415

    wish = Wish(asked.gpus_per_boot, asked.cpus_per_boot, asked.node_resource)
    with cluster_at(asked.ray_address or "auto", wish) as cluster:
        yield Place(cluster.executor, cluster.halt.set, at_once=True)
