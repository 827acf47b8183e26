"""A Hugging Face folder as the sample of a run: its hash, and what its configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kvassay.errors import ModelFileError
from kvassay.model import store
from kvassay.model.hf_config import read_config
from kvassay.model.resolve import ModelFile, path_of, resolve
from kvassay.model.store import Progress, silent
from kvassay.types import JsonObject

_CONTENT = ("*.json", "*.safetensors", "*.bin", "*.model", "*.jinja")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with ``config.json`` and weights. ``sha256`` is over its files' names and hashes, in order of names."""

    path: Path
    sha256: str
    name: str
    trained_tokens: int | None
    n_layers: int | None


def read_folder(name: str, *, progress: Progress = silent) -> ModelFolder:
    """Raises ModelFileError where the folder has no configuration that can be read, or no weights."""
    path = path_of(name).absolute()
    config = read_config(path)
    files = sorted({file for pattern in _CONTENT for file in path.glob(pattern)})
    if not any(file.suffix in {".safetensors", ".bin"} for file in files):
        raise ModelFileError(f"{name!r} holds no weights", hint="A Hugging Face folder has *.safetensors files.")
    try:
        digests = store.digests_of_users_files(files, progress)
    except OSError as error:
        named = error.filename or name
        raise ModelFileError(
            f"{named!r} can't be read: {error.strerror or error}.",
            hint="It may link to a file that is gone: download the model again.",
        ) from error
    lines = (f"{file.name} {digest}\n" for file, digest in zip(files, digests, strict=True))
    return ModelFolder(
        path,
        store.sha256_of_text("".join(lines)),
        name,
        trained_tokens=_integer(config, "max_position_embeddings"),
        n_layers=_integer(config, "num_hidden_layers"),
    )


def read_model(name: str, *, folder: bool, progress: Progress = silent) -> ModelFile | ModelFolder:
    """The model that a run names: a folder where the back end takes one, otherwise a GGUF file, fetched if need be."""
    if folder and path_of(name).is_dir():
        return read_folder(name, progress=progress)
    return resolve(name, progress=progress)


def _integer(config: JsonObject, key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) else None
