"""Confusable: the request names no tool, and several similar ones with differently named parameters are at hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kvassay.probe.base import LEVELS, Family, call_probe, dice, exactly
from kvassay.session.scene import Scene
from kvassay.session.tools import TOOLS
from kvassay.types import JsonValue, Probe

_NAME = "confusable"


@dataclass(frozen=True, slots=True)
class _Case:
    """A request with ``{slots}``, the one tool that does it, and which slot goes into which parameter."""

    level: int
    request: str
    tool: str
    slots: Mapping[str, str]
    fixed: Mapping[str, JsonValue] = field(default_factory=dict)


# Level 1: the verb tells. Level 2: two tools act on the same kind of thing. Level 3: the nearest neighbour is ruled
# out by half a sentence.
_CASES = (
    _Case(1, "Show lines {start} to {end} of the file {path}.", "read_file",
          {"file_path": "path", "start_line": "start", "end_line": "end"}),
    _Case(1, "List the directory {folder} to a depth of {few}.", "list_dir", {"path": "folder", "depth": "few"}),
    _Case(1, "Show the ticket {ticket}.", "get_ticket", {"ticket": "ticket"}),
    _Case(1, "Stop the job {job}, with the reason `{reason}`.", "cancel_job", {"id": "job", "reason": "reason"}),
    _Case(1, "Search the files in {folder} for the text `{word}`, at most {count} results.", "search_text",
          {"pattern": "word", "path": "folder", "max_results": "count"}),
    _Case(1, "Create the file {new_path} with the content `{word}`.", "write_file",
          {"target_file": "new_path", "content": "word"}),
    _Case(2, "Show the state of the job {job}.", "job_status", {"job_id": "job"}),
    _Case(2, "Show the stderr log of the job {job}, the last {count} lines.", "job_logs",
          {"job_id": "job", "tail": "count"}, {"stream": "stderr"}),
    _Case(2, "Show the stdout log of the job {job}, the last {count} lines.", "job_logs",
          {"job_id": "job", "tail": "count"}, {"stream": "stdout"}),
    _Case(2, "Set the ticket {ticket} to blocked.", "update_ticket", {"ticket": "ticket"}, {"status": "blocked"}),
    _Case(2, "Set the ticket {ticket} to done.", "update_ticket", {"ticket": "ticket"}, {"status": "done"}),
    _Case(2, "Find where the class `{word}` is defined.", "find_symbol", {"query": "word"}, {"kind": "class"}),
    _Case(3, "Which tickets are open? I want the list, not a single one.", "list_open", {}, {"what": "tickets"}),
    _Case(3, "Which jobs are there now? I want the list, not the state of one.", "list_open", {}, {"what": "jobs"}),
    _Case(3, "Is the job {job} still running? Its log is not needed.", "job_status", {"job_id": "job"}),
    _Case(3, "Find where the function `{word}` is defined; uses of it don't matter.", "find_symbol",
          {"query": "word"}, {"kind": "function"}),
    _Case(3, "Search the contents of {folder} for `{word}`: uses of it, not its definition; {count} results will do.",
          "search_text", {"pattern": "word", "path": "folder", "max_results": "count"}),
    _Case(3, "End the job {job} and give `{reason}` as the reason.", "cancel_job", {"id": "job", "reason": "reason"}),
    _Case(3, "Overwrite the whole file {path} with the content `{word}`.", "write_file",
          {"target_file": "path", "content": "word"}),
)  # fmt: skip

_WORDS = (
    "RetryQueue",
    "parse_header",
    "SocketPool",
    "read_chunk",
    "TokenCache",
    "flush_all",
    "LineBuffer",
    "open_pipe",
)
_REASONS = ("superseded", "wrong branch", "out of date", "takes too long")


def _make(scene: Scene, seed: int, level: int) -> Probe | None:
    if scene.tools != TOOLS:  # the requests are written for the differences between our own tools
        return None
    rng = dice(_NAME, seed)
    cases = [case for case in _CASES if case.level == level]
    case = cases[seed // len(LEVELS) % len(cases)]  # each kind in turn: a run of few probes should see many
    values = _values(scene, rng)
    arguments: dict[str, JsonValue] = {name: values[slot] for name, slot in case.slots.items()}
    arguments |= case.fixed
    return call_probe(_NAME, seed, level, case.request.format_map(values), exactly(case.tool, arguments))


def _values(scene: Scene, rng: random.Random) -> dict[str, str | int]:
    path = rng.choice([view.path for view in scene.files])
    start = rng.randrange(2, 400)
    stem = PurePosixPath(path)
    return {
        "path": path,
        "folder": str(stem.parent),
        "new_path": str(stem.with_name(f"{stem.stem}_{rng.choice(('notes', 'draft', 'copy'))}{stem.suffix}")),
        "start": start,
        "end": start + rng.randrange(10, 90),
        "count": rng.randrange(5, 200),
        "few": rng.randrange(2, 6),
        "ticket": rng.choice(scene.known("ticket")).value,
        "job": rng.choice(scene.known("job")).value,
        "word": rng.choice(_WORDS),
        "reason": rng.choice(_REASONS),
    }


FAMILY = Family(_NAME, _make)
