"""A scripted model that fails an agent in every way a proxy can see, one way a turn, and what the guard must say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from guard.agents import Agent
from guard.traffic import Said, stream
from guard.wires import CHUNKED, Heard
from kvassay.guard.contract import Api
from kvassay.types import JsonObject

TITLE_TOKENS = 7  # the size of prompts without tools: titles and summaries, no turns of the script
FILE = "settings.py"


class Step(NamedTuple):
    """One answer: the class the guard must give it (and the loop that its request must show), and the answer."""

    outcome: str
    text: str = ""
    calls: Said = ()
    status: int = 200
    loop: str = ""


@dataclass(slots=True)
class Script:
    """Answers requests with tools step by step; ``asked`` are the bodies of those requests."""

    steps: list[Step]
    asked: list[JsonObject] = field(default_factory=list)

    async def answer(self, heard: Heard, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        body: JsonObject = json.loads(heard.body) if heard.body else {}
        if not body.get("tools"):
            writer.write(_streamed("A title.", (), TITLE_TOKENS) if body else _plain(404, {}))
            return
        self.asked.append(body)
        step = self.steps[min(len(self.asked), len(self.steps)) - 1]
        if step.status == 200:
            writer.write(_streamed(step.text, step.calls, len(heard.body) // 4, number=len(self.asked)))
        else:
            writer.write(_plain(step.status, {"error": {"code": step.status, "message": step.text, "type": "error"}}))


def _plain(status: int, body: JsonObject) -> bytes:
    raw = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(raw), raw)


def _streamed(text: str, calls: Said, prompt_tokens: int, *, number: int = 0) -> bytes:
    raw = stream(Api.CHAT, text, calls).replace(b'"prompt_tokens": 1200', b'"prompt_tokens": %d' % prompt_tokens)
    raw = raw.replace(b'"cached_tokens": 1000', b'"cached_tokens": 0').replace(
        b'"id": "c0"', b'"id": "call%d"' % number
    )
    return CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw)


def failures(agent: Agent, folder: Path) -> Iterator[Step]:
    """M1 to M10 as far as they are no end of the run, each followed by a turn that is fine; then the loops L1 to L3; at
    last a call in the text, after which an agent has nothing to do.
    """
    path = str(folder / FILE)
    read, parameter = agent.read
    fine = _fine(agent)
    yield Step("correct", calls=(_call(read, {parameter: path}),))
    for step in (
        Step("M1", calls=((read, f'{{"{parameter}": "{path[:-4]}'),)),
        Step("M3", calls=(_call(f"{read}_x", {parameter: path}),)),
        Step("M4", calls=(_call(agent.edit(path, "", "")[0], {parameter: path}),)),
        Step("M5", calls=(_call(read, {parameter: path, "offset": "three"}),)),
        Step("M6", calls=(_call(read, {parameter: path, "colour": "red"}),)),
        Step("M7", calls=((read, "{}"),)),
        Step("M8", calls=(_call(*agent.edit(path, "NOWHERE = True", "NOWHERE = False")),)),
        Step("M9", calls=(_call(read, {parameter: path.replace("settings", "setings")}),)),
        Step("M10", text="I will read the file now. " * 30, calls=((read, "{}"),)),
    ):
        yield step
        yield next(fine)._replace(loop="L4" if step.outcome in agent.asks_again else "")
    yield from _loops(agent, path, fine)
    leaked = json.dumps({"name": read, "arguments": {parameter: path}})
    yield Step("M2", text=f"<tool_call>\n{leaked}\n</tool_call>", loop="L3")


def refusals(agent: Agent, folder: Path) -> Iterator[Step]:
    """A turn that is fine; an answer that the server lost; a schema that it refuses, for ever."""
    read, parameter = agent.read
    yield Step("correct", calls=(_call(read, {parameter: str(folder / FILE)}),))
    yield Step("P2", text="Failed to parse input at pos 12", status=500)
    yield Step("P1", text="Failed to parse grammar: unexpected end of input", status=400)


def _loops(agent: Agent, path: str, fine: Iterator[Step]) -> Iterator[Step]:
    read, parameter = agent.read
    for _ in range(3):
        yield Step("correct", calls=(_call(read, {parameter: path}),))
    yield next(fine)._replace(loop="L1")
    for name in ("a", "b", "c"):
        yield Step("correct", calls=(_call(*agent.run(f"cat /nowhere/{name}")),))
    yield next(fine)._replace(loop="L2")
    for turn in range(6):
        yield Step("correct", calls=(_call(*agent.run(f"echo {'ab'[turn % 2]}")),))


def _fine(agent: Agent) -> Iterator[Step]:
    number = 0
    while True:
        number += 1
        yield Step("correct", calls=(_call(*agent.run(f"echo fine {number}")),))


def _call(name: str, arguments: JsonObject) -> tuple[str, str]:
    return name, json.dumps(arguments)
