"""What a manifest says of the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from kvassay.assay import host


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
