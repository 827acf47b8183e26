"""A run of closed loops: which tasks there are, which are left, and one boot that plays them on the ladder."""

from __future__ import annotations

import math
from itertools import groupby

from kvassay.assay import events
from kvassay.assay.prepare import Questions, code_of
from kvassay.assay.prompts import Prompt
from kvassay.assay.rungs import Rungs
from kvassay.assay.runner import Method
from kvassay.assay.schedule import Slot, schedule
from kvassay.assay.stored import StoredRun
from kvassay.assay.visit import Visit
from kvassay.errors import ConfigError, Interrupted
from kvassay.loops.episode import Episode, Rules, play
from kvassay.loops.families import FAMILIES, draw
from kvassay.loops.record import to_row
from kvassay.loops.replies import voice_of
from kvassay.loops.tasks import from_probe
from kvassay.settings import RunSettings
from kvassay.types import Arm

ROOM_FOR_TASK = 1024  # tokens; the longest request with its project's files
ROOM_FOR_RESULT = 384  # tokens, of one turn, beside what the model says: few results are as long as they may get


def tasks_of(settings: RunSettings) -> Questions:
    """What a run of closed loops plays. Raises ConfigError for an unknown family or agent."""
    voice_of(settings.agent)
    unknown = [name for name in settings.families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"unknown task family {unknown[0]!r}", hint=f"Families: {', '.join(FAMILIES)}.")
    room = ROOM_FOR_TASK + settings.turns * (settings.max_tokens + ROOM_FOR_RESULT)
    return Questions(settings.families or tuple(FAMILIES), None, None, draw, room, code=code_of(settings))


def per_family(tasks: int, families: int) -> int:
    """So many tasks of each family make at least ``tasks``."""
    return max(1, math.ceil(tasks / families))


def pending(run: StoredRun, arm: Arm) -> tuple[Slot, ...]:
    """The tasks of an arm that the store does not hold yet, in the order in which they are played."""
    design = run.record.manifest.design
    played = run.played()
    slots = schedule(run.asked(), channels=("raw",), parsed_share=0.0, seed=design.seed)
    return tuple(slot for slot in slots if (arm.label, slot.depth, slot.probe) not in played)


def _work(visit: Visit) -> None:
    rungs = Rungs(visit.boot, visit.book, visit.meter)
    number = visit.store.add_boot(visit.run, visit.arm.label, visit.boot.facts)
    prompts = {(prompt.depth, prompt.probe.id): prompt for prompt in visit.book.prompts}
    with rungs.kept(visit.store, number):
        for depth, slots in groupby(pending(visit.run, visit.arm), key=lambda slot: slot.depth):
            rungs.reach(depth, visit.listener)
            for slot in slots:
                if visit.stop():
                    raise Interrupted
                _one(visit, prompts[slot.depth, slot.probe], rungs, number)


def _one(visit: Visit, prompt: Prompt, rungs: Rungs, number: int) -> None:
    design = visit.run.record.manifest.design
    rules = Rules(
        tools=prompt.tools,
        voice=voice_of(design.agent),
        native=visit.native,
        sampling=visit.sampling,
        turns=design.turns,
        context_tokens=visit.boot.facts.context_tokens or design.context_tokens,
    )
    episode = play(visit.boot, prompt.messages, from_probe(prompt.probe), rules)
    seconds = sum(step.wall_s for step in episode.steps)
    rungs.waited(seconds)
    rungs.count(episode.timings, bound=len(prompt.suffix))
    visit.store.add_episode(
        visit.run, to_row(episode, arm=visit.arm.label, depth=prompt.depth, boot=number), rungs.usage
    )
    visit.meter.trial(episode.timings, seconds)
    visit.observe(_told(visit, episode))


def _told(visit: Visit, episode: Episode) -> events.EpisodeEnded:
    return events.EpisodeEnded(
        visit.arm.label,
        episode.task,
        episode.ending.done,
        episode.ending.value,
        len(episode.steps),
        done=visit.meter.done,
        total=visit.meter.total,
        eta_s=visit.meter.eta_s,
    )


LOOPS = Method(pending, lambda run: len(run.played()), _work, in_loops=True)
"""What a run of closed loops does with each boot."""
