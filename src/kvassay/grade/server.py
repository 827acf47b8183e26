"""HTTP errors of the chat endpoint: the server's, the history's, or the model's failure reported as the server's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvassay.grade.schema import schema_fault
from kvassay.types import JsonValue, Outcome, OutcomeClass, Tool, Turn
from kvassay.wire import parse_json

_OK = 200
_BAD_REQUEST = 400
_SERVER_ERROR = 500
_SHOWN_CHARS = 200

# llama.cpp common/chat.cpp: "The model produced output that does not match the expected peg-native format";
# Ollama: "error parsing tool call: raw='…', err=…". Both are the model's bad call, though the status says 500.
_MODEL = re.compile(r"does not match the expected .{0,40}format|error parsing tool call: raw=", re.IGNORECASE)
_OLLAMA_RAW = re.compile(r"error parsing tool call: raw='(?P<raw>.*)', err=", re.DOTALL)
_MISSING = re.compile(r"\bmissing\b|\brequired\b", re.IGNORECASE)
_SCHEMA = re.compile(
    r"failed to parse grammar|JSON schema conversion failed|Pattern must start with|Failed to initialize samplers"
    r"|(invalid|unsupported|compile).{0,20}grammar|(invalid|unsupported).{0,20}schema",
    re.IGNORECASE,
)
# llama.cpp: "Failed to parse tool call arguments as JSON"; Jinja templates: "Can only get item pairs from a mapping".
_HISTORY = re.compile(
    r"parse tool call arguments|arguments.{0,60}(JSON|object|dict|mapping)|item pairs from a mapping", re.IGNORECASE
)


def http_outcome(turn: Turn, tools: Mapping[str, Tool]) -> Outcome | None:
    """Classify an answer whose HTTP status is not 200 by its body; None where it is.

    Other 4xx came before any token, so the request was refused (P1); other 5xx hide what the model said (P2).
    """
    if turn.status == _OK:
        return None
    body = evidence(turn)
    detail = f"HTTP {turn.status}: {body if len(body) <= _SHOWN_CHARS else body[: _SHOWN_CHARS - 1] + '…'}"
    if _MODEL.search(body):
        return Outcome(_models(body, tools), detail)
    if _SCHEMA.search(body):
        return Outcome(OutcomeClass.SCHEMA_REJECTED, detail)
    if _HISTORY.search(body):
        return Outcome(OutcomeClass.HISTORY_POISONED, detail)
    refused = _BAD_REQUEST <= turn.status < _SERVER_ERROR
    return Outcome(OutcomeClass.SCHEMA_REJECTED if refused else OutcomeClass.PARSER_FAULT, detail)


def evidence(turn: Turn) -> str:
    """Put the body of an error together, wherever the turn keeps it."""
    texts = (turn.text, turn.content, *(f"{fault.detail} {fault.text}" for fault in turn.faults))
    return "\n".join(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _models(body: str, tools: Mapping[str, Tool]) -> OutcomeClass:
    """M4 where the body shows a readable call that lacks a parameter, M1 otherwise."""
    raw = _OLLAMA_RAW.search(body)
    if raw is None:
        return OutcomeClass.MISSING_REQUIRED if _MISSING.search(body) else OutcomeClass.JSON_INVALID
    try:
        call = parse_json(raw["raw"])
    except ValueError:
        return OutcomeClass.JSON_INVALID
    fault = _call_fault(call, tools)
    return OutcomeClass.MISSING_REQUIRED if fault else OutcomeClass.JSON_INVALID


def _call_fault(call: JsonValue, tools: Mapping[str, Tool]) -> bool:
    tool = tools.get(str(call.get("name"))) if isinstance(call, dict) else None
    arguments = call.get("arguments") if isinstance(call, dict) else None
    fault = schema_fault(tool, arguments) if tool and isinstance(arguments, dict) else None
    return fault is not None and fault.kind in {OutcomeClass.MISSING_REQUIRED, OutcomeClass.EMPTY_ARGS}
