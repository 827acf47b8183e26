"""Counting: a run's trials, read once and kept as small rows, and the sums every part of a report is made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from kvassay.report.source import RunSource
from kvassay.stats.binomial import wilson_interval
from kvassay.types import BootRecord, Channel, OutcomeClass, Timings, Trial

K = TypeVar("K", bound=Hashable)


class Row(NamedTuple):
    """What counting needs of a trial: some 200 bytes instead of its texts."""

    arm: str
    depth: int
    probe: str
    channel: Channel
    family: str
    level: int
    kind: OutcomeClass
    text_digest: bytes
    timings: Timings | None

    @property
    def correct(self) -> bool:
        return self.kind is OutcomeClass.CORRECT


@dataclass(frozen=True, slots=True)
class Rate:
    """Right answers among ``n`` graded ones. ``low``/``high``: Wilson's interval at the run's level (0 and 1 where n
    is 0). ``excluded`` trials fell to infrastructure faults (P0–P3) and are not in n.
    """

    correct: int
    n: int
    low: float
    high: float
    excluded: int = 0

    @property
    def share(self) -> float:
        return self.correct / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Server-side speeds. ``prompt_*``: the questions' own tokens. ``climb_per_s``: all prompt tokens of the arm's
    boots, session included, over the time the server had left beside generation. None: nothing was timed.
    """

    prompt_tokens: int
    prompt_s: float
    prompt_per_s: float | None
    predicted_tokens: int
    predicted_s: float
    predicted_per_s: float | None
    climb_tokens: int
    climb_per_s: float | None


@dataclass(frozen=True, slots=True)
class Economy:
    """Prompt tokens the server processed against the ladder's lower bound; ``ratio`` None where the bound is 0."""

    processed_tokens: int
    bound_tokens: int
    ratio: float | None


@dataclass(frozen=True, slots=True)
class ChannelCheck:
    """The same probes by the raw and by one parsed channel: where they differ, the server's parser or grammar is at
    work. ``parser_faults`` counts P2 among all ``probes``; the four counts are of all probes, a P class being
    not right.
    """

    channel: Channel
    probes: int
    both_right: int
    raw_only: int
    parsed_only: int
    both_wrong: int
    parser_faults: int


@dataclass(frozen=True, slots=True)
class Flips:
    """The A/A test: the reference against its second boot, on the primary channel. ``flips`` changed between right
    and wrong; ``texts_differ`` changed at all.
    """

    arm: str
    probes: int
    flips: int
    texts_differ: int


def read_rows(run: RunSource) -> list[Row]:
    """All trials of a run as rows, in the run's order: the one pass over the trials."""
    traits = {(p.depth, p.probe.id): (p.probe.family, p.probe.level) for p in run.probes()}
    return [_row(trial, *traits[trial.key.depth, trial.key.probe]) for trial in run.trials()]


def _row(trial: Trial, family: str, level: int) -> Row:
    key = trial.key
    digest = blake2b(trial.turn.text.encode(errors="surrogatepass"), digest_size=8).digest()
    return Row(key.arm, key.depth, key.probe, key.channel, family, level, trial.outcome.kind, digest, trial.timings)


def group(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    """Rows by key; a key that is missing gives no rows."""
    groups: defaultdict[K, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def rate(rows: Sequence[Row], alpha: float) -> Rate:
    """Right answers among the graded rows, with Wilson's interval at level 1 − alpha."""
    return rate_of((None if row.kind.is_infrastructure else row.correct for row in rows), alpha)


def rate_of(good: Iterable[bool | None], alpha: float) -> Rate:
    """The rate of what is known to be good, None being left out, with Wilson's interval at level 1 − alpha."""
    known = Counter(good)
    low, high = wilson_interval(known[True], known[True] + known[False], level=1 - alpha)
    return Rate(known[True], known[True] + known[False], low, high, known[None])


def speed(rows: Iterable[Row], boots: Iterable[BootRecord]) -> Speed:
    """Tokens per second of one arm: totals over totals."""
    timings = [row.timings for row in rows if row.timings is not None]
    prompt_tokens, prompt_s = sum(t.processed_tokens for t in timings), sum(t.prompt_ms for t in timings) / 1000
    predicted_tokens = sum(t.predicted_tokens for t in timings)
    predicted_s = sum(t.predicted_ms for t in timings) / 1000
    climb_tokens, server_s = sum(b.processed_tokens for b in boots), sum(b.server_s for b in boots)
    return Speed(
        prompt_tokens=prompt_tokens,
        prompt_s=prompt_s,
        prompt_per_s=_per(prompt_tokens, prompt_s),
        predicted_tokens=predicted_tokens,
        predicted_s=predicted_s,
        predicted_per_s=_per(predicted_tokens, predicted_s),
        climb_tokens=climb_tokens,
        climb_per_s=_per(climb_tokens, server_s - predicted_s),
    )


def _per(amount: float, whole: float) -> float | None:
    return amount / whole if amount > 0 and whole > 0 else None


def economy(boots: Sequence[BootRecord]) -> Economy:
    """How near the boots came to the ladder's lower bound."""
    processed, bound = sum(b.processed_tokens for b in boots), sum(b.bound_tokens for b in boots)
    return Economy(processed, bound, _per(processed, bound))


def channel_checks(rows: Sequence[Row]) -> tuple[ChannelCheck, ...]:
    """Each parsed channel of one arm against the raw one, over the probes asked both ways."""
    by_channel = {
        channel: {(row.depth, row.probe): row.kind for row in rows if row.channel is channel} for channel in Channel
    }
    raw = by_channel[Channel.RAW]
    checks = (_check(channel, raw, by_channel[channel]) for channel in (Channel.PLAIN, Channel.STREAM))
    return tuple(check for check in checks if check.probes)


def _check(
    channel: Channel, raw: dict[tuple[int, str], OutcomeClass], parsed: dict[tuple[int, str], OutcomeClass]
) -> ChannelCheck:
    right = OutcomeClass.CORRECT
    shared = raw.keys() & parsed.keys()
    counts = Counter((raw[key] is right, parsed[key] is right) for key in shared)
    return ChannelCheck(
        channel=channel,
        probes=len(shared),
        both_right=counts[True, True],
        raw_only=counts[True, False],
        parsed_only=counts[False, True],
        both_wrong=counts[False, False],
        parser_faults=sum(parsed[key] is OutcomeClass.PARSER_FAULT for key in shared),
    )


def flips(arm: str, reference: Iterable[Row], repeat: Iterable[Row]) -> Flips:
    """The A/A test over the probes that both boots answered, infrastructure faults left out."""
    first = {(row.depth, row.probe): row for row in reference if not row.kind.is_infrastructure}
    pairs = [
        (first[row.depth, row.probe], row)
        for row in repeat
        if not row.kind.is_infrastructure and (row.depth, row.probe) in first
    ]
    return Flips(
        arm=arm,
        probes=len(pairs),
        flips=sum(a.correct != b.correct for a, b in pairs),
        texts_differ=sum(a.text_digest != b.text_digest for a, b in pairs),
    )
