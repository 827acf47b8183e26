"""Transcripts for tests: short to write, and read from no file."""

from __future__ import annotations

from pathlib import Path

from kvassay.session.history import Room
from kvassay.session.transcript import Entry, PoisonedCall, Said, Transcript
from kvassay.types import JsonObject, Message, Tool, ToolCall

EVERYTHING = Room(10**9, lambda message: len(message.content) + 10)


def transcript(*entries: Entry, tools: tuple[Tool, ...] | None = None, system: str | None = "Code.") -> Transcript:
    """A transcript of these entries."""
    return Transcript("test", Path("x"), "s-1", "", None, None, None, None, system, tools, entries, ())


def user(text: str) -> Said:
    return Said(Message("user", text), "x")


def calls(*made: tuple[str, JsonObject], text: str = "", poisoned: bool = False, stop: str | None = None) -> Said:
    """A turn whose calls have the ids c0, c1 …"""
    good = tuple(ToolCall(f"c{at}", name, arguments) for at, (name, arguments) in enumerate(made))
    bad = (PoisonedCall(len(good), "bad", "run", "{"),) if poisoned else ()
    return Said(Message("assistant", text, good), "x", stop_reason=stop, poisoned=bad)


def answer(text: str, *, id_: str = "c0", failed: bool | None = False) -> Said:
    return Said(Message("tool", text, tool_call_id=id_), "x", failed=failed)
