"""A run's trials as flat rows, for other people's tools: JSONL, or Parquet with the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from kvassay.assay.codec import dump, storable
from kvassay.assay.stored import StoredRun
from kvassay.errors import ConfigError, StoreError
from kvassay.extras import install_line
from kvassay.types import JsonObject, Timings, Trial

ROWS_PER_GROUP = 1000
COLUMNS: dict[str, str] = {
    "run": "int64", "family": "string", "level": "int64", "seed": "int64",
    "arm": "string", "depth": "int64", "probe": "string", "channel": "string", "boot": "int64",
    "outcome": "string", "correct": "bool", "detail": "string", "edit_distance": "int64",
    "text": "string", "content": "string", "calls": "string", "dialect": "string", "stop": "string",
    "cached_tokens": "int64", "processed_tokens": "int64", "prompt_ms": "double",
    "predicted_tokens": "int64", "predicted_ms": "double", "wall_s": "double",
    "prompt_tokens": "int64", "prompt_sha256": "string",
}  # fmt: skip
"""The columns of a row and their Arrow types; ``calls`` is JSON."""


def rows(run: StoredRun) -> Iterator[JsonObject]:
    """One flat row per trial. Times in ms (``wall_s`` in seconds), counts in tokens; None where nothing was counted."""
    if run.record.manifest.design.in_loops:
        raise ConfigError(
            f"run {run.record.id} is of closed loops, which are no trials",
            hint="'kvassay report' writes all its turns into loops.json.",
        )
    traits = {(p.depth, p.probe.id): (p.probe.family, p.probe.level, p.probe.seed) for p in run.probes()}
    for trial in run.trials():
        family, level, seed = traits[trial.key.depth, trial.key.probe]
        yield {"run": run.record.id, "family": family, "level": level, "seed": seed, **_row(trial)}


def _row(trial: Trial) -> JsonObject:
    counts = dict.fromkeys(Timings.__slots__) if trial.timings is None else asdict(trial.timings)
    return {
        **asdict(trial.key),
        "boot": trial.boot,
        "outcome": trial.outcome.kind.value,
        "correct": trial.outcome.correct,
        "detail": trial.outcome.detail,
        "edit_distance": trial.outcome.edit_distance,
        "text": storable(trial.turn.text),
        "content": storable(trial.turn.content),
        "calls": dump([asdict(call) for call in trial.turn.calls]),
        "dialect": trial.turn.dialect,
        "stop": trial.turn.stop.value,
        **counts,
        "wall_s": trial.wall_s,
        "prompt_tokens": trial.prompt_tokens,
        "prompt_sha256": trial.prompt_sha256,
    }


def to_jsonl(run: StoredRun, path: Path) -> int:
    """Write one JSON object a line; the number of rows. Raises StoreError."""
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for count, row in enumerate(rows(run), 1):  # noqa: B007  the last count is the result
                file.write(dump(row) + "\n")
    except OSError as error:
        raise _unwritable(path, error) from None
    return count


def to_parquet(run: StoredRun, path: Path) -> int:
    """Write a Parquet file, group by group; the number of rows. Raises ConfigError without pyarrow, StoreError."""
    try:
        import pyarrow as pa  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise ConfigError("Parquet needs pyarrow", hint=install_line("parquet")) from None
    schema = pa.schema([(name, pa.type_for_alias(alias)) for name, alias in COLUMNS.items()])
    count = 0
    try:
        with parquet.ParquetWriter(path, schema) as writer:
            for group in _groups(rows(run)):
                writer.write_table(pa.Table.from_pylist(group, schema))
                count += len(group)
    except OSError as error:
        raise _unwritable(path, error) from None
    return count


def _groups(all_rows: Iterator[JsonObject]) -> Iterator[list[JsonObject]]:
    while group := list(islice(all_rows, ROWS_PER_GROUP)):
        yield group


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{str(path)!r} can't be written: {error.strerror or error}", hint="Choose another --out.")
