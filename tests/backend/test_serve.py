"""The user's own command for each arm: a real process, its log read back, nothing left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.replay import LetterPen
from backend.test_process import descendants
from kvassay.backend.attached import Attached, _Shelf
from kvassay.backend.engines.koboldcpp import Koboldcpp
from kvassay.backend.engines.llama_cpp_python import LlamaCppPython
from kvassay.backend.engines.tabbyapi import Tabby
from kvassay.backend.serve import log_facts, words
from kvassay.errors import BackendError, BootFailed, ConfigError, NotEngaged, PortTaken
from kvassay.types import Arm, BootFacts, KVConfig

PLAIN = KVConfig("q8_0", "q8_0")
SERVER = """
import http.server, json, sys
port, k = int(sys.argv[1]), ["f16", "q8_0", "q4_0"][int(sys.argv[2])]
print("llama_kv_cache: size =    3.19 MiB (  1024 cells,  30 layers,  1/1 seqs), "
      f"K ({k}):    1.59 MiB, V ({k}):    1.59 MiB", flush=True)
ANSWERS = {"/api/v1/model": {"result": "koboldcpp/m"}, "/api/extra/version": {"result": "KoboldCpp", "version": "1"},
           "/api/extra/true_max_context_length": {"value": 1024}}
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in ANSWERS else 404)
        self.end_headers()
        self.wfile.write(json.dumps(ANSWERS.get(self.path, {})).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", port), H).serve_forever()
"""


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served(tmp_path: Path, port: int, arguments: str) -> Attached:
    """Koboldcpp's back end with a command that runs a small server of its kind."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    command = f"{sys.executable} {script} {port} {arguments}"
    url = f"http://127.0.0.1:{port}"
    return Attached(Koboldcpp(), url=url, serve=command, tokenizer=Path("x"), _shelf=_Shelf(LetterPen()))


def test_each_arm_gets_its_own_server(tmp_path: Path, port: int) -> None:
    """The command is started with the arm's types, its log tells the pair with its bytes, and it ends with the boot."""
    backend = served(tmp_path, port, "{k}")
    for cache_type in ("q8_0", "q4_0"):
        with backend.open(Arm(KVConfig(cache_type, cache_type)), context_tokens=512) as boot:
            facts = boot.facts
            assert descendants()
        assert (facts.k_type, facts.v_type, facts.stated_by_user) == (cache_type, cache_type, False)
        assert facts.k_bytes == round(1.59 * 1024 * 1024)
        assert facts.build == "koboldcpp 1"
    assert not descendants()


def test_a_command_that_ignores_the_pair_is_found_out(tmp_path: Path, port: int) -> None:
    """What the log tells decides, not what was asked for; the server is ended."""
    with pytest.raises(NotEngaged, match="K is f16 and V is f16"):
        served(tmp_path, port, "0 {k}").open(Arm(PLAIN), context_tokens=512)
    assert not descendants()


def test_a_server_that_is_there_already_is_not_measured(tmp_path: Path, port: int) -> None:
    """Something that answers at the address before the command ran would be another arm's server."""
    backend = served(tmp_path, port, "{k}")
    with backend.open(Arm(PLAIN), context_tokens=512), pytest.raises(PortTaken, match="answers at"):
        backend.open(Arm(PLAIN), context_tokens=512)


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_loads_or_wants_a_key_is_there_already(tmp_path: Path, port: int, status: int) -> None:
    """Another server at the address need not be ready to be taken for the arm's later."""
    stranger = f"""
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_error({status})
http.server.HTTPServer(("127.0.0.1", {port}), H).serve_forever()
"""
    with subprocess.Popen([sys.executable, "-c", stranger], stderr=subprocess.DEVNULL) as process:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None
        with pytest.raises(PortTaken, match="answers at"):
            served(tmp_path, port, "{k}").open(Arm(PLAIN), context_tokens=512)
        process.kill()


def test_a_server_that_wants_a_key_says_so(tmp_path: Path, port: int) -> None:
    """Its refusal is an answer: nobody waits for it to be ready."""
    backend = served(tmp_path, port, "{k}")
    script = tmp_path / "server.py"
    script.write_text(SERVER.replace("200 if self.path in ANSWERS else 404", "401"))
    with pytest.raises(BackendError, match="wants an API key"):
        backend.open(Arm(PLAIN), context_tokens=512)


def test_a_command_that_fails_is_told_with_its_words(tmp_path: Path, port: int) -> None:
    """The command's last lines are in the message, and how it ended."""
    backend = served(tmp_path, port, "{k}{k}")
    with pytest.raises(BootFailed, match="IndexError") as caught:
        backend.open(Arm(KVConfig("q4_0", "q4_0")), context_tokens=512)
    assert "exit code 1" in caught.value.message


def test_types_are_spelt_as_the_engine_spells_them() -> None:
    """llama-cpp-python wants ggml's numbers, koboldcpp its knob's."""
    mixed = KVConfig("q8_0", "q4_0")
    assert words("run --type_k {k} --type_v {v}", LlamaCppPython(), mixed) == ["run", "--type_k", "8", "--type_v", "2"]
    assert words("'a b' --quantkv {k}", Koboldcpp(), KVConfig("q4_0", "q4_0")) == ["a b", "--quantkv", "2"]
    assert words("x --quantkv {k}", Koboldcpp(), KVConfig("q5_1", "q5_1")) == ["x", "--quantkv", "q5_1"]


def test_a_pair_in_one_word_is_what_tabbyapi_takes() -> None:
    """FP16 has no form of a pair (common/config_models.py: CACHE_TYPE)."""
    line = "python main.py --cache-mode {k},{v}"
    assert words(line, Tabby(), KVConfig("f16", "f16"))[-1] == "FP16"
    assert words(line, Tabby(), KVConfig("8", "8"))[-1] == "8,8"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run", "every pair alike"),
        ("run {k}", "every pair alike"),
        ("run {k} {v} {kv}", "{kv}"),
        ("run {k} {v} 'x", "split into words"),
    ],
)
def test_a_command_that_can_not_be_right_is_refused(command: str, said: str) -> None:
    """A command without its types, with unknown placeholders or open quotes is refused before it runs."""
    with pytest.raises(ConfigError) as caught:
        words(command, LlamaCppPython(), KVConfig("q8_0", "q4_0"))
    assert said in caught.value.message


def test_the_line_of_2024_is_read() -> None:
    """ik_llama.cpp's line tells types and bytes."""
    line = "llama_init_from_model: KV self size  =    4.78 MiB, K (q8_0):    3.19 MiB, V (q6_0):    1.59 MiB\n"
    facts = log_facts(line, BootFacts("ik_llama.cpp", context_tokens=512))
    assert (facts.k_type, facts.v_type, facts.context_tokens) == ("q8_0", "q6_0", 512)
    assert (facts.k_bytes, facts.v_bytes) == (round(3.19 * 1024 * 1024), round(1.59 * 1024 * 1024))


@given(st.text())
def test_any_log_is_read(log: str) -> None:
    """A log without llama.cpp's lines leaves the facts as they are."""
    facts = BootFacts("ollama", context_tokens=1)
    assert log_facts(log, facts) == facts or "MiB" in log
