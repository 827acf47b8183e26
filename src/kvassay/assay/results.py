"""From a stored run to its verdict: the primary endpoint is "the call is right" on the run's main channel."""

from __future__ import annotations

from kvassay.assay.store import StoredRun
from kvassay.types import Channel, Role
from kvassay.verdict import Verdict, judge


def main_channel(run: StoredRun) -> Channel:
    """The channel that the verdict rests on: raw where it was asked for, else the whole parsed reply."""
    return Channel.RAW if "raw" in run.record.manifest.design.channels else Channel.PLAIN


def verdict_of(run: StoredRun) -> Verdict:
    """Judge a run as far as it has come."""
    design = run.record.manifest.design
    outcomes = {
        (key.arm, key.depth, key.probe): None if kind.is_infrastructure else kind == "correct"
        for key, kind in run.outcomes(main_channel(run))
    }
    by_role = {arm.role: arm.label for arm in design.arms}
    return judge(
        outcomes,
        reference=by_role[Role.REFERENCE],
        repeat=by_role.get(Role.REPEAT),
        candidates=[arm for arm in design.arms if arm.role == Role.CANDIDATE],
        depths=design.depths,
        alpha=design.alpha,
        margin=design.margin,
    )
