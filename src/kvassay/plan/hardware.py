"""How much memory this machine has for a model: NVIDIA, AMD and Apple GPUs, else the main memory."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from kvassay.host import say

MIB = 1 << 20
_LARGE_MAC_BYTES = 36 << 30
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
    limit, size = (say("sysctl", "-n", key).strip() for key in ("iogpu.wired_limit_mb", "hw.memsize"))
    if limit.isdecimal() and int(limit):
        return [Memory("metal", "Apple GPU", int(limit) * MIB, "sysctl iogpu.wired_limit_mb")]
    if not size.isdecimal():
        return []
    wired = wired_bytes(int(size))
    return [Memory("metal", "Apple GPU", wired, "macOS's default share of sysctl hw.memsize")]


def wired_bytes(memory_bytes: int) -> int:
    """What macOS lets the GPU wire by default: two thirds, of 36 GiB and more three quarters.

    The least that llama.cpp prints as recommendedMaxWorkingSetSize on such machines: 10,923 MiB of 16 GiB, 21,845 of
    32, 27,648 of 36, 49,152 of 64. Later systems allow more (macOS 26: 107.5 GiB of 128).
    """
    return memory_bytes * 3 // 4 if memory_bytes >= _LARGE_MAC_BYTES else memory_bytes * 2 // 3


def main_memory() -> Memory:
    """The machine's main memory, for the CPU back end."""
    return Memory("cpu", "main memory", psutil.virtual_memory().total, "the operating system")
