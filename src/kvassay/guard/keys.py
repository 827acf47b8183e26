"""Which session a request belongs to: the client's own id where it sends one, else the conversation's beginning."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from kvassay import fields
from kvassay.grade.volatile import settled
from kvassay.types import JsonObject, Message

# opencode, Codex (old and new), Claude Code, pi's providers; then whatever calls itself a session's or thread's id.
_HEADERS = (
    "x-opencode-session",
    "x-session-affinity",
    "x-claude-code-session-id",
    "session_id",
    "session-id",
    "x-session-id",
    "conversation_id",
    "x-conversation-id",
    "x-task-id",
    "thread-id",
)
_LIKE_A_SESSION = re.compile(r"x-(?:[a-z0-9]+-)*(?:session|conversation|thread)-?id")
_PLAIN_ID = re.compile(r"[\w.:/@-]{1,96}")
_CLAUDE_SESSION = re.compile(r'session_(?:id"\s*:\s*")?([0-9a-fA-F-]{8,64})')
_OPENING_CHARS = 200  # of the system prompt: further down agents put dates, directories, git's state


class Key(NamedTuple):
    """A session's key and where it came from."""

    value: str
    source: Literal["header", "body", "prefix"]


def session_key(headers: Mapping[str, str], body: JsonObject, messages: Sequence[Message]) -> Key:
    """Name the session, whatever case the headers' names are in."""
    lowered = {name.lower(): value for name, value in headers.items()}
    for value in _in_headers(lowered):
        return Key(_safe(value), "header")
    for value in _in_body(body):
        return Key(_safe(value), "body")
    return Key(_prefix(messages), "prefix")


def _in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    yield from (headers[name] for name in _HEADERS if headers.get(name))
    yield from (value for name, value in headers.items() if value and _LIKE_A_SESSION.fullmatch(name))


def _in_body(body: JsonObject) -> Iterator[str]:
    metadata = fields.section(body, "metadata")
    claude = _CLAUDE_SESSION.search(fields.text(metadata, "user_id"))
    conversation = fields.text(body, "conversation") or fields.text(fields.section(body, "conversation"), "id")
    found = (
        fields.text(body, "prompt_cache_key"),
        conversation,
        fields.text(metadata, "session_id"),
        claude[1] if claude else "",
        fields.text(fields.section(body, "client_metadata"), "session_id"),
        fields.text(body, "session_id"),
    )
    yield from filter(None, found)


def _safe(value: str) -> str:
    """An id as it is where it is short and plain; a hash of anything else, so that it can be shown anywhere."""
    return value if _PLAIN_ID.fullmatch(value) else _hash(value)


def _prefix(messages: Sequence[Message]) -> str:
    """A hash of the first thing that the user said, and of the system prompt's beginning: neither changes as the
    conversation grows.
    """
    system = next((m.content for m in messages if m.role == "system"), "")
    user = next((m.content for m in messages if m.role == "user"), "")
    return _hash(f"{settled(system[:_OPENING_CHARS])}\0{user}")


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
