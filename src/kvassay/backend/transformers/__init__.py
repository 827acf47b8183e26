"""Hugging Face transformers in this process: the reference engine, for every format that kvassay can compute.

K and V are quantised and read back as they enter the cache, and held de-quantised: what a format does to the answers is
measured, its speed and memory are not. transformers' own ``QuantizedCache`` is held as it holds itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kvassay.backend.base import Boot, Listener, Progress, silent
from kvassay.backend.in_process import require_installed, stay_offline
from kvassay.backend.transformers.own import OWN_TYPES, own_type
from kvassay.quant.table import FORMATS
from kvassay.types import Arm, KVConfig

if TYPE_CHECKING:
    from kvassay.backend.transformers.load import Loaded

TYPES = (*FORMATS, *OWN_TYPES)
"""kvassay's own formats, for K and V apart; transformers' own caches, for both."""


@dataclass(slots=True)
class Transformers:
    """Boots share one copy of the weights: each has a cache of its own, and begins with an empty one.

    ``device`` None is the first CUDA device, or the CPU where there is none; ``dtype`` is that of weights, activations
    and of what the cache holds after each format's round trip.
    """

    model_path: Path
    device: str | None = None
    dtype: str = "float32"
    threads: int | None = None
    model_sha256: str | None = None
    _loaded: Loaded | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return "transformers"

    @property
    def cache_types(self) -> tuple[str, ...]:
        return TYPES

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        """Raises ConfigError where packages are missing, BootFailed where the model can't be loaded, PairRefused where
        the pair doesn't fit its layers.
        """
        dequantiser = ("gguf",) if self.model_path.suffix == ".gguf" else ()
        require_installed(f"the back end {self.name}", ("torch", "transformers", *dequantiser), self.name)
        require_pair(arm.kv)
        stay_offline()
        listener(Progress("starting", note="importing torch and transformers"))
        from kvassay.backend.transformers.boot import open_boot  # noqa: PLC0415  seconds, and an extra
        from kvassay.backend.transformers.load import load  # noqa: PLC0415

        if self._loaded is None:
            converted = " (a GGUF file is de-quantised first)" if self.model_path.suffix == ".gguf" else ""
            listener(Progress("loading", note=f"loading {self.model_path.name} as {self.dtype}{converted}"))
            self._loaded = load(self.model_path, device=self.device, dtype=self.dtype, threads=self.threads)
        boot = open_boot(self._loaded, arm.kv, context_tokens, model_sha256=self.model_sha256)
        listener(Progress("ready"))
        return boot


def require_pair(kv: KVConfig) -> None:
    """Raise PairRefused for a half of transformers' own cache, ConfigError where its library is missing."""
    if own := own_type(kv):
        require_installed(f"{own.name} (transformers' QuantizedCache)", (own.package,), "quantized-cache")
