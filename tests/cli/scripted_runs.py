"""Running the command line over the scripted back end, and looking into its store meanwhile."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("scripted_cli.py")
ATTACH = ["--attach", "f16/f16=http://a", "--attach", "q8_0/q8_0=http://b", "--attach", "f16/f16=http://c"]
CASES, TRIALS = 8, 24


def suite(folder: Path) -> Path:
    """Eight stand-alone cases."""
    tool = {"name": "get", "description": "Get a number", "parameters": {
        "type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}}  # fmt: skip
    lines = [
        {"id": f"case-{n}", "messages": [{"role": "user", "content": f"Get number {n}."}],
         "tools": [{"type": "function", "function": tool}], "expected": [[{"name": "get", "arguments": {"id": [n]}}]]}
        for n in range(CASES)
    ]  # fmt: skip
    path = folder / "cases.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def command(folder: Path, *args: object, delay_s: float = 0.0) -> list[str]:
    """The command line of one scripted kvassay whose output goes to ``folder``."""
    return [sys.executable, str(HARNESS), str(suite(folder)), str(delay_s), *map(str, args), "--out", str(folder)]


def new_run(folder: Path) -> list[str]:
    """The arguments of a run of TRIALS trials."""
    return [
        "run",
        *ATTACH,
        "--suite",
        str(suite(folder)),
        "--channels",
        "raw",
        "--stopping",
        "fixed",
        "--evidence",
        "0",
    ]


def finish(folder: Path, *args: object) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(command(folder, *args), capture_output=True, text=True, timeout=60, check=False)


def start(folder: Path, *args: object, delay_s: float = 0.2) -> subprocess.Popen[str]:
    """A run under way, in a session of its own as under a terminal, with at least three trials stored."""
    child = subprocess.Popen(
        command(folder, *args, delay_s=delay_s),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(rows(folder)) < 3:
        if child.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"no trial was stored in time:\n{child.communicate()[0]}")
        time.sleep(0.05)
    return child


def rows(folder: Path) -> set[tuple[object, ...]]:
    """Every stored trial, whole."""
    return set(query(folder, "select * from trials"))


def query(folder: Path, sql: str) -> list[tuple[object, ...]]:
    """Read the store beside whoever writes it; nothing where there is none yet."""
    path = folder / "kvassay.sqlite"
    if not path.exists():
        return []
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
            return db.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []
