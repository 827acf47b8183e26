"""Cline's tasks: ``api_conversation_history.json`` of the extension, ``*.messages.json`` of its newer core; Roo Code's.

Read by: claude-dev 3.10.10 (Cline's own sources: a JSON list of Anthropic messages, calls as XML in the text, results
as ``[tool for 'x'] Result:`` in the next message) and @cline/core 0.0.86 with @cline/shared 0.0.86 (``{"version",
"updated_at", "sessionId", "messages", "system_prompt"}``, native calls). Roo Code: its repository's
``task-persistence`` and ``prompts/responses.ts`` (the same list, native calls, results in JSON; or ``{"version": 2,
"messages"}`` with the AI SDK's messages). ``ui_messages.json`` says the same for the eye, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kvassay.session.importers.dialogue import Stamp, read_message, read_tools, usage_at
from kvassay.session.importers.documents import read_pieces
from kvassay.session.importers.fields import at, int_at, list_at, object_at, sorted_calls, text_at, unix_s, usage_of
from kvassay.session.importers.hidden import Hidden
from kvassay.session.importers.opening import with_system_apart
from kvassay.session.importers.source import Importer, Sample, one_file
from kvassay.session.importers.text_calls import xml_calls
from kvassay.session.pieces import Piece
from kvassay.session.transcript import Facts, Item, Oddity, Said
from kvassay.types import JsonValue, Message

AGENT = "cline"
_TOOLS = frozenset(
    {
        "execute_command", "read_file", "write_to_file", "replace_in_file", "search_files", "list_files",
        "list_code_definition_names", "browser_action", "use_mcp_tool", "access_mcp_resource", "ask_followup_question",
        "plan_mode_respond", "load_mcp_documentation", "attempt_completion", "new_task", "condense", "new_rule",
        "report_bug", "web_fetch", "focus_chain", "apply_patch", "apply_diff", "insert_content", "search_and_replace",
        "codebase_search", "fetch_instructions", "switch_mode", "update_todo_list", "run_slash_command",
        "generate_image",
    }
)  # fmt: skip
_MARKS = ("<task>", "<environment_details>")
_TASK = re.compile(r"<(task|user_message)>(.*?)</\1>", re.DOTALL)
_CORE_KEYS = frozenset({"version", "updated_at", "sessionId"})
_RESULT = re.compile(r"\[(\w+)(?: for .*?)?\] Result:\n?", re.DOTALL)
_AI_SDK = 2  # Roo Code's ROO_MESSAGE_VERSION
_FAILED = (
    "The tool execution failed with the following error", "The user denied this operation", "[ERROR]", "<error>",
    '{"status":"error"', '{"status":"denied"',
)  # fmt: skip


def _recognises(sample: Sample) -> bool:
    began, version = sample.first("messages"), sample.first("version")
    first = began if version and version.value == _AI_SDK else sample.first("")
    if first is not None and text_at(first.value, "role") == "user":
        return any(mark in text for text in _texts(first.value) for mark in _MARKS)
    return began is not None and text_at(began.value, "role") is not None and sample.keys >= _CORE_KEYS


def _texts(wire: JsonValue) -> list[str]:
    """The texts of a message, whose content is one string or a list of parts."""
    content = text_at(wire, "content")
    return [text_at(part, "text") or "" for part in list_at(wire, "content")] if content is None else [content]


def _read(path: Path) -> Iterator[Item]:
    yield from with_system_apart(_items(path))


def _items(path: Path) -> Iterator[Item]:
    pending: list[str] = []
    tools: list[JsonValue] = []
    hidden = Hidden()
    for piece in read_pieces(path):
        if isinstance(piece, Oddity):
            yield piece
        elif piece.key in ("", "messages"):
            yield from hidden.told(piece.value, list(_message(piece, pending)), _stamp(piece))
        elif piece.key == "system_prompt" and isinstance(piece.value, str):
            yield Facts(system=piece.value)
        elif piece.key == "sessionId":
            yield Facts(id=piece.value if isinstance(piece.value, str) else None)
        elif piece.key == "tools":
            tools.append(piece.value)
    declared, oddities = read_tools(tools, "tools")
    yield from oddities
    yield Facts(tools=declared or None)


def _message(piece: Piece, pending: list[str]) -> Iterator[Item]:
    wire = piece.value
    if piece.nth == 0 and (task := _TASK.search("\n".join(_texts(wire)))):
        yield Facts(title=task[2])
    for item in read_message(wire, _stamp(piece)):
        if not isinstance(item, Said):
            yield item
        elif item.message.role == "assistant":
            turn = _with_calls(item)
            pending[:] = [call.name for call in turn.message.tool_calls if not call.id]
            yield turn
        elif item.message.role == "user" and pending:
            yield from _answers(item, wire)
            pending.clear()
        else:
            # The extension leaves a native result's flag out.
            yield replace(item, failed=_says_failed(item.message.content)) if item.failed is False else item


def _stamp(piece: Piece) -> Stamp:
    metrics = object_at(piece.value, "metrics")
    prompt = [int_at(metrics, name) for name in ("inputTokens", "cacheReadTokens", "cacheWriteTokens")]
    core = usage_of(prompt=prompt, output=int_at(metrics, "outputTokens"))
    tokens = object_at(metrics, "tokens")  # the extension's: ``prompt`` includes what was read from a cache
    extension = usage_of(prompt=[int_at(tokens, "prompt")], output=int_at(tokens, "completion"))
    return Stamp(
        piece.place,
        unix_s(at(piece.value, "ts")),
        core or extension or usage_at(at(piece.value, "usage")),
        model=text_at(piece.value, "modelInfo", "modelId") or text_at(piece.value, "modelInfo", "id"),
    )


def _with_calls(said: Said) -> Said:
    """The turn with the calls in its text, where it has no native ones."""
    if said.message.tool_calls or said.poisoned:
        return said
    text, raw = xml_calls(said.message.content, _TOOLS)
    return replace(said, message=Message("assistant", text, sorted_calls(raw).good))


def _answers(said: Said, wire: JsonValue) -> Iterator[Item]:
    """Results out of a user's message, each under its heading; what follows them is the user's."""
    answered, rest = False, list[str]()
    for nth, text in enumerate(_texts(wire)):
        heading = _RESULT.match(text)
        if heading and text[heading.end() :]:
            answered = True
            yield _answer(said, text[heading.end() :])
        elif heading:
            continue  # the result itself is the next part
        elif not answered and not rest and nth:
            answered = True
            yield _answer(said, text)
        else:
            rest.append(text)
    if rest:
        yield replace(said, message=Message("user", "\n".join(rest)))


def _answer(said: Said, text: str) -> Said:
    return Said(Message("tool", text), said.place, said.at_s, failed=_says_failed(text))


def _says_failed(result: str) -> bool:
    heading = _RESULT.match(result)
    return result[heading.end() if heading else 0 :].lstrip().startswith(_FAILED)


IMPORTER = Importer(AGENT, _recognises, one_file(AGENT, _read))
