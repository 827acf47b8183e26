"""What the guard costs: direct, by a bare relay, the guard and the LiteLLM proxy, on one scripted upstream in one run.

    python benchmarks/guard.py [--rounds 5] [--litellm-venv DIR | --without-litellm]

The relay copies bytes and reads nothing: what it adds, any process in between adds. The LiteLLM proxy is installed into
a venv of its own. Rounds alternate between the ways, so that a busy machine is
busy for all. Upstream, proxy and load share the machine; times are on its one monotonic clock. The proxy's CPU time
is told beside them: it moves less with what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PLAIN, STREAMS, CHUNKS, LOAD_S, CONNECTIONS = 200, 4, 150, 2.0, 16
KEY = "sk-bench-0123456789abcdef0123456789abcdef"  # LiteLLM does not start without one
STAMP = re.compile(rb"t=(\d+);")
TOOL = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [
    {"type": "function", "function": {"name": f"tool_{n}", "description": "d " * 50, "parameters": TOOL}}
    for n in range(10)
]


def request(*, stream: bool) -> bytes:
    """A chat request of about 20 kB with ten tools."""
    messages = [{"role": "user", "content": "word " * 3000}]
    body = json.dumps({"model": "bench", "messages": messages, "tools": TOOLS, "stream": stream}).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
    )
    head = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}", ""))
    return head.encode() + body


# --------------------------------------------------------------------------- the upstream


def chunk(text: str, finish: str | None = None) -> bytes:
    """One event in HTTP's chunk framing."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": text} if text else {}, "finish_reason": finish}
    event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
    raw = b"data: " + json.dumps(event).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(raw), raw)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests of one connection: a short plain reply, or events 2 ms apart that carry the time they left."""
    message = {"role": "assistant", "content": "fine " * 20}
    usage = {"prompt_tokens": 3000, "completion_tokens": 20, "total_tokens": 3020}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    reply = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [choice],
        "usage": usage,
    }
    body = json.dumps(reply).encode()
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            sent = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            if b'"stream": true' in sent or b'"stream":true' in sent:
                await stream(writer)
            else:
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, IndexError):
        writer.close()


async def stream(writer: asyncio.StreamWriter) -> None:
    """An event stream."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(CHUNKS):
        writer.write(chunk(f"t={time.monotonic_ns()};"))
        await asyncio.sleep(0.002)
    writer.write(chunk("", "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def serve(port: int) -> None:
    """Run the upstream until killed."""
    server = await asyncio.start_server(answer, "127.0.0.1", port, limit=2**24)
    await server.serve_forever()


async def relay(port: int, upstream: int) -> None:
    """Copy bytes between clients and the upstream until killed."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            writer.write(data)
        writer.close()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(both, "127.0.0.1", port)
    await server.serve_forever()


# --------------------------------------------------------------------------- the load


@dataclass
class Way:
    """One way to the upstream, and what was measured on it. Times in ms."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None
    plain_ms: list[float] = field(default_factory=list)
    chunk_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    request_cpu_us: list[float] = field(default_factory=list)
    chunk_cpu_us: list[float] = field(default_factory=list)

    @contextmanager
    def billed(self, into: list[float], number: int) -> Iterator[None]:
        """Note the CPU time of the proxy's own process (the guard's monitor is another) for each of so many."""
        if self.process is None:
            yield
            return
        process = psutil.Process(self.process.pid)
        before = process.cpu_times()
        yield
        after = process.cpu_times()
        into.append((after.user + after.system - before.user - before.system) / number * 1e6)

    def memory_mb(self) -> float:
        """Resident memory of the proxy's processes."""
        if self.process is None:
            return 0.0
        root = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (root, *root.children(recursive=True))) / 2**20


async def finish(reader: asyncio.StreamReader) -> float:
    """Read one plain reply; when its first byte came."""
    first = await reader.readexactly(1)
    at = time.perf_counter()
    head = (first + await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise SystemExit(f"the proxy answered {head!r}")
    if b"content-length:" in head:
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    else:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    return at


async def plain(way: Way, number: int) -> None:
    """Requests one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    sent = request(stream=False)
    for _ in range(number):
        began = time.perf_counter()
        writer.write(sent)
        way.plain_ms.append((await finish(reader) - began) * 1e3)
    writer.close()


async def streamed(way: Way) -> None:
    """One stream: how late each event is, and the first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    began = time.perf_counter()
    writer.write(request(stream=True))
    seen, tail = 0, b""
    while seen < CHUNKS:
        part = await reader.read(65536)
        now = time.monotonic_ns()
        if not part:
            raise SystemExit(f"{way.name}: the stream ended after {seen} of {CHUNKS} events")
        text = tail + part
        found = list(STAMP.finditer(text))
        if found and not seen:
            way.first_ms.append((time.perf_counter() - began) * 1e3)
        way.chunk_ms += [(now - int(match[1])) / 1e6 for match in found]
        seen += len(found)
        tail = text[found[-1].end() :] if found else text[-64:]
    writer.close()


async def loaded(way: Way) -> None:
    """Requests per second on several connections."""
    done = 0
    until = time.perf_counter() + LOAD_S

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
        sent = request(stream=False)
        while time.perf_counter() < until:
            writer.write(sent)
            await finish(reader)
            done += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    way.per_s.append(done / LOAD_S)


async def measure(ways: list[Way], rounds: int) -> None:
    """All rounds; the first requests of each way only warm it up."""
    for way in ways:
        await plain(way, 30)
        await streamed(way)
        for list_ in (way.plain_ms, way.chunk_ms, way.first_ms):
            list_.clear()
    for _ in range(rounds):
        for way in ways:
            with way.billed(way.request_cpu_us, PLAIN):
                await plain(way, PLAIN)
            with way.billed(way.chunk_cpu_us, STREAMS * CHUNKS):
                for _ in range(STREAMS):
                    await streamed(way)
            await loaded(way)
            await asyncio.sleep(1)


# --------------------------------------------------------------------------- the proxies


def free_port() -> int:
    """A port nobody uses just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server while entered, from when it accepts connections."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **env})
        try:
            for _ in range(1200):
                with socket.socket() as sock:
                    if sock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended: {log.read_text()[-800:]}")
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(20)


def litellm_command(venv: Path, folder: Path, upstream: int, port: int) -> list[str]:
    """The LiteLLM proxy's command line; installs it first where it is missing."""
    scripts = venv / ("Scripts" if os.name == "nt" else "bin")
    if not (scripts / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(scripts / "python"), "-m", "pip", "install", "-q", "litellm[proxy]"], check=True)
    config = folder / "litellm.yaml"
    params = {"model": "openai/bench", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": "bench", "litellm_params": params}]}), encoding="utf-8")
    return [
        str(scripts / "litellm"),
        "--config",
        str(config),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--num_workers",
        "1",
    ]


def quantiles(values: list[float], base: list[float]) -> str:
    """Median and 99th percentile, as measured and above the direct way's."""
    median, high = statistics.median(values), statistics.quantiles(values, n=100)[98]
    added = median - statistics.median(base)
    return f"{median:8.3f} {high:8.3f} {added:+9.3f} (n = {len(values)})"


def report(ways: list[Way]) -> None:
    """Print the table."""
    direct = ways[0]
    print(f"\n{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    for title, values in (
        ("plain: ms to first byte", lambda way: way.plain_ms),
        ("stream: ms to first event", lambda way: way.first_ms),
        ("stream: ms an event is late", lambda way: way.chunk_ms),
    ):
        print(f"\n{title}\n{'':10} {'median':>8} {'p99':>8} {'added':>9}")
        for way in ways:
            print(f"{way.name:10} {quantiles(values(way), values(direct))}")
    print("\nCPU time of the proxy's own process, median of the rounds, µs: a request, an event of a stream")
    for way in ways[1:]:
        print(f"{way.name:10} {statistics.median(way.request_cpu_us):8.0f} {statistics.median(way.chunk_cpu_us):8.0f}")
    print(f"\nrequests/s on {CONNECTIONS} connections (median of {len(direct.per_s)} rounds) and memory")
    for way in ways:
        print(f"{way.name:10} {statistics.median(way.per_s):8.0f}/s {way.memory_mb():8.0f} MB")


def main() -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--litellm-venv", type=Path, default=Path(tempfile.gettempdir()) / "kvassay-litellm")
    parser.add_argument("--without-litellm", action="store_true", help="measure the guard alone")
    parser.add_argument("--upstream-port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--relay-port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.relay_port:
        asyncio.run(relay(options.relay_port, options.upstream_port))
        return
    if options.upstream_port:
        asyncio.run(serve(options.upstream_port))
        return
    up, bare, guard, lite = free_port(), free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"http://127.0.0.1:{up}"
        own = [
            sys.executable,
            "-m",
            "kvassay",
            "guard",
            "--upstream",
            url,
            "--listen",
            str(guard),
            "--store",
            f"{folder}/g.sqlite",
        ]
        script = [sys.executable, __file__, "--upstream-port", str(up)]
        with ExitStack() as stack:
            stack.enter_context(running(script, up, folder / "up.log"))
            relaying = stack.enter_context(running([*script, "--relay-port", str(bare)], bare, folder / "relay.log"))
            guarding = stack.enter_context(running(own, guard, folder / "guard.log"))
            ways = [Way("direct", up, None), Way("relay", bare, relaying), Way("guard", guard, guarding)]
            if not options.without_litellm:
                other = litellm_command(options.litellm_venv, folder, up, lite)
                env = {"LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": KEY}
                ways.append(Way("LiteLLM", lite, stack.enter_context(running(other, lite, folder / "lite.log", **env))))
            asyncio.run(measure(ways, options.rounds))
            report(ways)


if __name__ == "__main__":
    main()
