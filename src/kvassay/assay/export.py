"""A run's trials as flat rows, for other people's tools: JSONL, or Parquet with the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from kvassay.assay.codec import dump
from kvassay.assay.store import StoredRun
from kvassay.errors import ConfigError, StoreError
from kvassay.types import JsonObject, Trial

ROWS_PER_GROUP = 1000


def rows(run: StoredRun) -> Iterator[JsonObject]:
    """One flat row per trial. Times in ms (``wall_s`` in seconds), counts in tokens."""
    probes = {(record.depth, record.probe.id): record.probe for record in run.probes()}
    for trial in run.trials():
        probe = probes[trial.key.depth, trial.key.probe]
        yield {"run": run.record.id, "family": probe.family, "level": probe.level, "seed": probe.seed, **_row(trial)}


def _row(trial: Trial) -> JsonObject:
    timings = asdict(trial.timings) if trial.timings else {}
    return {
        **asdict(trial.key),
        "boot": trial.boot,
        "outcome": trial.outcome.kind.value,
        "correct": trial.outcome.correct,
        "detail": trial.outcome.detail,
        "edit_distance": trial.outcome.edit_distance,
        "text": trial.turn.text,
        "content": trial.turn.content,
        "calls": dump([asdict(call) for call in trial.turn.calls]),
        "dialect": trial.turn.dialect,
        "stop": trial.turn.stop.value,
        **{name: timings.get(name) for name in
           ("cached_tokens", "processed_tokens", "prompt_ms", "predicted_tokens", "predicted_ms")},
        "wall_s": trial.wall_s,
        "prompt_tokens": trial.prompt_tokens,
        "prompt_sha256": trial.prompt_sha256,
    }  # fmt: skip


def to_jsonl(run: StoredRun, path: Path) -> int:
    """Write one JSON object a line; the number of rows. Raises StoreError."""
    count = 0
    try:
        with path.open("w", encoding="utf-8") as file:
            for count, row in enumerate(rows(run), 1):  # noqa: B007  the last count is the result
                file.write(dump(row) + "\n")
    except OSError as error:
        raise _unwritable(path, error) from None
    return count


def to_parquet(run: StoredRun, path: Path) -> int:
    """Write a Parquet file; the number of rows. Raises ConfigError without pyarrow, StoreError."""
    try:
        import pyarrow as pa  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise ConfigError("Parquet needs pyarrow", hint="pip install 'kvassay[parquet]'") from None
    data = list(rows(run))
    try:
        parquet.write_table(pa.Table.from_pylist(data), path, row_group_size=ROWS_PER_GROUP)
    except OSError as error:
        raise _unwritable(path, error) from None
    return len(data)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{str(path)!r} can't be written: {error.strerror or error}", hint="Choose another --out.")
