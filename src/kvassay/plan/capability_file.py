"""The capability table's files read and checked: TOML in, frozen records out."""

from __future__ import annotations

import datetime as dt
import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

PlacementName = Literal["fast", "slow-on-gpu", "cpu", "refused", "unknown"]
Text = Annotated[str, Field(min_length=3)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Case(_Row):
    """One line of a range: the conditions (None fits all) and what follows. See the file's own head."""

    k: tuple[str, ...] | None = None
    v: tuple[str, ...] | None = None
    pair: Literal["equal", "unequal"] | None = None
    compiled: bool | None = None
    all_quants: bool | None = None
    vector_dims: bool | None = None
    packed_dims: bool | None = None
    placement: PlacementName
    why: Text

    @property
    def fits_all(self) -> bool:
        """Whether the case has no condition."""
        return not self.model_dump(exclude={"placement", "why"}, exclude_none=True)


class Range(_Row):
    """One engine on some devices over builds ``from`` to ``to``, both included; ``to`` None has no end.

    ``fa_quants_list`` False: the build knows FA_ALL_QUANTS only, a list of pairs says nothing to it.
    """

    engine: str
    devices: tuple[str, ...]
    from_: int = Field(alias="from", ge=0)
    to: int | None = None
    source: Text
    date: dt.date
    compiled: tuple[str, ...] = ()
    fa_quants_list: bool = True
    head_dims: dict[str, str] | None = None
    head_dim_multiple: int = 1
    case: tuple[Case, ...] = Field(min_length=1)

    def holds(self, build: int) -> bool:
        return self.from_ <= build and (self.to is None or build <= self.to)


class Change(_Row):
    """Something that is not yet so at build ``absent_at`` and is so at ``present_at``; in between nobody looked."""

    name: str
    what: Text
    absent_at: int
    present_at: int
    source: Text
    date: dt.date


class Limit(_Row):
    """One fact about a back end."""

    what: Text
    source: Text
    date: dt.date


class Engine(_Row):
    """What a back end lets one set."""

    name: str
    title: Text
    version: str
    runs: str | None = None
    pinned_build: int | None = None
    k_types: tuple[str, ...]
    v_types: tuple[str, ...]
    pairs: Literal["free", "both", "presets", "implicit"]
    default: str
    model: Literal["gguf", "exl3", "hf", "name"]
    source: Text
    date: dt.date
    flags: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    readback: Text
    limits: tuple[Limit, ...]


@cache
def ranges() -> tuple[Range, ...]:
    """Where attention runs, by engine, device and build."""
    return TypeAdapter(tuple[Range, ...]).validate_python(_read("attention.toml")["range"])


@cache
def changes() -> dict[str, Change]:
    """The changes by name."""
    found = TypeAdapter(tuple[Change, ...]).validate_python(_read("attention.toml")["change"])
    return {change.name: change for change in found}


@cache
def engines() -> dict[str, Engine]:
    """The back ends by name."""
    found = TypeAdapter(tuple[Engine, ...]).validate_python(_read("engines.toml")["engine"])
    return {engine.name: engine for engine in found}


def _read(name: str) -> dict[str, object]:
    return tomllib.loads((files("kvassay.plan") / "data" / name).read_text(encoding="utf-8"))
