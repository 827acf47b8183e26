"""The view model's numbers, checked against counts made by hand on a small run.

The synthetic run asks 3 families x 4 probes at 2 depths (12 a depth, 24 in all). ``q4_0/f16`` fails everything at the
deepest depth and the even seeds (2 of 4) above it: 6 of 12, then 0 of 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from kvassay.report.view import ArmView, View, build_view
from kvassay.types import BootRecord, Channel, OutcomeClass, Trial
from kvassay.verdict import State
from report.synthetic_run import SyntheticRun, verdict


def viewed(run: SyntheticRun) -> View:
    """The view of a run."""
    return build_view(run, verdict(run))


def arm(view: View, label: str) -> ArmView:
    """One arm of a view."""
    return next(found for found in view.arms if found.label == label)


def test_right_answers_are_counted_per_depth_with_their_intervals() -> None:
    """6 of 12, 0 of 12 and 6 of 24 in all, with Wilson's interval worked out by hand."""
    bad = arm(viewed(SyntheticRun()), "q4_0/f16")
    assert [(c.depth, c.rate.correct, c.rate.n) for c in bad.cells] == [(2048, 6, 12), (8192, 0, 12)]
    assert (bad.overall.correct, bad.overall.n) == (6, 24)
    # (6 + 1.9207 ± 1.96 √(6·18/24 + 0.9604)) / 27.8415
    assert (bad.overall.low, bad.overall.high) == pytest.approx((0.1200, 0.4490), abs=5e-4)


def test_failures_families_and_levels_of_an_arm() -> None:
    """18 hallucinated parameters; 2 of 8 in each family; levels go by seed modulo 3."""
    bad = arm(viewed(SyntheticRun()), "q4_0/f16")
    assert [(f.kind, f.count) for f in bad.failures_by(Channel.RAW)] == [(OutcomeClass.HALLUCINATED_PARAM, 18)]
    assert [(s.name, s.rate.correct, s.rate.n) for s in bad.families] == [
        ("recall", 2, 8), ("edit", 2, 8), ("nested", 2, 8),
    ]  # fmt: skip
    # Seeds 0 and 3 are of level 1, seed 1 of level 2, seed 2 of level 3; right are seeds 1 and 3 at the upper depth.
    assert [(s.name, s.rate.correct, s.rate.n) for s in bad.levels] == [
        ("level 1", 3, 12), ("level 2", 3, 6), ("level 3", 0, 6),
    ]  # fmt: skip


def test_infrastructure_faults_are_excluded_from_n_and_counted() -> None:
    """A P class takes the trial out of the rate, but not out of sight."""
    run = SyntheticRun(bad={"q4_0/f16": OutcomeClass.PROMPT_TRUNCATED})
    bad = arm(viewed(run), "q4_0/f16")
    assert (bad.overall.correct, bad.overall.n, bad.overall.excluded) == (6, 6, 18)
    assert bad.failures_by(Channel.RAW)[0].count == 18


def test_speeds_are_totals_over_totals() -> None:
    """24 trials of 100 tokens in 0.5 s and 40 in 2 s; 10,300 tokens in the 98 - 48 s that generation left."""
    speed = arm(viewed(SyntheticRun()), "q8_0/q8_0").speed
    assert (speed.prompt_per_s, speed.predicted_per_s, speed.climb_per_s) == pytest.approx((200, 20, 206))
    assert (speed.prompt_tokens, speed.predicted_tokens, speed.climb_tokens) == (2400, 960, 10_300)


def test_memory_is_what_the_boot_reported_against_the_reference() -> None:
    """q4_0 takes 4.5 bits where f16 takes 16: K alone makes the whole 36 % smaller."""
    memory = arm(viewed(SyntheticRun()), "q4_0/f16").memory
    assert memory.k_bytes == 8192 * 14336 * 4.5 / 32
    assert memory.change == pytest.approx((4.5 + 16) / 32 - 1)


def test_ladder_economy_and_time_outside_the_server() -> None:
    """Five boots of 10,300 tokens over a bound of 10,000, each 98 of 100 s in the server."""
    view = viewed(SyntheticRun())
    assert (view.economy.processed_tokens, view.economy.bound_tokens) == (51_500, 50_000)
    assert view.economy.ratio == pytest.approx(1.03)
    assert view.outside_share == pytest.approx(0.02)
    assert [boot.outside_share for boot in view.boots] == pytest.approx([0.02] * 5)


def test_aa_flips_compare_the_reference_with_its_second_boot() -> None:
    """A second boot that fails 18 of 24 flips 18 and differs in 18 texts."""
    view = viewed(SyntheticRun(bad={"f16/f16 #2": OutcomeClass.WRONG_VALUE}))
    (flips,) = view.flips
    assert (flips.arm, flips.probes, flips.flips, flips.texts_differ) == ("f16/f16 #2", 24, 18, 18)


@dataclass(frozen=True)
class ParserAtFault(SyntheticRun):
    """A run whose server spoils the parsed channel of one family."""

    def trials(self) -> Iterator[Trial]:
        for trial in super().trials():
            spoilt = trial.key.channel is Channel.PLAIN and trial.key.probe.startswith("edit")
            fault = replace(trial.outcome, kind=OutcomeClass.PARSER_FAULT)
            yield replace(trial, outcome=fault) if spoilt else trial


def test_raw_and_parsed_channels_are_compared_probe_by_probe() -> None:
    """The reference is right in raw always; the parsed channel loses the 8 probes of one family to the parser."""
    view = viewed(ParserAtFault(channels=(Channel.RAW, Channel.PLAIN)))
    (check,) = arm(view, "f16/f16").channel_checks
    assert view.primary is Channel.RAW
    assert (check.probes, check.both_right, check.raw_only, check.parser_faults) == (24, 16, 8, 8)
    assert (check.parsed_only, check.both_wrong) == (0, 0)


def test_verdicts_are_counted_on_the_parsed_channel_where_raw_was_not_asked() -> None:
    """A run of the chat endpoint alone has that as its primary channel."""
    view = viewed(SyntheticRun(channels=(Channel.PLAIN, Channel.STREAM)))
    assert view.channels == (Channel.PLAIN, Channel.STREAM)
    assert (arm(view, "q4_0/f16").overall.correct, arm(view, "q4_0/f16").overall.n) == (6, 24)


def test_states_are_the_verdicts_and_references_have_none() -> None:
    """The verdict's states go to candidates; the reference and its second boot show their roles instead."""
    view = viewed(SyntheticRun())
    assert [a.state for a in view.arms] == [
        None, None, State.INCONCLUSIVE, State.DEGRADED, State.INCONCLUSIVE,
    ]  # fmt: skip


@dataclass(frozen=True)
class Begun(SyntheticRun):
    """A run interrupted in its first boot: no boot has ended, other arms have nothing."""

    def trials(self) -> Iterator[Trial]:
        return (trial for trial in super().trials() if trial.boot == 1)

    def boots(self) -> Sequence[BootRecord]:
        return (replace(super().boots()[0], ended_at=None, bound_tokens=0, server_s=0.0),)


def test_an_interrupted_run_can_be_viewed() -> None:
    """Arms without trials have no rates, and nothing is divided by nothing."""
    view = viewed(Begun())
    untouched = arm(view, "q4_0/f16")
    assert (untouched.overall.n, untouched.overall.low, untouched.overall.high) == (0, 0.0, 1.0)
    assert untouched.memory.total_bytes is None
    assert (view.economy.ratio, view.outside_share, view.flips) == (None, None, ())
