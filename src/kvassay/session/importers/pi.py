"""pi's sessions (``~/.pi/agent/sessions/**/*.jsonl``): JSONL, since version 2 a tree of entries.

Read by: @mariozechner/pi-coding-agent 0.73.1, ``docs/session-format.md``, ``core/session-manager.js`` and
``core/messages.js``, whose wording of summaries and of the user's own shell commands is taken over; versions 1 to 3.
@earendil-works/pi-coding-agent 1.6.0, which goes on with it: system messages, usage and context edits as entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

from kvassay.session.importers.dialogue import Stamp, assistant, result, take_apart
from kvassay.session.importers.fields import int_at, object_at, text_at, unix_s, usage_of
from kvassay.session.importers.pi_prompt import Prompt
from kvassay.session.importers.source import Importer, Sample, one_file
from kvassay.session.importers.tree import Node, way_to_last
from kvassay.session.json_text import Line, read_lines
from kvassay.session.transcript import Branch, Compaction, Facts, Item, Oddity, Said
from kvassay.types import JsonObject, JsonValue, Message

AGENT = "pi"
_COMPACTED = (
    "The conversation history before this point was compacted into the following summary:\n\n<summary>\n{}\n</summary>"
)
_CAME_BACK = "The following is a summary of a branch that this conversation came back from:\n\n<summary>\n{}</summary>"
_SILENT = frozenset({"thinking_level_change", "label", "custom", "leaf", "usage"})
_BOUNDARIES = ("compaction", "reset")  # OpenClaw's reset is a compaction without a summary
_NO_NODES = frozenset({"session"})

Lines: TypeAlias = Callable[[], Iterable[Line]]


def looks_like_pi(sample: Sample) -> bool:
    """Whether a session's header is among the first lines."""
    heads = [line for line in sample.lines if line.get("type") == "session"]
    return any(text_at(head, "id") and "timestamp" in head for head in heads[:1])


def read_entries(lines: Lines) -> Iterator[Item]:
    """Read a session's entries, wherever they are kept (OpenClaw keeps the same in its database)."""
    shape = _shape(lines)
    way = way_to_last(lambda: (_node(entry) for entry in _entries(lines)))
    teller = _Teller(shape)
    number, left_out = 0, 0
    for line in lines():
        if line.value is None:
            yield Oddity("damaged", line.fault, line.place)
            continue
        if way.holds(number):
            if left_out:
                yield Branch(left_out, line.place)
            left_out = 0
            yield from teller.tell(number, line.value, line.place)
        else:
            left_out += 1
        number += 1
    if left_out:
        yield Branch(left_out, "the end")


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which entries compactions point at: by id, in version 1 by number."""

    ids: frozenset[str]
    numbers: frozenset[int]


def _shape(lines: Lines) -> _Shape:
    compactions = [entry for entry in _entries(lines) if text_at(entry, "type") in _BOUNDARIES]
    ids = (text_at(entry, "firstKeptEntryId") for entry in compactions)
    numbers = (int_at(entry, "firstKeptEntryIndex") for entry in compactions)
    return _Shape(frozenset(filter(None, ids)), frozenset(n for n in numbers if n is not None))


def _entries(lines: Lines) -> Iterator[JsonObject]:
    return (line.value for line in lines() if line.value is not None)


def _node(entry: JsonObject) -> Node | None:
    id_ = text_at(entry, "id")
    if id_ is None or text_at(entry, "type") in _NO_NODES or "parentId" not in entry:
        return None
    # OpenClaw's "leaf" says where the user went back to.
    return Node(id_, text_at(entry, "targetId" if entry.get("type") == "leaf" else "parentId"))


@dataclass(slots=True)
class _Teller:
    """Tells entries, and remembers where the messages that compactions keep begin."""

    shape: _Shape
    said: int = 0
    begins: dict[str | int, int] = field(default_factory=dict)
    prompt: Prompt = field(default_factory=Prompt)

    def tell(self, number: int, entry: JsonObject, place: str) -> Iterator[Item]:
        id_ = text_at(entry, "id")
        if id_ in self.shape.ids:
            self.begins[id_] = self.said
        if number in self.shape.numbers:
            self.begins[number] = self.said
        if text_at(entry, "type") in _BOUNDARIES:
            if checkpoint := object_at(entry, "systemMessage"):  # the whole prompt, not a change
                self.prompt = Prompt()
                yield from self.prompt.told(checkpoint, place)
            yield self._compaction(entry, place)
            return
        if text_at(entry, "type") == "message" and text_at(entry, "message", "role") == "system":
            yield from self.prompt.told(object_at(entry, "message"), place)
            return
        for item in _told(entry, place):
            self.said += isinstance(item, Said)
            yield item

    def _compaction(self, entry: JsonObject, place: str) -> Compaction:
        first = text_at(entry, "firstKeptEntryId") or int_at(entry, "firstKeptEntryIndex")
        summary = text_at(entry, "summary")
        return Compaction(
            (Message("user", _COMPACTED.format(summary)),) if summary else (),
            kept=self.said - self.begins.get("" if first is None else first, self.said),
            place=place,
            at_s=unix_s(entry.get("timestamp")),
            tokens_before=int_at(entry, "tokensBefore"),
        )


def _told(entry: JsonObject, place: str) -> Iterator[Item]:
    kind = text_at(entry, "type")
    stamp = Stamp(place, unix_s(entry.get("timestamp")))
    match kind:
        case "session":
            yield Facts(
                id=text_at(entry, "id"),
                cwd=text_at(entry, "cwd"),
                model=text_at(entry, "modelId"),
                started_s=stamp.at_s,
            )
        case "message":
            yield from read_agent_message(object_at(entry, "message"), stamp)
        case "custom_message":
            yield from _user(entry.get("content"), stamp)
        case "branch_summary":
            yield from _user(_CAME_BACK.format(text_at(entry, "summary") or ""), stamp)
        case "session_info":
            yield Facts(title=text_at(entry, "name"))
        case "model_change":
            yield Facts(model=text_at(entry, "modelId"))
        case "context_edit":
            yield Oddity("left out", "later edit of an entry", place)
        case _ if kind not in _SILENT:
            yield Oddity("unknown", f"entry {kind or 'no type'}", place)


def read_agent_message(message: JsonObject, stamp: Stamp) -> Iterator[Item]:
    """Read one of pi's messages."""
    role = text_at(message, "role")
    match role:
        case "user" | "custom" | "hookMessage":
            yield from _user(message.get("content"), stamp)
        case "assistant":
            yield from _assistant(message, stamp)
        case "toolResult":
            parts = take_apart(message.get("content"), stamp)
            yield from parts.oddities
            failed = message.get("isError") is True
            yield result(text_at(message, "toolCallId"), parts.text, stamp, failed=failed)
        case "bashExecution" if not message.get("excludeFromContext"):
            yield from _user(_shell_text(message), stamp)
        case "bashExecution":
            yield Oddity("left out", "shell command kept from the model", stamp.place)
        case "branchSummary":
            yield from _user(_CAME_BACK.format(text_at(message, "summary") or ""), stamp)
        case "compactionSummary":
            yield from _user(_COMPACTED.format(text_at(message, "summary") or ""), stamp)
        case _:
            yield Oddity("unknown" if role else "damaged", f"message role {role!r}", stamp.place)


def _user(content: JsonValue, stamp: Stamp) -> Iterator[Item]:
    parts = take_apart(content, stamp)
    yield from parts.oddities
    yield Said(Message("user", parts.text), stamp.place, stamp.at_s)


def _assistant(message: JsonObject, stamp: Stamp) -> Iterator[Item]:
    usage = object_at(message, "usage")
    prompt = [int_at(usage, name) for name in ("input", "cacheRead", "cacheWrite")]
    full = Stamp(
        stamp.place,
        stamp.at_s,
        usage_of(prompt=prompt, output=int_at(usage, "output")),
        text_at(message, "stopReason"),
        text_at(message, "model"),
    )
    parts = take_apart(message.get("content"), full)
    yield from parts.oddities
    if parts.text or parts.calls:
        yield assistant(parts.text, parts.calls, full)
    else:
        yield Oddity("left out", f"empty turn ({full.stop_reason})", stamp.place)


def _shell_text(message: JsonObject) -> str:
    output = text_at(message, "output")
    text = f"Ran `{text_at(message, 'command') or ''}`\n" + (f"```\n{output}\n```" if output else "(no output)")
    code = int_at(message, "exitCode")
    if message.get("cancelled") is True:
        text += "\n\n(command cancelled)"
    elif code:
        text += f"\n\nCommand exited with code {code}"
    if message.get("truncated") is True and (kept := text_at(message, "fullOutputPath")):
        text += f"\n\n[Output truncated. Full output: {kept}]"
    return text


def _read(path: Path) -> Iterator[Item]:
    return read_entries(partial(read_lines, path))


IMPORTER = Importer(AGENT, looks_like_pi, one_file(AGENT, _read))
