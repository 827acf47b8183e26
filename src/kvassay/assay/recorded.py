"""A recorded session as the questions of a run: which turns are asked, what stands in front of each, what is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kvassay.assay.codec import dump
from kvassay.assay.depth_groups import grouped
from kvassay.assay.prompts import (
    STRETCH,
    Place,
    Prompt,
    PromptBook,
    Written,
    chained,
    prompt_of,
    record_of,
)
from kvassay.assay.records import ProbeRecord, ReplayRecord, RungRecord, SessionRecord, TurnRecord
from kvassay.backend.base import Boot
from kvassay.errors import ConfigError, UsageError
from kvassay.kv_cache import PAD, pad
from kvassay.prefix import shared
from kvassay.probe.replay import askable, replay, spread
from kvassay.probe.sampled import sampled
from kvassay.session.find import find
from kvassay.session.history import Moment, Room, moments
from kvassay.session.importers import load
from kvassay.session.masked import masked, masked_tools, redactor_for
from kvassay.session.toolbox import Toolbox, toolbox
from kvassay.session.transcript import Compaction, Said, Transcript
from kvassay.settings import ReplaySettings, RunSettings
from kvassay.types import JsonValue, Message, Probe, Tool
from kvassay.wire import message_to_json

CHARS_PER_TOKEN = 2.4  # a cautious estimate, for code and tool output; docs/sessions.md has what was measured
MESSAGE_TOKENS = 8  # what templates put around a message
_TRIES = 4  # of fitting turns into the context, where a template adds more than estimated
_NEAREST = 6

ToolsFrom = Literal["file", "transcript", "calls"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A session that is to be asked again, as far as it is known without a server. ``numbers`` are its turns that can
    be asked where the context is large enough. ``sha256`` is over its messages as read, before any mask.
    """

    transcript: Transcript
    box: Toolbox
    tools_from: ToolsFrom
    sha256: str
    numbers: tuple[int, ...]


def recorded_of(settings: ReplaySettings, given: Sequence[Tool] | None) -> Recorded:
    """Find and read the session. Raises UsageError where it isn't there, or holds no turn that can be asked; where the
    turn that was named can't be, with those next to it.
    """
    transcript = load(find(settings.session))
    sha256 = _sha256(transcript)
    if settings.redact:
        redactor = redactor_for(transcript)
        transcript, given = masked(transcript, redactor), given and masked_tools(given, redactor)
    numbers = tuple(moment.number for moment in askable(moments(transcript, _BOUNDLESS)))
    if not numbers:
        raise UsageError(
            f"{settings.session!r} holds no turn that can be asked again: none ended in a well-formed tool call.",
            hint="'kvassay sessions' shows how many calls each session has.",
        )
    if settings.turn is not None and settings.turn not in numbers:
        raise _not_askable(settings.turn, numbers)
    box = toolbox(transcript, given or ())
    tools_from: ToolsFrom = "file" if given else "transcript" if transcript.tools else "calls"
    return Recorded(transcript, box, tools_from, sha256, numbers)


def _not_askable(turn: int, numbers: Sequence[int]) -> UsageError:
    near = sorted(sorted(numbers, key=lambda number: abs(number - turn))[:_NEAREST])
    return UsageError(
        f"turn {turn} can't be asked again: it is no turn of the model, or did not end in well-formed calls",
        hint=f"The nearest that can: {', '.join(map(str, near))} (of 1 to {numbers[-1]}). --list shows all.",
    )


def turns_of(recorded: Recorded) -> Iterator[Moment]:
    """The turns that can be asked where the context is large enough; tokens are estimates."""
    return askable(moments(recorded.transcript, _BOUNDLESS))


def context_for(settings: RunSettings, recorded: Recorded, trained_tokens: int | None) -> int:
    """The context that each server is started with: what the turns need by estimate, at most what the model was
    trained for. What is longer is cut.
    """
    found = turns_of(recorded)
    turn = settings.replay.turn if settings.replay else None
    longest = max(moment.history_tokens for moment in found if turn in (None, moment.number))
    tools = sum(len(json.dumps(tool.parameters)) + len(tool.description) for tool in recorded.box.tools)
    need = longest + round(tools / CHARS_PER_TOKEN) + 2 * PAD + settings.max_tokens
    padded = pad(need)
    return min(padded, trained_tokens or padded)


def _text(message: Message) -> str:
    calls = (f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}" for call in message.tool_calls)
    return "\n".join([message.content, *calls])


def _estimated(message: Message) -> int:
    return round(len(_text(message)) / CHARS_PER_TOKEN) + MESSAGE_TOKENS


_BOUNDLESS = Room(1 << 60, _estimated)


def _sha256(transcript: Transcript) -> str:
    said = [message_to_json(entry.message) for entry in transcript.entries if isinstance(entry, Said)]
    cuts = [[entry.kept, *map(message_to_json, entry.replacement)] for entry in transcript.entries
            if isinstance(entry, Compaction)]  # fmt: skip
    return hashlib.sha256(dump([transcript.system, said, cuts]).encode()).hexdigest()


# --------------------------------------------------------------------------- with a server: exact tokens


def write_turns(settings: RunSettings, recorded: Recorded, boot: Boot) -> Written:
    """Select the turns, cut what doesn't fit, and render and tokenise every prompt once.

    Raises ConfigError where no turn fits, or the one that was named doesn't.
    """
    asked, context = settings.replay, settings.context
    assert asked is not None  # noqa: S101  the recorded session came from there
    assert context is not None  # noqa: S101  chosen before any server was started
    context_tokens = min(context, boot.facts.context_tokens or context)
    fitted = _fit(asked, recorded, boot, context_tokens=context_tokens, answer_tokens=settings.max_tokens)
    messages, turns = _stretches(fitted.turns)
    tools = recorded.box.tools
    prefixes, rungs = _rungs(boot, turns, tools)
    texts = {rung.depth: rung.prefix_text for rung in rungs}
    prompts: list[Prompt] = []
    records: list[ProbeRecord] = []
    for turn in turns:
        text = boot.render(turn.moment.history, tools)
        tokens, place = boot.tokenize(text), Place(turn.depth, turn.moment.history, ())
        for probe in _variants(turn.probe, asked):
            prompts.append(prompt_of(place, probe, tools, prefixes[turn.depth], tokens))
            records.append(record_of(prompts[-1], texts[turn.depth], text))
    book = chained(PromptBook(prefixes, tuple(prompts)))
    record = _record(asked, recorded, replace(fitted, turns=turns), context_tokens)
    return Written(book, SessionRecord(messages, tools, rungs), tuple(records), record)


def _variants(probe: Probe, asked: ReplaySettings) -> Iterator[Probe]:
    return sampled(probe, seeds=asked.seeds if asked.turn is not None else 0, temperature=asked.temperature)


def _record(asked: ReplaySettings, recorded: Recorded, fitted: _Fitted, context_tokens: int) -> ReplayRecord:
    transcript, alone = recorded.transcript, asked.turn is not None
    return ReplayRecord(
        agent=transcript.agent,
        session=transcript.id,
        path=str(transcript.path),
        sha256=recorded.sha256,
        recorded_turns=fitted.recorded_turns,
        askable_turns=fitted.askable_turns,
        context_tokens=context_tokens,
        turns=tuple(map(_turn_record, fitted.turns)),
        tools_from=recorded.tools_from,
        reconstructed=tuple(sorted(recorded.box.reconstructed)),
        disproved=tuple(sorted(recorded.box.disproved)),
        seeds=asked.seeds if alone else 0,
        temperature=asked.temperature if alone else 0.0,
        redacted=asked.redact,
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn on its way into the book: its exact prompt tokens, and the depth of its group, once known."""

    moment: Moment
    probe: Probe
    prompt_tokens: int
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Fitted:
    turns: tuple[_Turn, ...]
    recorded_turns: int
    askable_turns: int


def _fit(asked: ReplaySettings, recorded: Recorded, boot: Boot, *, context_tokens: int, answer_tokens: int) -> _Fitted:
    """The turns to ask, each with room for its answer. What tools and template really put around a history is found by
    rendering those that came out too long, and taken off the room the next time, so that each of them is cut.
    """
    tools = recorded.box.tools
    fixed = len(boot.tokenize(boot.render([Message("user", "")], tools))) + answer_tokens
    count = _Counter(boot)
    for _ in range(_TRIES):
        told = list(moments(recorded.transcript, Room(context_tokens, count, fixed)))
        found = list(askable(told))
        turns = tuple(_measured(moment, recorded.box, boot) for moment in _chosen(asked, found))
        if not turns:
            raise _too_small(asked, recorded, context_tokens)
        long = [turn for turn in turns if turn.prompt_tokens + answer_tokens > context_tokens]
        if not long:
            return _Fitted(_grouped(turns), len(told), len(found))
        fixed = answer_tokens + max(turn.prompt_tokens - turn.moment.history_tokens for turn in long)
    raise _too_small(asked, recorded, context_tokens)


def _grouped(turns: Sequence[_Turn]) -> tuple[_Turn, ...]:
    depths = grouped([turn.prompt_tokens for turn in turns])
    return tuple(replace(turn, depth=depth) for turn, depth in zip(turns, depths, strict=True))


class _Counter:
    """The tokens of a message in the model's own tokenizer, each text counted once."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._known: dict[str, int] = {}

    def __call__(self, message: Message) -> int:
        text = _text(message)
        if text not in self._known:
            self._known[text] = len(self._boot.tokenize(text)) + MESSAGE_TOKENS
        return self._known[text]


def _chosen(asked: ReplaySettings, found: Sequence[Moment]) -> tuple[Moment, ...]:
    if asked.turn is not None:
        return tuple(moment for moment in found if moment.number == asked.turn)
    return spread(found, asked.turns) if found else ()


def _measured(moment: Moment, box: Toolbox, boot: Boot) -> _Turn:
    probe = replay(moment, box).probe
    return _Turn(moment, probe, len(boot.tokenize(boot.render(moment.history, box.tools))))


def _too_small(asked: ReplaySettings, recorded: Recorded, context_tokens: int) -> ConfigError:
    which = f"turn {asked.turn}" if asked.turn is not None else f"none of the {len(recorded.numbers)} turns"
    return ConfigError(
        f"{which} {'does not fit' if asked.turn is not None else 'fits'} a context of {context_tokens:,} tokens, "
        "however the history is cut: tools, system prompt and the newest messages alone are longer",
        hint="Use a larger --context, or ask for shorter answers with --max-tokens.",
    )


def _stretches(turns: Sequence[_Turn]) -> tuple[tuple[Message, ...], tuple[_Turn, ...]]:
    """All histories one behind the other, each message once where one history goes on from the other; and the turns
    with their places in them.
    """
    messages: list[Message] = []
    placed: list[_Turn] = []
    first, before = 0, tuple[Message, ...]()
    for turn in turns:
        history = turn.moment.history
        if not _goes_on(before, history):
            first, before = len(messages), ()
        messages += history[len(before) :]
        before = history
        stretch: list[JsonValue] = [first, first + len(history)]
        placed.append(replace(turn, probe=replace(turn.probe, key={**turn.probe.key, STRETCH: stretch})))
    return tuple(messages), tuple(placed)


def _goes_on(before: Sequence[Message], history: Sequence[Message]) -> bool:
    same = (old is new for old, new in zip(before, history, strict=False))
    return len(before) <= len(history) and all(same)


def _rungs(
    boot: Boot, turns: Sequence[_Turn], tools: tuple[Tool, ...]
) -> tuple[dict[int, tuple[int, ...]], tuple[RungRecord, ...]]:
    """The text that prompts of one depth are stored against: its deepest turn's, cut to what the next depth's shares
    with it where that is most of it.
    """
    rungs: list[RungRecord] = []
    prefixes: dict[int, tuple[int, ...]] = {}
    deeper = ""
    for depth in sorted({turn.depth for turn in turns}, reverse=True):
        deepest = max((turn for turn in turns if turn.depth == depth), key=lambda turn: turn.prompt_tokens)
        text = boot.render(deepest.moment.history, tools)
        common = shared(text, deeper)
        text = text[:common] if 2 * common > len(text) else text
        prefixes[depth] = boot.tokenize(text)
        rungs.append(RungRecord(depth, len(deepest.moment.history), len(prefixes[depth]), text))
        deeper = text
    return prefixes, tuple(reversed(rungs))


def _turn_record(turn: _Turn) -> TurnRecord:
    moment = turn.moment
    return TurnRecord(
        number=moment.number,
        prompt_tokens=turn.prompt_tokens,
        depth=turn.depth,
        compactions=moment.compactions,
        cleared=moment.cleared,
        dropped=moment.dropped,
        mended=moment.mended,
    )
