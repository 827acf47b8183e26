"""ExLlamaV3 in this process: its own quantised cache, 2 to 8 bits for K and V apart, on a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from kvassay.backend.base import Boot, Listener, Progress, silent
from kvassay.backend.in_process import require_installed, stay_offline
from kvassay.errors import BootFailed, ConfigError, PairRefused, last_lines
from kvassay.types import Arm, KVConfig

PLAIN = "f16"
TYPES = (PLAIN, *(str(bits) for bits in range(8, 1, -1)))
"""The cache types: 16 bits (``CacheLayer_fp16``), or a whole number of bits (``CacheLayer_quant``)."""

_NEEDED = ("torch", "transformers", "exllamav3")


@dataclass(slots=True)
class ExLlamaV3:
    """Each boot loads the model anew: ExLlamaV3 allocates a cache with the layers that it belongs to, and both are
    given back when the boot closes.
    """

    model_path: Path
    device: str | None = None
    model_sha256: str | None = None

    @property
    def name(self) -> str:
        return "exllamav3"

    @property
    def cache_types(self) -> tuple[str, ...]:
        return TYPES

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        """Raises ConfigError where packages are missing or the model is no folder, PairRefused for a pair that the
        engine has no cache for, BootFailed without a CUDA device and where the model can't be loaded.
        """
        require_pair(arm.kv)
        if not self.model_path.is_dir():
            raise ConfigError(
                f"ExLlamaV3 can't read {self.model_path.name!r}",
                hint="Give a folder: Hugging Face's (config.json, *.safetensors) or EXL3's.",
            )
        require_installed(f"the back end {self.name}", _NEEDED, self.name)
        import_engine(listener)
        from kvassay.backend.exllamav3.boot import open_boot  # noqa: PLC0415  needs the engine

        listener(Progress("loading", note=f"loading {self.model_path.name}"))
        boot = open_boot(self.model_path, arm.kv, context_tokens, device=self.device, model_sha256=self.model_sha256)
        listener(Progress("ready"))
        return boot


def require_pair(kv: KVConfig) -> None:
    """Raise PairRefused for what ``exllamav3.Cache`` can't be made with (1.6.5 cache/quant.py:30)."""
    if (kv.k == PLAIN) is not (kv.v == PLAIN):
        half, bits = ("K", kv.v) if kv.k == PLAIN else ("V", kv.k)
        raise PairRefused(
            f"ExLlamaV3 has no cache for {kv}: both halves are quantised, or neither is",
            hint=f"Use 8 bits for {half}: {'8/' + bits if half == 'K' else bits + '/8'}.",
        )
    if not kv.rotation:
        raise PairRefused(
            f"ExLlamaV3 has no switch for {kv}: a quantised cache is always rotated", hint="Leave out norot."
        )


def import_engine(listener: Listener = silent) -> None:
    """Import ExLlamaV3, which compiles its kernels unless that was done before. Raises BootFailed where there is no
    CUDA device, and with the compiler's last words.
    """
    stay_offline()
    import torch  # noqa: PLC0415  seconds, and an extra

    if not torch.cuda.is_available() or not torch.version.cuda:
        raise BootFailed(
            f"ExLlamaV3 needs a CUDA device, and torch {torch.__version__} sees none",
            hint="On the CPU, --backend transformers computes what its bits do to the answers (--kv 8/4).",
        )
    built = "" if _precompiled() else "; its kernels are compiled the first time, which takes minutes"
    listener(Progress("starting", note=f"importing ExLlamaV3{built}"))
    try:
        import exllamav3  # noqa: F401, PLC0415  minutes the first time, and an extra
    except (ImportError, RuntimeError, OSError) as error:
        raise BootFailed(
            "ExLlamaV3 can't be imported", log=last_lines(error, 12), hint="Its kernels need nvcc and a C++ compiler."
        ) from error


def _precompiled() -> bool:
    spec = find_spec("exllamav3_ext")
    return bool(spec and spec.origin and spec.origin.endswith(tuple(EXTENSION_SUFFIXES)))
