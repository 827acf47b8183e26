"""The tool list of our synthetic agent: compact, with nested objects, enums, arrays and confusably similar schemas."""

from __future__ import annotations

from kvassay.types import JsonObject, JsonValue, Tool

SYSTEM_PROMPT = (
    "You are a coding agent working in the user's repository. Use the tools to do what the user asks, one call at a "
    "time. Write a call exactly as its schema says: every required parameter, no parameter that is not defined, and "
    "paths, ids and code copied character by character. Reply in plain text when no tool is needed."
)


def _string(description: str = "") -> JsonObject:
    return {"type": "string", "description": description} if description else {"type": "string"}


def _enum(*values: str, default: str = "") -> JsonObject:
    schema: JsonObject = {"type": "string", "enum": list(values)}
    return {**schema, "default": default} if default else schema


def _array(items: JsonObject) -> JsonObject:
    return {"type": "array", "items": items, "default": []}


def _object(required: str = "", **properties: JsonObject) -> JsonObject:
    schema: dict[str, JsonValue] = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required.split())
    return schema


_INTEGER: JsonObject = {"type": "integer"}
_BOOLEAN: JsonObject = {"type": "boolean", "default": False}

TOOLS: tuple[Tool, ...] = (
    Tool(
        "read_file",
        "Read a file, or some lines of it.",
        _object("file_path", file_path=_string(), start_line=_INTEGER, end_line=_INTEGER),
    ),
    Tool("list_dir", "List a directory.", _object("path", path=_string(), depth=_INTEGER)),
    Tool(
        "search_text",
        "Search the contents of files.",
        _object("pattern", pattern=_string(), path=_string(), max_results=_INTEGER),
    ),
    Tool(
        "find_symbol",
        "Find where a symbol is defined.",
        _object("query", query=_string(), kind=_enum("function", "class", "constant")),
    ),
    Tool(
        "edit_file",
        "Replace a text that occurs exactly once in a file.",
        _object("file_path old_string new_string", file_path=_string(), old_string=_string(), new_string=_string()),
    ),
    Tool(
        "write_file",
        "Create or overwrite a file.",
        _object("target_file content", target_file=_string(), content=_string()),
    ),
    Tool(
        "run_tests",
        "Run tests.",
        _object(
            "target",
            target=_string(),
            options=_object(
                verbosity=_enum("quiet", "normal", "verbose", default="normal"),
                fail_fast=_BOOLEAN,
                markers=_array(_string()),
            ),
        ),
    ),
    Tool("list_open", "List open tickets or jobs.", _object("what", what=_enum("tickets", "jobs"))),
    Tool("get_ticket", "Show a ticket.", _object("ticket", ticket=_string())),
    Tool(
        "update_ticket",
        "Change a ticket.",
        _object(
            "ticket status",
            ticket=_string(),
            status=_enum("open", "in_progress", "blocked", "done"),
            labels=_array(_string()),
        ),
    ),
    Tool("job_status", "Show the state of a job.", _object("job_id", job_id=_string())),
    Tool(
        "job_logs",
        "Show the log of a job.",
        _object("job_id stream", job_id=_string(), stream=_enum("stdout", "stderr"), tail=_INTEGER),
    ),
    Tool(
        "start_job",
        "Start a job.",
        _object(
            "name resources",
            name=_string(),
            resources=_object("cpus memory_gb", cpus=_INTEGER, memory_gb=_INTEGER),
            env=_array(_object("key value", key=_string(), value=_string())),
            priority=_enum("low", "normal", "high", default="normal"),
        ),
    ),
    Tool("cancel_job", "Stop a job.", _object("id", id=_string(), reason=_string())),
)
