"""Plays recorded or written answers of a server back, by HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kvassay.types import Message, Tool

CASSETTES = Path(__file__).parent / "engines" / "cassettes"


class LetterPen:
    """A pen whose tokens are characters: what it writes is exact, and easy to see."""

    template = "<tool_call>"
    opening = ""

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return "".join(f"[{m.role}]{m.content}" for m in messages) + f"({len(tools)})"

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))

    def close(self) -> None:
        """Nothing runs."""


class Player(BaseHTTPRequestHandler):
    """Answers a request by the first exchange of the cassette that has its method, path and, if it states one, body.

    What stands in no exchange is answered with 404, or 500 for a POST, so that a changed request makes a test fail.
    """

    exchanges: tuple[dict[str, Any], ...]
    heard: list[tuple[str, str, Any]]

    def do_GET(self) -> None:
        self._answer(None, missing=404)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), missing=500)

    def _answer(self, body: Any, *, missing: int) -> None:  # noqa: ANN401  any JSON
        self.heard.append((self.command, self.path, body))
        found = next((one for one in self.exchanges if self._fits(one, body)), None)
        status = found.get("status", 200) if found else missing
        answer = found["answer"] if found else {"error": {"message": f"not in the cassette: {self.path} {body}"}}
        self.send_response(status)
        self.end_headers()
        self.wfile.write((answer if isinstance(answer, str) else json.dumps(answer)).encode())

    def _fits(self, one: dict[str, Any], body: Any) -> bool:  # noqa: ANN401  any JSON
        asked = one.get("body")
        return (one["method"], one["path"]) == (self.command, self.path) and asked in (None, body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the test's output clean."""


@contextmanager
def played(name: str, *, instead: Sequence[dict[str, Any]] = ()) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """The URL of a server that plays a cassette, and what it hears; ``instead`` are exchanges that come first."""
    recorded = json.loads((CASSETTES / f"{name}.json").read_text(encoding="utf-8"))["exchanges"]
    heard: list[tuple[str, str, Any]] = []
    handler = type("Played", (Player,), {"exchanges": (*instead, *recorded), "heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()
