"""llama.cpp without installing anything: the xllamacpp wheel in a child process of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from kvassay.backend import embedded_child
from kvassay.backend.base import Boot, Listener, silent
from kvassay.backend.engaged import FlashAttention, refuse_early
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.backend.llama_server import claim_port, rotation_env
from kvassay.backend.process import ServerProcess, python_file
from kvassay.backend.starting import Start, open_boot
from kvassay.kv_cache import pad
from kvassay.types import Arm

_FLASH_NUMBERS: dict[FlashAttention, int] = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True, slots=True)
class Embedded:
    """Each boot is a child process that runs xllamacpp's server on ``model_path``.

    ``port`` None lets the system choose; ``log_dir`` keeps the servers' logs.
    """

    model_path: Path
    threads: int | None = None
    flash_attention: FlashAttention = "auto"
    gpu_layers: int | None = None
    port: int | None = None
    log_dir: Path | None = None
    model_sha256: str | None = None

    @property
    def name(self) -> str:
        return "embedded"

    @property
    def cache_types(self) -> tuple[str, ...]:
        return LLAMA_TYPES

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        refuse_early(arm.kv, self.flash_attention)
        config = embedded_child.ChildConfig(
            model_path=str(self.model_path),
            k_type=arm.kv.k,
            v_type=arm.kv.v,
            context_tokens=pad(context_tokens),
            flash_attention=_FLASH_NUMBERS[self.flash_attention],
            threads=self.threads,
            gpu_layers=self.gpu_layers,
            port=claim_port(self.port) if self.port else 0,
        )
        command = [*python_file(embedded_child.__file__), json.dumps(asdict(config))]
        process = ServerProcess(command, env=rotation_env(arm.kv), log_dir=self.log_dir, name="embedded")
        start = Start(self.name, arm.kv, config.context_tokens, model_sha256=self.model_sha256, build=_build())
        return open_boot(start, process, listener)


def _build() -> str:
    """The wheel's own build_info is empty; its version ends in llama.cpp's build number."""
    wheel = version("xllamacpp")
    return f"b{wheel.rsplit('.', 1)[-1]} (xllamacpp {wheel})"
