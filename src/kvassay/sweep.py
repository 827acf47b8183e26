"""A sweep: the same question put to several models, in as many boots as wanted, from one TOML file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kvassay.errors import ConfigError
from kvassay.settings import RunSettings, check, read, split

_FORM = 'For example: models = ["qwen2.5-coder-0.5b"], pairs = ["q8_0/q8_0"], depths = "2k,8k" (docs/cluster.md).'


class _Head(BaseModel):
    """What a sweep says beside its runs' settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Annotated[tuple[str, ...], BeforeValidator(split), Field(min_length=1)]
    boots: int = Field(default=1, ge=1, le=100)


@dataclass(frozen=True, slots=True)
class Planned:
    """One run of a sweep. ``name`` is its folder below the sweep's."""

    name: str
    settings: RunSettings


def read_sweep(path: Path) -> tuple[Planned, ...]:
    """The runs of a sweep's file: ``models``, ``boots`` (how often each run is made, with new boots of every arm), and
    any of a run's settings, which hold for all. Raises ConfigError.
    """
    values = read(path)
    head = {name: values.pop(name) for name in _Head.model_fields if name in values}
    try:
        wanted = _Head.model_validate(head)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigError(f"{str(path)!r} is no sweep: {'; '.join(faults)}", hint=_FORM) from None
    if "model" in values:
        raise ConfigError(f"model = {values['model']!r}: a sweep has models", hint=_FORM)
    return tuple(_planned(wanted, values))


def _planned(head: _Head, values: dict[str, object]) -> Iterator[Planned]:
    names = [_folder(model) for model in head.models]
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"{count} models of the sweep are called {name!r}", hint="Rename one of the files.")
    for model, name in zip(head.models, names, strict=True):
        settings = check({**values, "model": model})
        for boot in range(1, head.boots + 1):
            yield Planned(f"{name}/boot-{boot}" if head.boots > 1 else name, settings)


def _folder(model: str) -> str:
    """A model's folder: its name without path and ending, as any file system takes it."""
    return re.sub(r"[^\w.+-]+", "-", re.split(r"[/\\]", model)[-1].removesuffix(".gguf")) or "model"
