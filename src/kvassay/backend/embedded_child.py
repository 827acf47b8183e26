"""The embedded server: ``python embedded_child.py JSON`` runs xllamacpp's Server until it is ended."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xllamacpp


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What the parent asks for. ``flash_attention`` is llama.cpp's number: -1 auto, 0 off, 1 on; ``threads`` and
    ``gpu_layers`` None leave the choice to llama.cpp.
    """

    model_path: str
    k_type: str
    v_type: str
    context_tokens: int
    flash_attention: int
    threads: int | None
    gpu_layers: int | None
    port: int


def params(config: ChildConfig) -> xllamacpp.CommonParams:
    """llama.cpp's parameters: one slot with the whole context, nothing adjusted behind our back, a full log."""
    import xllamacpp  # noqa: PLC0415  100 MB of library that only the child needs

    made = xllamacpp.CommonParams()
    made.model.path = config.model_path
    made.cache_type_k = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{config.k_type.upper()}")
    made.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{config.v_type.upper()}")
    made.n_ctx = config.context_tokens
    made.flash_attn_type = xllamacpp.llama_flash_attn_type(config.flash_attention)
    made.n_parallel = 1
    made.n_batch = 512  # = n_ubatch: the same computation, progress reported four times as often
    made.cache_ram_mib = 0  # one slot's own prompt cache is all the ladder needs
    made.ctx_shift = False
    made.fit_params = False
    made.ui = False
    made.verbosity = 4
    made.port = config.port
    if config.threads is not None:
        made.cpuparams.n_threads = config.threads
    if config.gpu_layers is not None:
        made.n_gpu_layers = config.gpu_layers
    return made


def announce(descriptor: int, address: str) -> None:
    """Say where the server listens in one write: llama.cpp's threads write to the same log and must not come between,
    which ``print`` allows where Python's output is unbuffered.
    """
    os.write(descriptor, f"\nkvassay: listening on {address}\n".encode())


def main(argument: str) -> None:
    """Serve until killed."""
    import xllamacpp  # noqa: PLC0415  as above

    server = xllamacpp.Server(params(ChildConfig(**json.loads(argument))))
    announce(sys.stdout.fileno(), server.listening_address)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
