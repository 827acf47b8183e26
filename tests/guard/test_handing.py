"""A stored turn as a session's file that `kvassay replay` reads, and why some turns can't be asked again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from guard.traffic import PATHS, Talk, stream
from guard.turns import exchange
from kvassay.cli.guard import guard
from kvassay.guard.contract import Api
from kvassay.guard.handing import Handed, hand_over
from kvassay.guard.watcher import begun
from kvassay.guard.watching import WatchSettings
from kvassay.probe.replay import askable
from kvassay.session.history import Room, moments
from kvassay.session.importers import choose, load

WRONG = ("edit", '{"path": "a.py", "old_string": "nowhere", "new_string": "x"}')


def stored(folder: Path, api: Api, *calls: tuple[str, str], text: str = "", keep_bodies: bool = True) -> Path:
    """A store that holds one turn: two earlier ones in its history, and this answer."""
    talk = Talk().calls("read", {"path": "a.py"}, "x = 1").says("One more.").calls("bash", {"command": "ls"}, "a.py")
    body = json.dumps(talk.body(api)).encode()
    watcher = begun(WatchSettings(folder / "g.sqlite", keep_bodies=keep_bodies, kv="q4_0/q4_0"))
    watcher.watch(exchange(body, stream(api, text, calls), path=PATHS[api]))
    return folder / "g.sqlite"


def handed(folder: Path, api: Api, *calls: tuple[str, str], text: str = "") -> Handed:
    return hand_over(stored(folder, api, *calls, text=text), 1)


@pytest.mark.parametrize("api", tuple(Api))
def test_the_answer_stands_at_the_sessions_end_and_the_command_names_it(tmp_path: Path, api: Api) -> None:
    turn = handed(tmp_path, api, WRONG, text="Let me see.")
    (tmp_path / turn.name).write_text(turn.text, encoding="utf-8")
    last = list(askable(moments(load(choose(tmp_path / turn.name)), Room(1 << 60, lambda _: 0))))[-1]
    assert turn.command == f"kvassay replay turn-1.json --turn {last.number} --kv q4_0/q4_0 MODEL"
    (call,) = last.said.message.tool_calls
    assert (call.name, call.arguments["old_string"]) == ("edit", "nowhere")
    assert last.said.message.content == "Let me see."
    assert [said.name for message in last.history for said in message.tool_calls] == ["read", "bash"]
    assert {tool.name for tool in load(choose(tmp_path / turn.name)).tools or ()} == {
        "read",
        "edit",
        "bash",
        "tool_call",
    }


@pytest.mark.parametrize(
    ("calls", "why"),
    [((), "its answer holds no call"), ((("edit", '{"path": "a'),), "its answer did not end in well-formed calls")],
)
@pytest.mark.parametrize("api", tuple(Api))
def test_a_turn_that_replay_would_refuse_gets_no_command(
    tmp_path: Path, api: Api, calls: tuple[tuple[str, str], ...], why: str
) -> None:
    turn = handed(tmp_path, api, *calls, text="Well.")
    assert (turn.command, turn.why_not) == ("", why)


def test_one_command_saves_a_turn_and_says_how_to_ask_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(tmp_path, Api.CHAT, WRONG)
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(guard, ["--save-turn", "1", "--store", str(store)])
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines() == [
        "wrote turn-1.json",
        "kvassay replay turn-1.json --turn 4 --kv q4_0/q4_0 MODEL",
    ]
    assert load(choose(tmp_path / "turn-1.json")).tools


@pytest.mark.parametrize(
    ("number", "keep", "said"),
    [("7", True, "holds no turn 7"), ("1", False, "keeps no bodies of turn 1"), ("1", True, "can't be written")],
)
def test_what_can_not_be_saved_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, said: str, *, keep: bool
) -> None:
    store = stored(tmp_path, Api.CHAT, WRONG, keep_bodies=keep)
    (tmp_path / "turn-1.json").touch()
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(guard, ["--save-turn", number, "--store", str(store)])
    assert ran.exit_code != 0
    assert said in str(ran.exception)
