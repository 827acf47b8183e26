"""Claude Code's sessions (``~/.claude/projects/*/*.jsonl``): JSONL, a tree by ``uuid`` and ``parentUuid``.

Read by: @anthropic-ai/claude-code 2.1.331, the compiled program's strings and a session that it wrote; no source is
published. One turn's blocks stand on several lines with one ``message.id``; results of parallel calls hang on
different lines of that turn. Subagents (``isSidechain``) inside an older main file are left out; a file of its own is
a session of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from kvassay.session.importers.dialogue import Stamp, assistant, read_message, read_tools, take_apart, usage_at
from kvassay.session.importers.fields import RawCall, at, int_at, list_at, object_at, text_at, unix_s
from kvassay.session.importers.source import Importer, Sample, one_file
from kvassay.session.importers.tree import Node, way_to_last
from kvassay.session.json_text import read_lines
from kvassay.session.transcript import Branch, Compaction, Facts, Item, Oddity, Said
from kvassay.types import JsonObject, JsonValue

AGENT = "claude-code"
_SPOKEN = ("user", "assistant")
_BOUNDARY = "compact_boundary"
_SILENT = frozenset(
    {
        "system", "file-history-snapshot", "queue-operation", "progress", "last-prompt", "mode", "permission-mode",
        "agent-name", "agent-color", "agent-setting", "tag", "pr-link", "worktree-state", "content-replacement",
        "attribution-snapshot", "speculation-accept", "atis-latch", "api-request", "api-request-blob", "cost-state",
        "tools-used", "marble-origami-commit", "marble-origami-snapshot",
    }
)  # fmt: skip


def _recognises(sample: Sample) -> bool:
    return any("sessionId" in line and _is_spoken(line) for line in sample.lines)


def _is_spoken(entry: JsonObject) -> bool:
    message = object_at(entry, "message")
    return "uuid" in entry and "parentUuid" in entry and text_at(message, "role") in _SPOKEN and "content" in message


def _read(path: Path) -> Iterator[Item]:
    sidechain = _starts_aside(path)
    way = way_to_last(lambda: _nodes(path, sidechain=sidechain))
    teller = _Teller()
    left_out = 0
    for number, line in enumerate(read_lines(path)):
        entry = line.value
        if entry is None:
            yield Oddity("damaged", line.fault, line.place)
        elif bool(entry.get("isSidechain")) is not sidechain and _is_spoken(entry):
            yield Oddity("left out", "subagent's entry", line.place)
        elif way.holds(number) or teller.awaits(entry):
            if left_out:
                yield from teller.end()
                yield Branch(left_out, line.place)
            left_out = 0
            yield from teller.tell(entry, line.place)
        else:
            left_out += _is_spoken(entry)
    yield from teller.end()
    if left_out:
        yield Branch(left_out, "the end")


def _starts_aside(path: Path) -> bool:
    spoken = (line.value for line in read_lines(path) if line.value is not None and _is_spoken(line.value))
    return bool(next(spoken, {}).get("isSidechain"))


def _nodes(path: Path, *, sidechain: bool) -> Iterator[Node | None]:
    """The tree's nodes. Where a compaction keeps messages, what hangs on the last of these comes after the summary."""
    moved: dict[str | None, str | None] = {}
    for line in read_lines(path):
        node = _node(line.value, sidechain=sidechain)
        yield node and node._replace(parent=moved.get(node.parent, node.parent))
        if line.value and node and _is_boundary(line.value):
            kept = _preserved(line.value)
            moved = {kept.tail: kept.anchor} if kept else {}


def _node(entry: JsonObject | None, *, sidechain: bool) -> Node | None:
    uuid = text_at(entry, "uuid")
    if entry is None or uuid is None or bool(entry.get("isSidechain")) is not sidechain:
        return None
    # A compaction's boundary is a new root; what came before it stands under ``logicalParentUuid``.
    parent = text_at(entry, "parentUuid") or text_at(entry, "logicalParentUuid")
    return Node(uuid, parent, aside=text_at(entry, "type") not in _SPOKEN)


class _Preserved(NamedTuple):
    """The first and the last entry that a compaction keeps, and the one behind which they stand from then on."""

    head: str | None
    tail: str | None
    anchor: str | None


def _preserved(boundary: JsonObject) -> _Preserved | None:
    segment = object_at(boundary, "compactMetadata", "preservedSegment")
    named = object_at(boundary, "compactMetadata", "preservedMessages")  # of newer releases
    uuids = [uuid for uuid in list_at(named, "uuids") if isinstance(uuid, str)]
    if uuids:
        return _Preserved(uuids[0], uuids[-1], text_at(named, "anchorUuid"))
    ends = (text_at(segment, name) for name in ("headUuid", "tailUuid", "anchorUuid"))
    return _Preserved(*ends) if segment else None


def _is_boundary(entry: JsonValue) -> bool:
    return text_at(entry, "type") == "system" and text_at(entry, "subtype") == _BOUNDARY


@dataclass(slots=True)
class _Teller:
    """Tells entries; holds one turn and its results back until the turn is complete."""

    texts: list[str] = field(default_factory=list)
    calls: list[RawCall] = field(default_factory=list)
    results: list[Item] = field(default_factory=list)
    turn: str | None = None
    stamp: Stamp | None = None
    boundary: Compaction | None = None
    said: int = 0
    begins: dict[str | None, int] = field(default_factory=dict)  # of entries since the last compaction, in ``said``

    def awaits(self, entry: JsonObject) -> bool:
        """Whether an entry beside the way answers or goes on with the turn that is under way."""
        if text_at(entry, "message", "id") == self.turn and self.turn is not None:
            return True
        ids = {call.id for call in self.calls}
        content = at(entry, "message", "content")
        return isinstance(content, list) and any(text_at(part, "tool_use_id") in ids for part in content)

    def tell(self, entry: JsonObject, place: str) -> Iterator[Item]:
        kind = text_at(entry, "type")
        if kind == "assistant":
            yield from self._assistant(entry, place)
        elif kind == "user":
            yield from self._user(entry, place)
        elif _is_boundary(entry):
            yield from self._compacted(entry, place)
        elif kind == "attachment":
            yield Oddity("left out", "attachment", place)
        elif kind == "api-request-shape":
            yield from _shape(object_at(entry, "shape"), place)
        elif kind in ("summary", "custom-title", "ai-title"):
            yield Facts(title=text_at(entry, "summary") or text_at(entry, "customTitle") or text_at(entry, "aiTitle"))
        elif kind not in _SILENT:
            yield Oddity("unknown", f"entry {kind or 'no type'}", place)

    def end(self) -> Iterator[Item]:
        """The turn that is under way, and its results."""
        if self.boundary:
            yield self.boundary
        if self.stamp and self._speaks:
            yield assistant("\n".join(self.texts), self.calls, self.stamp)
        yield from self.results
        self.said += self._pending
        self.texts, self.calls, self.results = [], [], []
        self.turn = self.stamp = self.boundary = None

    @property
    def _speaks(self) -> bool:
        return bool(self.texts or self.calls)

    @property
    def _pending(self) -> int:
        return self._speaks + sum(isinstance(item, Said) for item in self.results)

    def _compacted(self, boundary: JsonObject, place: str) -> Iterator[Item]:
        yield from self.end()
        preserved, kept = _preserved(boundary), 0
        if preserved and preserved.anchor == text_at(boundary, "uuid"):
            yield Oddity("left out", "messages that a compaction keeps in front of its summary", place)
        elif preserved:
            kept = self.said - self.begins.get(preserved.head, self.said)
        before = int_at(boundary, "compactMetadata", "preTokens")
        self.boundary = Compaction((), kept, place, unix_s(boundary.get("timestamp")), before)
        self.begins = {}

    def _assistant(self, entry: JsonObject, place: str) -> Iterator[Item]:
        message = object_at(entry, "message")
        id_ = text_at(message, "id") or text_at(entry, "uuid")
        if entry.get("isApiErrorMessage") is True:
            yield Oddity("left out", "turn that reports an API error", place)
            return
        if id_ != self.turn:
            yield from self.end()
            yield _facts(entry)
        self.begins[text_at(entry, "uuid")] = self.said
        self.turn = id_
        began = self.stamp.place if self.stamp else place
        self.stamp = Stamp(
            began,
            unix_s(entry.get("timestamp")),
            usage_at(message.get("usage")),
            text_at(message, "stop_reason"),
            text_at(message, "model"),
        )
        parts = take_apart(message.get("content"), self.stamp)
        yield from parts.oddities
        self.texts += [text for text in parts.texts if text]
        self.calls += parts.calls

    def _user(self, entry: JsonObject, place: str) -> Iterator[Item]:
        if entry.get("isVisibleInTranscriptOnly") is True and entry.get("isCompactSummary") is not True:
            yield Oddity("left out", "message for the user only", place)
            return
        items = list(read_message(object_at(entry, "message"), Stamp(place, unix_s(entry.get("timestamp")))))
        if entry.get("isCompactSummary") is True and self.boundary:
            replacement = tuple(item.message for item in items if isinstance(item, Said))
            held, self.boundary = self.boundary, None
            yield replace(held, replacement=replacement)
        elif any(isinstance(item, Said) and item.message.role == "user" for item in items):
            results = [item for item in items if isinstance(item, Said) and item.message.role == "tool"]
            self.results += results
            yield from self.end()
            yield _facts(entry)
            self.begins[text_at(entry, "uuid")] = self.said
            self.said += 1
            yield from (item for item in items if item not in results)
        else:
            self.begins[text_at(entry, "uuid")] = self.said + self._pending
            self.results += items


def _shape(shape: JsonObject, place: str) -> Iterator[Item]:
    """What newer releases record of a request: the system prompt and the tools."""
    system = take_apart(shape.get("system"), Stamp(place)).text
    tools, oddities = read_tools(list_at(shape, "tools"), place)
    yield from oddities
    yield Facts(system=system or None, tools=tools or None)


def _facts(entry: JsonObject) -> Facts:
    return Facts(id=text_at(entry, "agentId") or text_at(entry, "sessionId"), cwd=text_at(entry, "cwd"))


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
