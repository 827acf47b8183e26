"""Quotes and names in live calls against what the request's history shows. Doubt speaks for the model: what it may have
learnt elsewhere, or may rightly guess, is not judged.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from kvassay.grade import Context, names
from kvassay.grade.grounding import ungrounded, verbatim_miss
from kvassay.guard.contract import Asked
from kvassay.types import Call, JsonValue, Message, Outcome, ToolCall

_NAME = re.compile(r"[\w.@+-]{6,120}")
_GIVEN_ID = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-z]*\d)[0-9a-f]{7,64}|\w*\d{6,}\w*", re.IGNORECASE
)
_SLIP = 2  # characters; more is another name
_MAKES = names.WRITING | {"add", "new", "start", "spawn", "plan", "todo", "todos", "task", "remember"}
_NO_LETTER = re.compile(r"[\d\W_]+")


def needs_context(call: Call) -> bool:
    """Whether a call quotes a file or names a place or an id: only then is the history worth reading."""
    return bool(names.replacements(call.arguments)) or any(
        names.names_place(name) or names.names_id(name) for name, _ in _leaves("", call.arguments)
    )


def misquote(call: Call, asked: Asked, context: Context) -> Outcome | None:
    """M8: an edit quotes what is not in the newest view of its file. Not judged: a quote that a shell or a search
    showed, and a file that some other call named after it was last seen (a formatter, a script).
    """
    path = names.file_path(call.arguments)
    view = context.view(path) if path else None
    edits = [edit for edit in names.replacements(call.arguments) if view is not None and edit.old not in f"{view}\n"]
    if not path or not edits or _changed_since(path, asked.messages):
        return None
    shown = list(_shown_elsewhere(path, asked.messages))
    if all(any(edit.old in text for text in shown) for edit in edits):
        return None
    return verbatim_miss(call, context)


def _changed_since(path: str, messages: Sequence[Message]) -> bool:
    name, touched = posixpath.basename(path.replace("\\", "/")), False
    for call in (call for message in messages for call in message.tool_calls):
        touched = not _about(call, name) and (touched or any(name in text for _, text in _leaves("", call.arguments)))
    return touched


def _shown_elsewhere(path: str, messages: Sequence[Message]) -> Iterator[str]:
    """What others than the file's own reads showed, and what edits put into it where no read had shown it."""
    name = posixpath.basename(path.replace("\\", "/"))
    about = [call for message in messages for call in message.tool_calls if _about(call, name)]
    ids = {call.id for call in about}
    yield from (message.content for message in messages if message.role in {"user", "tool"} and not _in(message, ids))
    yield from (edit.new for call in about for edit in names.replacements(call.arguments))


def _in(message: Message, ids: set[str]) -> bool:
    return message.role == "tool" and message.tool_call_id in ids


def _about(call: ToolCall, name: str) -> bool:
    return posixpath.basename((names.file_path(call.arguments) or "").replace("\\", "/")) == name


def invented_place(call: Call, asked: Asked, context: Context) -> Outcome | None:
    """M9: a path or id never mentioned that is a slip of one that was (1 or 2 characters off), or an id that nobody can
    guess. Not judged: names that explore (README.md, the next number), names being made, histories sent in part.
    """
    if asked.partial or names.verbs(call.name, call.arguments) & _MAKES:
        return None
    found = ungrounded(call, context)
    invented = found and any(_invented(name, value, context) for name, value in _leaves("", call.arguments))
    return found if invented else None


def _invented(parameter: str, value: str, context: Context) -> bool:
    if context.mentions(value):
        return False
    if names.names_id(parameter) and _GIVEN_ID.fullmatch(value):
        return True
    return names.names_place(parameter) and any(_is_slip(part, context) for part in re.split(r"[/\\]", value))


def _is_slip(part: str, context: Context) -> bool:
    if not _NAME.fullmatch(part) or context.mentions(part):
        return False
    known = set(_NAME.findall(context.said))
    near = process.extract(part, known, scorer=Levenshtein.distance, score_cutoff=_SLIP, limit=3)
    return bool(near) and not any(_stem(name) == _stem(part) for name, _, _ in near)


def _stem(name: str) -> str:
    """What two names share that differ in number, ending, spelling or plural: the source beside the compiled file."""
    return _NO_LETTER.sub("", posixpath.splitext(name)[0].lower()).rstrip("s")


def _leaves(name: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(key, inner)
        case list():
            for inner in value:
                yield from _leaves(name, inner)
        case str():
            yield name, value
