"""Real agents through the guard to embedded llama.cpp: the whole way that a user's turn takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guard.agents import AGENTS, Agent, Ran
from guard.test_guard import guarded, turns_seen
from kvassay.backend import make
from kvassay.backend.llama_http import LlamaBoot
from kvassay.guard.turn_event import TurnEvent
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig

pytestmark = [pytest.mark.real, pytest.mark.agents, pytest.mark.timeout(1200)]

PAIR = KVConfig("f16", "f16")  # the quickest on a CPU: OpenClaw waits two minutes for its first word


async def asked(agent: Agent, folder: Path, port: int) -> tuple[Ran, list[TurnEvent]]:
    """One prompt; the turns that the guard saw."""
    async with guarded(port, kv=str(PAIR)) as guard:
        ran = await agent.prompted(folder, f"http://127.0.0.1:{guard.listen.port}", "Read settings.py.", small=True)
        await turns_seen(guard, 1)
        return ran, [turn for strip in guard.tally.sessions.values() for turn in strip]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_an_agents_turns_are_answered_graded_and_measured(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "settings.py").write_text("DEBUG = True\n", encoding="utf-8")
    model = resolve("smollm2-135m").path
    with make("embedded", model_path=model, threads=2, model_sha256="abc").open(Arm(PAIR), context_tokens=8192) as boot:
        assert isinstance(boot, LlamaBoot)
        ran, turns = asyncio.run(asked(agent, tmp_path, boot._client.base_url.port or 0))
    assert {turn.status for turn in turns} == {200}, (turns, ran.shown[-2000:])
    assert all(turn.complete or turn.cancelled for turn in turns)  # agents lose patience with a machine that is busy
    whole = [turn for turn in turns if turn.complete]
    assert whole, (turns, ran.shown[-2000:])
    for turn in whole:
        assert (turn.streamed, turn.kv) == (True, "f16/f16")
        assert turn.depth_tokens is not None
        assert turn.depth_tokens > 100
        assert turn.outcome  # what so small a model says is its own business; that it is judged is ours
