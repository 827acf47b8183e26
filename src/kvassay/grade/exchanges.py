"""Calls and their results in a conversation: the material that loops are found in."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from kvassay.grade import names
from kvassay.grade.context import answered_call, failed
from kvassay.grade.volatile import settled, without_notes
from kvassay.types import JsonObject, Message, ToolCall

_EXIT = re.compile(
    r"""\b(?:exit(?:ed)?(?:\ with)?(?:\ (?:code|status))?|exit_?code|return_?code)["']?\s*[:= ]\s*([1-9]\d*)\b""",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\bno (?:match(?:es)?|files?|results?|output|entries)\b|\b0 (?:matches|results|files)\b", re.IGNORECASE
)
_EDGE_CHARS = 400
_ANSWERS_BY_STATUS = frozenset({"grep", "rg", "ag", "ack", "egrep", "diff", "cmp", "test", "[", "which"})

_POLLING = frozenset({"wait", "poll", "sleep", "status", "monitor", "watch", "tail", "yield", "progress", "heartbeat"})
_POLLING_COMMAND = re.compile(
    r"\b(?:sleep|wait|watch|tail|pgrep|ps|jobs|top|status|uptime|docker ps|kubectl get|gh run|curl|wget|nc|ping"
    r"|nvidia-smi)\b"
)
_WAITING = re.compile(
    r"\b(?:still (?:running|working|waiting|building)|not (?:yet )?(?:ready|finished|done|complete)|in progress|queued"
    r"|no new output)\b",
    re.IGNORECASE,
)
_ONGOING = re.compile(
    r"\b(?:running|pending|waiting|starting|loading|building|queued|active|in_progress|working)\b", re.IGNORECASE
)

_COMMAND = frozenset({"command", "cmd", "script"})
_SETTING = re.compile(r"\s*(?:cd\s+\S+\s*(?:&&|;)\s*|[A-Za-z_]\w*=\S*\s+|sudo\s+|timeout\s+\S+\s+)*")
_PROGRAM = re.compile(r"\S+(?:\s+[a-z][\w:-]*)?")
_LONG_CHARS = 16_384  # of a long result: as much of its beginning and its end is normalised


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and what came of it. ``target`` is what it was about: a file, an id, a program. ``opens`` says that the
    user said something new in front of it. ``polls``: it asks how something else is getting on; ``waits``: the answer
    was that it is not over yet. ``changes``: it changed something, as far as its tool's name tells.
    """

    tool: str
    arguments: str
    target: str
    result: str
    failed: bool = False
    polls: bool = False
    waits: bool = False
    changes: bool = False
    opens: bool = False
    sealed: bool = False

    def same_question(self, other: Exchange) -> bool:
        """The same tool with the same arguments."""
        return self.tool == other.tool and self.arguments == other.arguments

    def same(self, other: Exchange) -> bool:
        """The same question with the same answer, but for volatile fields. Normalises only where it has to."""
        if not self.same_question(other):
            return False
        return self.result == other.result or _settled(self) == _settled(other)

    def seal(self) -> Exchange:
        """The same without the texts, to be remembered: their hashes, the result's after normalising."""
        if self.sealed:
            return self
        return replace(self, arguments=_hash(self.arguments), result=_hash(_settled(self)), sealed=True)


def read_exchanges(
    messages: Sequence[Message],
    *,
    limit: int,
    failed_ids: Collection[str] = (),
    unread: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Exchange, ...]:
    """The newest exchanges of a conversation, oldest first. ``failed_ids`` are calls whose result is marked as an
    error; ``unread`` maps the id of a call whose arguments were no JSON object to their text.
    """
    return tuple(
        _exchange(call, result, unread.get(call.id), marked=call.id in failed_ids, opens=opens)
        for call, result, opens in list(_answered(messages))[-limit:]
    )


def _answered(messages: Sequence[Message]) -> Iterator[tuple[ToolCall, str, bool]]:
    pending: list[ToolCall] = []
    heard: set[str] = set()
    opens = False
    for message in messages:
        if message.role == "user":
            words = without_notes(message.content)
            opens = opens or bool(words and words not in heard)
            heard.add(words)
        elif message.role == "assistant" and message.tool_calls:
            pending = list(message.tool_calls)
        elif message.role == "tool" and (call := answered_call(pending, message.tool_call_id)):
            pending.remove(call)
            yield call, without_notes(message.content), opens
            opens = False


def _exchange(call: ToolCall, result: str, raw: str | None, *, marked: bool, opens: bool) -> Exchange:
    name, arguments = _effective(call)
    changing = names.verbs(name, arguments) & (names.WRITING | names.CHANGING)
    target = target_of(arguments)
    wrong = raw is not None or (not _finds_nothing(target, result) and (marked or went_wrong(result)))
    polls = _polls(name, arguments)
    return Exchange(
        tool=name,
        arguments=json.dumps(arguments, sort_keys=True, ensure_ascii=False) if raw is None else raw,
        target=target,
        result=result,
        failed=wrong,
        polls=polls,
        waits=_waits(result, polls=polls),
        changes=bool(changing) and not wrong,
        opens=opens,
    )


def _effective(call: ToolCall) -> tuple[str, JsonObject]:
    """Behind a Tool Search's ``tool_call{id, args}`` stands another tool: the one that loops."""
    inner, arguments = call.arguments.get("id"), call.arguments.get("args")
    if names.joined(call.name) == "toolcall" and isinstance(inner, str):
        return inner, arguments if isinstance(arguments, dict) else {}
    return call.name, call.arguments


def _finds_nothing(program: str, result: str) -> bool:
    """These say with status 1 that there is nothing, or a difference: an answer, no failure."""
    found = _EXIT.search(_edges(result))
    return found is not None and found[1] == "1" and program.partition(" ")[0] in _ANSWERS_BY_STATUS


def went_wrong(result: str) -> bool:
    """Whether a result reports a failure; finding nothing is none."""
    edges = _edges(result)
    return bool(_EXIT.search(edges)) or (failed(result) and not _NOTHING.search(edges))


def target_of(arguments: JsonObject) -> str:
    """What a call is about: its file, else its id, else the program of its command; "" where nothing tells."""
    path = names.file_path(arguments)
    if path is not None:
        return posixpath.normpath(path.replace("\\", "/"))
    ids = (str(value) for name, value in arguments.items() if names.names_id(name) and isinstance(value, str | int))
    return next(ids, "") or _program(arguments)


def _program(arguments: JsonObject) -> str:
    program = _PROGRAM.match(_SETTING.sub("", command_of(arguments), count=1))
    return program[0] if program else ""


def command_of(arguments: JsonObject) -> str:
    """The shell command that a call runs; "" where it runs none."""
    for name, value in arguments.items():
        if names.joined(name) in _COMMAND:
            return " ".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else ""
    return ""


def _polls(name: str, arguments: JsonObject) -> bool:
    action = arguments.get("action")
    words = names.words(name) | (names.words(action) if isinstance(action, str) else frozenset())
    silent = "session_id" in arguments and not arguments.get("chars")  # Codex: write_stdin with nothing to write
    return bool(words & _POLLING) or silent or bool(_POLLING_COMMAND.search(command_of(arguments)))


def _waits(result: str, *, polls: bool) -> bool:
    return bool((_ONGOING if polls else _WAITING).search(_edges(result)))


def _edges(text: str) -> str:
    """A long result's beginning and end: there tools put what became of a call."""
    return text if len(text) <= 2 * _EDGE_CHARS else f"{text[:_EDGE_CHARS]}\n{text[-_EDGE_CHARS:]}"


def _settled(exchange: Exchange) -> str:
    text = exchange.result
    if exchange.sealed:
        return text
    if len(text) <= 2 * _LONG_CHARS:
        return _normalised(text)
    middle = text[_LONG_CHARS:-_LONG_CHARS].translate(_NO_DIGITS)
    return f"{_normalised(text[:_LONG_CHARS])}{_hash(middle)}{_normalised(text[-_LONG_CHARS:])}"


# What was settled at one turn of a session is in the history of the next. Of short texts only: they are kept.
_normalised = lru_cache(maxsize=256)(settled)
_NO_DIGITS = {ord(digit): None for digit in "0123456789"}


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
