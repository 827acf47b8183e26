"""What is known of a pair's quality on this model: measured here, published, or nothing. Never a guessed score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kvassay.assay.results import verdict_of
from kvassay.assay.store import Store, StoredRun
from kvassay.model import store as models
from kvassay.model.catalog import CATALOG
from kvassay.plan.published import published
from kvassay.types import KVConfig
from kvassay.verdict.effects import State


class Grade(StrEnum):
    """How strong the evidence is."""

    MEASURED = "measured on your machine"
    PUBLISHED = "published"
    NONE = "not measured"


@dataclass(frozen=True, slots=True)
class Evidence:
    """``finding`` is a verdict's state or a published figure; ``source`` the store's path or a publication;
    ``is_worse``: measured to be worse than the reference.
    """

    grade: Grade
    finding: str = ""
    source: str = ""
    is_worse: bool = False

    @property
    def words(self) -> str:
        """The cell of a table."""
        if self.grade is Grade.NONE:
            return self.grade.value
        if self.grade is Grade.MEASURED:
            return f"{self.grade.value}: {self.finding}"
        return f"published ({self.source}): {self.finding}"


def measured(path: Path, model: str) -> Mapping[str, Evidence]:
    """By pair, what the finished runs of this model in a store found; later runs over earlier ones.

    Raises StoreError for a store that can't be read.
    """
    found: dict[str, Evidence] = {}
    with Store(path) as store:
        for record in store.runs():
            design = record.manifest.design
            if record.finished_at is not None and _same(model, design.model_name, design.model_sha256):
                found |= _of_run(store.run(record.id), path)
    return found


def _of_run(run: StoredRun, path: Path) -> dict[str, Evidence]:
    depths = run.record.manifest.design.depths
    return {
        arm.arm: Evidence(Grade.MEASURED, _finding(arm.state, depths), str(path), arm.state.is_worse)
        for arm in verdict_of(run).arms
    }


def _finding(state: State, depths: tuple[int, ...]) -> str:
    deepest = max(depths, default=0)
    return f"{state.value} at up to {deepest:,} tokens"


def _same(model: str, name: str, sha256: str | None) -> bool:
    """Whether a run was of this model: by hash where that costs nothing, a file's remembered hash included."""
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
