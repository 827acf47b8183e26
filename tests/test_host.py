"""What a manifest says of the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from kvassay import host


def test_hardware_is_one_line_of_processor_cores_and_memory() -> None:
    """It must be the same on every start, since resumption compares it."""
    processor, cores, memory = host.hardware().split(" · ")
    assert processor
    assert cores == f"{os.cpu_count()} cores"
    assert 0 < int(memory.removesuffix(" GiB")) < 2**20
    assert host.hardware() == host.hardware()


def test_the_host_is_named_with_its_system_and_python() -> None:
    """Enough to ask back whose numbers these are."""
    assert host.host()["python"] == platform.python_version()
    assert host.host().keys() == {"node", "system", "python"}


def test_packages_that_can_change_a_result_are_recorded() -> None:
    """The server among them."""
    assert host.packages()["xllamacpp"] == version("xllamacpp")
    assert host.packages().keys() <= set(host.PACKAGES)


def test_gpus_and_their_driver_are_read_from_nvidia_smi() -> None:
    """Its lines are ``name, driver``; what is no such line is skipped."""
    lines = "NVIDIA H100 80GB HBM3, 580.159.04\nNVIDIA H100 80GB HBM3, 580.159.04\n\nNo devices were found\n"
    assert host.parse_gpus(lines) == (("NVIDIA H100 80GB HBM3",) * 2, "580.159.04")
    assert host.parse_gpus("") == ((), "")


def test_a_machine_is_told_by_what_can_change_a_result() -> None:
    """Its name and its memory are not part of its kind; GPUs are counted by name."""
    one = host.Machine("a", "Xeon", 64, 512, ("L4", "L4"), "580.1")
    assert one.kind == "Xeon · 64 cores · 2 × L4 · driver 580.1"
    assert one.hardware == "Xeon · 64 cores · 512 GiB · 2 × L4 · driver 580.1"
    assert host.machine(gpu_ids=()).hardware == host.hardware()


def test_a_boots_devices_name_its_machine() -> None:
    """Without the name they are equal for machines of one kind; a boot on the run's own host names none."""
    first, second = (host.Machine(node, "Xeon", 64, 512) for node in "ab")
    assert host.host_entry((first.entry, "CPU: Xeon")) == "host a: Xeon · 64 cores"
    assert host.nameless((first.entry, "CPU: Xeon")) == host.nameless((second.entry, "CPU: Xeon"))
    assert host.nameless((first.entry, "CPU: Xeon")) != host.nameless((first.entry, "CUDA0: L4"))
    assert host.host_entry(("CPU: Xeon",)) is None
