"""How the reports say things: plain words for classes and states, and one way to write each kind of number."""

from __future__ import annotations

from typing import NamedTuple

from kvassay.backend.kv import LLAMA_TYPES, is_quantized
from kvassay.kv_cache import cache_types, pair_flags
from kvassay.types import Channel, OutcomeClass, Role
from kvassay.units import signed_points
from kvassay.verdict import State

_EXL3_BITS = frozenset(one.name for one in cache_types("exl3"))

OUTCOMES: dict[OutcomeClass, str] = {
    OutcomeClass.CORRECT: "right",
    OutcomeClass.JSON_INVALID: "invalid JSON",
    OutcomeClass.CALL_LEAKED: "call leaked into text",
    OutcomeClass.UNKNOWN_TOOL: "unknown tool",
    OutcomeClass.MISSING_REQUIRED: "missing parameter",
    OutcomeClass.WRONG_TYPE: "wrong type or enum",
    OutcomeClass.HALLUCINATED_PARAM: "hallucinated parameter",
    OutcomeClass.EMPTY_ARGS: "empty arguments",
    OutcomeClass.VERBATIM_MISS: "quote not verbatim",
    OutcomeClass.UNGROUNDED_ID: "invented path or id",
    OutcomeClass.DEGENERATE: "endless repetition",
    OutcomeClass.WRONG_TOOL: "wrong tool or none",
    OutcomeClass.WRONG_VALUE: "wrong value",
    OutcomeClass.PROMPT_TRUNCATED: "prompt truncated by server",
    OutcomeClass.SCHEMA_REJECTED: "schema rejected by server",
    OutcomeClass.PARSER_FAULT: "server's parser at fault",
    OutcomeClass.HISTORY_POISONED: "history refused by server",
}

CHANNELS: dict[Channel, str] = {
    Channel.RAW: "raw",
    Channel.PLAIN: "parsed",
    Channel.STREAM: "parsed, streamed",
}


class Sign(NamedTuple):
    """A state as a person reads it: a symbol that stands without colour, and words."""

    symbol: str
    words: str
    tone: str  # "good", "bad", "doubt" or "plain": what a format may colour by


STATES: dict[State, Sign] = {
    State.DEGRADED: Sign("✗", "degraded", "bad"),
    State.WITHIN_MARGIN: Sign("✓", "within margin", "good"),
    State.BOTH: Sign("≈", "worse, within margin", "doubt"),
    State.INCONCLUSIVE: Sign("?", "inconclusive", "doubt"),
}

_ROLES: dict[str, Sign] = {
    Role.REFERENCE: Sign("◆", "reference", "plain"),
    Role.REPEAT: Sign("◇", "second boot", "plain"),
    Role.CANDIDATE: Sign("–", "no verdict", "plain"),
    Role.CONTROL: Sign("–", "no verdict", "plain"),
}


def sign(role: str, state: State | None) -> Sign:
    """The sign of an arm: its verdict where it has one, else its role."""
    return _ROLES[role] if state is None else STATES[state]


def percent(share: float) -> str:
    """A proportion as ``47 %``; one decimal where whole percents would say 0 or 100 and be wrong."""
    value = 100 * share
    whole = round(value)
    exact = abs(value - whole) < 1e-9  # noqa: PLR2004 - float noise, not a threshold
    return f"{value:.1f} %" if whole in (0, 100) and not exact else f"{whole} %"


def interval(low: float, high: float) -> str:
    """Two proportions as ``92–99 %``."""
    return f"{round(100 * low)}–{round(100 * high)} %"


def signed_percent(share: float) -> str:
    """A change as ``−47 %``, ``+3 %`` or ``same``."""
    value = round(100 * share)
    return "same" if value == 0 else f"{'−' if value < 0 else '+'}{abs(value)} %"


def e_value(value: float) -> str:
    """Evidence with two digits; beyond a million nobody needs them."""
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}" if value < 1e6 else "> 10⁶"  # noqa: PLR2004


def interval_points(low: float, high: float) -> str:
    """Two differences in percentage points as ``−4.1 … +2.0``."""
    return f"{signed_points(low)} … {signed_points(high)}"


def per_second(rate: float | None) -> str:
    """Tokens per second with three digits; ``–`` where nothing was timed."""
    if rate is None:
        return "–"
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"  # noqa: PLR2004 - three digits


def launch_flags(k: str, v: str, *, rotation: bool, backend: str) -> str:
    """The flags with which llama.cpp, or for ExLlamaV3's caches TabbyAPI (common/args.py), starts a pair; – for types
    that neither has. llama.cpp's quantised V needs flash attention (llama-context.cpp:3843 at b11434).
    """
    if {k, v} <= _EXL3_BITS:
        return pair_flags(k, v)
    if backend in {"exllamav3", "tabbyapi"}:
        return "--cache-mode FP16"
    if not {k, v} <= {*LLAMA_TYPES}:
        return "–"
    flags = pair_flags(k, v) + (" -fa on" if is_quantized(v) else "")
    return flags if rotation else f"LLAMA_ATTN_ROT_DISABLE=1 {flags}"
