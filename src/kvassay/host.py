"""What machine and software a run was made with: recorded in its manifest, and for boots elsewhere with each boot."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PACKAGES = (
    "kvassay", "xllamacpp", "httpx", "jsonschema", "scipy", "pydantic", "numpy", "torch", "transformers", "exllamav3",
)  # fmt: skip
_WAIT_S = 10.0
_HOST = "host "  # how the entry of BootFacts.devices begins that names the machine


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, as far as it can change a result or a speed. ``gpus`` are the names of the NVIDIA GPUs that a boot
    there may use, ``driver`` is their driver's version; others are told by the server's own log alone.
    """

    node: str
    cpu: str
    cores: int
    memory_gib: int
    gpus: tuple[str, ...] = ()
    driver: str = ""

    @property
    def kind(self) -> str:
        """What must be equal among the boots of one run. Memory need not: firmware keeps a little of it."""
        return " · ".join((self.cpu, f"{self.cores} cores", *self._gpus()))

    @property
    def hardware(self) -> str:
        """All of it but the name, in one line, as a manifest states it."""
        return " · ".join((self.cpu, f"{self.cores} cores", f"{self.memory_gib} GiB", *self._gpus()))

    @property
    def entry(self) -> str:
        """The line that names this machine among a boot's devices."""
        return f"{_HOST}{self.node}: {self.kind}"

    def _gpus(self) -> tuple[str, ...]:
        counted = (f"{self.gpus.count(name)} × {name}" for name in dict.fromkeys(self.gpus))
        return (*counted, f"driver {self.driver}") if self.gpus else ()


def machine(gpu_ids: Sequence[str] | None = None) -> Machine:
    """This machine, with all its GPUs or those of these ids (nvidia-smi's numbers or UUIDs; none of them: no GPU)."""
    memory_gib = round(psutil.virtual_memory().total / 2**30)
    gpus, driver = parse_gpus(_gpu_lines(gpu_ids))
    return Machine(platform.node(), _processor(), os.cpu_count() or 1, memory_gib, gpus, driver)


def parse_gpus(text: str) -> tuple[tuple[str, ...], str]:
    """GPU names and driver version from nvidia-smi's lines ``name, driver``; other lines are skipped."""
    rows = [line.rpartition(",") for line in text.splitlines()]
    found = [(name.strip(), driver.strip()) for name, _, driver in rows if name.strip() and driver.strip()]
    return tuple(name for name, _ in found), found[0][1] if found else ""


def _gpu_lines(gpu_ids: Sequence[str] | None) -> str:
    if gpu_ids is not None and not gpu_ids:
        return ""
    chosen = () if gpu_ids is None else ("--id", ",".join(gpu_ids))
    return say("nvidia-smi", *chosen, "--query-gpu=name,driver_version", "--format=csv,noheader")


def host_entry(devices: Sequence[str]) -> str | None:
    """The line of a boot's devices that names its machine; None where the boot ran on the run's own host."""
    return next((device for device in devices if device.startswith(_HOST)), None)


def nameless(devices: Sequence[str]) -> tuple[str, ...]:
    """A boot's devices without the machine's name: equal for boots that may be compared."""
    return tuple(one.partition(": ")[2] if one.startswith(_HOST) else one for one in devices)


def hardware() -> str:
    """Processor, cores and memory in one line: ``Xeon … · 2 cores · 24 GiB``."""
    return machine(gpu_ids=()).hardware


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def host() -> dict[str, str]:
    """Name, system and Python of this machine."""
    return {
        "node": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def packages() -> dict[str, str]:
    """Versions of the packages that can change a result, as far as they are installed."""
    found = {package.name.lower(): package.version for package in importlib.metadata.distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


def say(*command: str) -> str:
    """A program's output; empty where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
