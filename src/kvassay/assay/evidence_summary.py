"""From rows of evidence to tables and sentences: which positions carry the damage, and what breaks first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from statistics import fmean, median_low
from typing import NamedTuple, TypeAlias

from kvassay.assay.evidence import Row, TrialEvidence
from kvassay.assay.evidence_growth import Answer, Growth, growths
from kvassay.assay.passage import PerplexityRatio
from kvassay.dialect.canvas import TokenRole
from kvassay.stats.binomial import fisher_greater, wilson_interval
from kvassay.stats.cluster import Shares, share_greater
from kvassay.units import depth_words

ROLE_WORDS: dict[TokenRole, str] = {
    TokenRole.TOOL: "tool name",
    TokenRole.PARAMETER: "parameter name",
    TokenRole.STRING: "string value",
    TokenRole.NUMBER: "number",
    TokenRole.ENUM: "enum value",
    TokenRole.PUNCTUATION: "punctuation",
    TokenRole.PROSE: "prose",
}

STANDS_OUT = 0.05
"""A role is said to break first where chance makes so much of a difference with this probability at most, times the
number of roles that could have been the one.
"""

_Flips: TypeAlias = "Counter[tuple[TokenRole | None, bool]]"  # one answer's positions by role and whether they flip

_LEAST_P = 0.001  # smaller ones are not told apart

ENOUGH = 20
"""Positions of a role below which nothing is said about how often it flips."""


@dataclass(frozen=True, slots=True)
class RoleCell:
    """An arm's compared positions of one role (None: all roles) at one depth (None: all depths).

    ``kl_low`` and ``kl_high`` are means per position, in nats, ``kl_high`` None where nothing bounds it (no floor was
    measured); ``median_rank`` is that of the reference's token under
    the arm, None where it lies beyond the top N. ``flip_low`` and ``flip_high`` are the Wilson interval of the share
    of flips at 95 %; positions of one answer are not independent, so that it is too narrow rather than too wide.
    """

    depth: int | None
    role: TokenRole | None
    positions: int
    flips: int
    flip_low: float
    flip_high: float
    kl_low: float
    kl_high: float | None
    median_rank: int | None

    @property
    def flip_share(self) -> float:
        """Share of positions at which the arm would say another token."""
        return self.flips / self.positions


@dataclass(frozen=True, slots=True)
class FirstFlips:
    """Where the answers of an arm first leave the reference's, at one depth (None: all depths).

    ``answers`` were compared, ``flipped`` of them leave it; ``median_index`` is the token (from 0) of these at which
    they do, None where none does; ``roles`` counts the roles there.
    """

    depth: int | None
    answers: int
    flipped: int
    median_index: int | None
    roles: dict[TokenRole, int]


@dataclass(frozen=True, slots=True)
class ArmEvidence:
    """All of an arm's evidence. ``cells`` are in the order of depths (all first) and roles (all first);
    ``identical`` says that every compared list equals the reference's to the last digit. ``growth`` is None where
    nothing can be told of it; ``growth_sentence`` is empty unless it is shown.
    """

    arm: str
    positions: int
    identical: bool
    hidden: int
    unreached: int
    cells: tuple[RoleCell, ...]
    first_flips: tuple[FirstFlips, ...]
    sentence: str
    growth: Growth | None
    growth_sentence: str

    @property
    def text(self) -> str:
        """All that is said of the arm."""
        return f"{self.sentence} {self.growth_sentence}".rstrip()

    def cell(self, depth: int | None, role: TokenRole | None) -> RoleCell | None:
        """One cell, or None where nothing was compared."""
        return next((cell for cell in self.cells if (cell.depth, cell.role) == (depth, role)), None)

    def first(self, depth: int | None) -> FirstFlips | None:
        """Where answers at a depth first leave the reference's."""
        return next((first for first in self.first_flips if first.depth == depth), None)


class _Place(NamedTuple):
    depth: int | None
    role: TokenRole | None


@dataclass(slots=True)
class _Tally:
    positions: int = 0
    flips: int = 0
    kl_low: float = 0.0
    kl_high: float = 0.0
    ranks: Counter[float] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        self.positions += 1
        self.flips += row.flip
        self.kl_low += row.kl_low
        self.kl_high += row.kl_high
        self.ranks[inf if row.rank is None else row.rank] += 1


@dataclass(slots=True)
class _Gathered:
    """What one pass over an arm's trials keeps: counts, not rows."""

    same: int = 0
    hidden: int = 0
    unreached: int = 0
    tallies: dict[_Place, _Tally] = field(default_factory=dict)
    firsts: dict[int | None, list[Row | None]] = field(default_factory=dict)
    answers: list[_Flips] = field(default_factory=list)
    divergences: list[Answer] = field(default_factory=list)

    def add(self, trial: TrialEvidence, level: int) -> None:
        self.hidden += trial.hidden
        self.unreached += trial.unreached
        depths = (None, trial.key.depth)
        for row in trial.rows:
            self.same += row.same
            for place in (_Place(depth, role) for depth in depths for role in (None, row.role)):
                self.tallies.setdefault(place, _Tally()).add(row)
        if trial.rows:
            self.answers.append(Counter((row.role, row.flip) for row in trial.rows))
            roles = {row.role: [one.kl_low for one in trial.rows if one.role is row.role] for row in trial.rows}
            kl = {role: fmean(found) for role, found in roles.items()}
            self.divergences.append(Answer(trial.key.depth, trial.key.probe, level, kl))
            first = next((row for row in trial.rows if row.flip), None)
            for depth in depths:
                self.firsts.setdefault(depth, []).append(first)


def summarise(
    trials: Iterable[TrialEvidence],
    *,
    arms: Sequence[str],
    resolution: float = 0.0,
    levels: Mapping[str, int] | None = None,
) -> tuple[ArmEvidence, ...]:
    """The evidence of a run by arm, in the order of ``arms``; arms without any have no positions. Divergences up to
    ``resolution`` (nats) are rounding; ``levels`` are the probes' difficulties.
    """
    known = levels or {}
    gathered = {arm: _Gathered() for arm in arms}
    for trial in trials:
        gathered.setdefault(trial.key.arm, _Gathered()).add(trial, known.get(trial.key.probe, 0))
    grown = growths({arm: found.divergences for arm, found in gathered.items()}, resolution=resolution)
    return tuple(_arm(arm, found, grown.get(arm)) for arm, found in gathered.items())


def _arm(arm: str, found: _Gathered, growth: Growth | None) -> ArmEvidence:
    cells = tuple(_cell(place, found.tallies[place]) for place in sorted(found.tallies, key=_order))
    positions = cells[0].positions if cells else 0
    firsts = tuple(_first(depth, found.firsts[depth]) for depth in sorted(found.firsts, key=lambda d: d or -1))
    return ArmEvidence(
        arm=arm,
        positions=positions,
        identical=0 < positions == found.same,
        hidden=found.hidden,
        unreached=found.unreached,
        cells=cells,
        first_flips=firsts,
        sentence=_what_breaks_first(arm, [cell for cell in cells if cell.depth is None], firsts[:1], found.answers),
        growth=growth,
        growth_sentence=_what_grows(arm, growth, {cell.depth: cell for cell in cells if cell.role is None}),
    )


def _order(place: _Place) -> tuple[int, int]:
    roles: list[TokenRole | None] = [None, *TokenRole]
    return (-1 if place.depth is None else place.depth, roles.index(place.role))


def _cell(place: _Place, tally: _Tally) -> RoleCell:
    interval = wilson_interval(tally.flips, tally.positions)
    rank = median_low(tally.ranks.elements())
    return RoleCell(
        depth=place.depth,
        role=place.role,
        positions=tally.positions,
        flips=tally.flips,
        flip_low=interval.low,
        flip_high=interval.high,
        kl_low=tally.kl_low / tally.positions,
        kl_high=tally.kl_high / tally.positions if isfinite(tally.kl_high) else None,
        median_rank=None if rank == inf else int(rank),
    )


def _first(depth: int | None, firsts: Sequence[Row | None]) -> FirstFlips:
    rows = [row for row in firsts if row is not None]
    return FirstFlips(
        depth=depth,
        answers=len(firsts),
        flipped=len(rows),
        median_index=median_low(row.index for row in rows) if rows else None,
        roles=dict(Counter(row.role for row in rows).most_common()),
    )


# --------------------------------------------------------------------------- sentences


def _what_breaks_first(
    arm: str, cells: Sequence[RoleCell], firsts: Sequence[FirstFlips], answers: Sequence[_Flips]
) -> str:
    """One sentence with its numbers; a role is named only where its flips stand out from all others'."""
    if not cells:
        return f"Nothing is known about {arm} token by token: no position could be compared."
    whole, *by_role = cells
    if not whole.flips:
        return (
            f"{arm} would have said every one of the reference's {whole.positions:,} tokens "
            f"(mean KL {nats(whole)} nats)."
        )
    told = [cell for cell in by_role if cell.positions >= ENOUGH]
    if not told:
        most = max(by_role, key=lambda cell: cell.positions)
        return (
            f"{arm} flips {_share(whole)}; what breaks first can't be told: the most frequent role, "
            f"{_words(most)}, has {most.positions} positions of the {ENOUGH} that it takes."
        )
    worst = max(told, key=lambda cell: (cell.flip_share, cell.positions))
    flips, positions = whole.flips - worst.flips, whole.positions - worst.positions
    few = fisher_greater(worst.flips, worst.positions, flips, positions)
    runs = share_greater([_shares(worst.role, answer) for answer in answers])
    # Fisher's is exact for few flips, the other counts answers, as the flips of one come in runs: the greater holds.
    if not positions or max(few, runs) * len(told) > STANDS_OUT:
        most = max(by_role, key=lambda cell: (cell.flip_share, cell.positions))
        if most.flip_share > worst.flip_share:
            return (
                f"{arm} flips {_share(whole)}; what breaks first can't be told: the role that flips most often, "
                f"{_words(most)}, at {_of(most.flips, most.positions)}, has fewer than the {ENOUGH} that it takes."
            )
        return f"{arm} flips {_share(whole)}, and no role stands out (most often {_words(worst)}: {_share(worst)})."
    return (
        f"With {arm} the {_words(worst)} breaks first: it flips at {_share(worst)}, everything else at "
        f"{_of(flips, positions)}.{_start(firsts)}"
    )


def _shares(role: TokenRole | None, answer: _Flips) -> Shares:
    hits, places = answer[role, True], answer[role, True] + answer[role, False]
    flips = sum(n for (_, flip), n in answer.items() if flip)
    return Shares(hits, places, flips - hits, answer.total() - places)


def _start(firsts: Sequence[FirstFlips]) -> str:
    """Where the answers leave the reference's, if any do."""
    if not firsts or firsts[0].median_index is None:
        return ""
    first, token = firsts[0], firsts[0].median_index + 1
    return f" {first.flipped} of {first.answers} answers leave the reference's, half of these by token {token}."


def _what_grows(arm: str, growth: Growth | None, cells: Mapping[int | None, RoleCell]) -> str:
    """How the divergence goes with the context, where that is more than chance and the bounds at its ends lie apart."""
    if growth is None or not growth.shown:
        return ""
    near, far = cells[growth.shallowest], cells[growth.deepest]
    low, high = (near, far) if growth.up else (far, near)
    apart = low.kl_high is not None and low.kl_high < high.kl_low < inf
    if not apart or nats(near) == nats(far):
        return ""
    where = "further from" if growth.up else "nearer to"
    ends = " and ".join(f"{nats(cell)} nats at {depth_words(cell.depth or 0)}" for cell in (near, far))
    p_value = f"= {growth.adjusted_p:.3f}" if growth.adjusted_p >= _LEAST_P else f"< {_LEAST_P}"
    return (
        f"In this session, the longer the context, the {where} the reference {arm} is: mean KL {ends} "
        f"({growth.answers} answers, adjusted p {p_value})."
    )


def did_not_engage(evidence: ArmEvidence) -> str | None:
    """The finding that an arm is the reference in disguise; None where it differs, or where nothing was compared."""
    if not evidence.identical:
        return None
    return (
        f"{evidence.arm} equals the reference to the last digit at all {evidence.positions:,} compared positions: "
        "its cache types did not engage."
    )


def perplexity_sentence(ratio: PerplexityRatio, *, correct: int, asked: int) -> str:
    """A text's perplexity beside the calls: ``Perplexity 1.02× the reference's (n = 330 tokens), tool calls 0 of 60.``

    ``correct`` of ``asked`` are the candidate's right calls, over the trials that the report counts.
    """
    calls = f"tool calls {correct} of {asked}"
    if ratio.ratio is None:
        return f"Perplexity unknown (no token of the text was listed under both), {calls}."
    outside = ratio.tokens - ratio.listed
    beyond = f"; {_times(ratio.low)} to {_times(ratio.high)} with the {outside} outside the lists" if outside else ""
    return f"Perplexity {ratio.ratio:.2f}× the reference's (n = {ratio.listed} tokens{beyond}), {calls}."


def _times(ratio: float) -> str:
    """A bound of a ratio; beyond a thousand it bounds nothing worth a number."""
    return f"{ratio:.2f}×" if ratio < 1000 else "over 1,000×"  # noqa: PLR2004


def _words(cell: RoleCell) -> str:
    return ROLE_WORDS[cell.role] if cell.role else "any role"


def _share(cell: RoleCell) -> str:
    return f"{_of(cell.flips, cell.positions)}, interval {100 * cell.flip_low:.1f}–{100 * cell.flip_high:.1f} %"


def _of(flips: int, positions: int) -> str:
    return f"{flips:,} of {positions:,} positions ({100 * flips / positions:.1f} %)"


def nats(cell: RoleCell) -> str:
    """A cell's mean divergence: ``0.0012 to 0.0031``, ``3.9`` where its bounds are as good as equal, or
    ``at least 0.0012`` where nothing bounds it above.
    """
    low = f"{cell.kl_low:.2g}"
    if cell.kl_high is None:
        return f"at least {low}"
    high = f"{cell.kl_high:.2g}"
    return low if low == high else f"{low} to {high}"
