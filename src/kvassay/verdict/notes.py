"""What limits a verdict: dropped pairs, a weak reference, the noise floor, what was not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvassay.stats.paired import mcnemar_harm
from kvassay.verdict.controls import Controls, Tally
from kvassay.verdict.sentences import Finding, counts, listed, places, points, subject


def notes(findings: Sequence[Finding], controls: Controls) -> Iterator[str]:
    """The limits of this run, the gravest first."""
    yield from _dropped(controls)
    yield from (_weak_reference(tally, controls) for tally in controls.tallies if tally.is_weak)
    yield _noise_floor(controls)
    yield from _positive_control(controls)
    yield from _engagement(controls)
    yield from _missing(controls)
    yield from (_gain(finding, controls) for finding in findings if _gains(finding, controls))


def _dropped(controls: Controls) -> Iterator[str]:
    if hit := [arm for arm in controls.dropped if arm.dropped]:
        arms = listed(f"{arm.dropped} of {arm.pairs} pairs of {arm.arm}" for arm in hit)
        fate = "more than 2 in 100, so the run is invalid" if controls.invalid else "they are left out"
        yield f"Infrastructure faults took {arms}: {fate}."


def _weak_reference(tally: Tally, controls: Controls) -> str:
    place = places([tally.depth])
    fault = "fails" if tally.fails else "is weak"
    fate = "" if tally.depth in controls.depths else " The verdicts over all depths leave this depth out."
    return (
        f"The model itself {fault} at {controls.reference} {place}, {tally.right} of {tally.trials} right: "
        f"the probe set, not the cache, is being measured {place}.{fate}"
    )


def _noise_floor(controls: Controls) -> str:
    repeat = controls.repeat
    if repeat is None:
        return f"No second boot of {controls.reference} was compared (0 pairs): the noise floor is unknown."
    flips = repeat.lost + repeat.gained
    seen = f"A second boot of {controls.reference} flipped {flips} of {repeat.pairs} calls"
    if not controls.is_noisy:
        return f"{seen}: that is the noise floor."
    return (
        f"{seen}: the margin of {points(controls)} is not above this noise floor, so nothing is called within margin; "
        f"a margin above {_rounded_up(flips, repeat.pairs)} points would do."
    )


def _rounded_up(flips: int, pairs: int) -> str:
    """A share in points with one decimal, never below it: what is above the words' number is above the share too."""
    return f"{-(-1000 * flips // pairs) / 10:.1f}"


def _positive_control(controls: Controls) -> Iterator[str]:
    if controls.control is None:
        return
    name, seen = controls.control_label, counts(controls.control)
    if controls.is_blind:
        yield (
            f"The positive control {name} is not found worse ({seen}): this probe set could not show harm, so nothing "
            "is called within margin."
        )
    else:
        yield f"The positive control {name} shows ({seen}): this probe set can see harm."


def _engagement(controls: Controls) -> Iterator[str]:
    for arm, answers in controls.measured.identical.items():
        yield (
            f"{arm} did not engage: in all {answers} answers compared, every log-probability equals the reference's to "
            "the last digit. Whatever its flags say, it computes the same."
        )
    if controls.measured.stated:
        arms = listed(controls.measured.stated)
        yield f"The K/V pairs of {arms} are as you stated them: no server told its pair."
    if controls.measured.unchecked:
        arms = listed(controls.measured.unchecked)
        yield f"No log-probabilities to compare: whether {arms} differ from the reference at all was not checked."


def _missing(controls: Controls) -> Iterator[str]:
    if absent := [arm for arm, asked in controls.asked.items() if not asked]:
        yield f"Not run: {listed(absent)} (0 of {controls.expected} probes asked)."
    spared = controls.measured.spared
    asked_at_most = {arm: controls.expected - spared.get(arm, 0) for arm in controls.asked}
    if partial := [(arm, asked) for arm, asked in controls.asked.items() if 0 < asked < asked_at_most[arm]]:
        arms = listed(f"{arm} {asked} of {controls.expected}" for arm, asked in partial)
        yield f"Incomplete, judged on what exists (probes asked): {arms}."
    if controls.silent_depths:
        yield f"No trial yet {places(controls.silent_depths)}."


def _gains(finding: Finding, controls: Controls) -> bool:
    return mcnemar_harm(finding.overall.gained, finding.overall.lost) <= controls.alpha


def _gain(finding: Finding, controls: Controls) -> str:
    overall = finding.overall
    return (
        f"{subject(finding.spec, controls)} was right on {overall.gained} of {overall.pairs} pairs where "
        f"{controls.reference} was wrong, and wrong on {overall.lost} where it was right: this run tests for harm "
        "only, so an improvement is not shown."
    )
