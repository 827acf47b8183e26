"""What a tool's or a parameter's name says it is for: the vocabulary of agents' tools, however it is spelt."""

from __future__ import annotations

import re
from typing import NamedTuple

from kvassay.types import JsonObject, JsonValue

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

READING = frozenset({"read", "view", "open", "cat"})
WRITING = frozenset({"write", "create", "save", "overwrite"})
CHANGING = frozenset(
    {"insert", "append", "delete", "remove", "move", "rename", "patch", "edit", "update", "undo", "replace"}
)
EXECUTING = frozenset({"bash", "shell", "exec", "execute", "run", "command", "terminal", "powershell", "python"})

_FILE = frozenset({"path", "paths", "file", "files", "filename", "filepath"})
_PLACE = _FILE | {"dir", "directory", "folder", "cwd", "workdir", "workspace"}
_ID = frozenset({"id", "ids", "uuid", "guid", "sha", "commit", "hash", "ticket", "issue"})
_OLD = frozenset({"old", "oldstring", "oldtext", "oldstr", "oldcode", "oldcontent", "search", "searchtext", "find"})
_NEW = frozenset(
    {"new", "newstring", "newtext", "newstr", "newcode", "newcontent", "replace", "replacetext", "replacement"}
)
_BODY = frozenset({"content", "contents", "filetext", "text", "body"})
_EVERY = frozenset({"replaceall", "all", "allowmultiple"})


class Replacement(NamedTuple):
    """One edit of a file: ``old`` must stand there verbatim. ``parameter`` names it: ``edits[1].oldText``."""

    parameter: str
    old: str
    new: str


def words(name: str) -> frozenset[str]:
    """Split a name into its words in lower case: ``filePath``, ``file_path`` and ``File-Path`` alike."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def joined(name: str) -> str:
    """Join a name's words, so that spellings compare equal: ``oldString`` and ``old_string``."""
    return "".join(_WORD.findall(name)).lower()


def names_place(parameter: str) -> bool:
    """Whether a parameter takes a path."""
    return bool(words(parameter) & _PLACE)


def names_id(parameter: str) -> bool:
    """Whether a parameter takes an id."""
    return bool(words(parameter) & _ID)


def verbs(tool: str, arguments: JsonObject) -> frozenset[str]:
    """Find what a call does: the words of the tool's name and of a sub-command such as ``{"command": "view"}``."""
    command = arguments.get("command")
    return words(tool) | (words(command) if isinstance(command, str) and command.isidentifier() else frozenset())


def file_path(arguments: JsonObject) -> str | None:
    """Find the file a call is about."""
    paths = (value for name, value in arguments.items() if words(name) & _FILE and isinstance(value, str) and value)
    return next(paths, None)


def replacements(arguments: JsonObject) -> tuple[Replacement, ...]:
    """Find the old and new texts of an edit, at the top level and in a list of edits."""
    found = [*_pair("", arguments)]
    for name, value in arguments.items():
        for index, item in enumerate(value if isinstance(value, list) else ()):
            found += _pair(f"{name}[{index}].", item)
    return tuple(found)


def _pair(prefix: str, value: JsonValue) -> list[Replacement]:
    if not isinstance(value, dict):
        return []
    old = [(name, text) for name, text in value.items() if joined(name) in _OLD and isinstance(text, str)]
    new = [text for name, text in value.items() if joined(name) in _NEW and isinstance(text, str)]
    return [Replacement(prefix + old[0][0], old[0][1], new[0])] if old and new else []


def body(arguments: JsonObject) -> str | None:
    """Find the whole new text of a file that a call writes."""
    return next((text for name, text in arguments.items() if joined(name) in _BODY and isinstance(text, str)), None)


def replaces_all(arguments: JsonObject) -> bool:
    """Whether an edit replaces every occurrence."""
    return any(value is True for name, value in arguments.items() if joined(name) in _EVERY)
