"""Token-level evidence while an arm climbs: what it would have said along the reference's answers, and how it reads a
short text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from kvassay.assay.agenda import Agenda
from kvassay.assay.evidence import TrialEvidence, compare, roles_in
from kvassay.assay.floor import Floor, measure_floor, surest
from kvassay.assay.follow import NO_WORK, Said, follow, placed
from kvassay.assay.passage import PassageScore, score_passage
from kvassay.assay.prompts import Prompt
from kvassay.assay.stored import StoredRun
from kvassay.backend.base import Boot, Sampling
from kvassay.stats.divergence import Bounds
from kvassay.types import Arm, Channel, Role, Trial, TrialKey


@dataclass(frozen=True, slots=True)
class Reading:
    """What one boot told beside its trials: how rare tokens get, and the short text's score."""

    floor: Floor | None
    passage: PassageScore | None


@dataclass(slots=True)
class Witness:
    """One boot's evidence. ``chosen`` are the probes compared token by token, as (depth, probe id), where the reference
    was right: what breaks in an answer that is no call says nothing of calls. ``reference`` is the reference's label,
    None for the reference itself. ``tail`` is the design's ``evidence_tail``: not None where the back end tells any
    token's log-probability. ``evidence_s`` are the seconds that all this took.
    """

    boot: Boot
    run: StoredRun
    reference: str | None
    chosen: frozenset[tuple[int, str]]
    context_tokens: int
    top_n: int
    tail: float | None = None
    floor: Floor | None = None
    evidence_s: float = 0.0
    _read: tuple[TrialKey, Said | None] | None = None

    def listing(self, sampling: Sampling, prompt: Prompt) -> Sampling:
        """How to ask for an answer that is compared, where any token's log-probability can be had: the reference's with
        lists down to the tail, the others' with what those lists hold.
        """
        if self.tail is None or (prompt.depth, prompt.probe.id) not in self.chosen:
            return sampling
        if self.reference is None:
            return replace(sampling, tail=self.tail)
        theirs = self._reference_said(TrialKey(self.reference, prompt.depth, prompt.probe.id, Channel.RAW))
        return replace(sampling, ids=_listed(theirs)) if theirs else sampling

    def testify(self, trial: Trial, prompt: Prompt, tokens: tuple[int, ...]) -> TrialEvidence | None:
        """The evidence of a trial that has just ended, with its prompt still in the server's cache; None where it is
        not among the chosen, or where either answer has no log-probabilities.
        """
        key = trial.key
        if key.channel is not Channel.RAW or (key.depth, key.probe) not in self.chosen or not trial.positions:
            return None
        started = time.perf_counter()
        try:
            return self._compared(trial, prompt, tokens)
        finally:
            self.evidence_s += time.perf_counter() - started

    def _compared(self, trial: Trial, prompt: Prompt, tokens: tuple[int, ...]) -> TrialEvidence | None:
        own = Said(trial.tokens, trial.positions)
        theirs = self._reference_said(trial.key)
        followed = None
        if theirs:
            ids = _listed(theirs) if self.tail is not None else ()
            followed = follow(self.boot, tokens, theirs.tokens, top_n=self.top_n, known=own, ids=ids)
        self.floor = self.floor or measure_floor(self.boot, [surest(tokens, own)])
        if theirs is None or followed is None:
            return None
        roles = roles_in(theirs, {tool.name: tool.parameters for tool in prompt.tools})
        floor_logprob = self.floor.logprob if self.floor else -inf
        return compare(theirs, followed, key=trial.key, roles=roles, floor_logprob=floor_logprob)

    def _reference_said(self, key: TrialKey) -> Said | None:
        """The reference's answer to a probe where it is right. Read once for what is asked of it and what is compared
        with it: whole vocabularies' lists are long.
        """
        if self.reference is None:
            return None
        key = replace(key, arm=self.reference)
        if self._read and self._read[0] == key:
            return self._read[1]
        theirs = self.run.trial(key)
        right = theirs is not None and theirs.outcome.correct and bool(theirs.positions)
        said = Said(theirs.tokens, theirs.positions) if theirs and right else None
        self._read = key, said
        return said

    def read(self, earlier: Callable[[], tuple[int, ...] | None]) -> Reading:
        """Score the short text, and sum up. Takes the prompt's place in the server's cache: for the end of a climb.
        ``earlier`` is where to measure the floor if this boot was asked nothing that is compared.
        """
        started = time.perf_counter()
        try:
            if self.floor is None and (place := earlier()):
                self.floor = measure_floor(self.boot, [place])
            floor_logprob = self.floor.logprob if self.floor else -inf
            return Reading(self.floor, self._passage(floor_logprob) if self.chosen else None)
        finally:
            self.evidence_s += time.perf_counter() - started

    def _passage(self, floor_logprob: float) -> PassageScore | None:
        scored = score_passage(
            self.boot,
            floor_logprob=floor_logprob,
            context_tokens=self.context_tokens,
            whole=self.tail is not None,
        )
        return scored if scored.tokens else None


def witness(boot: Boot, run: StoredRun, arm: Arm, agenda: Agenda) -> Witness:
    """The witness of one boot of an arm. Chosen are the first raw probes of each depth in the order of asking, so that
    an arm that ends early has them too.
    """
    design = run.record.manifest.design
    asked: dict[int, list[str]] = {}
    for slot in agenda.slots:
        if slot.channel is Channel.RAW:
            asked.setdefault(slot.depth, []).append(slot.probe)
    chosen = {(depth, probe) for depth, probes in asked.items() for probe in probes[: design.evidence_probes]}
    reference = None if arm.role is Role.REFERENCE else design.reference.label
    return Witness(
        boot, run, reference, frozenset(chosen), design.context_tokens, design.top_n, tail=design.evidence_tail
    )


def is_unread(run: StoredRun, arm: Arm) -> bool:
    """Whether an arm has the short text still to score: a boot that was stopped behind its last answer has not."""
    design = run.record.manifest.design
    return design.evidence_probes > 0 and arm.label not in {label for label, _ in run.readings()}


def _listed(theirs: Said) -> tuple[frozenset[int], ...]:
    """The ids of each of an answer's lists."""
    return tuple(frozenset(one for one, _ in place.top) if place else frozenset() for place in placed(theirs))


def reading_to_json(reading: Reading) -> str:
    """A reading as JSON; numbers that are infinite, as no JSON has them, as null."""
    floor, passage = reading.floor, reading.passage
    return json.dumps(
        {
            "floor": floor and [floor.logprob, floor.excess, floor.positions],
            "passage": passage and [token and [_finite(token.low), token.high] for token in passage.tokens],
            "requests": passage.requests if passage else 0,
        }
    )


def reading_from_json(text: str) -> Reading:
    """The inverse of reading_to_json; times and counts of the requests are not kept."""
    data = json.loads(text)
    logprob, excess, positions = data["floor"] or (0.0, 0.0, 0)
    floor = Floor(logprob, excess, positions, NO_WORK) if positions else None
    if data["passage"] is None:
        return Reading(floor, None)
    tokens = tuple(pair and Bounds(-inf if pair[0] is None else pair[0], pair[1]) for pair in data["passage"])
    return Reading(floor, PassageScore(tokens, data["requests"], NO_WORK))


def _finite(number: float) -> float | None:
    return None if number == -inf else number
