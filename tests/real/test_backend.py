"""Embedded llama.cpp for real: what engages, the prompt cache, both channels, attaching, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backend.test_process import descendants, gone, wait_until
from kvassay.backend import embedded_child, make
from kvassay.backend import llama_wire as wire
from kvassay.backend.base import Boot, Progress, Sampling
from kvassay.backend.llama_http import LlamaBoot, connect
from kvassay.errors import (
    BackendError,
    ContextExceeded,
    ModelFileError,
    NotEngaged,
    PortTaken,
    ServerDied,
    ServerHung,
)
from kvassay.model.resolve import resolve
from kvassay.types import Arm, KVConfig, Message, Role, Stop

pytestmark = pytest.mark.real

MIXED = Arm(KVConfig("q8_0", "q4_0"))
HISTORY = (
    Message("system", "You are a helpful assistant."),
    Message("user", "Say these words again: alpha, beta, gamma, delta, epsilon."),
)
BINARY = os.environ.get("KVASSAY_LLAMA_SERVER", "llama-server")


@pytest.fixture(scope="module")
def model() -> Path:
    """The smallest real model, fetched the way users fetch it."""
    return resolve("smollm2-135m").path


@pytest.fixture(scope="module")
def boot(model: Path) -> Iterator[Boot]:
    """One running server of the mixed pair, shared by the tests that do it no harm."""
    with make("embedded", model_path=model, threads=2, model_sha256="abc").open(MIXED, context_tokens=2000) as boot:
        yield boot


def url_of(boot: Boot) -> str:
    """Where a boot's server listens."""
    assert isinstance(boot, LlamaBoot)
    return str(boot._client.base_url)


def wait_until_gone(processes: list[psutil.Process]) -> None:
    """Wait until all have ended (a zombie has); fail if they don't."""
    wait_until(lambda: all(map(gone, processes)))


# --------------------------------------------------------------------------- what engaged


def test_facts_are_read_back(boot: Boot, model: Path) -> None:
    """Types, sizes, rotation, context and build are what the server says it allocated."""
    facts = boot.facts
    assert (facts.backend, facts.model_path, facts.model_sha256) == ("embedded", str(model), "abc")
    assert (facts.k_type, facts.v_type, facts.k_rotation, facts.v_rotation) == ("q8_0", "q4_0", 64, 64)
    assert (facts.context_tokens, facts.kv_cells, facts.slots, facts.kv_layers) == (2048, 2048, 1, 30)
    values = 2048 * 30 * 192
    assert facts.k_bytes == pytest.approx(values * 8.5 / 8, abs=6000)
    assert facts.v_bytes == pytest.approx(values * 4.5 / 8, abs=6000)
    assert facts.flash_attention is True
    assert facts.graph_splits == 1
    assert facts.build
    assert facts.build.startswith("b")
    assert "im_start" in facts.chat_template
    assert not facts.stated_by_user


def test_starting_is_told(model: Path) -> None:
    """The listener hears of loading and of the end of it."""
    heard: list[Progress] = []
    backend = make("embedded", model_path=model, threads=2)
    with backend.open(Arm(KVConfig("f16", "f16", rotation=False)), context_tokens=256, listener=heard.append) as boot:
        assert boot.facts.k_rotation == 0
        assert "rotation force disabled" in boot.facts.warnings[0]
    assert [p.phase for p in heard][-1] == "ready"
    assert "loading" in {p.phase for p in heard}


def test_flash_attention_can_be_off(model: Path) -> None:
    """Without flash attention K may still be quantised; the facts say that it is off."""
    with make("embedded", model_path=model, threads=2, flash_attention="off").open(
        Arm(KVConfig("q8_0", "f16")), context_tokens=256
    ) as boot:
        assert boot.facts.flash_attention is False


def test_a_repeat_is_a_boot_of_its_own(model: Path) -> None:
    """The A/A arm starts another server, on another port."""
    backend = make("embedded", model_path=model, threads=2)
    arm = Arm(KVConfig("f16", "f16"))
    with (
        backend.open(arm, context_tokens=256) as one,
        backend.open(replace(arm, role=Role.REPEAT), context_tokens=256) as two,
    ):
        assert url_of(one) != url_of(two)


# --------------------------------------------------------------------------- asking


def test_the_ladder_pays_for_each_prefix_once(boot: Boot) -> None:
    """Prefix, suffix A, suffix B, longer prefix: the server processes each token once, beyond what is shared."""
    text = "".join(f"def f{n}(x):\n    return x + {n}\n\n" for n in range(40))
    whole = boot.tokenize(text)
    short, long = whole[:200], whole[:360]
    a, b = boot.tokenize("# What is f7?\n"), boot.tokenize("# Name all of them.\n")
    sampling = Sampling(max_tokens=5)
    heard: list[Progress] = []
    asked = [
        boot.prefill(short, heard.append),
        boot.complete(short + a, sampling),
        boot.complete(short + b, sampling),
        boot.prefill(long),
        boot.complete(long + a, sampling),
    ]
    processed = [said.timings.processed_tokens for said in asked]
    # A suffix may share its first token with the answer before it, or with the prefix that goes on.
    expected = [200, len(a), len(b), 160, len(a)]
    assert all(0 <= most - least <= 2 for most, least in zip(expected, processed, strict=True)), processed
    assert (heard[-1].done, heard[-1].total) == (200, 200)
    assert [p.done for p in heard] == sorted(p.done for p in heard)


def test_a_completion_has_tokens_and_log_probabilities(boot: Boot) -> None:
    """Greedy text, its ids, and for each the best alternatives with itself in front."""
    tokens = boot.tokenize(boot.render(HISTORY, ()))
    said = boot.complete(tokens, Sampling(max_tokens=8, top_n=4))
    assert len(said.tokens) == said.timings.predicted_tokens == 8
    assert said.stop is Stop.LIMIT
    assert "".join(p.text for p in said.positions) == said.text
    assert tuple(p.token_id for p in said.positions) == said.tokens
    assert all(len(p.top) == 4 and p.top[0] == (p.token_id, p.logprob) for p in said.positions)
    assert boot.complete(tokens, Sampling(max_tokens=8)).text == said.text


def test_the_end_of_a_turn_is_seen(boot: Boot) -> None:
    """A model that ends its turn stops for that, and the closing token is not part of the text."""
    tokens = boot.tokenize(boot.render((Message("user", "What is 1+1? Answer with the number only."),), ()))
    said = boot.complete(tokens, Sampling(max_tokens=200))
    assert said.stop is Stop.EOS
    assert "<|im_end|>" not in said.text


def test_plain_and_streamed_chat_agree(boot: Boot) -> None:
    """The parsed channel gives the same answer in one piece and in many, and the raw channel's text."""
    sampling = Sampling(max_tokens=20)
    plain = boot.chat(HISTORY, (), sampling, stream=False)
    streamed = boot.chat(HISTORY, (), sampling, stream=True)
    assert plain.content
    assert (plain.content, plain.calls, plain.finish_reason) == (
        streamed.content,
        streamed.calls,
        streamed.finish_reason,
    )
    raw = boot.complete(boot.tokenize(boot.render(HISTORY, ())), sampling)
    assert raw.text == plain.content
    assert streamed.timings
    assert streamed.timings.prompt_tokens == raw.timings.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_chat_is_a_value(boot: Boot, stream: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A request that the server refuses comes back with its status and body."""
    answers = (Message("assistant", "one"), Message("assistant", "two"))
    reply = boot.chat((*HISTORY, *answers), (), Sampling(max_tokens=2), stream=stream)
    assert reply.status == 400
    assert "2 or more assistant messages at the end" in reply.error


def test_too_long_a_prompt_is_named_on_every_way(boot: Boot) -> None:
    """Prefill, completion and both chats raise ContextExceeded with both numbers."""
    tokens = boot.tokenize("word " * 3000)
    question = (Message("user", "word " * 3000),)
    for ask in (
        lambda: boot.prefill(tokens),
        lambda: boot.complete(tokens, Sampling()),
        lambda: boot.chat(question, (), Sampling(), stream=False),
        lambda: boot.chat(question, (), Sampling(), stream=True),
    ):
        with pytest.raises(ContextExceeded, match=r"needs 30\d\d tokens, the server's context holds 2048"):
            ask()


def test_markers_that_are_special_tokens_come_back_as_text(boot: Boot) -> None:
    """A special token stands in the raw text if it is one of the markers asked for, and is swallowed otherwise."""
    assert isinstance(boot, LlamaBoot)
    tokens = boot.tokenize("<|im_start|>\n" * 20)
    sampling = Sampling(max_tokens=4)
    (marker,) = boot.tokenize("<|im_start|>")
    swallowed = wire.completion(boot._post("/completion", wire.completion_body(tokens, sampling, [])))
    kept = wire.completion(boot._post("/completion", wire.completion_body(tokens, sampling, ["<|im_start|>"])))
    assert marker in kept.tokens
    assert kept.tokens == swallowed.tokens
    assert "<|im_start|>" in kept.text
    assert "<|im_start|>" not in swallowed.text


# --------------------------------------------------------------------------- attaching


def test_attaching_takes_the_users_word_for_the_pair(boot: Boot) -> None:
    """An attached server gives what its endpoints tell; the pair is the user's statement and marked as such."""
    arm = Arm(KVConfig("q5_1", "f16"), endpoint=url_of(boot) + "/v1/")
    with make("attach").open(arm, context_tokens=2048) as attached:
        facts = attached.facts
        assert (facts.k_type, facts.v_type, facts.stated_by_user) == ("q5_1", "f16", True)
        assert (facts.context_tokens, facts.slots, facts.k_bytes) == (2048, 1, None)
        assert attached.tokenize("alpha") == boot.tokenize("alpha")
    assert boot.tokenize("still there")


def test_attaching_to_a_smaller_context_is_refused(boot: Boot) -> None:
    """A server whose context is too small for the run is refused before the first request."""
    with pytest.raises(ContextExceeded, match="needs 4096 tokens, the server's context holds 2048"):
        make("attach", url=url_of(boot)).open(MIXED, context_tokens=4096)


def test_attaching_to_something_else_is_refused() -> None:
    """A web server that is no llama.cpp is named for what it is not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"])
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        with pytest.raises(BackendError, match=r"does not answer like a llama\.cpp server"):
            make("attach", url=f"http://127.0.0.1:{port}").open(MIXED, context_tokens=64)
    finally:
        other.terminate()
        other.wait()


# --------------------------------------------------------------------------- what goes wrong


def test_a_taken_port_is_named(boot: Boot, model: Path) -> None:
    """A port on which another server listens is PortTaken, before anything is loaded."""
    port = int(url_of(boot).rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(PortTaken, match=f"port {port} is in use"):
        make("embedded", model_path=model, port=port).open(MIXED, context_tokens=256)


@pytest.mark.parametrize(("content", "words"), [(b"nothing", "invalid magic"), (None, "not within the file bounds")])
def test_a_bad_model_is_named(tmp_path: Path, model: Path, content: bytes | None, words: str) -> None:
    """A file that is no GGUF, or half of one, is a ModelFileError in the server's own words and leaves no process."""
    bad = tmp_path / "bad.gguf"
    with model.open("rb") as file:
        bad.write_bytes(file.read(50_000_000) if content is None else content)
    before = descendants()
    with pytest.raises(ModelFileError, match=words) as caught:
        make("embedded", model_path=bad).open(MIXED, context_tokens=256)
    assert caught.value.log
    assert words in str(caught.value)
    wait_until_gone([p for p in descendants() if p not in before])


def test_a_setting_that_does_not_engage_stops_the_arm(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that runs other types than the arm's is found out at the start and ended."""
    source = Path(embedded_child.__file__).read_text(encoding="utf-8")
    broken = tmp_path / "child.py"
    assert "config.v_type.upper()" in source
    broken.write_text(source.replace("config.v_type.upper()", "'F16'"), encoding="utf-8")
    monkeypatch.setattr(embedded_child, "__file__", str(broken))
    before = descendants()
    with pytest.raises(NotEngaged, match=r"asked for q8_0/q4_0, but the server allocated q8_0/f16"):
        make("embedded", model_path=model).open(MIXED, context_tokens=256)
    assert descendants() == before


def test_a_server_killed_mid_request_is_named(model: Path) -> None:
    """A server that is killed while it answers is ServerDied with the likely reason, and its boot still closes."""
    before = descendants()
    with make("embedded", model_path=model, threads=1).open(MIXED, context_tokens=2048) as boot:
        server = next(p for p in descendants() if p not in before and "embedded_child" in " ".join(p.cmdline()[:4]))
        tokens = boot.tokenize("word " * 1500)
        threading.Timer(0.3, server.kill).start()
        with pytest.raises(ServerDied, match="killed by SIGKILL, often by the system for want of memory") as caught:
            boot.complete(tokens, Sampling())
        assert caught.value.log
        with pytest.raises(ServerDied):
            boot.prefill(tokens)


def test_a_stuck_server_is_named(model: Path) -> None:
    """A server that is stopped in its tracks is ServerHung after the patience given, on both kinds of request."""
    before = descendants()
    with make("embedded", model_path=model, threads=1).open(MIXED, context_tokens=2048) as boot:
        assert isinstance(boot, LlamaBoot)
        impatient = LlamaBoot(connect(url_of(boot), patience_s=1.0), boot.facts, boot._host, patience_s=1.0)
        tokens = boot.tokenize("word " * 100)
        servers = [p for p in descendants() if p not in before]
        for server in servers:
            server.suspend()
        with pytest.raises(ServerHung, match="no progress for 1 s"):
            impatient.prefill(tokens)
        with pytest.raises(ServerHung, match="no progress for"):
            impatient.complete(tokens, Sampling())
        for server in servers:
            server.resume()
        assert boot.complete(tokens, Sampling(max_tokens=1)).tokens


PARENT = """
import sys, time
from pathlib import Path
from kvassay.backend import embedded_child, make
from kvassay.types import Arm, KVConfig
boot = make("embedded", model_path=Path(sys.argv[1])).open(Arm(KVConfig("q8_0", "q4_0")), context_tokens=256)
print("ready", flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_server_outlives_the_run(model: Path, number: int) -> None:
    """After kill -9, Ctrl-C or SIGTERM of the run, neither its leash nor its server is left."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(model)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    assert parent.stdout.readline() == "ready\n"
    below = psutil.Process(parent.pid).children(recursive=True)
    assert len(below) == 2
    parent.send_signal(number)
    parent.wait(10)
    wait_until_gone(below)


def test_no_server_outlives_a_run_killed_while_loading(model: Path) -> None:
    """A kill -9 before the server answers leaves nothing either."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(model)], stdout=subprocess.DEVNULL)
    below: list[psutil.Process] = []
    deadline = time.monotonic() + 20
    while len(below) < 2:
        assert time.monotonic() < deadline
        below = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait(10)
    wait_until_gone(below)


# --------------------------------------------------------------------------- the user's binary


@pytest.fixture(scope="module")
def binary_boot(model: Path) -> Iterator[Boot]:
    """A running llama-server of the user's."""
    if shutil.which(BINARY) is None:
        pytest.skip("no llama-server: set KVASSAY_LLAMA_SERVER to its path, or put it on PATH")
    backend = make("llama-server", model_path=model, binary=BINARY, threads=2, extra_args=["--metrics"])
    with backend.open(MIXED, context_tokens=1000) as boot:
        yield boot


def test_a_binary_gives_the_same_facts(binary_boot: Boot) -> None:
    """The user's llama-server is read back like the embedded one, and runs with the user's flags."""
    assert connect(url_of(binary_boot)).get("/metrics").status_code == 200
    facts = binary_boot.facts
    assert (facts.backend, facts.k_type, facts.v_type, facts.context_tokens) == ("llama-server", "q8_0", "q4_0", 1024)
    assert (facts.slots, facts.kv_cells) == (1, 1024)
    assert facts.k_bytes == pytest.approx(1024 * 30 * 192 * 8.5 / 8, abs=6000)


def test_a_binary_gives_the_same_answers(binary_boot: Boot, boot: Boot) -> None:
    """Template and tokenizer agree between the two servers, and both channels work."""
    assert binary_boot.render(HISTORY, ()) == boot.render(HISTORY, ())
    tokens = binary_boot.tokenize(binary_boot.render(HISTORY, ()))
    assert tokens == boot.tokenize(boot.render(HISTORY, ()))
    assert binary_boot.prefill(tokens[:-5]).timings.processed_tokens == len(tokens) - 5
    said = binary_boot.complete(tokens, Sampling(max_tokens=8, top_n=2))
    assert said.timings.processed_tokens == 5
    assert len(said.positions) == 8
    assert binary_boot.chat(HISTORY, (), Sampling(max_tokens=8), stream=True).content == said.text
