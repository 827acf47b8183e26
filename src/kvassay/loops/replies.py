"""What coding agents say to a call that went wrong: their own words, as data.

The words were read in the agents' sources: opencode `packages/opencode/src/tool/{edit,read,invalid,tool}.ts` and
`session/llm.ts` with the AI SDK's `JSONParseError` and `NoSuchToolError`; Qwen Code
`packages/core/src/tools/edit.ts` and `core/coreToolScheduler.ts`; pi `packages/coding-agent/src/core/tools/edit.ts`,
`packages/ai/src/utils/validation.ts` and `packages/agent/src/agent-loop.ts`; Codex
`codex-rs/core/src/tools/registry.rs` and `apply-patch`. What each does with a call that can't be read was seen on the
released builds (docs/design/loops.md). The sandbox speaks for itself where it refuses what an agent would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from kvassay.errors import ConfigError


class Wrong(StrEnum):
    """What can be wrong with a call, once it is read."""

    UNKNOWN_TOOL = "unknown tool"
    MALFORMED = "malformed call"
    BAD_ARGUMENTS = "bad arguments"
    NO_FILE = "no such file"
    NO_MATCH = "old text not found"
    MANY_MATCHES = "old text not unique"
    NO_CHANGE = "nothing to change"
    REFUSED = "refused by the sandbox"
    OFFLINE = "tool not in the sandbox"


class Unread(StrEnum):
    """What an agent does with a call that can't be read."""

    REPORT = "report"  # the turn stays as it was said, and the error follows it
    REWRITE = "rewrite"  # the call is replaced by one of a tool called `invalid`, with the error as its argument
    RESEND = "resend"  # the same request again, nothing said


@dataclass(frozen=True, slots=True)
class Voice:
    """An agent's replies. ``words`` may hold ``{tool}``, ``{tools}``, ``{path}``, ``{count}``, ``{text}``,
    ``{problem}`` and ``{arguments}``. ``resends`` is how often the same request is sent again before the agent gives
    up; None: without end.
    """

    name: str
    unread: Unread
    words: Mapping[Wrong, str]
    resends: int | None = None

    def say(self, wrong: Wrong, **values: str | int) -> str:
        """The reply to a call that is wrong in this way."""
        return {**_SANDBOX, **self.words}[wrong].format_map(values)


_SANDBOX: Mapping[Wrong, str] = MappingProxyType(
    {
        Wrong.REFUSED: "error: {path}: {problem}",
        Wrong.OFFLINE: "error: {tool} can't be used here: the tracker is offline",
    }
)

_OPENCODE = Voice(
    "opencode",
    Unread.REWRITE,
    {
        Wrong.UNKNOWN_TOOL: "The arguments provided to the tool are invalid: Model tried to call unavailable tool "
        "'{tool}'. Available tools: {tools}.",
        Wrong.MALFORMED: "The arguments provided to the tool are invalid: Invalid input for tool {tool}: JSON parsing "
        "failed: Text: {text}.\nError message: {problem}",
        Wrong.BAD_ARGUMENTS: "The {tool} tool was called with invalid arguments: {problem}.\nPlease rewrite the input "
        "so it satisfies the expected schema.",
        Wrong.NO_FILE: "File not found: {path}",
        Wrong.NO_MATCH: "Could not find oldString in the file. It must match exactly, including whitespace, "
        "indentation, and line endings.",
        Wrong.MANY_MATCHES: "Found multiple matches for oldString. Provide more surrounding context to make the match "
        "unique.",
        Wrong.NO_CHANGE: "No changes to apply: oldString and newString are identical.",
    },
)
_QWEN_CODE = Voice(
    "qwen-code",
    Unread.RESEND,
    {
        Wrong.UNKNOWN_TOOL: 'Tool "{tool}" not found in registry. Tools must use the exact names that are registered.',
        Wrong.MALFORMED: "",  # nothing is said: the request is sent again
        Wrong.BAD_ARGUMENTS: "params {problem}",
        Wrong.NO_FILE: "File not found: {path}",
        Wrong.NO_MATCH: "Failed to edit, 0 occurrences found for old_string in {path}. No edits made. The exact text "
        "in old_string was not found. Ensure you're not escaping content incorrectly and check whitespace, "
        "indentation, and context. Use read_file tool to verify.",
        Wrong.MANY_MATCHES: "Failed to edit. Found {count} occurrences for old_string in {path} but replace_all was "
        "not enabled.",
        Wrong.NO_CHANGE: "No changes to apply. The old_string and new_string are identical in file: {path}",
    },
)
_PI_WORDS: Mapping[Wrong, str] = MappingProxyType(
    {
        Wrong.UNKNOWN_TOOL: "Tool {tool} not found",
        Wrong.MALFORMED: 'Validation failed for tool "{tool}":\n  - root: {problem}\n\nReceived arguments:\n{text}',
        Wrong.BAD_ARGUMENTS: 'Validation failed for tool "{tool}":\n  - {problem}\n\nReceived arguments:\n{arguments}',
        Wrong.NO_FILE: "File not found: {path}",
        Wrong.NO_MATCH: "Could not find the exact text in {path}. The old text must match exactly including all "
        "whitespace and newlines.",
        Wrong.MANY_MATCHES: "Found {count} occurrences of the text in {path}. The text must be unique. Please provide "
        "more context to make it unique.",
        Wrong.NO_CHANGE: "No changes made to {path}. The replacement produced identical content. This might indicate "
        "an issue with special characters or the text not existing as expected.",
    }
)
_CODEX = Voice(
    "codex",
    Unread.REPORT,
    {
        Wrong.UNKNOWN_TOOL: "unsupported call: {tool}",
        Wrong.MALFORMED: "failed to parse function arguments: {problem}",
        Wrong.BAD_ARGUMENTS: "failed to parse function arguments: {problem}",
        Wrong.NO_FILE: "{path}: No such file or directory",
        Wrong.NO_MATCH: "apply_patch verification failed: Failed to find expected lines in {path}:\n{text}",
        Wrong.MANY_MATCHES: "apply_patch verification failed: {count} places in {path} have these lines:\n{text}",
        Wrong.NO_CHANGE: "apply_patch verification failed: nothing changes in {path}",
    },
)

AGENTS: Mapping[str, Voice] = MappingProxyType(
    {
        voice.name: voice
        for voice in (
            _OPENCODE,
            _QWEN_CODE,
            Voice("pi", Unread.REPORT, _PI_WORDS),
            _CODEX,
            Voice("openclaw", Unread.RESEND, _PI_WORDS, resends=1),
        )
    }
)
"""Whose words the model hears. OpenClaw is built on pi and has its tools; it sends a request again once, then stops."""


def voice_of(agent: str) -> Voice:
    """The replies of an agent. Raises ConfigError for an unknown one."""
    if agent not in AGENTS:
        raise ConfigError(f"unknown agent {agent!r}", hint=f"Agents: {', '.join(AGENTS)}.")
    return AGENTS[agent]
