"""Which of a cluster's machines can hold a boot, how much of one a boot takes, and whether they are all alike."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kvassay.errors import ConfigError
from kvassay.host import Machine


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for; None leaves the choice to ``share_of``. ``node_resource`` is a resource that a machine
    must offer, by the name the cluster gives it (Ray: ``accelerator_type:H100``, or one of the user's own).
    """

    gpus: float | None = None
    cpus: int | None = None
    node_resource: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What each boot takes of its machine. ``gpus`` below 1: several boots share one."""

    gpus: float
    cpus: int
    node_resource: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a cluster as the cluster tells it."""

    id: str
    name: str
    resources: Mapping[str, float]

    def amount(self, resource: str) -> int:
        """How much of a resource it has in all."""
        return int(self.resources.get(resource, 0))

    def holds(self, share: Share) -> bool:
        """Whether a boot could ever be placed here."""
        named = share.node_resource is None or self.resources.get(share.node_resource, 0) > 0
        return named and self.amount("CPU") >= share.cpus and self.amount("GPU") >= share.gpus


def share_of(wish: Wish, nodes: Sequence[Node]) -> Share:
    """A boot's share: one GPU where there are any, and of the CPUs what the machine has for each boot that its GPUs
    allow (all of them without a GPU), so that boots don't slow each other down.
    """
    named = [node for node in nodes if node.holds(Share(0, 1, wish.node_resource))]
    gpus = wish.gpus if wish.gpus is not None else int(any(node.amount("GPU") for node in named))
    fit = [node for node in named if node.amount("GPU") >= gpus]
    cpus = min((node.amount("CPU") // (int(node.amount("GPU") / gpus) if gpus else 1) for node in fit), default=1)
    return Share(gpus, wish.cpus or max(1, cpus), wish.node_resource)


def fitting(nodes: Sequence[Node], share: Share) -> tuple[Node, ...]:
    """The machines that can hold a boot. Raises ConfigError where there are none."""
    fit = tuple(node for node in nodes if node.holds(share))
    if not fit:
        wanted = f"{share.cpus} CPUs and {share.gpus:g} GPUs" + (
            f" and the resource {share.node_resource!r}" if share.node_resource else ""
        )
        have = "; ".join(f"{node.name} {_offers(node)}" for node in nodes) or "none is alive"
        raise ConfigError(
            f"no machine of the cluster can hold a boot of {wanted}: {have}",
            hint="Ask for less with --cpus-per-boot and --gpus-per-boot, or add machines.",
        )
    return fit


def one_kind(machines: Sequence[Machine], share: Share) -> str:
    """The hardware of a boot, in one line for the manifest. Raises ConfigError where machines that could hold a boot
    are of several kinds: a pair measured on two of them would compare the machines.
    """
    kinds: defaultdict[str, list[Machine]] = defaultdict(list)
    for machine in machines:
        distinct = tuple(dict.fromkeys(machine.gpus)) if share.gpus else ()
        kinds[replace(machine, gpus=distinct).kind].append(machine)
    mixed = [machine.node for machine in machines if share.gpus and len(set(machine.gpus)) > 1]
    if len(kinds) > 1 or mixed:
        listed = (f"  {', '.join(sorted({one.node for one in same}))}: {kind}" for kind, same in sorted(kinds.items()))
        raise ConfigError(
            "the machines that could hold a boot are not of one kind:\n" + "\n".join(listed),
            hint="Pairs are never measured across kinds: name one with --node-resource (for example "
            "accelerator_type:H100), or start a cluster for each.",
        )
    least = min(machines, key=lambda machine: machine.memory_gib)
    own = replace(least, gpus=least.gpus[:1] * math.ceil(share.gpus)).hardware
    return f"{own} · {share.gpus:g} of a GPU a boot" if 0 < share.gpus < 1 else own


def _offers(node: Node) -> str:
    shown = {name: n for name, n in node.resources.items() if name in ("CPU", "GPU") or "accelerator" in name}
    return ", ".join(f"{name} {amount:g}" for name, amount in sorted(shown.items())) or "nothing"
