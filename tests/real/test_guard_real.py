"""The guard in front of embedded llama.cpp: every reply is the one that a direct client gets, headers included."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.wires import dechunked, get, guarding, post
from kvassay.backend import make
from kvassay.backend.base import Boot
from kvassay.backend.llama_http import LlamaBoot
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig

pytestmark = pytest.mark.real

TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
ASK = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 12, "temperature": 0, "seed": 1}
# Numbers and names that differ from one request to the next, guard or no guard.
VOLATILE = re.compile(
    rb'"(?:id|item_id|created|created_at|completed_at|t_[a-z_]+|[a-z_]+_ms|[a-z_]+_per_second|cache_n|prompt_n|cached_tokens)"'
    rb':\s*(?:"[^"]*"|[\d.e+-]+)|(?:chatcmpl-|msg_|resp_|rs_|call_|fc_)?[A-Za-z0-9]{32}'
)


def wire(body: dict[str, object], **more: object) -> bytes:
    return json.dumps({**body, **more}).encode()


REQUESTS = {
    "models": get("/v1/models", close=False),
    "health": get("/health", close=False),
    "not found": get("/v1/nothing", close=False),
    "head": get("/health", close=False, method="HEAD"),
    "chat": post("/v1/chat/completions", wire(ASK), close=False),
    "chat streamed": post("/v1/chat/completions", wire(ASK, stream=True), close=False),
    "chat with a tool": post("/v1/chat/completions", wire(ASK, tools=[TOOL], stream=True), close=False),
    "responses": post("/v1/responses", wire({"input": "Hi", "max_output_tokens": 12, "temperature": 0}), close=False),
    "responses streamed": post(
        "/v1/responses", wire({"input": "Hi", "max_output_tokens": 12, "temperature": 0}, stream=True), close=False
    ),
    "messages streamed": post("/v1/messages", wire(ASK, stream=True), close=False),
    "completion": post("/completion", wire({"prompt": "a b c", "n_predict": 8, "temperature": 0}), close=False),
    "tokenize": post("/tokenize", wire({"content": "hello there"}), close=False),
    "broken JSON": post("/v1/chat/completions", b'{"messages": [', close=False),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """One running server."""
    model: Path = resolve("smollm2-135m").path
    arm = Arm(KVConfig("f16", "f16"))
    with make("embedded", model_path=model, threads=2, model_sha256="abc").open(arm, context_tokens=2000) as boot:
        yield _port(boot)


def _port(boot: Boot) -> int:
    assert isinstance(boot, LlamaBoot)
    port = boot._client.base_url.port
    assert port
    return port


async def reply(port: int, sent: bytes) -> tuple[list[bytes], bytes]:
    """A reply's head, without the lines of one connection, and its body without framing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
    if sent.startswith(b"HEAD"):
        body = b""
    elif b"transfer-encoding: chunked" in head.lower():
        body = await dechunked(reader)
    else:
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
    writer.close()
    own = (b"keep-alive:", b"connection:", b"transfer-encoding:", b"content-length:")
    return [line for line in head.split(b"\r\n") if not line.lower().startswith(own)], body


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_guarded_reply_is_the_direct_reply(port: int, sent: bytes) -> None:
    async def scenario() -> None:
        async with guarding(port) as guard:
            await reply(port, sent)  # the prompt cache is warm for both
            head, body = await reply(port, sent)
            guarded_head, guarded_body = await reply(guard.port, sent)
            assert guarded_head == head
            assert VOLATILE.sub(b"", guarded_body) == VOLATILE.sub(b"", body)
            exchange = (await guard.recorded())[0]
            assert exchange.reply == guarded_body
            assert exchange.complete

    asyncio.run(scenario())


def test_a_client_that_goes_away_frees_the_servers_slot(port: int) -> None:
    """After the client of an endless answer has gone, the server takes the next request at once."""

    async def scenario() -> None:
        async with guarding(port) as guard:
            reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
            endless = {"prompt": "a", "n_predict": -1, "ignore_eos": True, "stream": True}
            writer.write(post("/completion", wire(endless), close=False))
            await reader.readuntil(b"data: ")
            writer.transport.abort()
            async with asyncio.timeout(20):
                while True:
                    _, body = await reply(guard.port, get("/slots", close=False))
                    if not any(slot["is_processing"] for slot in json.loads(body)):
                        break
                    await asyncio.sleep(0.05)

    asyncio.run(scenario())
