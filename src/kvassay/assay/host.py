"""What machine and software a run was made with: recorded in its manifest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import psutil

PACKAGES = (
    "kvassay",
    "xllamacpp",
    "httpx",
    "jsonschema",
    "scipy",
    "pydantic",
    "numpy",
    "torch",
    "transformers",
    "exllamav3",
)


def hardware() -> str:
    """Processor, cores and memory in one line: ``Xeon … · 2 cores · 24 GiB``."""
    memory_gib = round(psutil.virtual_memory().total / 2**30)
    return f"{_processor()} · {os.cpu_count()} cores · {memory_gib} GiB"


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
