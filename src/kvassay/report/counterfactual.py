"""One turn's answers of all arms beside each other: same prompt, same seed, same build; only the KV types differ."""

from __future__ import annotations

from dataclasses import dataclass

from kvassay.report.explorer import answer_words, detail_words
from kvassay.report.replay_view import ReplayView
from kvassay.report.source import RunSource
from kvassay.report.timeline import told_apart
from kvassay.types import Channel, OutcomeClass, Role


@dataclass(frozen=True, slots=True)
class Answer:
    """What one arm answered: its outcome and why, and the text verbatim."""

    arm: str
    kind: OutcomeClass
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The answers of all arms but the second boot to one prompt with one seed (None: greedily), in the arms' order."""

    seed: int | None
    answers: tuple[Answer, ...]


def counterfactual(run: RunSource, view: ReplayView, primary: Channel) -> Counterfactual:
    """The answers that tell the arms apart best. The view must be of one turn."""
    turn = view.turns[told_apart(view)]
    order = [row.arm for row in view.rows if row.role != Role.REPEAT]
    found = {
        trial.key.arm: Answer(trial.key.arm, trial.outcome.kind, detail_words(trial), answer_words(trial))
        for trial in run.trials()
        if trial.key.probe == turn.probe and trial.key.channel is primary
    }
    return Counterfactual(turn.seed, tuple(found[arm] for arm in order if arm in found))
