"""A recommendation with all that its text and its JSON show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvassay.plan.alternative import Alternative, cures
from kvassay.plan.launch import LaunchLine, launch_lines
from kvassay.plan.planner import REFERENCE, Row
from kvassay.plan.recommend import Candidate, Ranking, roomier
from kvassay.plan.view import Entry, PlanView
from kvassay.types import JsonObject, JsonValue, KVConfig
from kvassay.verdict import ArmVerdict, Effect, State


@dataclass(frozen=True, slots=True)
class Found:
    """What measuring one candidate came to. ``fault`` says why the run can't be relied on, ``error`` why there was
    none; ``anew``: it was measured just now, not read from the store.
    """

    candidate: Candidate
    arm: ArmVerdict | None = None
    fault: str = ""
    error: str = ""
    anew: bool = True

    @property
    def is_proven(self) -> bool:
        return self.arm is not None and not self.fault and self.arm.state.is_within

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths that were asked, in tokens; 0 for cases without a session in front."""
        return tuple(effect.depth or 0 for effect in self.arm.by_depth if effect.pairs) if self.arm else ()

    @property
    def state(self) -> str:
        """One word or two for scripts."""
        if self.arm is None:
            return "not started"
        return "not judged" if self.fault else self.arm.state.value

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        if self.arm is None:
            return f"{self.candidate.name}: its server did not start: {self.error}"
        return f"{self.candidate.name}: no verdict can be relied on: {self.fault}." if self.fault else self.arm.sentence


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole recommendation. ``depths`` are those that candidates are measured at; ``found`` what was measured, in
    order; ``dry``: only the order was asked for.
    """

    model: str
    view: PlanView
    ranking: Ranking
    alternatives: Sequence[Alternative] = ()
    depths: tuple[int, ...] = ()
    found: tuple[Found, ...] = ()
    dry: bool = False

    @property
    def needs_no_quantisation(self) -> bool:
        return self.view.plan.needs_no_quantisation

    @property
    def proven(self) -> Found | None:
        """The candidate to run."""
        return next((found for found in self.found if found.is_proven), None)

    @property
    def chosen(self) -> Row | None:
        """The row to run: the proven pair, or f16 where it fits."""
        if self.needs_no_quantisation:
            return self.view.plan.reference
        return self.proven.candidate.row if self.proven else None

    @property
    def launch(self) -> LaunchLine | None:
        """llama-server's line for the chosen pair."""
        return self.launch_of(self.chosen.kv) if self.chosen else None

    def launch_of(self, kv: KVConfig) -> LaunchLine:
        """llama-server's line for a pair at the wanted context."""
        settings = self.view.plan.settings
        lines = launch_lines(
            self.model,
            kv,
            context_tokens=self.view.plan.wanted,
            gpu_layers=self.view.plan.place.gpu_layers,
            flash_attention=settings.flash_attention,
        )
        return next(line for line in lines if line.engine == "llama-server")

    @property
    def roomier(self) -> Entry | None:
        """The pair to look at where more context is needed than the chosen one holds."""
        row = self.chosen
        if row is None:
            return None
        broken = {found.candidate.name for found in self.found if _is_harmed(found)}
        entries = [entry for entry in self.view.entries if str(entry.row.kv) not in broken]
        return roomier(entries, row, device=self.view.memory.device)

    @property
    def best_unproven(self) -> Found | None:
        """The one that came nearest where nothing was proven: undecided before harmed, in order of promise."""
        judged = [found for found in self.found if found.arm is not None]
        return min(judged, key=_is_harmed, default=None)

    def known_of(self, entry: Entry) -> str:
        """What is known of a pair's quality, runs of just now included."""
        now = next((found for found in self.found if found.candidate.name == str(entry.row.kv)), None)
        return f"measured: {now.state}" if now and now.arm else entry.evidence.words


def _is_harmed(found: Found) -> bool:
    return found.arm is not None and found.arm.state is State.DEGRADED


# --------------------------------------------------------------------------- for scripts


def to_json(answer: Answer) -> JsonObject:
    """The answer for scripts; bytes and tokens as whole numbers."""
    plan, row = answer.view.plan, answer.chosen
    more = answer.roomier
    return {
        "model": plan.shape.name,
        "wanted_context": plan.wanted,
        "device": answer.view.memory.device,
        "budget_bytes": plan.budget.total_bytes,
        "needs_no_quantisation": answer.needs_no_quantisation,
        "dry_run": answer.dry,
        "depths": list(answer.depths),
        "recommended": None if row is None else _chosen(answer, row),
        "runner_up": None if more is None else {
            "pair": str(more.row.kv), "max_context": more.row.max_context, "evidence": answer.known_of(more)},
        "unquantised_context": plan.reference.max_context if plan.reference else 0,
        "other_weights": [_alternative(one, plan.wanted) for one in answer.alternatives],
        "candidates": [_candidate(candidate) for candidate in answer.ranking.candidates],
        "left_out": [{"pair": str(left.row.kv), "why": left.why} for left in answer.ranking.left_out],
        "measured": [_found(found) for found in answer.found],
    }  # fmt: skip


def _chosen(answer: Answer, row: Row) -> JsonObject:
    launch = answer.launch_of(row.kv)
    evidence = _found(answer.proven) if answer.proven and row.kv != REFERENCE else None
    return {
        "pair": str(row.kv), "max_context": row.max_context, "launch": launch.command, "launch_why": launch.why,
        "evidence": evidence,
    }  # fmt: skip


def _candidate(candidate: Candidate) -> JsonObject:
    return {
        "pair": candidate.name,
        "max_context": candidate.row.max_context,
        "standing": candidate.standing.name.lower(),
        "runs_badly": candidate.runs_badly,
        "why": candidate.why,
    }


def _found(found: Found) -> JsonObject:
    known: JsonObject = {
        "pair": found.candidate.name, "state": found.state, "sentence": found.sentence, "measured_now": found.anew,
    }  # fmt: skip
    if found.arm is None:
        return known
    return known | {"overall": _effect(found.arm.overall), "by_depth": [_effect(each) for each in found.arm.by_depth]}


def _effect(effect: Effect) -> JsonObject:
    return {
        "depth": effect.depth,
        "pairs": effect.pairs,
        "reference_correct": effect.reference_correct,
        "candidate_correct": effect.candidate_correct,
        "state": effect.state.value,
    }


def _alternative(one: Alternative, wanted: int) -> JsonObject:
    rows: list[JsonValue] = [
        {"pair": str(row.kv), "fits": row.fits, "max_context": row.max_context} for row in one.rows
    ]
    return {"model": one.name, "weights_bytes": one.weights_bytes, "pairs": rows, "words": list(cures(one, wanted))}
