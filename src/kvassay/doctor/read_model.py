"""The header of the model that a command names, where the file is at hand: head dimensions and kinds of layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from kvassay.doctor.setup import Fact, Setup
from kvassay.errors import ModelFileError
from kvassay.model.gguf import GGUFHeader, read_header
from kvassay.model.gguf_shape import shape_of


def with_model(setup: Setup, folder: Path | None) -> Setup:
    """A set-up completed by its model's header; unchanged where the file isn't there or is no GGUF. ``folder`` is what
    a relative path counts from; None: only absolute ones are looked for.
    """
    name = setup.value("model")
    if not name or not name.endswith(".gguf"):
        return setup
    path = Path(name)
    if not path.is_absolute():
        if folder is None:
            return setup
        path = folder / path
    try:
        header = read_header(path) if path.is_file() else None
    except (ModelFileError, OSError):
        return setup
    if header is None:
        return setup
    facts = {key: Fact(value, f"header of {path.name}") for key, value in _facts(header).items() if value is not None}
    return replace(setup, facts=MappingProxyType(dict(setup.facts) | facts))


def _facts(header: GGUFHeader) -> dict[str, str | None]:
    dims = header.head_dims
    plain = {
        "architecture": header.architecture,
        "head_dim_k": str(dims.k) if dims else None,
        "head_dim_v": str(dims.v) if dims else None,
    }
    try:
        shape = shape_of(header, source="the model")
    except ModelFileError:  # an architecture whose layers are not known: nothing is claimed of them
        return plain
    return {
        **plain,
        "mla": "yes" if shape.latent else "no",
        "sliding_window": str(shape.window) if any(layer.window for layer in shape.layers) else None,
        "recurrent": "yes" if any(layer.recurrent for layer in shape.layers) else None,
    }
