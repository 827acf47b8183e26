"""kill -9 of the guard under traffic: every turn whose reply the client has in full is in the store."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from guard.turns import answer, ask, sized
from guard.wires import CHUNKED, Heard, post, scripted
from kvassay.guard.store import read_events

CHAT = "/v1/chat/completions"
CLIENTS = 4
GOOD = answer("read_file", '{"path": "src/a.py"}')
STREAM = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "Fine."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)
END = b"0\r\n\r\n"


async def reply(heard: Heard, writer: asyncio.StreamWriter) -> None:
    """A plain reply, or one event and the end of a stream a little later."""
    if b'"stream": true' not in heard.body:
        writer.write(sized(GOOD))
        return
    writer.write(CHUNKED + b"%x\r\n%s\r\n" % (len(STREAM), STREAM))
    await asyncio.sleep(0.002)
    writer.write(END)


async def ask_on(port: int, client: int, answered: list[str]) -> None:
    """Ask until the connection breaks; ``answered`` are the sessions, one a request, whose replies came in full."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(10**6):
            session, streamed = f"client-{client}-{number}", number % 2 == 1
            user = "Read src/a.py. " * random.choice((1, 2000))  # noqa: S311  no secret
            body = ask(user=user, stream=streamed)
            writer.write(post(CHAT, body, f"X-Session-Affinity: {session}", close=False))
            await reader.readuntil(END if streamed else GOOD)
            answered.append(session)


async def killed_in_traffic(store: Path, after_s: float, *, at_work: bool) -> list[str]:
    """The sessions that were answered in full before a guard was killed; its watching process, which was ``at_work`` or
    may still have been starting, has ended.
    """
    answered: list[str] = []
    async with scripted(reply) as upstream:
        command = [sys.executable, "-m", "kvassay", "guard", "--upstream", f"http://127.0.0.1:{upstream.port}"]
        flags = ("--listen", "0", "--store", str(store), "--no-count-tokens")
        guard = await asyncio.create_subprocess_exec(*command, *flags, stdout=subprocess.PIPE)
        assert guard.stdout is not None
        port = int((await guard.stdout.readline()).rsplit(b":", 1)[1])
        clients = [asyncio.create_task(ask_on(port, client, answered)) for client in range(CLIENTS)]
        while len(answered) < CLIENTS or (at_work and not read_events(store, newest=1)):  # noqa: ASYNC110  what is waited for are other processes
            await asyncio.sleep(0.001)
        await asyncio.sleep(after_s)
        children = psutil.Process(guard.pid).children(recursive=True)
        guard.kill()
        await asyncio.gather(*clients, guard.wait())
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=60)
        assert not alive
    return answered


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("at_work", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_answered_turn_is_stored_though_the_guard_is_killed(tmp_path: Path, seed: int, *, at_work: bool) -> None:
    """But the one whose last bytes were being written: they may be out before the turn is handed over."""
    store = tmp_path / "g.sqlite"
    after_s = random.Random(seed).uniform(0, 2)  # noqa: S311  no secret
    answered = asyncio.run(killed_in_traffic(store, after_s, at_work=at_work))
    stored = [event.session for event in read_events(store, newest=10**6)]
    lost = set(answered) - set(stored)
    assert len(lost) <= 1, f"killed after {after_s:.3f} s: {len(lost)} of {len(answered)} turns are lost"
    assert len(stored) == len(set(stored))
