"""One trial: ask one probe on one channel, read the answer, grade it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvassay.assay.prompts import Prompt, stretch_of
from kvassay.backend.base import Boot, Sampling
from kvassay.dialect.turn import from_raw, from_reply
from kvassay.grade import grade
from kvassay.grade.channels import parser_fault, prompt_truncated, stream_mismatch
from kvassay.grade.context import Context
from kvassay.probe import family_named
from kvassay.types import Channel, Outcome, OutcomeClass, Timings, Trial, TrialKey, Turn


@dataclass(frozen=True, slots=True)
class Earlier:
    """Trials of the same probe and arm on the other channels, which the parsed channel is compared with."""

    raw: Trial | None = None
    plain: Trial | None = None


def ask_raw(boot: Boot, prompt: Prompt, tokens: Sequence[int], sampling: Sampling, native: str | None) -> Trial:
    """What the model really says: free completion after the prompt's tokens. Ungraded."""
    started = time.perf_counter()
    answer = boot.complete(tokens, sampling)
    wall_s = time.perf_counter() - started
    turn = from_raw(answer.text, answer.stop, native=native, tools=prompt.tools)
    trial = _blank(prompt, Channel.RAW, turn, answer.timings, wall_s)
    return replace(trial, positions=answer.positions, tokens=answer.tokens)


def ask_parsed(boot: Boot, prompt: Prompt, channel: Channel, sampling: Sampling, native: str | None) -> Trial:
    """What the agent sees: the chat endpoint's message. Ungraded."""
    started = time.perf_counter()
    reply = boot.chat(prompt.messages, prompt.tools, sampling, stream=channel is Channel.STREAM)
    wall_s = time.perf_counter() - started
    turn = from_reply(reply, channel, native=native, tools=prompt.tools)
    return replace(_blank(prompt, channel, turn, reply.timings, wall_s), reply=reply)


def graded(trial: Trial, prompt: Prompt, context: Context, earlier: Earlier, *, max_tokens: int) -> Trial:
    """The trial with its outcome. Faults of prompt, parser or stream come before the model's."""
    outcome = _fault(trial, prompt, earlier) or _grade(trial.turn, prompt, context, max_tokens)
    return replace(trial, outcome=outcome)


class Contexts:
    """What stands in front of each probe's answer; a session's own part is read once per depth, not once per probe,
    and that of a recorded turn once for all answers to it.
    """

    def __init__(self) -> None:
        self._by_depth: dict[int, Context] = {}
        self._turn: tuple[tuple[int, int], Context] | None = None

    def of(self, prompt: Prompt) -> Context:
        """The context of a prompt's answer."""
        probe = prompt.probe
        if stretch := stretch_of(probe):
            if self._turn is None or self._turn[0] != stretch:
                self._turn = stretch, Context.from_messages(prompt.history, prompt.tools)
            return self._turn[1]
        if not prompt.history or probe.tools is not None or any(m.role != "user" for m in probe.messages):
            return Context.from_messages(prompt.messages, prompt.tools)
        if prompt.depth not in self._by_depth:
            self._by_depth[prompt.depth] = Context.from_messages(prompt.history, prompt.tools)
        return self._by_depth[prompt.depth].after(probe.messages)


def _grade(turn: Turn, prompt: Prompt, context: Context, max_tokens: int) -> Outcome:
    family = family_named(prompt.probe.family)
    check = family.check if family else None
    return grade(turn, prompt.probe, prompt.tools, context, check=check, max_tokens=max_tokens)


def _fault(trial: Trial, prompt: Prompt, earlier: Earlier) -> Outcome | None:
    ours = prompt.prompt_tokens
    if trial.timings and prompt_truncated(ours, trial.timings.prompt_tokens):
        detail = f"the server read {trial.timings.prompt_tokens} prompt tokens of {ours}"
        return Outcome(OutcomeClass.PROMPT_TRUNCATED, detail)
    sentence = _disagreement(trial, prompt, earlier)
    return Outcome(OutcomeClass.PARSER_FAULT, sentence) if sentence else None


def _disagreement(trial: Trial, prompt: Prompt, earlier: Earlier) -> str | None:
    if earlier.plain and earlier.plain.reply and trial.reply:
        return stream_mismatch(earlier.plain.reply, trial.reply)
    if earlier.raw and trial.reply:
        return parser_fault(earlier.raw.turn, trial.turn, tools=prompt.tools)
    return None


def _blank(prompt: Prompt, channel: Channel, turn: Turn, timings: Timings | None, wall_s: float) -> Trial:
    return Trial(
        key=TrialKey("", prompt.depth, prompt.probe.id, channel),
        boot=0,
        turn=turn,
        outcome=Outcome(OutcomeClass.CORRECT),
        timings=timings,
        wall_s=wall_s,
        prompt_sha256=prompt.sha256,
        prompt_tokens=prompt.prompt_tokens,
    )
