"""Which calls can't be taken back: those that write, delete or execute, as far as their names tell.

A tool is judged by its name's words, its sub-command and its parameters (`kvassay.grade.names`): an edit, a write, a
deletion, a patch, a shell command. Whether a shell command only looks is not judged: who may execute may do anything.
"""

from __future__ import annotations

import json
import posixpath

from kvassay.grade import names
from kvassay.types import Call, JsonObject, ToolCall

_IRREVERSIBLE = names.WRITING | names.CHANGING | names.EXECUTING


def irreversible(call: Call | ToolCall) -> bool:
    """Whether a call writes, deletes or executes."""
    if names.replacements(call.arguments):
        return True
    found = names.verbs(call.name, call.arguments)
    return bool(found & _IRREVERSIBLE) and not found & names.READING


def deed(call: Call | ToolCall) -> str:
    """The call in one string, the same for calls that do the same: paths normalised, parameters in any order."""
    return f"{call.name} {json.dumps(_settled(call.arguments), sort_keys=True, ensure_ascii=False)}"


def _settled(arguments: JsonObject) -> JsonObject:
    return {
        name: posixpath.normpath(value) if isinstance(value, str) and value and names.names_place(name) else value
        for name, value in arguments.items()
    }
