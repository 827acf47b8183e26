"""Sessions at a glance: one pass over each, holding none of its text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kvassay.errors import KvassayError
from kvassay.session.importers import Source, sessions_in
from kvassay.session.transcript import Compaction, Count, Facts, Item, Known, Oddity, Said, Tally
from kvassay.types import Tool

CHARS_PER_TOKEN = 3.0  # docs/sessions.md says where from


@dataclass(frozen=True, slots=True)
class Overview:
    """What a session holds. ``prompt_tokens`` is the longest prompt of one turn, its answer included: as recorded, or,
    where ``estimated``, from the characters shown. ``failed`` is None where the agent never recorded whether a call
    failed. A session that is ``in_store`` shares its file with others. ``fault`` says why the session could not be
    read to its end.
    """

    agent: str
    path: Path
    id: str
    title: str
    cwd: str | None
    model: str | None
    started_s: float | None
    ended_s: float | None
    turns: int
    calls: int
    failed: int | None
    poisoned: int
    prompt_tokens: int
    estimated: bool
    compactions: int
    oddities: tuple[Count, ...]
    in_store: bool = False
    fault: str = ""

    @property
    def damaged(self) -> int:
        """Entries that could not be read, or are of no known type."""
        return sum(count.count for count in self.oddities if count.kind != "left out")


def overviews(files: Iterable[Path]) -> Iterator[Overview]:
    """Look at every session of every file; files that hold none, or can't be opened, are passed over."""
    for path in files:
        try:
            sources = list(sessions_in(path))
        except OSError:
            continue
        yield from map(overview, sources)


def overview(source: Source) -> Overview:
    """Look at one session. A store that can't be read to its end is told up to there."""
    seen = _Seen()
    fault = ""
    try:
        for item in source.read():
            seen.take(item)
    except (KvassayError, OSError) as error:
        fault = str(error)
    return seen.told(source, fault)


class _Seen:
    def __init__(self) -> None:
        self._known, self._tally = Known(), Tally()
        self._turns = self._calls = self._failed = self._poisoned = self._compactions = 0
        self._flagged = False
        self._recorded_tokens = 0
        self._chars = self._most_chars = 0
        self._recent: list[int] = []  # characters of messages that a compaction may keep

    def take(self, item: Item) -> None:
        match item:
            case Facts():
                self._known.learn(item)
                self._chars += len(item.system or "") + sum(map(_tool_chars, item.tools or ()))
                self._most_chars = max(self._most_chars, self._chars)
            case Oddity():
                self._tally.add(item)
            case Said():
                self._known.see(item)
                self._said(item)
            case Compaction():
                self._known.see(item)
                self._compacted(item)

    def _said(self, said: Said) -> None:
        chars = _chars(said)
        self._chars += chars
        self._most_chars = max(self._most_chars, self._chars)
        self._recent.append(chars)
        if said.message.role == "assistant":
            self._turns += 1
            self._calls += len(said.message.tool_calls) + len(said.poisoned)
            self._poisoned += len(said.poisoned)
            self._recorded_tokens = max(self._recorded_tokens, said.usage.total_tokens if said.usage else 0)
        if said.failed is not None:
            self._flagged = True
            self._failed += said.failed

    def _compacted(self, marker: Compaction) -> None:
        self._compactions += 1
        kept = self._recent[-marker.kept :] if marker.kept else []
        self._chars = sum(kept) + sum(len(message.content) for message in marker.replacement)
        self._recent = kept

    def told(self, source: Source, fault: str) -> Overview:
        facts, estimated = self._known.facts, not self._recorded_tokens
        return Overview(
            agent=source.agent,
            path=source.path,
            id=source.id or facts.id or source.path.stem,
            title=self._known.title,
            cwd=facts.cwd,
            model=facts.model,
            started_s=self._known.started_s,
            ended_s=self._known.ended_s,
            turns=self._turns,
            calls=self._calls,
            failed=self._failed if self._flagged else None,
            poisoned=self._poisoned,
            prompt_tokens=round(self._most_chars / CHARS_PER_TOKEN) if estimated else self._recorded_tokens,
            estimated=estimated,
            compactions=self._compactions,
            oddities=self._tally.counts(),
            in_store=bool(source.id),
            fault=fault,
        )


def _tool_chars(tool: Tool) -> int:
    return len(tool.name) + len(tool.description) + len(json.dumps(tool.parameters))


def _chars(said: Said) -> int:
    calls = sum(len(call.name) + len(str(call.arguments)) for call in said.message.tool_calls)
    return len(said.message.content) + calls + sum(len(call.arguments) for call in said.poisoned)
