"""The words of kvassay as frozen values. Every other module speaks them and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"

# --------------------------------------------------------------------------- what is compared


@dataclass(frozen=True, slots=True)
class KVConfig:
    """The pair of cache types under test, written ``K/V``: ``f16/f16``, ``q8_0/q4_0``.

    ``rotation`` is llama.cpp's Hadamard rotation of quantised K and V (PR 21038), on by default there;
    False asks for ``LLAMA_ATTN_ROT_DISABLE=1`` and is written ``q8_0/q4_0 norot``.
    """

    k: str
    v: str
    rotation: bool = True

    def __str__(self) -> str:
        return f"{self.k}/{self.v}" + ("" if self.rotation else " norot")


class Role(StrEnum):
    """What an arm is for: the reference, its second boot (A/A), a candidate, or the positive control: a pair known to
    be harsh, which a run that can see harm at all must call degraded.
    """

    REFERENCE = "reference"
    REPEAT = "repeat"
    CANDIDATE = "candidate"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Arm:
    """One KVConfig under test on the run's model and back end."""

    kv: KVConfig
    role: Role = Role.CANDIDATE
    endpoint: str | None = None  # base URL, for attached servers only

    @property
    def label(self) -> str:
        """The arm's name in tables and in the store: ``q8_0/q4_0``, and ``f16/f16 #2`` for the A/A boot."""
        return f"{self.kv} #2" if self.role is Role.REPEAT else str(self.kv)


# --------------------------------------------------------------------------- what is said


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as the agent declares it; ``parameters`` is its JSON Schema."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A well-formed call in a session's history."""

    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a session. A ``tool`` message answers the call named by ``tool_call_id``."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A right call: for each parameter the accepted values. A parameter not listed must be absent, or be listed in
    ``optional``, or hold its schema's default.
    """

    name: str
    arguments: dict[str, tuple[JsonValue, ...]]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Probe:
    """One question at the end of a session.

    ``(family, seed)`` fixes it for ever within one session. ``expected`` lists alternatives, each a tuple of calls;
    the empty tuple is "no call". ``key`` is what the family's own check needs beyond that (JSON, kept in the store).
    ``level`` is the difficulty, 1 (easy) to 3 (f16 itself errs now and then).
    ``tools`` is None where the session's tools apply. A probe that ``stands_alone`` has no session in front.
    """

    id: str
    family: str
    seed: int
    messages: tuple[Message, ...]
    expected: tuple[tuple[ExpectedCall, ...], ...]
    level: int = 1
    key: JsonObject = field(default_factory=dict)
    tools: tuple[Tool, ...] | None = None
    stands_alone: bool = False
    tags: tuple[str, ...] = ()


# --------------------------------------------------------------------------- what comes back


class Channel(StrEnum):
    """How a probe was asked: raw completion, or the chat endpoint (whole reply, or streamed)."""

    RAW = "raw"
    PLAIN = "plain"
    STREAM = "stream"


class Stop(StrEnum):
    """Why generation ended."""

    EOS = "eos"
    LIMIT = "limit"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Timings:
    """The server's own counts for one request. ``processed_tokens`` are prompt tokens computed anew,
    ``cached_tokens`` those reused from the prompt cache.
    """

    cached_tokens: int
    processed_tokens: int
    prompt_ms: float
    predicted_tokens: int
    predicted_ms: float

    @property
    def prompt_tokens(self) -> int:
        return self.cached_tokens + self.processed_tokens


@dataclass(frozen=True, slots=True)
class Position:
    """One generated token with its top-N alternatives as (token id, natural-log probability). ``asked`` are those of
    tokens that were asked for by id and are not among them, ``least`` that of the rarest token of all, where the back
    end knows it; neither is stored.
    """

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    asked: tuple[tuple[int, float], ...] = ()
    least: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The raw channel's answer: text as generated, special tokens that mark tool calls included."""

    text: str
    stop: Stop
    timings: Timings
    tokens: tuple[int, ...] = ()
    positions: tuple[Position, ...] = ()


@dataclass(frozen=True, slots=True)
class WireCall:
    """A tool call as the chat endpoint sent it; ``arguments`` is the untouched string."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The parsed channel's answer. ``status`` ≠ 200 is a value, not an exception: llama.cpp reports some malformed
    calls as HTTP 500, and the body then is the evidence.
    """

    content: str = ""
    reasoning: str = ""
    calls: tuple[WireCall, ...] = ()
    finish_reason: str | None = None
    timings: Timings | None = None
    status: int = 200
    error: str = ""


@dataclass(frozen=True, slots=True)
class ParseFault:
    """What was wrong with a call's text: ``kind`` is ``json_invalid``, ``truncated``, ``empty``, ``concatenated``,
    ``stray_tail`` …; ``text`` the offending piece, verbatim.
    """

    kind: str
    detail: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that could be read: exactly what was said, nothing repaired."""

    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Turn:
    """One model turn in a common form, whichever channel it came by: what the grader reads.

    ``dialect`` names the format the calls were written in; ``native`` says that it is the chat template's own.
    """

    text: str
    content: str
    calls: tuple[Call, ...]
    faults: tuple[ParseFault, ...] = ()
    dialect: str = ""
    native: bool = True
    stop: Stop = Stop.EOS
    channel: Channel = Channel.RAW
    status: int = 200


# --------------------------------------------------------------------------- what it means


class OutcomeClass(StrEnum):
    """``correct``, the model's failures M1–M12, and P0–P3, which are not the model's fault and drop the pair."""

    CORRECT = "correct"
    JSON_INVALID = "M1"
    CALL_LEAKED = "M2"
    UNKNOWN_TOOL = "M3"
    MISSING_REQUIRED = "M4"
    WRONG_TYPE = "M5"
    HALLUCINATED_PARAM = "M6"
    EMPTY_ARGS = "M7"
    VERBATIM_MISS = "M8"
    UNGROUNDED_ID = "M9"
    DEGENERATE = "M10"
    WRONG_TOOL = "M11"
    WRONG_VALUE = "M12"
    PROMPT_TRUNCATED = "P0"
    SCHEMA_REJECTED = "P1"
    PARSER_FAULT = "P2"
    HISTORY_POISONED = "P3"

    @property
    def is_infrastructure(self) -> bool:
        return self.value.startswith("P")

    @property
    def right(self) -> bool | None:
        """Right or wrong, as pairs are made of; None where infrastructure failed."""
        return None if self.is_infrastructure else self is OutcomeClass.CORRECT


@dataclass(frozen=True, slots=True)
class Outcome:
    """The grade of one trial: its class, one sentence of detail, and for verbatim misses the edit distance
    (characters, Levenshtein) to the nearest stretch of the newest view of the file.
    """

    kind: OutcomeClass
    detail: str = ""
    edit_distance: int | None = None

    @property
    def correct(self) -> bool:
        return self.kind is OutcomeClass.CORRECT


@dataclass(frozen=True, slots=True)
class TrialKey:
    """What makes a trial unique within a run: nothing with the same key is ever run twice."""

    arm: str
    depth: int
    probe: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Trial:
    """One probe asked of one boot. ``tokens`` are the ids generated on the raw channel; ``positions`` may be fewer."""

    key: TrialKey
    boot: int
    turn: Turn
    outcome: Outcome
    timings: Timings | None
    wall_s: float
    prompt_sha256: str
    prompt_tokens: int
    positions: tuple[Position, ...] = ()
    reply: ChatReply | None = None
    tokens: tuple[int, ...] = ()


# --------------------------------------------------------------------------- what was found running


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What a boot reported about itself, read back from its log and endpoints; None where nothing told.

    Bytes are the buffers' sizes as the server reports them (MiB in the log, two decimals, converted).
    ``k_rotation`` and ``v_rotation`` are the sizes of the Hadamard block, 0 for off (llama.cpp ``n_rot_k``).
    """

    backend: str
    build: str | None = None
    model_path: str | None = None
    model_sha256: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    k_type: str | None = None
    v_type: str | None = None
    k_bytes: int | None = None
    v_bytes: int | None = None
    kv_cells: int | None = None
    kv_layers: int | None = None
    k_rotation: int | None = None
    v_rotation: int | None = None
    flash_attention: bool | None = None
    graph_splits: int | None = None
    compute_bytes: int | None = None
    model_bytes: int | None = None
    devices: tuple[str, ...] = ()
    chat_template: str = ""
    warnings: tuple[str, ...] = ()
    stated_by_user: bool = False  # the KV pair was said by the user, not read back


@dataclass(frozen=True, slots=True)
class BootRecord:
    """One start of an arm's server, as kept in the store. Times are Unix seconds; prompt tokens are the server's own
    count over the whole boot; ``bound_tokens`` is the ladder's lower bound for the work this boot did.
    """

    id: int
    arm: str
    facts: BootFacts
    started_at: float
    ended_at: float | None = None
    processed_tokens: int = 0
    bound_tokens: int = 0
    server_s: float = 0.0
    error: str | None = None
    evidence_s: float = 0.0
