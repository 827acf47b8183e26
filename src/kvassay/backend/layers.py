"""One side of a pair, with exceptions for some layers: ``q4_0[0-3=f16]``, ``q4_0[0-1=f16+23=q8_0]``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kvassay.errors import ConfigError

_SIDE = re.compile(r"(?P<base>[^\[\]]*)(?:\[(?P<exceptions>[^\[\]]*)\])?")
_EXCEPTION = re.compile(r"(?P<first>\d{1,4})(?:-(?P<last>\d{1,4}))?=(?P<type>[^=]+)")
_FORM = "Layers count from 0; for example 0-3=f16, or 23=q8_0."


class Exception_(NamedTuple):  # noqa: N801  "Exception" is taken
    """The layers ``first`` to ``last``, both included, have another type than the rest."""

    first: int
    last: int
    type: str

    def __str__(self) -> str:
        return f"{self.first}{'' if self.first == self.last else f'-{self.last}'}={self.type}"


@dataclass(frozen=True, slots=True)
class Side:
    """K's or V's type: ``base``, and in order of their layers the exceptions, which do not overlap."""

    base: str
    exceptions: tuple[Exception_, ...] = ()

    def __str__(self) -> str:
        return self.base + (f"[{'+'.join(map(str, self.exceptions))}]" if self.exceptions else "")

    def of_layer(self, layer: int) -> str:
        """The type of one layer, counted from 0."""
        return next((one.type for one in self.exceptions if one.first <= layer <= one.last), self.base)

    @property
    def types(self) -> frozenset[str]:
        """Every type that occurs."""
        return frozenset({self.base, *(one.type for one in self.exceptions)})

    @property
    def last_named(self) -> int:
        """The highest layer that an exception names; −1 where there is none."""
        return max((one.last for one in self.exceptions), default=-1)


def read_side(text: str, known: Callable[[str], str]) -> Side:
    """Read a side as ``str(side)`` writes it; ``known`` spells a type or raises. Exceptions to the base's own type say
    nothing and are dropped. Raises ConfigError.
    """
    found = _SIDE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is not a type with exceptions", hint=f"Write q4_0[0-3=f16]. {_FORM}")
    base = known(found["base"].strip())
    named = _apart([_exception(part, known) for part in (found["exceptions"] or "").split("+") if part.strip()])
    return Side(base, tuple(one for one in named if one.type != base))


def with_layers(side: str, layers: Iterable[str]) -> str:
    """A side's text with exceptions as ``--k-layers`` gives them. Raises ConfigError where it has some already."""
    added = "+".join(layers)
    if added and "[" in side:
        raise ConfigError(f"{side!r} names its layers itself", hint=f"Leave out --k-layers or --v-layers {added}.")
    return f"{side}[{added}]" if added else side


def require_layers(sides: Iterable[str], n_layers: int) -> None:
    """Raise ConfigError where a side names a layer beyond the model's last."""
    for text in sides:
        last = read_side(text, str).last_named
        if last >= n_layers:
            raise ConfigError(
                f"{text!r} names layer {last}; this model has {n_layers}", hint=f"Layers are 0 to {n_layers - 1}."
            )


def _exception(text: str, known: Callable[[str], str]) -> Exception_:
    found = _EXCEPTION.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{text.strip()!r} is not LAYERS=TYPE", hint=_FORM)
    first, last = int(found["first"]), int(found["last"] or found["first"])
    if last < first:
        raise ConfigError(f"{text.strip()!r}: layer {last} comes before layer {first}", hint=_FORM)
    return Exception_(first, last, known(found["type"].strip()))


def _apart(named: list[Exception_]) -> Iterator[Exception_]:
    before = -1
    for one in sorted(named):
        if one.first <= before:
            raise ConfigError(f"layer {one.first} is named twice ({one})", hint="Name each layer once.")
        before = one.last
        yield one
