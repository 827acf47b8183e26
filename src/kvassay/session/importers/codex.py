"""Codex' rollouts (``~/.codex/sessions/**/rollout-*.jsonl``): items of the Responses API in envelopes.

Read by: @openai/codex 0.169.0, the names of records in the compiled program, and a session that it wrote. The first
releases wrote the items without envelopes, the very first (in TypeScript) one document of them: read too, from memory
of those, unverified. Turns rolled back are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import int_at, list_at, object_at, text_at, unix_s, usage_of
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.responses import Turns
from kvassay.session.importers.source import Importer, Sample, one_file, sample
from kvassay.session.json_text import load, read_lines
from kvassay.session.transcript import Compaction, Facts, Item, Oddity, Said
from kvassay.types import JsonObject, JsonValue, Message

AGENT = "codex"
_ENVELOPES = frozenset({"session_meta", "response_item", "compacted", "turn_context", "event_msg"})
_SILENT = frozenset(
    {
        "state", "world_state", "token_usage_record", "resume_metadata", "security_risk_score", "realtime_item",
        "dynamic_tools_updated", "inter_agent_communication_metadata", "ghost_snapshot",
    }
)  # fmt: skip
_EXIT = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d{1,9})$", re.MULTILINE)
_EXIT_CHARS = 300  # the header in front of a command's output
_FAILED = (
    "apply_patch verification failed", "patch rejected", "failed to parse function arguments", "unsupported call",
    "unsupported custom tool call", "execution error", "exec_command failed", "exec command rejected",
    "write_stdin failed", "failed in sandbox",
)  # fmt: skip
_SUMMARY = "Another language model started to solve this problem and produced a summary of its thinking process"
_CONTEXT = (  # what Codex itself says in the user's name
    "# AGENTS.md instructions", "<environment_context>", "<user_instructions>", "<turn_aborted>", "<skill>",
    "<user_shell_command>", "<subagent_notification>", _SUMMARY,
)  # fmt: skip
_KEPT_CHARS = 80_000  # of the user's messages over a compaction: 20,000 tokens of four characters


def _recognises(sample: Sample) -> bool:
    enveloped = any(line.get("type") in _ENVELOPES and isinstance(line.get("payload"), dict) for line in sample.lines)
    first = sample.lines[0] if sample.lines else {}
    bare = ("instructions" in first and "timestamp" in first and "id" in first) or any(map(_is_call, sample.lines))
    return enveloped or bare or _is_document(sample)


def _is_call(line: JsonObject) -> bool:
    return text_at(line, "type") == "function_call" and text_at(line, "call_id") is not None


def _is_document(sample: Sample) -> bool:
    """Whether this is a rollout of the first program, in TypeScript: ``{"session": {…}, "items": […]}``."""
    session = sample.first("session")
    return session is not None and text_at(session.value, "id") is not None and "items" in sample.keys


def _read(path: Path) -> Iterator[Item]:
    rollout = _Rollout()
    for item in with_system_apart(rollout.items(path)):
        yield _with_exit_code(item) if isinstance(item, Said) else item


class _Rollout:
    def __init__(self) -> None:
        self._turns = Turns()
        self._model: str | None = None
        self._held: list[Item] = []  # the last turn and its results: its tokens may be told after them
        self._begun = False  # a rollout that was forked repeats the head of the one it came from
        self._users: list[Message] = []

    def items(self, path: Path) -> Iterator[Item]:
        told = self._document(path) if _is_document(sample(path)) else self._lines(path)
        yield from self._in_order(told)
        yield from self._in_order(self._turns.end())
        yield from self._held

    def _lines(self, path: Path) -> Iterator[Item]:
        for line in read_lines(path):
            if line.value is None:
                yield Oddity("damaged", line.fault, line.place)
            else:
                yield from self._tell(line.value, Stamp(line.place, unix_s(line.value.get("timestamp"))))

    def _document(self, path: Path) -> Iterator[Item]:
        for piece in read_pieces(path):
            if isinstance(piece, Oddity):
                yield piece
            elif piece.key == "session":
                yield from _meta(object_at(piece.value))
            elif piece.key == "items":
                yield from self._turns.take(piece.value, Stamp(piece.place))

    def _in_order(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, Said) and item.message.role == "user":
                self._users.append(item.message)
            if not (self._held and isinstance(item, Said) and item.message.role == "tool"):
                yield from self._held
                self._held = []
            if self._held or (isinstance(item, Said) and item.message.role == "assistant"):
                self._held.append(item)
            else:
                yield item

    def _tell(self, entry: JsonObject, stamp: Stamp) -> Iterator[Item]:
        payload = object_at(entry, "payload")
        kind = text_at(entry, "type") or text_at(entry, "record_type")
        match kind:
            case "session_meta" if self._begun:
                return
            case "session_meta":
                self._begun = True
                yield from _meta(payload)
            case "response_item":
                yield from self._turns.take(payload, replace(stamp, model=self._model))
            case "turn_context":
                self._model = text_at(payload, "model")
                yield Facts(model=self._model, cwd=text_at(payload, "cwd"))
            case "compacted":
                yield from self._turns.end()
                yield self._compaction(payload, stamp)
            case "event_msg":
                yield from self._event(payload, stamp)
            case None if "instructions" in entry:
                yield from _meta(entry)
            case _ if kind in _SILENT:
                return
            case _ if "payload" in entry:
                yield Oddity("unknown", f"entry {kind}", stamp.place)
            case _:
                yield from self._turns.take(entry, stamp)

    def _compaction(self, payload: JsonObject, stamp: Stamp) -> Compaction:
        """What the model was shown instead; where only the summary was recorded, it stood behind the user's messages
        (``build_compacted_history``).
        """
        turns = Turns()
        history = [item for wire in list_at(payload, "replacement_history") for item in turns.take(wire, stamp)]
        said = [item.message for item in (*history, *turns.end()) if isinstance(item, Said)]
        summary = text_at(payload, "message")
        if not said and summary:
            whole = summary if summary.startswith(_SUMMARY) else f"{_SUMMARY}.\n{summary}"
            said = [*_newest(self._users), Message("user", whole)]
        self._users = [message for message in said if message.role == "user"]
        return Compaction(tuple(said), 0, stamp.place, stamp.at_s)

    def _event(self, payload: JsonObject, stamp: Stamp) -> Iterator[Item]:
        """Events repeat what the items say, but for a turn's tokens and for turns taken back."""
        usage = object_at(payload, "info", "last_token_usage")
        if text_at(payload, "type") == "token_count" and usage:
            counted = usage_of(prompt=[int_at(usage, "input_tokens")], output=int_at(usage, "output_tokens"))
            if self._turns.open:
                yield from self._turns.end(replace(stamp, usage=counted, model=self._model))
            elif self._held and isinstance(turn := self._held[0], Said) and turn.usage is None:
                self._held[0] = replace(turn, usage=counted)
        elif text_at(payload, "type") == "thread_rolled_back":
            yield Oddity("left out", "rollback (the turns taken back are told)", stamp.place)


def _newest(users: Sequence[Message]) -> list[Message]:
    """The user's own messages that a compaction keeps, and what was said in front of them in the user's name."""
    opening = list(takewhile(lambda message: message.content.startswith(_CONTEXT), users))
    own = [message for message in users if not message.content.startswith(_CONTEXT)]
    lengths = accumulate(len(message.content) for message in reversed(own))
    kept = sum(length <= _KEPT_CHARS for length in lengths)
    return [*opening, *own[len(own) - kept :]]


def _meta(payload: JsonObject) -> Iterator[Item]:
    yield Facts(id=text_at(payload, "id"), cwd=text_at(payload, "cwd"), started_s=unix_s(payload.get("timestamp")))
    system = text_at(payload, "base_instructions", "text") or text_at(payload, "instructions")
    if system:
        yield Said(Message("system", system), "line 1")


def _with_exit_code(said: Said) -> Said:
    """What became of a call stands in the text of its output: an exit code in a header, or in JSON; or Codex' words."""
    if said.message.role != "tool" or said.failed is not None:
        return said
    text = said.message.content
    code = int_at(_json(text), "metadata", "exit_code") if text.startswith('{"') else None
    found = _EXIT.search(text[:_EXIT_CHARS])
    if code is None and found:
        code = int(found[1])
    if code is None and text.startswith(_FAILED):
        return replace(said, failed=True)
    return said if code is None else replace(said, failed=code != 0)


def _json(text: str) -> JsonValue:
    try:
        return load(text)
    except ValueError:
        return None


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
