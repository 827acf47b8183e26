"""What is volatile in a result, and what tells two results apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.grade.volatile import settled


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 2026-11-24T23:55:21.123Z", "at 2025-01-02T03:04:05Z"),
        ("2026-11-24 23:55:21,123 INFO", "2026-11-25 00:00:00,001 INFO"),
        ("Tue Nov 24 23:55:21 UTC 2026", "Wed Dec  2 01:02:03 UTC 2026"),
        ("[12:00:01] ok", "[12:00:59] ok"),
        ("ts=1763681581544", "ts=1763681999000"),
        ("3 passed in 0.12s", "3 passed in 14.02s"),
        ("took 1m 32s", "took 45s"),
        ("elapsed: 12", "elapsed: 900"),
        ("elapsed: 00:01:23", "elapsed: 01:12:03"),
        ("real 0m1.234s", "real 2m13.004s"),
        ("Finished in 1m23s", "Finished in 41s"),
        ("# duration_ms 12.5", "# duration_ms 807"),
        ("  duration_ms: 0.4", "  duration_ms: 31"),
        ("_logs/2026-11-28T22_10_07_123Z-debug-0.log", "_logs/2026-11-29T01_02_03_004Z-debug-0.log"),
        ("run-20261128T221003Z", "run-20261129T010203Z"),
        ("pid 4242 started", "pid 7 started"),
        ("[1] PID=311", "[1] PID=90000"),
        ("http://localhost:3000/x", "http://localhost:41233/x"),
        ("listening on port 8080", "listening on port 9090"),
        ("<obj at 0x7f3a2c1d>", "<obj at 0x55d0aa10ff>"),
        ("/tmp/tmpab12/x.log", "/tmp/tmpzz99/x.log"),  # noqa: S108
        ("/var/folders/ab/T/x", "/var/folders/cd/T/y"),
        ("id 0b6f2f3e-1c4d-4c2a-9d4e-000000000001", "id ffffffff-1c4d-4c2a-9d4e-000000000002"),
    ],
)
def test_volatile_fields_settle_to_the_same(one: str, other: str) -> None:
    assert settled(one) == settled(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exit code 1", "exit code 2"),
        ("line 12: error", "line 13: error"),
        ("3 failed", "2 failed"),
        ("src/a.py", "src/b.py"),
        ("x = 5", "x = 6"),
        ("version 1.2.3", "version 1.2.4"),
        ("May be 3 files", "May be 4 files"),
        ("total 128", "total 256"),
        ("time 5 items", "time 6 items"),
    ],
)
def test_what_tells_two_results_apart_stays(one: str, other: str) -> None:
    assert settled(one) != settled(other)


@given(st.text(max_size=80))
def test_settling_is_total(text: str) -> None:
    assert isinstance(settled(text), str)
