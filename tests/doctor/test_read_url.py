"""Addresses: recorded answers of each back end, and answers that mean harm."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from doctor.setups import findings
from kvassay.backend import make
from kvassay.backend.llama_http import LlamaBoot
from kvassay.doctor.read_url import setups_of_url
from kvassay.errors import BackendError, ConfigError
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig

Answers = dict[str, object]


@contextmanager
def serving(answers: Answers, *, redirect: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server with fixed answers; yields its address and the requests it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            found = answers.get(self.path)
            if redirect:
                self.send_response(302)
                self.send_header("Location", redirect + self.path)
                self.end_headers()
                return
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_HEAD = _answer  # noqa: N815 - the handler's names

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


PROPS = {
    "default_generation_settings": {"n_ctx": 8192},
    "total_slots": 4,
    "model_path": "/m.gguf",
    "build_info": "b11434-0a1b2c3d4",
}


def test_a_llama_server_tells_its_build_and_context_but_no_types() -> None:
    """And the doctor says so."""
    with serving({"/props": PROPS, "/v1/models": {"data": [{"id": "m"}]}}) as (url, asked):
        (setup,) = setups_of_url(url + "/v1/")
    assert (setup.engine, setup.value("build"), setup.value("context")) == ("llama.cpp", "b11434-0a1b2c3d4", "8192")
    assert "http-hides-types" in findings(setup)
    assert all(request.startswith("GET ") for request in asked)


def test_a_router_tells_the_flags_of_its_models() -> None:
    """Each is a set-up, with the build of the router."""
    models = {"data": [{"id": "a", "status": {"args": ["llama-server", "-ctk", "q4_0", "--api-key", "hunter2"]}},
                       {"id": "b", "status": {"args": ["-ctv", "q8_0", "-fa", "off"]}}]}  # fmt: skip
    with serving({"/props": {"build_info": "b11434"}, "/v1/models": models}) as (url, _):
        a, b = setups_of_url(url)
    assert "low-precision-k" in findings(a)
    assert "v-needs-flash-attention" in findings(b)
    assert "hunter2" not in repr(a)


@pytest.mark.parametrize(
    ("answers", "engine", "fact", "value"),
    [
        ({"/api/version": {"version": "0.20.1"}, "/api/ps": {"models": [{"name": "q", "context_length": 4096}]}},
         "ollama", "context", "4096"),
        ({"/v1/model": {"id": "m", "parameters": {"cache_mode": "8,4", "cache_size": 8192}}},
         "exllamav3", "cache_mode", "8,4"),
        ({"/server_info": {"kv_cache_dtype": "fp8_e4m3", "model_path": "m"}}, "sglang", "kv_dtype", "fp8_e4m3"),
        ({"/metrics": b'# HELP x\nvllm:cache_config_info{block_size="16",cache_dtype="fp8",engine="0"} 1.0\n'},
         "vllm", "kv_dtype", "fp8"),
    ],
)  # fmt: skip
def test_other_back_ends_are_known_by_their_endpoints(answers: Answers, engine: str, fact: str, value: str) -> None:
    """Each by one that only it has."""
    with serving(answers) as (url, _):
        (setup,) = setups_of_url(url)
    assert (setup.engine, setup.value(fact)) == (engine, value)


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/props": b"{" * 200_000},
        {"/props": b'{"a":' * 200_000},
        {"/props": b"x" * (5 << 20)},
        {"/props": []},
        {"/v1/model": {"parameters": 3}, "/api/version": {"version": 3}, "/metrics": b"\xff\xfe"},
    ],
)
def test_hostile_and_foreign_answers_are_no_back_end(answers: Answers) -> None:
    """Too large, too deep, of the wrong type."""
    with serving(answers) as (url, _), pytest.raises(BackendError, match="no back end"):
        setups_of_url(url)


def test_half_right_answers_do_no_harm() -> None:
    """Fields of wrong types are left out."""
    with serving({"/props": {"build_info": 3, "default_generation_settings": {"n_ctx": [1]}, "total_slots": None},
                  "/v1/models": {"data": [1, {"status": 2}]}}) as (url, _):  # fmt: skip
        (setup,) = setups_of_url(url)
    assert setup.value("context") is None


def test_a_server_that_drips_is_left_alone() -> None:
    """One byte of a header at a time, for ever."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not done.wait(0.05):
                    connection.sendall(b"x")

        done = Event()
        Thread(target=drip, daemon=True).start()
        with pytest.raises(BackendError, match="did not finish"):
            setups_of_url(f"http://127.0.0.1:{listening.getsockname()[1]}", total_s=0.5)
        done.set()


def test_names_and_passwords_in_an_address_are_not_shown() -> None:
    """Not in the set-up, not in an error."""
    with serving({"/props": PROPS, "/v1/models": {}}) as (url, _):
        (setup,) = setups_of_url(url.replace("//", "//me:hunter2@"))
    assert "hunter2" not in repr(setup)
    with serving({}) as (url, _), pytest.raises(BackendError) as caught:
        setups_of_url(url.replace("//", "//me:hunter2@"))
    assert "hunter2" not in str(caught.value)


def test_redirects_are_not_followed() -> None:
    """Nothing is sent to any other address."""
    with serving({"/props": PROPS}) as (other, asked), serving({}, redirect=other) as (url, _):
        with pytest.raises(BackendError):
            setups_of_url(url)
        assert asked == []


def test_an_address_where_nobody_is_is_named() -> None:
    """The connection is refused."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(BackendError, match=url):
        setups_of_url(url)


def test_a_host_that_is_no_name_is_nobody() -> None:
    """Of some the client's look-up makes an encoding error, which must not end the thread that waits for it."""
    with pytest.raises(BackendError, match=r"http://a\.\.b did not answer"):
        setups_of_url("http://a..b")


@pytest.mark.parametrize("text", ["ftp://x", "http://", "http:// x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(ConfigError, match="no address"):
        setups_of_url(text)


@pytest.mark.real
def test_a_real_llama_cpp_server_is_known() -> None:
    """The embedded one: its build has no number, and it tells no types."""
    backend = make("embedded", model_path=resolve("smollm2-135m").path, threads=2)
    with backend.open(Arm(KVConfig("q8_0", "q8_0")), context_tokens=2048) as boot:
        assert isinstance(boot, LlamaBoot)
        (setup,) = setups_of_url(str(boot._client.base_url))
    assert (setup.engine, setup.value("context")) == ("llama.cpp", "2048")
    assert {"http-hides-types", "build-unnamed"} <= findings(setup).keys()
