"""The trial explorer's data: compact JSON, streamed trial by trial, each text said once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from typing import cast

from kvassay.assay.records import ProbeRecord, SessionRecord
from kvassay.report.source import RunSource
from kvassay.report.view import View
from kvassay.report.words import CHANNELS, OUTCOMES
from kvassay.types import Channel, ExpectedCall, JsonObject, JsonValue, OutcomeClass, Probe, Timings, Trial
from kvassay.units import depth_words


def data_blocks(run: RunSource, view: View) -> Iterator[tuple[str, Iterator[str]]]:
    """The explorer's data as (element id, JSON in pieces). Pieces hold no ``<``, so that no text can close the
    script element around them; they are ASCII, so that any string a model emits survives.

    Rows are arrays, read by explorer.js in the same order. A string is written where it first occurs; later it is
    the number of that first occurrence, counted from 0 within its block.
    """
    records = list(run.probes())
    number = {(record.depth, record.probe.id): at for at, record in enumerate(records)}
    yield "kv-index", iter([_dump(_index(view))])
    yield "kv-probes", _array(_probe_rows(records, run.session(), _families(view)))
    yield "kv-prefixes", _array(_prefix_rows(run.session()))
    yield "kv-trials", _array(_trial_rows(run.trials(), view, number))


def _index(view: View) -> JsonValue:
    return {
        "arms": [arm.label for arm in view.arms],
        "roles": [str(arm.role) for arm in view.arms],
        "channels": [CHANNELS[channel] for channel in Channel],
        "primary": list(Channel).index(view.primary),
        "families": [*_families(view)],
        "kinds": [[kind.value, OUTCOMES[kind], kind.is_infrastructure] for kind in OutcomeClass],
        "depths": [[depth, depth_words(depth)] for depth in view.depths],
    }


def _families(view: View) -> dict[str, int]:
    names = dict.fromkeys(one.name for arm in view.arms for one in arm.families)
    return {name: at for at, name in enumerate(names)}


# ------------------------------------------------------------------ rows


def _probe_rows(
    records: Iterable[ProbeRecord], session: SessionRecord, families: dict[str, int]
) -> Iterator[JsonValue]:
    """``[id, family, level, depth, prompt tokens, expected, suffix, prefix row, prefix length]``."""
    once, rungs = _interned(), {rung.depth: (at, rung) for at, rung in enumerate(session.rungs)}

    @cache
    def cut(depth: int, chars: int | None) -> int:
        return _utf16_len(rungs[depth][1].prefix_text[:chars])

    for record in records:
        probe, placed = record.probe, record.depth in rungs and not record.probe.stands_alone
        yield [
            probe.id, families.get(probe.family, -1), probe.level, record.depth, record.prompt_tokens,
            once(right_words(probe)), once(record.suffix_text),
            rungs[record.depth][0] if placed else -1, cut(record.depth, record.prefix_chars) if placed else 0,
        ]  # fmt: skip


def _prefix_rows(session: SessionRecord) -> Iterator[JsonValue]:
    """Each rung's text; only the deepest one is written in full where the others are its beginnings (null)."""
    deepest = session.rungs[-1].prefix_text if session.rungs else ""
    for rung in session.rungs[:-1]:
        yield None if deepest.startswith(rung.prefix_text) else rung.prefix_text
    yield from [deepest] if session.rungs else []


def _trial_rows(trials: Iterable[Trial], view: View, number: dict[tuple[int, str], int]) -> Iterator[JsonValue]:
    """``[arm, probe row, channel, kind, detail, answer, boot, wall s, [cached, processed, prompt ms, predicted,
    predicted ms] or null]``.
    """
    once = _interned()
    arms = {arm.label: at for at, arm in enumerate(view.arms)}
    channels, kinds = list(Channel), list(OutcomeClass)
    for trial in trials:
        key = trial.key
        yield [
            arms[key.arm], number[key.depth, key.probe], channels.index(key.channel),
            kinds.index(trial.outcome.kind), once(detail_words(trial)), once(answer_words(trial)), trial.boot,
            round(trial.wall_s, 2), _timing_row(trial.timings) if trial.timings else None,
        ]  # fmt: skip


def _timing_row(t: Timings) -> JsonValue:
    return [t.cached_tokens, t.processed_tokens, round(t.prompt_ms), t.predicted_tokens, round(t.predicted_ms)]


# ------------------------------------------------------------------ words


def right_words(probe: Probe) -> str:
    """The right answers; of a recorded turn the recorded calls, and what else counts."""
    recorded = cast("list[JsonObject]", probe.key.get("recorded", []))
    if not recorded:
        return expected_words(probe.expected)
    lines = [
        f"recorded: {known['name']}({_json(known['arguments'])}), {_FATES[known['succeeded']]}" for known in recorded
    ]
    return "\n".join([*lines, "or any call that fits its schema and that the session does not disprove"])


_FATES: dict[JsonValue, str] = {True: "succeeded", False: "failed", None: "success not recorded"}


def expected_words(alternatives: Iterable[tuple[ExpectedCall, ...]]) -> str:
    """The right answers, one alternative a line."""
    return "\nor ".join(" then ".join(map(_call_words, calls)) or "no tool call" for calls in alternatives)


def _call_words(call: ExpectedCall) -> str:
    values = (f"{name} = {' | '.join(_json(value) for value in accepted)}" for name, accepted in call.arguments.items())
    return f"{call.name}({', '.join(values)})"


def answer_words(trial: Trial) -> str:
    """What came back, verbatim: the raw text, or the chat endpoint's fields with their names."""
    reply = trial.reply
    if reply is None:
        return trial.turn.text
    parts = [f"HTTP {reply.status}: {reply.error}"] if reply.status != 200 else []  # noqa: PLR2004 - HTTP's OK
    parts += [f"reasoning: {reply.reasoning}"] if reply.reasoning else []
    parts += [reply.content] if reply.content else []
    parts += [f"tool call {call.name}: {call.arguments}" for call in reply.calls]
    return "\n".join(parts)


def detail_words(trial: Trial) -> str:
    """Why the answer was graded so, and in which foreign format it was written, if it was."""
    turn, outcome = trial.turn, trial.outcome
    parts = [outcome.detail] if outcome.detail else []
    parts += [f"edit distance {outcome.edit_distance}"] if outcome.edit_distance is not None else []
    parts += [f"written in {turn.dialect}, not the template's own format"] if turn.dialect and not turn.native else []
    return "; ".join(parts)


# ------------------------------------------------------------------ JSON


def _array(rows: Iterator[JsonValue]) -> Iterator[str]:
    yield "["
    for at, row in enumerate(rows):
        yield (",\n" if at else "") + _dump(row)
    yield "]"


def _dump(value: JsonValue) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _interned() -> Callable[[str], str | int]:
    """A function that gives a string the first time and the number of that time afterwards. It remembers digests,
    not texts.
    """
    seen: dict[bytes, int] = {}

    def once(text: str) -> str | int:
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        if digest in seen:
            return seen[digest]
        seen[digest] = len(seen)
        return text

    return once


def _utf16_len(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2
