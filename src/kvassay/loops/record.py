"""Episodes to and from the store's rows."""

from __future__ import annotations

from dataclasses import asdict

from kvassay.assay.codec import dump, load_object
from kvassay.assay.records import EpisodeRow
from kvassay.grade.loops import Loop, LoopKind
from kvassay.loops.episode import Ending, Episode, Step
from kvassay.types import Call, JsonValue, OutcomeClass, Timings


def to_row(episode: Episode, *, arm: str, depth: int, boot: int) -> EpisodeRow:
    """An episode as the store keeps it."""
    body = dump({"steps": [asdict(step) for step in episode.steps], "missing": episode.missing})
    return EpisodeRow(arm, depth, episode.task, boot, episode.ending.done, episode.ending.value, body)


def from_row(row: EpisodeRow) -> Episode:
    """The inverse of to_row."""
    body = load_object(row.body)
    return Episode(row.task, Ending(row.ending), tuple(map(_step, _list(body["steps"]))), _texts(body["missing"]))


def _step(data: JsonValue) -> Step:
    assert isinstance(data, dict)  # noqa: S101  written by to_row
    timings = data["timings"]
    return Step(
        text=str(data["text"]),
        calls=tuple(Call(**call) for call in _list(data["calls"]) if isinstance(call, dict)),  # type: ignore[arg-type]
        replies=_texts(data["replies"]),
        outcome=OutcomeClass(str(data["outcome"])),
        detail=str(data["detail"]),
        failed=bool(data["failed"]),
        wrong=_texts(data["wrong"]),
        loops=tuple(_loop(loop) for loop in _list(data["loops"]) if isinstance(loop, dict)),
        recovered=bool(data["recovered"]),
        resent=bool(data["resent"]),
        timings=Timings(**timings) if isinstance(timings, dict) else None,  # type: ignore[arg-type]
        wall_s=float(str(data["wall_s"])),
    )


def _loop(data: dict[str, JsonValue]) -> Loop:
    return Loop(**{**data, "kind": LoopKind(str(data["kind"]))})  # type: ignore[arg-type]


def _list(value: JsonValue) -> list[JsonValue]:
    assert isinstance(value, list)  # noqa: S101  written by to_row
    return value


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(map(str, _list(value)))
