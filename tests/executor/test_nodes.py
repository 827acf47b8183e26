"""Which machines can hold a boot, how much of one a boot takes, and that unlike ones are refused."""

from __future__ import annotations

import pytest

from kvassay.errors import ConfigError
from kvassay.executor.nodes import Node, Share, Wish, fitting, one_kind, share_of
from kvassay.host import Machine

H100, L4 = "NVIDIA H100 80GB HBM3", "NVIDIA L4"


def node(name: str, **resources: float) -> Node:
    return Node(name, name, resources)


def machine(name: str, *gpus: str, cpu: str = "Xeon", memory_gib: int = 512, driver: str = "580.1") -> Machine:
    return Machine(name, cpu, 64, memory_gib, gpus, driver if gpus else "")


def test_a_boot_takes_one_gpu_and_its_part_of_the_cpus_where_there_are_gpus() -> None:
    """So that as many boots fit on a machine as it has GPUs, the least machine deciding."""
    nodes = [node("login", CPU=8), node("a", CPU=64, GPU=8), node("b", CPU=48, GPU=4)]
    assert share_of(Wish(), nodes) == Share(1, 8)
    assert share_of(Wish(gpus=2), nodes) == Share(2, 16)


def test_without_a_gpu_a_boot_takes_a_whole_machine() -> None:
    """Boots that share a processor slow each other down."""
    assert share_of(Wish(), [node("head", CPU=0), node("a", CPU=16)]) == Share(0, 16)
    assert share_of(Wish(cpus=4), [node("a", CPU=16)]) == Share(0, 4)


def test_only_machines_with_the_named_resource_count() -> None:
    """One kind of a mixed cluster is chosen by what Ray, or the user, calls it."""
    nodes = [node("a", CPU=64, GPU=8, **{"accelerator_type:H100": 1}), node("b", CPU=8, GPU=1)]
    share = share_of(Wish(node_resource="accelerator_type:H100"), nodes)
    assert share == Share(1, 8, "accelerator_type:H100")
    assert [one.name for one in fitting(nodes, share)] == ["a"]


def test_a_share_that_no_machine_has_is_refused_with_what_they_offer() -> None:
    """It would wait for ever."""
    with pytest.raises(ConfigError, match=r"2 GPUs: a CPU 64, GPU 1") as caught:
        fitting([node("a", CPU=64, GPU=1)], Share(2, 8))
    assert "--gpus-per-boot" in caught.value.hint
    with pytest.raises(ConfigError, match="none is alive"):
        fitting([], Share(0, 1))


@pytest.mark.parametrize(
    "other",
    [machine("b", L4), machine("b", H100, cpu="EPYC"), machine("b", H100, driver="550.2"), machine("b", H100, L4)],
)
def test_machines_of_two_kinds_are_refused_by_name(other: Machine) -> None:
    """Another GPU, processor or driver, and two GPUs in one machine, before anything is measured."""
    with pytest.raises(ConfigError, match="not of one kind") as caught:
        one_kind([machine("a", H100), other], Share(1, 8))
    assert "a: Xeon" in str(caught.value)
    assert "b: " in str(caught.value)
    assert "--node-resource" in caught.value.hint


def test_boots_may_share_a_gpu_and_the_hardware_says_so() -> None:
    """Four boots on one GPU take a quarter of what its part of the CPUs is each; the manifest's line tells it."""
    nodes = [node("a", GPU=2, CPU=32)]
    share = share_of(Wish(gpus=0.25), nodes)
    assert share == Share(0.25, 4)
    assert one_kind([machine("a", "H100", "H100")], share).endswith("1 × H100 · driver 580.1 · 0.25 of a GPU a boot")
    assert "of a GPU a boot" not in one_kind([machine("a", "H100", "H100")], Share(1, 16))


def test_alike_machines_may_differ_in_number_of_gpus_and_in_memory() -> None:
    """The manifest states what a boot has; the least memory, so that resuming finds the same."""
    alike = [machine("a", *[H100] * 8, memory_gib=2015), machine("b", *[H100] * 4, memory_gib=2011)]
    assert one_kind(alike, Share(1, 8)) == f"Xeon · 64 cores · 2011 GiB · 1 × {H100} · driver 580.1"


def test_gpus_that_no_boot_uses_do_not_count() -> None:
    """A run on processors alone may use machines with different GPUs."""
    assert one_kind([machine("a", H100), machine("b", L4)], Share(0, 8)) == "Xeon · 64 cores · 512 GiB"
