"""Back ends: one file per way to run a server, one line in the table to add one.

Each is imported when it is made: who only wants the cache types' names (`kvassay plan`) loads no HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kvassay.backend.base import Backend
from kvassay.backend.catalog import CATALOG
from kvassay.backend.engaged import FlashAttention
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.errors import ConfigError
from kvassay.types import KVConfig

__all__ = ["BACKENDS", "Options", "cache_types", "make", "require_pair"]


@dataclass(frozen=True, slots=True)
class Options:
    """Everything a run may say about its back end; each factory takes what concerns it."""

    model_path: Path | None = None
    binary: str | None = None
    url: str | None = None
    extra_args: tuple[str, ...] = ()
    threads: int | None = None
    flash_attention: FlashAttention = "auto"
    gpu_layers: int | None = None
    port: int | None = None
    log_dir: Path | None = None
    model_sha256: str | None = None
    device: str | None = None
    dtype: str = "float32"
    serve: str | None = None
    tokenizer: Path | None = None
    model_name: str | None = None

    @property
    def model(self) -> Path:
        if self.model_path is None:
            raise ConfigError("this back end needs a model", hint="Name one with --model, or attach to a server.")
        return self.model_path


def _embedded(o: Options) -> Backend:
    if o.extra_args:
        raise ConfigError(
            f"server flags {' '.join(o.extra_args)!r} need the back end llama-server",
            hint="The embedded server takes only kvassay's own options.",
        )
    from kvassay.backend.embedded import Embedded  # noqa: PLC0415  see above

    return Embedded(
        o.model, o.threads, o.flash_attention, o.gpu_layers, o.port, log_dir=o.log_dir, model_sha256=o.model_sha256
    )


def _llama_server(o: Options) -> Backend:
    from kvassay.backend.llama_server import LlamaServer  # noqa: PLC0415  see above

    return LlamaServer(
        o.model,
        binary=o.binary,
        extra_args=o.extra_args,
        threads=o.threads,
        flash_attention=o.flash_attention,
        gpu_layers=o.gpu_layers,
        port=o.port,
        log_dir=o.log_dir,
        model_sha256=o.model_sha256,
    )


def _attach(o: Options) -> Backend:
    from kvassay.backend.attach import Attach  # noqa: PLC0415  see above

    return Attach(o.url, model_sha256=o.model_sha256)


def _transformers(o: Options) -> Backend:
    from kvassay.backend.transformers import Transformers  # noqa: PLC0415  see above

    return Transformers(o.model, o.device, o.dtype, o.threads, model_sha256=o.model_sha256)


def _exllamav3(o: Options) -> Backend:
    from kvassay.backend.exllamav3 import ExLlamaV3  # noqa: PLC0415  see above

    return ExLlamaV3(o.model, o.device, model_sha256=o.model_sha256)


def _attached(name: str) -> Callable[[Options], Backend]:
    def made(o: Options) -> Backend:
        from kvassay.backend.attached import Attached  # noqa: PLC0415  see above
        from kvassay.backend.engines import ENGINES  # noqa: PLC0415  see above

        return Attached(
            ENGINES[name](),
            url=o.url,
            serve=o.serve,
            model=o.model_name,
            tokenizer=o.tokenizer,
            log_dir=o.log_dir,
        )

    return made


_OWN: Mapping[str, Callable[[Options], Backend]] = MappingProxyType(
    {
        "embedded": _embedded,
        "llama-server": _llama_server,
        "attach": _attach,
        "transformers": _transformers,
        "exllamav3": _exllamav3,
    }
)

BACKENDS: Mapping[str, Callable[[Options], Backend]] = MappingProxyType(
    {name: _OWN.get(name) or _attached(name) for name in CATALOG}
)


def cache_types(name: str) -> tuple[str, ...]:
    """The cache types of a back end, without making it."""
    if name == "transformers":
        from kvassay.backend.transformers import TYPES  # noqa: PLC0415  NumPy

        return TYPES
    if name == "exllamav3":
        from kvassay.backend import exllamav3  # noqa: PLC0415  see above

        return exllamav3.TYPES
    if name in _OWN:
        return LLAMA_TYPES
    from kvassay.backend.engines import ENGINES  # noqa: PLC0415  see above

    return ENGINES[name]().cache_types


def require_pair(name: str, kv: KVConfig) -> None:
    """Raise PairRefused for a pair of known types that the back end never takes, whatever the model; ConfigError where
    a package for it is missing.
    """
    if name == "exllamav3":
        from kvassay.backend import exllamav3  # noqa: PLC0415  see above

        exllamav3.require_pair(kv)
    if name == "transformers":
        from kvassay.backend import transformers  # noqa: PLC0415  see above

        transformers.require_pair(kv)


def make(
    name: str,
    *,
    model_path: Path | None = None,
    binary: str | None = None,
    url: str | None = None,
    extra_args: Sequence[str] = (),
    threads: int | None = None,
    flash_attention: FlashAttention = "auto",
    gpu_layers: int | None = None,
    port: int | None = None,
    log_dir: Path | None = None,
    model_sha256: str | None = None,
    serve: str | None = None,
    tokenizer: Path | None = None,
    model_name: str | None = None,
    device: str | None = None,
    dtype: str = "float32",
) -> Backend:
    """The back end called ``name``, one of ``BACKENDS``. Raises ConfigError for an unknown name or a missing part.

    ``binary`` and ``extra_args`` concern llama-server, ``url`` servers that are attached, ``serve``, ``tokenizer`` and
    ``model_name`` engines other than llama.cpp (``attached.py``), ``device`` what runs in process, ``dtype``
    transformers; ``port`` None leaves the choice to the system; ``log_dir`` keeps the servers' logs.
    """
    if name not in BACKENDS:
        raise ConfigError(f"unknown back end {name!r}", hint=f"Known: {', '.join(BACKENDS)}.")
    options = Options(
        model_path=model_path,
        binary=binary,
        url=url,
        extra_args=tuple(extra_args),
        threads=threads,
        flash_attention=flash_attention,
        gpu_layers=gpu_layers,
        port=port,
        log_dir=log_dir,
        model_sha256=model_sha256,
        serve=serve,
        tokenizer=tokenizer,
        model_name=model_name,
        device=device,
        dtype=dtype,
    )
    return BACKENDS[name](options)
