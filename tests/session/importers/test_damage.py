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
from kvassay.session.listing import overviews
from kvassay.session.transcript import collected
from kvassay.types import JsonValue
from session.importers import test_chat as chat
from session.importers import test_claude_code as claude_code
from session.importers import test_codex as codex
from session.importers import test_openhands as openhands
from session.importers import test_pi as pi
from session.importers import test_qwen_code as qwen_code
from session.importers import test_swe_agents as swe_agents
from session.importers.files import jsonl, oddities, only, said

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
NUMBERS = (-1, 1e300, float("inf"), float("nan"), 10**30, 10**400)
WRONG: tuple[JsonValue, ...] = (None, True, *NUMBERS, "", "x", [], [None], [[]], {}, {"type": 1}, {"role": []})


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


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_counts_nothing_is_none(tmp_path: Path, number: float) -> None:
    """Tokens and times that no agent means, in a list too, which writes times as dates."""
    usage = {"input": number, "output": 7, "cacheRead": 0, "cacheWrite": 0}
    entry = pi.message("assistant", [{"type": "text", "text": "x"}], usage=usage)
    seen = next(overviews([jsonl(tmp_path, pi.HEAD, {**entry, "timestamp": number})]))
    assert (seen.turns, seen.damaged) == (1, 0)
    assert seen.ended_s == seen.started_s  # the header's


@pytest.mark.parametrize("levels", [199, 300, 700, 950, 100_000])
@pytest.mark.parametrize("half", ["", ',"b":"\\ud83d"'])
def test_what_is_nested_too_deeply_is_damage(tmp_path: Path, levels: int, half: str) -> None:
    """Readers that call themselves would fail on it, later and elsewhere."""
    inner = f"{'[' * levels}{']' * levels}"
    call = f'{{"type":"toolCall","id":"c","name":"read","arguments":{{"a":{inner}{half}}}}}'
    line = f'{{"type":"message","id":"m","parentId":null,"message":{{"role":"assistant","content":[{call}]}}}}'
    found = only(jsonl(tmp_path, pi.HEAD, line))
    assert oddities(found) == {"not JSON": 1}
    document = tmp_path / "chat.json"
    document.write_text(json.dumps([chat.CHAT[0], {"role": "user", "content": "x"}])[:-1] + f",{inner}]")
    assert [count.kind for count in only(document).oddities] == ["damaged"]


def test_arguments_nested_too_deeply_are_poisoned(tmp_path: Path) -> None:
    """They are a string of their own, inside a line that is fine."""
    function = {"name": "read", "arguments": f'{{"a":{"[" * 500}{"]" * 500}}}'}
    turn = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": function}]}
    (_, asked) = said(only(jsonl(tmp_path, {"role": "user", "content": "x"}, turn)))
    assert [call.id for call in asked.poisoned] == ["c"]
