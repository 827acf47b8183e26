"""Which failure class a parse fault belongs to: kinds that begin with ``leaked`` are M2, all others M1."""

from __future__ import annotations

from kvassay.types import OutcomeClass, ParseFault

IN_THINKING = "leaked_in_thinking"
"""A call within thinking behind which no answer comes."""

_LEAKED = "leaked"
_EXCERPT_CHARS = 400


def fault_class(kind: str) -> OutcomeClass:
    """M2 for a call that stands where no parser takes it for one, M1 for a call that can't be read."""
    return OutcomeClass.CALL_LEAKED if kind.startswith(_LEAKED) else OutcomeClass.JSON_INVALID


def leak(detail: str, text: str, start: int) -> ParseFault:
    """A leak that begins at ``start``, with an excerpt of the text from there on."""
    return ParseFault(_LEAKED, detail, text[start : start + _EXCERPT_CHARS])
