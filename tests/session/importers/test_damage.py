"""No file, however damaged, ends in anything but a transcript and counts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvassay.session.importers import IMPORTERS, load, sessions_in
from kvassay.session.transcript import collected
from kvassay.types import JsonValue
from session.importers import test_chat as chat
from session.importers import test_claude_code as claude_code
from session.importers import test_codex as codex
from session.importers import test_openhands as openhands
from session.importers import test_pi as pi
from session.importers import test_qwen_code as qwen_code
from session.importers import test_swe_agents as swe_agents

SAMPLES: dict[str, list[object]] = {
    "pi": [pi.HEAD, pi.message("user", "one"), pi.message("assistant", [{"type": "text", "text": "x"}])],
    "claude-code": [*claude_code.tree(claude_code.user("one"), claude_code.block("m", claude_code.use("c", "a")))],
    "codex": [codex.META, codex.USER, codex.CALL],
    "qwen-code": [*qwen_code.records()],
    "openhands": [*openhands.NEWER],
    "chat": [*chat.CHAT],
    "request": [{"model": "m", "input": chat.RESPONSES, "tools": [chat.TOOL]}],
    "swe-agent": [swe_agents.trajectory(swe_agents.SYSTEM, swe_agents.USER)],
    "mini-swe-agent": [swe_agents.mini(swe_agents.SYSTEM, swe_agents.USER)],
}
WRONG: tuple[JsonValue, ...] = (None, True, -1, 1e300, "", "x", [], [None], [[]], {}, {"type": 1}, {"role": []})


def broken(value: JsonValue, rng: random.Random) -> JsonValue:
    """The value with something else somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        return {**value, key: broken(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        return [*value[:at], broken(value[at], rng), *value[at + 1 :]]
    return rng.choice(WRONG)


@pytest.mark.parametrize("agent", IMPORTERS)
@given(rng=st.randoms(use_true_random=False), sample=st.sampled_from(sorted(SAMPLES)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_wrong_value_anywhere_is_no_crash(tmp_path: Path, agent: str, rng: random.Random, sample: str) -> None:
    """Whatever importer reads whatever file."""
    lines = [broken(line, rng) if rng.random() < 0.6 else line for line in SAMPLES[sample]]  # type: ignore[arg-type]
    path = tmp_path / "file.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for source in IMPORTERS[agent].sessions(path):
        collected(agent, path, source.read())


@pytest.mark.parametrize("sample", sorted(SAMPLES))
@pytest.mark.parametrize("cut", [lambda raw: raw[: len(raw) // 2], lambda raw: raw.replace(b"e", b"\xff", 9)])
def test_a_cut_or_scratched_file_is_read_as_far_as_it_goes(
    tmp_path: Path, sample: str, cut: Callable[[bytes], bytes]
) -> None:
    """Detection may give up on it; reading may not fail."""
    path = tmp_path / "file"
    path.write_bytes(cut("".join(f"{json.dumps(line)}\n" for line in SAMPLES[sample]).encode()))
    for source in sessions_in(path):
        load(source)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"SQLite format 3\0" + b"x" * 200, b"hello\n", b"\xef\xbb\xbf"])
def test_other_files_are_no_sessions(tmp_path: Path, content: bytes) -> None:
    """Empty, binary, a database in name only, prose."""
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    assert list(sessions_in(path)) == []
