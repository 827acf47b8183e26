"""One boot climbs the ladder once: prompt processing is paid once per depth, each probe adds only its own suffix. A
recorded session is climbed turn by turn: each prompt adds what the one before it doesn't share.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from kvassay.assay import events
from kvassay.assay.agenda import Agenda
from kvassay.assay.evidence import pack
from kvassay.assay.floor import surest
from kvassay.assay.follow import Said
from kvassay.assay.prompts import STANDS_ALONE, Prompt
from kvassay.assay.rungs import Rungs
from kvassay.assay.schedule import Slot
from kvassay.assay.trial import Contexts, Earlier, ask_parsed, ask_raw, graded
from kvassay.assay.visit import Visit
from kvassay.assay.witness import Witness, reading_to_json
from kvassay.backend.base import Progress, Sampling
from kvassay.errors import BackendError, Interrupted
from kvassay.prefix import shared
from kvassay.probe.sampled import draw_of
from kvassay.types import Channel, Probe, Trial

SHOWN_FROM = 512  # tokens; a longer stretch of a prompt is processed with a progress display, before the answer


class Climb:
    """The work of one boot of one arm, trial by trial into the store."""

    def __init__(self, visit: Visit, witness: Witness) -> None:
        self._visit, self._witness = visit, witness
        self._arm, self._book, self._meter = visit.arm.label, visit.book, visit.meter
        self._rungs = Rungs(visit.boot, visit.book, visit.meter)
        self._prompts = {(prompt.depth, prompt.probe.id): prompt for prompt in visit.book.prompts}
        self._asked: set[tuple[int, str]] = set()
        self._before: tuple[int, ...] = ()
        self._contexts = Contexts()
        self._number = visit.store.add_boot(visit.run, self._arm, visit.boot.facts)

    def run(self, agenda: Agenda) -> None:
        """Ask what the agenda holds, in its order, each rung until it is decided. Raises Interrupted between trials,
        BackendError from the server.
        """
        planned = list(agenda.pending())
        with self._rungs.kept(self._visit.store, self._number):
            for depth, rung in groupby(agenda.pending(), key=lambda slot: self._rung(slot.depth)):
                self._rungs.reach(depth, self._visit.listener)
                asked = {self._one(slot, agenda) for slot in rung}
                self._spare([slot for slot in planned if self._rung(slot.depth) == depth and slot not in asked])
            self._read(agenda)

    def _rung(self, depth: int) -> int:
        """The depth whose prefix is processed; recorded turns, asked one behind the other, have none."""
        return STANDS_ALONE if self._book.in_order else depth

    def _approach(self, prompt: Prompt) -> int:
        """The least work that is left for a probe's first request, in tokens: what stands behind its rung's prefix, or
        where there is none, behind what it shares with the prompt before. What a recorded turn adds to that one is
        processed here where it is long, all but the last token: that one is the request's.
        """
        if self._rung(prompt.depth) != STANDS_ALONE:
            return len(prompt.suffix)
        tokens = self._book.tokens(prompt)
        new, self._before = len(tokens) - shared(self._before, tokens), tokens
        if new <= SHOWN_FROM or not self._book.in_order:
            return new
        self._rungs.process(tokens[:-1], self._visit.listener, bound=new - 1)
        return 1

    def _spare(self, slots: Sequence[Slot]) -> None:
        """The rung was decided before these slots."""
        if slots:
            self._meter.leave_out(len(slots), self._book.suffix_tokens(slots))
            self._visit.observe(events.RungDecided(self._arm, slots[0].depth, spared=len(slots)))

    def _read(self, agenda: Agenda) -> None:
        """The short text, once everything has been asked."""
        if self._witness.chosen:
            self._visit.listener(Progress("ready", note="scoring a short text"))
            reading = self._witness.read(lambda: self._earlier_place(agenda))
            self._rungs.usage = replace(self._rungs.usage, evidence_s=self._witness.evidence_s)
            self._visit.store.add_reading(self._visit.run, self._number, reading_to_json(reading))

    def _earlier_place(self, agenda: Agenda) -> tuple[int, ...] | None:
        """The surest place of the arm's first answer that is compared, given to whichever boot."""
        for slot in agenda.slots:
            if slot.channel is Channel.RAW and (slot.depth, slot.probe) in self._witness.chosen:
                trial = self._visit.run.trial(slot.key(self._arm))
                if trial and trial.positions:
                    tokens = self._book.tokens(self._prompts[slot.depth, slot.probe])
                    return surest(tokens, Said(trial.tokens, trial.positions))
        return None

    def _one(self, slot: Slot, agenda: Agenda) -> Slot:
        if self._visit.stop():
            raise Interrupted
        prompt = self._prompts[slot.depth, slot.probe]
        first = (slot.depth, slot.probe) not in self._asked
        bound = self._approach(prompt) if first else 0
        started = time.perf_counter()
        try:
            trial = self._ask(prompt, slot.channel)
        except BackendError:
            self._rungs.waited(time.perf_counter() - started)
            raise
        self._rungs.waited(trial.wall_s)
        self._asked.add((slot.depth, slot.probe))
        self._rungs.count(trial.timings, bound=bound)
        trial = replace(trial, key=slot.key(self._arm), boot=self._number)
        context = self._contexts.of(prompt)
        trial = graded(trial, prompt, context, self._earlier(slot), max_tokens=self._visit.sampling.max_tokens)
        evidence = self._witness.testify(trial, prompt, self._book.tokens(prompt))
        evidence_s = self._witness.evidence_s - self._rungs.usage.evidence_s
        self._rungs.usage = replace(self._rungs.usage, evidence_s=self._witness.evidence_s)
        self._visit.store.add_trial(self._visit.run, trial, self._rungs.usage, pack(evidence) if evidence else None)
        agenda.note(trial)
        self._meter.trial(trial.timings, trial.wall_s + evidence_s)
        self._visit.observe(events.TrialEnded(trial, self._meter.done, self._meter.total, self._meter.eta_s))
        return slot

    def _ask(self, prompt: Prompt, channel: Channel) -> Trial:
        sampling = self._how(prompt.probe)
        if channel is Channel.RAW:
            sampling = self._witness.listing(sampling, prompt)
            return ask_raw(self._visit.boot, prompt, self._book.tokens(prompt), sampling, self._visit.native)
        return ask_parsed(self._visit.boot, prompt, channel, sampling, self._visit.native)

    def _how(self, probe: Probe) -> Sampling:
        sampling, draw = self._visit.sampling, draw_of(probe)
        return replace(sampling, temperature=draw.temperature, seed=draw.seed) if draw else sampling

    def _earlier(self, slot: Slot) -> Earlier:
        def find(channel: Channel) -> Trial | None:
            return self._visit.run.trial(replace(slot, channel=channel).key(self._arm))

        if slot.channel is Channel.RAW:
            return Earlier()
        plain = find(Channel.PLAIN) if slot.channel is Channel.STREAM else None
        return Earlier(raw=find(Channel.RAW), plain=plain)
