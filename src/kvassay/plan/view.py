"""A plan with everything beside it that its table, picture and JSON show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvassay.plan.advice import Attention
from kvassay.plan.breakdown import Breakdown
from kvassay.plan.evidence import Evidence
from kvassay.plan.hardware import Memory
from kvassay.plan.launch import LaunchLine
from kvassay.plan.planner import Plan, Row, recommended
from kvassay.plan.words import headline, notes, total
from kvassay.types import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table."""

    row: Row
    attention: Attention
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class PlanView:
    """The whole answer. ``chosen`` is the recommended row."""

    plan: Plan
    memory: Memory
    entries: tuple[Entry, ...]
    launches: Sequence[LaunchLine]

    @property
    def chosen(self) -> Row | None:
        """The least quantised pair that fits, of those that run well and were not measured worse."""
        sound = tuple(entry.row for entry in self.entries if not entry.evidence.is_worse)
        good = tuple(entry.row for entry in self.entries if not (entry.evidence.is_worse or entry.attention.is_bad))
        return recommended(_only(self.plan, good)) or recommended(_only(self.plan, sound))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Headline first."""
        return (headline(self.plan, self.chosen), *notes(self.plan))


def _only(plan: Plan, rows: tuple[Row, ...]) -> Plan:
    return Plan(plan.shape, plan.settings, plan.place, plan.budget, plan.wanted, plan.ceiling, rows)


def to_json(view: PlanView) -> JsonObject:
    """The view for scripts; bytes and tokens as whole numbers."""
    plan = view.plan
    chosen = view.chosen
    return {
        "model": plan.shape.name,
        "architecture": plan.shape.architecture,
        "wanted_context": plan.wanted,
        "model_context": plan.shape.context_length,
        "memory": {"device": view.memory.device, "name": view.memory.name, "total_bytes": plan.budget.total_bytes,
                   "how": view.memory.how, "usable_bytes": plan.budget.usable_bytes},
        "needs_no_quantisation": plan.needs_no_quantisation,
        "headline": view.sentences[0],
        "notes": list(view.sentences[1:]),
        "recommended": str(chosen.kv) if chosen else None,
        "pairs": [_entry(entry, plan) for entry in view.entries],
        "launch": [{"engine": line.engine, "command": line.command, "why": line.why} for line in view.launches],
    }  # fmt: skip


def _entry(entry: Entry, plan: Plan) -> JsonObject:
    row = entry.row
    found: JsonObject = {
        "k": row.kv.k,
        "v": row.kv.v,
        "max_context": row.max_context,
        "fits": row.fits,
        "pareto": row.pareto,
        "total_bytes": total(row, plan),
        "attention": entry.attention.where,
        "attention_why": entry.attention.why,
        "evidence": entry.evidence.words,
    }
    if row.refused:
        return found | {"refused": row.refused}
    return found | {"breakdown": _lines(row.at_wanted)}


def _lines(parts: Breakdown | None) -> JsonValue:
    if parts is None:
        return None
    return [
        {
            "name": line.name,
            "device_bytes": line.device_bytes,
            "host_bytes": line.host_bytes,
            "certainty": line.certainty.value,
            "source": line.source,
        }
        for line in parts.lines
    ]
