"""A recorded session in kvassay's own words, and the items it is streamed as."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from kvassay.types import Message, Tool

OddityKind = Literal["damaged", "unknown", "left out"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one assistant turn as the agent recorded them; ``prompt_tokens`` include those read from a cache."""

    prompt_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class PoisonedCall:
    """A recorded call whose arguments are no JSON object (P3), verbatim. ``index`` is its place among the turn's calls,
    poisoned ones counted.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """One message as the model was shown it or said it, and what was recorded with it.

    ``place`` says where it stands in its file: ``line 12``, ``row 7``, ``messages[3]``. Times are Unix seconds.
    ``usage``, ``stop_reason`` and ``model`` belong to assistant turns; ``failed`` is a tool result's error flag, None
    where the agent recorded none. Calls written as text (XML, a fenced block) are in ``message.tool_calls`` as all
    others are.
    """

    message: Message
    place: str
    at_s: float | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    model: str | None = None
    failed: bool | None = None
    poisoned: tuple[PoisonedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Compaction:
    """From here on the model was shown ``replacement`` and the last ``kept`` messages before this marker, in that
    order, instead of all that came before. ``kept`` counts `Said` entries; the system prompt stays in any case.
    """

    replacement: tuple[Message, ...]
    kept: int
    place: str
    at_s: float | None = None
    tokens_before: int | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """Here the user went back and took another way: ``left_out`` recorded entries of the abandoned one are not told."""

    left_out: int
    place: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session says about itself. None says nothing; a later fact replaces an earlier one."""

    id: str | None = None
    title: str | None = None
    cwd: str | None = None
    model: str | None = None
    started_s: float | None = None
    system: str | None = None
    tools: tuple[Tool, ...] | None = None


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something in the file that is not in the transcript: ``damaged`` (can't be read), ``unknown`` (no type we know)
    or ``left out`` (known, but no message can hold it: an image, a thought).
    """

    kind: OddityKind
    name: str
    place: str


Entry: TypeAlias = Said | Compaction | Branch
Item: TypeAlias = Entry | Facts | Oddity


@dataclass(frozen=True, slots=True)
class Count:
    """How often an oddity occurs, and where first."""

    kind: OddityKind
    name: str
    count: int
    first_place: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole session. ``tools`` is None where the agent's file does not hold them (`kvassay.session.toolbox`)."""

    agent: str
    path: Path
    id: str
    title: str
    cwd: str | None
    model: str | None
    started_s: float | None
    ended_s: float | None
    system: str | None
    tools: tuple[Tool, ...] | None
    entries: tuple[Entry, ...]
    oddities: tuple[Count, ...]


def collected(agent: str, path: Path, items: Iterable[Item]) -> Transcript:
    """Gather a stream of items: holds the whole session in memory."""
    known, tally, entries = Known(), Tally(), list[Entry]()
    for item in items:
        match item:
            case Facts():
                known.learn(item)
            case Oddity():
                tally.add(item)
            case _:
                known.see(item)
                entries.append(item)
    return Transcript(
        agent=agent,
        path=path,
        id=known.facts.id or path.stem,
        title=known.title,
        cwd=known.facts.cwd,
        model=known.facts.model,
        started_s=known.started_s,
        ended_s=known.ended_s,
        system=known.facts.system,
        tools=known.facts.tools,
        entries=tuple(entries),
        oddities=tally.counts(),
    )


class Known:
    """What has been learnt about a session so far, while it streams by."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.first_words = ""
        self.started_s: float | None = None
        self.ended_s: float | None = None

    @property
    def title(self) -> str:
        """The session's own title, or the user's first words that are no agent's tag, on one line."""
        return " ".join((self.facts.title or self.first_words).split())

    def learn(self, new: Facts) -> None:
        """Take facts over."""
        old = self.facts
        self.facts = Facts(
            id=old.id if new.id is None else new.id,
            title=old.title if new.title is None else new.title,
            cwd=old.cwd if new.cwd is None else new.cwd,
            model=old.model if new.model is None else new.model,
            started_s=old.started_s if new.started_s is None else new.started_s,
            system=old.system if new.system is None else new.system,
            tools=old.tools if new.tools is None else new.tools,
        )
        self._span(new.started_s)

    def see(self, entry: Entry) -> None:
        """Take over what an entry tells."""
        if isinstance(entry, Branch):
            return
        self._span(entry.at_s)
        if isinstance(entry, Said):
            if entry.message.role == "user" and (not self.first_words or self.first_words.startswith("<")):
                self.first_words = _opening(entry.message.content) or self.first_words
            self.learn(Facts(model=entry.model))

    def _span(self, at_s: float | None) -> None:
        if at_s is not None:
            self.started_s = at_s if self.started_s is None else min(self.started_s, at_s)
            self.ended_s = at_s if self.ended_s is None else max(self.ended_s, at_s)


_TITLE_CHARS = 400


def _opening(text: str) -> str:
    """A text's first words, none of them cut: half a key would not be known for one."""
    words = text[:_TITLE_CHARS].lstrip()
    return words if len(text) <= _TITLE_CHARS else words.rsplit(maxsplit=1)[0] if words else ""


class Tally:
    """Oddities counted by kind and name."""

    def __init__(self) -> None:
        self._counts: dict[tuple[OddityKind, str], tuple[int, str]] = {}

    def add(self, oddity: Oddity) -> None:
        """Count one more."""
        n, first = self._counts.get((oddity.kind, oddity.name), (0, oddity.place))
        self._counts[oddity.kind, oddity.name] = (n + 1, first)

    def counts(self) -> tuple[Count, ...]:
        """The counts, the most frequent first."""
        found = [Count(kind, name, n, first) for (kind, name), (n, first) in self._counts.items()]
        return tuple(sorted(found, key=lambda count: (-count.count, count.kind, count.name)))
