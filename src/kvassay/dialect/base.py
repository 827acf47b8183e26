"""What a dialect is, and what it finds: the contract of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from kvassay.types import Call, JsonObject, ParseFault

Declared: TypeAlias = Mapping[str, JsonObject]
"""The tools on offer: name → JSON Schema of the parameters. Empty where nobody said."""

Outcome: TypeAlias = Call | ParseFault
"""What became of one call in a text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that is not content: calls, or what is wrong with them, or (neither) a section's marker.

    ``quoted`` says of a broken stretch that the text ends inside its JSON: what stands in it is a string's text.
    """

    start: int
    end: int
    calls: tuple[Call, ...] = ()
    faults: tuple[ParseFault, ...] = ()
    quoted: bool = False


class Span(NamedTuple):
    """A stretch of text, end excluded."""

    start: int
    end: int


NOWHERE = Span(1 << 62, 1 << 62)
"""A span behind every text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole text as one dialect reads it. ``span`` is where the first call or fault stands."""

    content: str
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    faults: tuple[ParseFault, ...] = ()
    span: Span = NOWHERE

    @property
    def found(self) -> bool:
        """Whether there is anything of a tool call in it."""
        return bool(self.calls or self.faults)


class Dialect(Protocol):
    """One tool-call wire format; a module of this package is one.

    ``markers`` are the special-token strings that raw generation must keep; ``signs`` are the strings without which
    the format cannot be in a text (none: only its shape tells); ``fingerprints`` are strings of which a chat template
    that speaks the format has at least one.
    """

    @property
    def name(self) -> str: ...

    @property
    def markers(self) -> tuple[str, ...]: ...

    @property
    def signs(self) -> tuple[str, ...]: ...

    @property
    def fingerprints(self) -> tuple[str, ...]: ...

    def parse(self, text: str, tools: Declared) -> Reading:
        """Read a model's raw output. Total: every text has a reading, in time linear in its length."""
        ...

    def render(self, calls: Sequence[Call], content: str = "") -> str:
        """What a model writes that says ``content`` and then makes these calls."""
        ...


def first_span(pieces: Sequence[Piece]) -> Span:
    """Where the first of them stands that is more than a marker."""
    return next((Span(found.start, found.end) for found in pieces if found.calls or found.faults), NOWHERE)


def piece(start: int, end: int, *outcomes: Outcome) -> Piece:
    """A stretch and what was made of it."""
    calls = tuple(outcome for outcome in outcomes if isinstance(outcome, Call))
    return Piece(start, end, calls, tuple(outcome for outcome in outcomes if isinstance(outcome, ParseFault)))
