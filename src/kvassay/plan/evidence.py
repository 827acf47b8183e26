"""What is known of a pair's quality on this model: measured here, published, or nothing. Never a guessed score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from kvassay.assay.records import Design, RunRecord
from kvassay.assay.results import verdict_of
from kvassay.assay.store import Store
from kvassay.model import store as models
from kvassay.model.catalog import CATALOG
from kvassay.plan.published import published
from kvassay.types import KVConfig
from kvassay.verdict import ArmVerdict, State


class Grade(StrEnum):
    """How strong the evidence is."""

    MEASURED = "measured on your machine"
    PUBLISHED = "published"
    NONE = "not measured"


@dataclass(frozen=True, slots=True)
class Evidence:
    """``finding`` is a verdict's state or a published figure; ``source`` the store's path or a publication;
    ``is_worse``: measured to be worse than the reference; ``is_within``: proven to lose less than the run's margin.
    """

    grade: Grade
    finding: str = ""
    source: str = ""
    is_worse: bool = False
    is_within: bool = False

    @property
    def words(self) -> str:
        """The cell of a table."""
        if self.grade is Grade.NONE:
            return self.grade.value
        if self.grade is Grade.MEASURED:
            return f"{self.grade.value}: {self.finding}"
        return f"published ({self.source}): {self.finding}"


class Judged(NamedTuple):
    """What a stored run found of one of its candidates; ``fault`` says why the run can't be relied on, if it can't."""

    design: Design
    arm: ArmVerdict
    fault: str


def judgements(path: Path, model: str) -> tuple[Judged, ...]:
    """What the finished runs of this model in a store found, the oldest first.

    Raises StoreError for a store that can't be read.
    """
    with Store(path) as store:
        probed = [record for record in store.runs() if not record.manifest.design.in_loops]
        mine = [record for record in probed if record.finished_at is not None and of_model(record, model)]
        verdicts = [(record.manifest.design, verdict_of(store.run(record.id))) for record in mine]
    return tuple(Judged(design, arm, verdict.fault) for design, verdict in verdicts for arm in verdict.arms)


def measured(path: Path, model: str) -> Mapping[str, Evidence]:
    """By pair, what the finished runs of this model in a store found; later runs over earlier ones.

    Raises StoreError for a store that can't be read.
    """
    return {found.arm.arm: evidence_of(found, path) for found in judgements(path, model)}


def evidence_of(found: Judged, path: Path) -> Evidence:
    """A stored verdict as evidence."""
    state = found.arm.state
    finding = _finding(state, found.design.depths)
    return Evidence(Grade.MEASURED, finding, str(path), state.is_worse, state.is_within)


def _finding(state: State, depths: tuple[int, ...]) -> str:
    deepest = max(depths, default=0)
    return f"{state.value} at up to {deepest:,} tokens"


def of_model(record: RunRecord, model: str) -> bool:
    """Whether a run was of this model: by hash where that costs nothing, a file's remembered hash included."""
    name, sha256 = record.manifest.design.model_name, record.manifest.design.model_sha256
    if model in CATALOG:
        return sha256 == CATALOG[model].sha256
    path = Path(model).expanduser()
    if not path.is_file():
        return name == model
    return Path(name).name == path.name and models.digest_of_users_file(path.absolute(), models.silent) == sha256


def evidence_for(name: str, kv: KVConfig, here: Mapping[str, Evidence]) -> Evidence:
    """The best evidence for a pair of the model of this name."""
    if found := here.get(str(kv)):
        return found
    figure = published(name, kv)
    if figure is not None:
        return Evidence(Grade.PUBLISHED, figure.finding, figure.source)
    return Evidence(Grade.NONE)
