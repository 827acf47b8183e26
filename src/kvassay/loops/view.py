"""What a run of closed loops found, as one value: everything that the terminal, the page and the JSON say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kvassay.assay.records import ArmSpec, Design, Manifest
from kvassay.assay.stored import StoredRun
from kvassay.grade.loops import LoopKind
from kvassay.loops.episode import Ending, Episode, Step
from kvassay.loops.judging import Judgement, judge_loops
from kvassay.loops.record import from_row
from kvassay.loops.tasks import from_probe, opening
from kvassay.report.tally import Rate, rate_of
from kvassay.types import JsonObject

SCHEMA = "kvassay.loops/1"


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """One episode under one arm."""

    arm: str
    depth: int
    task: str
    ending: Ending
    loops: dict[LoopKind, int]
    steps: tuple[Step, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as it was set. ``level`` is 1 (easy) to 3."""

    id: str
    family: str
    level: int
    depth: int
    said: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class ArmView:
    """One arm's episodes. Rates are over episodes, infrastructure faults left out, with Wilson's interval at the run's
    level: ``done`` reached the end state, ``looped`` were in a loop (L1–L4) at some turn. ``kinds`` and ``endings``
    count episodes. ``failed_turns`` are turns with a wrong call, ``recoveries`` the runs of one or two of them that a
    fine turn ended (R), ``failing_runs`` all runs of failed turns. Tokens are the server's counts.
    """

    label: str
    role: str
    k: str
    v: str
    done: Rate
    looped: Rate
    kinds: dict[LoopKind, int]
    endings: dict[Ending, int]
    turns: int
    turns_of_done: float | None
    failed_turns: int
    failing_runs: int
    recoveries: int
    said_tokens: int
    read_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LoopsView:
    """The whole finding. ``planned`` is the number of episodes an arm has when it is complete."""

    run_id: int
    manifest: Manifest
    finished_at: float | None
    planned: int
    judgement: Judgement
    arms: tuple[ArmView, ...]
    tasks: tuple[TaskView, ...]
    episodes: tuple[EpisodeView, ...]
    schema: str = SCHEMA

    @property
    def design(self) -> Design:
        return self.manifest.design


def build_loops_view(run: StoredRun) -> LoopsView:
    """Count and judge a run as far as it has come."""
    design = run.record.manifest.design
    rows = list(run.episodes())
    played = {(row.arm, row.depth, row.task): from_row(row) for row in rows}
    by_arm = {spec.label: [e for (arm, _, _), e in played.items() if arm == spec.label] for spec in design.arms}
    asked = run.asked()
    return LoopsView(
        run_id=run.record.id,
        manifest=run.record.manifest,
        finished_at=run.record.finished_at,
        planned=len(asked),
        judgement=judge_loops(played, design, planned=len(asked)),
        arms=tuple(_arm(spec, by_arm[spec.label], design) for spec in design.arms),
        tasks=tuple(_tasks(run)),
        episodes=tuple(
            EpisodeView(arm, depth, task, episode.ending, episode.loops, episode.steps, episode.missing)
            for (arm, depth, task), episode in played.items()
        ),
    )


def _arm(spec: ArmSpec, episodes: Sequence[Episode], design: Design) -> ArmView:
    steps = [step for episode in episodes for step in episode.steps]
    done = [len(episode.steps) for episode in episodes if episode.ending is Ending.DONE]
    timings = [episode.timings for episode in episodes]
    return ArmView(
        label=spec.label,
        role=spec.role,
        k=spec.k,
        v=spec.v,
        done=rate_of((episode.ending.done for episode in episodes), design.alpha),
        looped=rate_of((None if e.ending.done is None else bool(e.loops) for e in episodes), design.alpha),
        kinds=dict(sorted(Counter(kind for episode in episodes for kind in episode.loops).items())),
        endings=dict(Counter(episode.ending for episode in episodes).most_common()),
        turns=len(steps),
        turns_of_done=sum(done) / len(done) if done else None,
        failed_turns=sum(step.failed for step in steps),
        failing_runs=sum(map(_failing_runs, episodes)),
        recoveries=sum(step.recovered for step in steps),
        said_tokens=sum(one.predicted_tokens for one in timings),
        read_tokens=sum(one.processed_tokens for one in timings),
        seconds=sum(step.wall_s for step in steps),
    )


def _failing_runs(episode: Episode) -> int:
    failed = [False, *(step.failed for step in episode.steps)]
    return sum(now and not before for before, now in pairwise(failed))


def _tasks(run: StoredRun) -> Iterable[TaskView]:
    for record in run.probes():
        task = from_probe(record.probe)
        yield TaskView(task.id, task.family, task.level, record.depth, opening(task), dict(task.files))


def step_json(step: Step) -> JsonObject:
    """A turn as the page's script reads it."""
    return {
        "text": step.text,
        "calls": [{"name": call.name, "arguments": call.arguments} for call in step.calls],
        "replies": list(step.replies),
        "outcome": step.outcome.value,
        "detail": step.detail,
        "failed": step.failed,
        "wrong": list(step.wrong),
        "loops": [f"{loop.kind}: {loop.detail}" for loop in step.loops],
        "recovered": step.recovered,
        "resent": step.resent,
        "seconds": round(step.wall_s, 2),
        "tokens": step.timings.predicted_tokens if step.timings else None,
    }
