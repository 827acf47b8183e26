"""What one arm has still to ask: the schedule, less what is stored, less what the stopping rule spares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kvassay.assay.schedule import Slot, in_order, schedule
from kvassay.assay.stopping import Right, Rule, main_channel, rule_of, wanted
from kvassay.assay.stored import StoredRun
from kvassay.types import Arm, Channel, Role, Trial, TrialKey


@dataclass(frozen=True, slots=True)
class Agenda:
    """One arm's part of a run. ``own`` grows with every trial noted, and ``pending`` heeds it while it is read."""

    arm: str
    slots: tuple[Slot, ...]
    done: frozenset[TrialKey]
    channel: Channel
    rule: Rule | None
    reference: Right
    own: dict[tuple[int, str], bool | None]

    def pending(self) -> Iterator[Slot]:
        """The slots still to be asked, each as far as the trials noted until then tell."""
        for slot in wanted(self.slots, self.rule, self.reference, self.own):
            if slot.key(self.arm) not in self.done:
                yield slot

    @property
    def spared(self) -> int:
        """How many probes the stopping rule has left out so far."""
        asked = wanted(self.slots, self.rule, self.reference, self.own)
        main = sum(slot.channel is self.channel for slot in self.slots)
        return main - sum(slot.channel is self.channel for slot in asked)

    def note(self, trial: Trial) -> None:
        """Count a trial that has just ended."""
        if trial.key.channel is self.channel:
            self.own[trial.key.depth, trial.key.probe] = trial.outcome.kind.right


def agenda(run: StoredRun, arm: Arm) -> Agenda:
    """The agenda of an arm of a stored run, as far as the run has come."""
    manifest = run.record.manifest
    design, ordered = manifest.design, in_order if manifest.replay else schedule
    channel = main_channel(design)
    outcomes: dict[str, dict[tuple[int, str], bool | None]] = {spec.label: {} for spec in design.arms}
    for key, kind in run.outcomes(channel):
        outcomes[key.arm][key.depth, key.probe] = kind.right
    return Agenda(
        arm=arm.label,
        slots=ordered(run.asked(), channels=design.channels, parsed_share=design.parsed_share, seed=design.seed),
        done=run.done(),
        channel=channel,
        rule=rule_of(design) if arm.role in (Role.CANDIDATE, Role.CONTROL) else None,
        reference=outcomes[design.reference.label],
        own=outcomes[arm.label],
    )
