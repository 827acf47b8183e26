"""The view model: everything a report says about a run, as frozen values, made in one pass over its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kvassay.assay.evidence import unpack
from kvassay.assay.records import ArmSpec, Design, Manifest
from kvassay.assay.stopping import main_channel
from kvassay.assay.witness import reading_from_json
from kvassay.report.evidence_view import Calls, EvidenceView, build_evidence
from kvassay.report.masking import masked_boot, masked_manifest
from kvassay.report.replay_view import ReplayView, build_replay
from kvassay.report.source import RunSource
from kvassay.report.tally import (
    ChannelCheck,
    Economy,
    Flips,
    Rate,
    Row,
    Speed,
    channel_checks,
    economy,
    flips,
    group,
    rate,
    read_rows,
    speed,
)
from kvassay.report.words import launch_flags
from kvassay.session.redact import Redactor
from kvassay.types import BootFacts, BootRecord, Channel, OutcomeClass, Role
from kvassay.verdict import ArmVerdict, State, Verdict

SCHEMA: Literal["kvassay.report/1"] = "kvassay.report/1"


@dataclass(frozen=True, slots=True)
class Cell:
    """An arm's right answers at one depth by one channel."""

    depth: int
    channel: Channel
    rate: Rate


@dataclass(frozen=True, slots=True)
class Slice:
    """An arm's right answers in one family or at one level, on the primary channel."""

    name: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Failure:
    """How often an arm failed in one way by one channel."""

    kind: OutcomeClass
    channel: Channel
    count: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The KV buffers as the server reported them (last boot that did); None where nothing told. ``change`` is total
    against the reference's, −0.47 for 47 % smaller.
    """

    k_bytes: int | None
    v_bytes: int | None
    total_bytes: int | None
    change: float | None


@dataclass(frozen=True, slots=True)
class ArmView:
    """One arm. ``overall``, ``families`` and ``levels`` are of the primary channel over all depths; ``cells`` and
    ``failures`` are of every channel. ``state`` is None for references and for arms without a verdict.
    """

    label: str
    role: str
    k: str
    v: str
    rotation: bool
    flags: str
    state: State | None
    sentence: str
    overall: Rate
    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    families: tuple[Slice, ...]
    levels: tuple[Slice, ...]
    speed: Speed
    memory: Memory
    channel_checks: tuple[ChannelCheck, ...]

    def rate_at(self, depth: int, channel: Channel) -> Rate | None:
        """Right answers at one depth, or None where nothing was asked."""
        return next((c.rate for c in self.cells if c.depth == depth and c.channel is channel), None)

    def failures_by(self, channel: Channel) -> tuple[Failure, ...]:
        """The ways this arm failed by one channel, most frequent first."""
        return tuple(f for f in self.failures if f.channel is channel)


@dataclass(frozen=True, slots=True)
class BootView:
    """One boot: what it reported, its ladder economy, and the share of its time spent outside the server's requests
    (None while it runs, or where it never answered).
    """

    id: int
    arm: str
    facts: BootFacts
    economy: Economy
    wall_s: float | None
    server_s: float
    outside_share: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Savings:
    """What the stopping rule spared: so many of the candidates' planned probes. ``share`` is their quotient."""

    spared: int
    planned: int
    share: float


@dataclass(frozen=True, slots=True)
class View:
    """All a report shows. ``primary`` is the channel that verdicts, families and levels are counted on: the raw one
    where it was asked. ``outside_share`` is of all ended boots together. ``finished_at``: Unix seconds, None for a
    run that can be resumed.
    """

    schema: Literal["kvassay.report/1"]
    run_id: int
    finished_at: float | None
    verdict: Verdict
    primary: Channel
    channels: tuple[Channel, ...]
    depths: tuple[int, ...]
    trials: int
    arms: tuple[ArmView, ...]
    boots: tuple[BootView, ...]
    economy: Economy
    outside_share: float | None
    flips: tuple[Flips, ...]
    savings: Savings
    evidence: EvidenceView | None
    replay: ReplayView | None
    manifest: Manifest

    @property
    def design(self) -> Design:
        return self.manifest.design

    @property
    def judged(self) -> tuple[ArmVerdict, ...]:
        """The candidates, then the positive control."""
        control = self.verdict.control
        return (*self.verdict.arms, *((control,) if control else ()))


def build_view(run: RunSource, verdict: Verdict) -> View:
    """Count a run and join it with its verdict."""
    manifest, boots, rows = run.record.manifest, tuple(run.boots()), read_rows(run)
    if manifest.replay and manifest.replay.redacted:
        redactor = Redactor.of_this_machine()
        manifest, boots = masked_manifest(manifest, redactor), tuple(masked_boot(boot, redactor) for boot in boots)
    channels = _channels(manifest.design, rows)
    by_arm = group(rows, lambda row: row.arm)
    return View(
        schema=SCHEMA,
        run_id=run.record.id,
        finished_at=run.record.finished_at,
        verdict=verdict,
        primary=channels[0],
        channels=channels,
        depths=tuple(sorted({*manifest.design.depths, *(row.depth for row in rows)})),
        trials=len(rows),
        arms=tuple(
            _arm(
                spec,
                by_arm[spec.label],
                design=manifest.design,
                boots=boots,
                verdict=verdict,
                primary=channels[0],
            )
            for spec in manifest.design.arms
        ),
        boots=tuple(_boot(boot) for boot in boots),
        economy=economy(boots),
        outside_share=_outside(boots),
        flips=_flips(manifest.design, by_arm, channels[0]),
        savings=_savings(verdict, by_arm, channels[0]),
        evidence=_evidence(run, manifest.design, by_arm, channels[0]),
        replay=build_replay(run, manifest.replay, manifest.design, channels[0]),
        manifest=manifest,
    )


def _evidence(run: RunSource, design: Design, by_arm: dict[str, list[Row]], primary: Channel) -> EvidenceView | None:
    readings = {arm: reading_from_json(text) for arm, text in run.readings()}
    graded = {
        arm: [row for row in rows if row.channel is primary and not row.kind.is_infrastructure]
        for arm, rows in by_arm.items()
    }
    return build_evidence(
        (unpack(key, blob) for key, blob in run.evidence()),
        arms=[arm.label for arm in design.arms if arm.role != Role.REFERENCE],
        reference=design.reference.label,
        top_n=design.top_n,
        tail=design.evidence_tail,
        floors=[reading.floor for reading in readings.values() if reading.floor],
        passages={arm: reading.passage for arm, reading in readings.items() if reading.passage},
        repeat=next((arm.label for arm in design.arms if arm.role == Role.REPEAT), None),
        levels={row.probe: row.level for rows in by_arm.values() for row in rows},
        calls={arm: Calls(sum(row.correct for row in rows), len(rows)) for arm, rows in graded.items()},
    )


def _savings(verdict: Verdict, by_arm: dict[str, list[Row]], primary: Channel) -> Savings:
    spared = sum(verdict.spared.values())
    asked = sum(row.channel is primary for arm in verdict.spared for row in by_arm.get(arm, []))
    return Savings(spared, planned=asked + spared, share=spared / (asked + spared) if spared else 0.0)


def _channels(design: Design, rows: Iterable[Row]) -> tuple[Channel, ...]:
    """The primary channel, which verdicts are made on (raw where it was asked), then the others that were used."""
    primary = main_channel(design)
    seen = {row.channel for row in rows}
    return (primary, *(channel for channel in Channel if channel in seen and channel is not primary))


def _arm(
    spec: ArmSpec,
    rows: list[Row],
    *,
    design: Design,
    boots: Sequence[BootRecord],
    verdict: Verdict,
    primary: Channel,
) -> ArmView:
    found = verdict.of(spec.label)
    main = [row for row in rows if row.channel is primary]
    own = [boot for boot in boots if boot.arm == spec.label]
    families = group(main, lambda row: row.family)
    return ArmView(
        label=spec.label,
        role=spec.role,
        k=spec.k,
        v=spec.v,
        rotation=spec.rotation,
        flags=launch_flags(spec.k, spec.v, rotation=spec.rotation, backend=design.backend),
        state=found.state if found else None,
        sentence=found.sentence if found else "",
        overall=rate(main, design.alpha),
        cells=_cells(rows, design.alpha),
        failures=_failures(rows),
        families=_slices({name: families[name] for name in (*design.families, *families)}, design.alpha),
        levels=_slices(dict(sorted(group(main, lambda row: f"level {row.level}").items())), design.alpha),
        speed=speed(rows, own),
        memory=_memory(own, [boot for boot in boots if boot.arm == design.reference.label]),
        channel_checks=channel_checks(rows),
    )


def _cells(rows: list[Row], alpha: float) -> tuple[Cell, ...]:
    groups = group(rows, lambda row: (row.depth, row.channel))
    return tuple(Cell(depth, channel, rate(groups[depth, channel], alpha)) for depth, channel in sorted(groups))


def _failures(rows: list[Row]) -> tuple[Failure, ...]:
    counts = Counter((row.kind, row.channel) for row in rows if not row.correct)
    return tuple(Failure(kind, channel, count) for (kind, channel), count in counts.most_common())


def _slices(groups: dict[str, list[Row]], alpha: float) -> tuple[Slice, ...]:
    return tuple(Slice(name, rate(rows, alpha)) for name, rows in groups.items() if rows)


def _memory(own: Sequence[BootRecord], reference: Sequence[BootRecord]) -> Memory:
    facts = next((boot.facts for boot in reversed(own) if _kv_bytes(boot.facts) is not None), None)
    if facts is None:
        return Memory(None, None, None, None)
    total = _kv_bytes(facts)
    base = next((size for boot in reversed(reference) if (size := _kv_bytes(boot.facts)) is not None), None)
    return Memory(facts.k_bytes, facts.v_bytes, total, total / base - 1 if total is not None and base else None)


def _kv_bytes(facts: BootFacts) -> int | None:
    """K and V together; models with latent attention store no V at all."""
    return None if facts.k_bytes is None else facts.k_bytes + (facts.v_bytes or 0)


def _boot(boot: BootRecord) -> BootView:
    return BootView(
        id=boot.id,
        arm=boot.arm,
        facts=boot.facts,
        economy=economy([boot]),
        wall_s=None if boot.ended_at is None else boot.ended_at - boot.started_at,
        server_s=boot.server_s,
        outside_share=_outside([boot]),
        error=boot.error,
    )


def _outside(boots: Iterable[BootRecord]) -> float | None:
    """Share of wall time not spent waiting for the server, over boots that ended and answered."""
    ended = [
        (boot.ended_at - boot.started_at, boot.server_s + boot.evidence_s)
        for boot in boots
        if boot.ended_at and boot.server_s
    ]
    wall_s = sum(wall for wall, _ in ended)
    return max(0.0, 1 - sum(server for _, server in ended) / wall_s) if wall_s > 0 else None


def _flips(design: Design, by_arm: dict[str, list[Row]], primary: Channel) -> tuple[Flips, ...]:
    reference = by_arm.get(design.reference.label, [])
    first = [row for row in reference if row.channel is primary]
    repeats = (arm.label for arm in design.arms if arm.role == Role.REPEAT)
    found = (flips(name, first, [row for row in by_arm.get(name, []) if row.channel is primary]) for name in repeats)
    return tuple(one for one in found if one.probes)
