"""How much memory this machine has for a model: NVIDIA, AMD and Apple GPUs, else the main memory."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1 << 20
_WAIT_S = 10.0
_METAL_SHARE = 0.75  # the share of the memory that macOS lets one process wire for the GPU, by default
_DRM = Path("/sys/class/drm")


@dataclass(frozen=True, slots=True)
class Memory:
    """One device's memory. ``how`` says where the figure comes from."""

    device: str
    name: str
    total_bytes: int
    how: str


def detect() -> Memory:
    """The largest GPU of this machine, or else its main memory."""
    found = [*nvidia(), *amd(_DRM), *apple()]
    return max(found, key=lambda each: each.total_bytes) if found else main_memory()


def nvidia() -> list[Memory]:
    """NVIDIA GPUs, as nvidia-smi tells them."""
    text = say("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    return parse_nvidia(text)


def parse_nvidia(text: str) -> list[Memory]:
    """Read nvidia-smi's lines ``name, MiB``; others are skipped."""
    rows = [line.rpartition(",") for line in text.splitlines()]
    return [
        Memory("cuda", name.strip(), int(size) * MIB, "nvidia-smi")
        for name, _, size in rows
        if size.strip().isdecimal() and name
    ]


def amd(drm: Path) -> list[Memory]:
    """AMD GPUs, from the kernel's sysfs."""
    found = []
    for file in sorted(drm.glob("card*/device/mem_info_vram_total")):
        try:
            size = int(file.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            continue
        found.append(Memory("hip", f"AMD {file.parent.parent.name}", size, str(file)))
    return found


def apple() -> list[Memory]:
    """Apple's unified memory, as far as the GPU may wire it."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return []
    size = say("sysctl", "-n", "hw.memsize").strip()
    if not size.isdecimal():
        return []
    return [Memory("metal", "Apple GPU", int(int(size) * _METAL_SHARE), "sysctl hw.memsize × 0.75")]


def main_memory() -> Memory:
    """The machine's main memory, for the CPU back end."""
    return Memory("cpu", "main memory", psutil.virtual_memory().total, "the operating system")


def say(*command: str) -> str:
    """A program's output; empty where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
