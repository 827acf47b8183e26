"""What the model has been shown: every word said, and the newest view of every file."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kvassay.grade import names, views
from kvassay.types import JsonValue, Message, Tool, ToolCall

_FAILURE = re.compile(
    r"\b(error|failed|failure|not found|no match|could not|couldn't|cannot|can't|unable|denied|does not exist|no such"
    r"|did not (?:match|appear)|not unique|must be (?:unique|different)|multiple matches"
    r"|replace_?all (?:is|was) (?:false|not)|no changes (?:made|to (?:apply|make))|no replacement was|not been read yet"
    r"|modified since|unsupported call|invalid|refused|rejected|aborted)\b",
    re.IGNORECASE,
)
CLEARED = "[Old tool result content cleared]"  # opencode's words when it prunes, and ours: they show no file
_FAILURE_CHARS = 1000  # longer results are files, whatever their first line says


@dataclass(frozen=True, slots=True)
class Context:
    """Everything in front of the answer. ``files`` holds, by path, what was seen of each file and still holds;
    ``said`` is all text of the session in one string.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    @classmethod
    def from_messages(
        cls, messages: Sequence[Message], tools: Sequence[Tool], files: Mapping[str, str] | None = None
    ) -> Context:
        """Follow reads, writes and edits through the messages; ``files`` given are known views and replace those
        found. Linear in the session's size.
        """
        seen = {path: views.text_of(view) for path, view in _replay(messages).items()}
        return cls(files={**seen, **(files or {})}, said="\n".join([*_spoken(messages), *_declared(tools)]))

    def after(self, question: Sequence[Message]) -> Context:
        """The context with one more question in it: a user's words show no file."""
        return Context(self.files, "\n".join([self.said, *_spoken(question)]))

    def mentions(self, value: str) -> bool:
        """Whether the value stands anywhere in the session, the tools' own definitions included."""
        return value in self.said

    def view(self, path: str) -> str | None:
        """What was seen of a file, however its path is written (absolute, relative, ``./``); None where unseen."""
        known = _known(self.files, path)
        return None if known is None else self.files[known]


def _spoken(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        yield message.content
        for call in message.tool_calls:
            yield call.name
            yield json.dumps(call.arguments, ensure_ascii=False)
            yield from strings(call.arguments)


def _declared(tools: Iterable[Tool]) -> Iterator[str]:
    for tool in tools:
        yield from (tool.name, tool.description, json.dumps(tool.parameters, ensure_ascii=False))


def strings(value: JsonValue) -> Iterator[str]:
    """All strings of a JSON value, names of members left out."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)


def _replay(messages: Iterable[Message]) -> dict[str, views.View]:
    seen: dict[str, views.View] = {}
    pending: list[ToolCall] = []
    for message in messages:
        if message.role == "tool":
            call = answered_call(pending, message.tool_call_id)
            if call is not None:
                pending.remove(call)
                _follow(seen, call, message.content)
        elif message.tool_calls:
            pending = list(message.tool_calls)
    return seen


def answered_call(pending: Sequence[ToolCall], id_: str | None) -> ToolCall | None:
    """The call by its id; servers without ids answer in order."""
    by_id = (call for call in pending if call.id == id_)
    return next(by_id, None) if id_ else next(iter(pending), None)


def _follow(seen: dict[str, views.View], call: ToolCall, result: str) -> None:
    path = names.file_path(call.arguments)
    if path is None or result == CLEARED or failed(result):
        return
    path = _known(seen, path) or path
    verbs, body = names.verbs(call.name, call.arguments), names.body(call.arguments)
    replacements = names.replacements(call.arguments)
    if replacements:
        every = names.replaces_all(call.arguments)
        for edit in replacements if path in seen else ():
            seen[path] = views.edited(seen[path], edit.old, edit.new, every=every)
    elif verbs & names.WRITING and body is not None:
        seen[path] = (views.Stretch(1, body),)
    elif verbs & names.CHANGING:
        seen.pop(path, None)  # changed in a way that can't be followed: better no view than a stale one
    elif verbs & names.READING:
        seen[path] = views.read(seen.get(path, ()), call.arguments, result)


def failed(result: str) -> bool:
    """Whether a tool's result reads like an error: short, and its first line says so."""
    first_line = result.lstrip().partition("\n")[0]
    return len(result) < _FAILURE_CHARS and bool(_FAILURE.search(first_line))


def _known(paths: Iterable[str], path: str) -> str | None:
    """The known path that names the same file: equal, or one the other's end (relative to some directory)."""
    wanted = _normal(path)
    tails: list[str] = []
    for known in paths:
        other = _normal(known)
        if other == wanted:
            return known
        if other.endswith(f"/{wanted}") or wanted.endswith(f"/{other}"):
            tails.append(known)
    return tails[0] if len(tails) == 1 else None


def _normal(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/"))
