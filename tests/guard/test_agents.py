"""Real agents through the guard, in front of a model that fails in every way: what agent, guard and page make of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from guard.agents import AGENTS, Agent, Ran
from guard.misbehaving import FILE, TITLE_TOKENS, Script, failures, refusals
from guard.test_guard import guarded, page, turns_seen
from guard.wires import Heard, scripted
from kvassay.guard.store import read_turn
from kvassay.guard.turn_event import TurnEvent
from kvassay.types import JsonObject

pytestmark = [pytest.mark.agents, pytest.mark.timeout(1200)]


class Seen(NamedTuple):
    """A run's end, the turns as the guard told them (titles left out), its page's data and metrics, what came up."""

    ran: Ran
    turns: list[TurnEvent]
    state: JsonObject
    metrics: str
    heard: list[Heard]


async def watched(agent: Agent, folder: Path, script: Script) -> Seen:
    """Give the agent one prompt, through a guard that keeps bodies."""
    file = folder / "work" / FILE
    file.parent.mkdir()
    file.write_text("DEBUG = True\nTIMEOUT_S = 30\n", encoding="utf-8")
    options: dict[str, object] = {"store": folder / "g.sqlite", "keep_bodies": True, "kv": "q4_0/q4_0"}
    async with scripted(script.answer) as upstream, guarded(upstream.port, **options) as guard:
        ran = await agent.prompted(folder, f"http://127.0.0.1:{guard.listen.port}", f"Set the timeout in {file} to 60.")
        asked = [heard for heard in upstream.heard if heard.body]
        await turns_seen(guard, len(asked))
        state, metrics = (await page(guard, "state.json"))[1], (await page(guard, "metrics"))[1]
    seen = sorted((turn for strip in guard.tally.sessions.values() for turn in strip), key=lambda turn: turn.at_s)
    turns = [turn for turn in seen if turn.prompt_tokens != TITLE_TOKENS]
    return Seen(ran, turns, json.loads(state), metrics.decode(), asked)


def results(script: Script) -> list[str]:
    """What the agent told the model after each of its answers."""
    asked = [cast("list[JsonObject]", body["messages"]) for body in script.asked]
    return [str([m["content"] for m in messages if m["role"] == "tool"][-1:]) for messages in asked[1:]]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_every_failure_of_a_model_is_told_by_its_class_and_the_agent_goes_on_to_its_end(
    agent: Agent, tmp_path: Path
) -> None:
    steps = list(failures(agent, tmp_path / "work"))
    script = Script(steps)
    seen = asyncio.run(watched(agent, tmp_path, script))
    said = list(zip(steps, seen.turns, strict=False))
    for turn, (step, told) in enumerate(said):
        assert told.outcome == step.outcome, (turn, told.detail, results(script)[turn - 1 : turn + 1])
        assert step.loop in ("", *(loop[:2] for loop in told.loops)), (turn, step.loop, told.loops)
        assert told.loops == () or step.loop, (turn, told.loops)
    assert len(seen.turns) == len(steps), seen.ran.shown[-2000:]
    assert seen.ran.status == 0, seen.ran.shown[-2000:]
    assert agent.of_a_leak in seen.ran.shown

    # the guard's own words: the page, its metrics, the strip of one session
    expected = Counter(step.outcome for step in steps)
    classes = cast("list[dict[str, object]]", seen.state["classes"])
    assert {item["outcome"]: item["n"] for item in classes} == {
        kind: n for kind, n in expected.items() if kind.startswith("M")
    }
    assert len({turn.session for turn in seen.turns}) == 1
    assert sum(turn.recovered for turn in seen.turns) == sum(kind.startswith("M") for kind in expected) - 1
    for loop in {step.loop for step in steps} - {""}:
        assert f'kvassay_guard_loops_total{{kind="{loop}"}} ' in seen.metrics  # requests without tools show it too

    # nothing was changed on its way up: what the guard got from the agent is what the server got
    for turn, heard in zip(seen.turns, [h for h in seen.heard if json.loads(h.body).get("tools")], strict=True):
        found = read_turn(tmp_path / "g.sqlite", turn.id)
        assert found is not None
        assert found[1] is not None
        assert len(heard.body) == turn.request_bytes
        assert json.loads(found[1].request)["messages"][0] == json.loads(heard.body)["messages"][0]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_a_servers_errors_are_told_apart_from_the_models_failures(agent: Agent, tmp_path: Path) -> None:
    seen = asyncio.run(watched(agent, tmp_path, Script(list(refusals(agent, tmp_path / "work")))))
    outcomes = [turn.outcome for turn in seen.turns]
    assert outcomes[:3] == ["correct", "P2", "P1"], seen.ran.shown[-2000:]
    assert set(outcomes[3:]) <= {"P1"}
    assert seen.state["classes"] == []  # none of it is the model's
    assert [loop[:2] for loop in seen.turns[2].loops] == (["L4"] if "P2" in agent.asks_again else [])
    assert "400" in seen.ran.shown or "Failed to parse grammar" in seen.ran.shown
