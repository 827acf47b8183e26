"""From what a user calls a model to its shape: a file, a folder, a catalogue name, an ``hf:`` name or a web address."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kvassay.errors import ModelFileError
from kvassay.model import remote, resolve
from kvassay.model.catalog import CATALOG
from kvassay.model.gguf import GGUFHeader, read_header
from kvassay.model.gguf_shape import shape_of
from kvassay.model.hf_shape import shape_of_folder
from kvassay.model.shape import ModelShape
from kvassay.model.weights import tally


def load_shape(name: str) -> ModelShape:
    """The shape of a model, from its header alone: tensor data is neither needed nor read.

    Raises ModelFileError for a name that means nothing or a header that can't be, FetchError where an address fails.
    """
    if resolve.is_fetched(name):
        blob = resolve.find_local(name)
        if blob is not None:
            return _of_file(blob.path, name)
        if name in CATALOG:
            return _of_catalogue(name)
    if remote.is_remote(name):
        return _with_address_name(remote.read_remote_header(name), name)
    path = resolve.path_of(name)
    if path.is_dir():
        return shape_of_folder(path)
    if not path.is_file():
        raise resolve.unknown(name)
    return _of_file(path, str(path))


def _of_catalogue(name: str) -> ModelShape:
    model = CATALOG[name]
    if model.hub_repo is None:
        raise ModelFileError(f"{name!r} is not on this machine.", hint=f"Fetch it first: kvassay models fetch {name}")
    return shape_of(remote.read_remote_header(f"hf:{model.hub_repo}/{model.file}"), source=name)


def _with_address_name(header: GGUFHeader, name: str) -> ModelShape:
    shape = shape_of(header, source=name)
    return _partial(shape) if _n_files(header, name) > 1 else shape


def _of_file(path: Path, source: str) -> ModelShape:
    """A file, with the tensors of the other files of a split model where they are beside it; ``source`` names it."""
    header = read_header(path)
    shape = shape_of(header, source=source)
    headers = [header, *(read_header(other) for other in resolve.split_files(path)[1:] if other.is_file())]
    tensors = [tensor for each in headers for tensor in each.tensors]
    if not tensors:
        return shape
    shape = replace(shape, weights=tally(tensors, len(shape.layers)))
    return shape if len(headers) == _n_files(header, path.name) else _partial(shape)


def _n_files(header: GGUFHeader, name: str) -> int:
    """How many files the model is split into, as the header or the first one's name says (llama-gguf-split)."""
    told = header.metadata.get("split.count")
    return max(len(resolve.split_files(Path(name))), told if isinstance(told, int) else 1)


def _partial(shape: ModelShape) -> ModelShape:
    """The shape of a split model of which not all files were read."""
    weights = shape.weights
    return shape if weights is None else replace(shape, weights=replace(weights, complete=False))
