"""What a session has established up to a rung: the values that probes are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvassay.types import Message, Tool

FactKind = Literal["ticket", "job", "hit"]


@dataclass(frozen=True, slots=True)
class FileView:
    """The newest view of a file: what the session shows of it, from ``first_line`` (1-based) on. ``message`` is the
    index of the message that showed it last.
    """

    path: str
    first_line: int
    lines: tuple[str, ...]
    message: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that can be asked back: ``key`` names it for one ``value`` only, within its kind and session.

    ticket: title → id. job: name → id. hit: searched symbol → path, with its ``line`` (1-based).
    """

    kind: FactKind
    key: str
    value: str
    message: int
    line: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """The session's prefix at a rung. ``files`` holds one newest view per path."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    files: tuple[FileView, ...]
    facts: tuple[Fact, ...]

    def known(self, kind: FactKind) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.kind == kind)
