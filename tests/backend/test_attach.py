"""Attaching to a server that guards itself with a key, or is not ready."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kvassay.backend import make
from kvassay.backend.attach import SomebodysServer
from kvassay.backend.base import Sampling
from kvassay.backend.llama_http import LlamaBoot, connect
from kvassay.backend.openai_http import Line
from kvassay.errors import BackendError, BootFailed, ConfigError
from kvassay.types import Arm, BootFacts, KVConfig

ARM = Arm(KVConfig("q8_0", "q8_0"))
PROPS = {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4, "build_info": "b11434-abc"}


class Guarded(BaseHTTPRequestHandler):
    """The part of llama-server that a key guards: /health is open, /props is not."""

    health = 200

    def do_GET(self) -> None:
        allowed = self.path == "/health" or self.headers["Authorization"] == "Bearer secret"
        self.send_response(self.health if self.path == "/health" else 200 if allowed else 401)
        self.end_headers()
        self.wfile.write(json.dumps(PROPS if allowed else {}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Keep the test's output clean."""


class Loading(Guarded):
    """A server that is still loading its model."""

    health = 503


class Router(Guarded):
    """llama-server in router mode, whose own /props stand for none of its models."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        settings = {"params": None, "n_ctx": 0}
        self.wfile.write(json.dumps({"role": "router", "default_generation_settings": settings}).encode())


class Slow(Guarded):
    """A server that takes longer for an answer in one piece than it may be silent, and whose next words are none."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(1)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>" if self.path == "/tokenize" else b'{"content": "slow"}')


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A running server of the handler that the test names."""
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("url", [Guarded], indirect=True)
def test_the_key_comes_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """KVASSAY_API_KEY opens a guarded server; without it the error names the variable."""
    backend = make("attach", url=url)
    with pytest.raises(BackendError, match="wants an API key") as caught:
        backend.open(ARM, context_tokens=512)
    assert "KVASSAY_API_KEY" in caught.value.hint
    monkeypatch.setenv("KVASSAY_API_KEY", "secret")
    with backend.open(ARM, context_tokens=512) as boot:
        assert (boot.facts.build, boot.facts.slots, boot.facts.context_tokens) == ("b11434-abc", 4, 4096)


@pytest.mark.parametrize("url", [Guarded], indirect=True)
def test_a_line_end_behind_the_key_is_not_part_of_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key read from a file with Windows' line ends opens the server all the same."""
    monkeypatch.setenv("KVASSAY_API_KEY", "secret\r\n")
    with make("attach", url=url).open(ARM, context_tokens=512) as boot:
        assert boot.facts.slots == 4


@pytest.mark.parametrize("key", ["secr\u00e9t", "sec\nret", "\u2019secret"])
@pytest.mark.parametrize("name", ["attach", "ollama"])
@pytest.mark.parametrize("url", [Guarded], indirect=True)
def test_a_key_that_can_not_be_sent_is_not_shown(
    url: str, name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable, not the key."""
    monkeypatch.setenv("KVASSAY_API_KEY", key)
    with pytest.raises(ConfigError, match="KVASSAY_API_KEY") as caught:
        make(name, url=url).open(ARM, context_tokens=512)
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize("url", [Router], indirect=True)
def test_a_router_is_named_as_such(url: str) -> None:
    """A router answers for no model: that is said, not that its context is too small."""
    with pytest.raises(BackendError, match="no usable /props") as caught:
        make("attach", url=url).open(ARM, context_tokens=512)
    assert "a router can't be measured" in caught.value.hint


@pytest.mark.parametrize("url", [Slow], indirect=True)
def test_an_answer_in_one_piece_may_take_its_time(url: str) -> None:
    """Patience, which watches the server's progress, ends the waiting, not a time limit for the whole reply."""
    client, host = connect(url, patience_s=0.2), SomebodysServer(url)
    assert LlamaBoot(client, BootFacts("attach"), host).complete((1,), Sampling()).text == "slow"
    assert Line(client, host).post("/completion", {}) == {"content": "slow"}


@pytest.mark.parametrize("url", [Slow], indirect=True)
def test_an_answer_that_is_no_json_is_shown(url: str) -> None:
    """A page of somebody in between is an error with its words, no traceback."""
    with pytest.raises(BackendError, match="answered no JSON: '<html>'"):
        LlamaBoot(connect(url), BootFacts("attach"), SomebodysServer(url)).tokenize("x")


@pytest.mark.parametrize("url", [Loading], indirect=True)
def test_a_loading_server_is_not_attached_to(url: str) -> None:
    """A server that is not ready is named as such."""
    with pytest.raises(BootFailed, match="still loading its model"):
        make("attach", url=url).open(ARM, context_tokens=512)
