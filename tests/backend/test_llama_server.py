"""The user's binary: its flags, its port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from kvassay.backend.llama_server import LlamaServer, claim_port, find_binary, known_flags, rotation_env
from kvassay.errors import BootFailed, ConfigError, PairRefused, PortTaken
from kvassay.types import Arm, KVConfig

MIXED = KVConfig("q8_0", "q4_0")
HELP = """\
-t,    --threads N                      threads
-np,   --parallel N                     slots
-fit,  --fit [on|off]                   fit
-lv,   --verbosity, --log-verbosity N   level
--jinja, --no-jinja                     templates
"""
HELP_BYTES = HELP.encode() + "--device  Gerät".encode("latin-1")  # a device's name in the system's own encoding


@pytest.fixture
def binary(tmp_path: Path) -> str:
    """A program that prints a help text, and otherwise its arguments, then fails."""
    path = tmp_path / "llama-server"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nif '--help' in sys.argv: sys.stdout.buffer.write({HELP_BYTES!r})\n"
        "else: sys.exit('error: got ' + ' '.join(sys.argv[1:]))\n"
    )
    path.chmod(0o755)
    return str(path)


def command_of(server: LlamaServer, kv: KVConfig = MIXED) -> list[str]:
    """The arguments with which a binary that fails was started, from the error it left."""
    with pytest.raises(Exception, match="exit code 1") as caught:
        server.open(Arm(kv), context_tokens=1000)
    (said,) = caught.value.log  # type: ignore[attr-defined]
    return str(said).removeprefix("error: got ").split()


def test_flags_are_ours_then_the_users(binary: str, tmp_path: Path) -> None:
    """The arm's flags, then defaults that this build knows, then the user's own, verbatim."""
    server = LlamaServer(tmp_path / "m.gguf", binary, extra_args=("-ngl", "20", "--mlock"), threads=3, port=None)
    command = command_of(server)
    port = command[command.index("--port") + 1]
    assert command == [
        *("-m", str(tmp_path / "m.gguf"), "-c", "1024", "-ctk", "q8_0", "-ctv", "q4_0"),
        *("--host", "127.0.0.1", "--port", port, "-lv", "4", "-t", "3", "-np", "1", "-fit", "off", "--jinja"),
        *("-ngl", "20", "--mlock"),
    ]


def test_the_users_flags_replace_our_defaults(binary: str, tmp_path: Path) -> None:
    """A default is left out where the user said otherwise, in either spelling."""
    server = LlamaServer(tmp_path / "m.gguf", binary, extra_args=("--parallel", "4", "--fit=on", "--no-jinja"))
    command = command_of(server)
    assert "-np" not in command
    assert "-fit" not in command
    assert "--jinja" not in command


def test_flash_attention_is_passed_on(binary: str, tmp_path: Path) -> None:
    """On and off are flags; auto is the build's own default."""
    server = LlamaServer(tmp_path / "m.gguf", binary, flash_attention="off")
    assert "-fa off" in " ".join(command_of(server, KVConfig("q8_0", "f16")))
    assert "-fa" not in command_of(LlamaServer(tmp_path / "m.gguf", binary))


@pytest.mark.parametrize(
    "flag", ["-ctk", "--cache-type-v", "-c", "-m", "--port", "-lv", "--ctx-size=5", "--log-disable"]
)
def test_flags_that_contradict_the_arm_are_refused(flag: str, tmp_path: Path) -> None:
    """A flag that would change what is measured, or hide it, is an error that names the flag."""
    with pytest.raises(ConfigError, match=repr(flag)):
        LlamaServer(tmp_path, extra_args=("--mlock", flag, "5"))


def test_flash_attention_off_among_the_users_flags_is_seen(tmp_path: Path) -> None:
    """The refusal of quantised V without flash attention holds for the user's own flag too."""
    server = LlamaServer(tmp_path, extra_args=("--flash-attn", "off"))
    with pytest.raises(PairRefused, match="'q4_0' needs flash attention"):
        server.open(Arm(KVConfig("f16", "q4_0")), context_tokens=512)


def test_a_missing_binary_is_named() -> None:
    """A program that isn't there is an error with its name and a way out."""
    with pytest.raises(ConfigError, match="'no-such-server'"):
        find_binary("no-such-server")


def test_a_program_that_ends_without_a_word_is_asked_about(binary: str, tmp_path: Path) -> None:
    """There are no words of its own to point to."""
    Path(binary).write_text(f"#!{sys.executable}\n")
    with pytest.raises(BootFailed, match="exit code 0") as caught:
        LlamaServer(tmp_path / "m.gguf", binary).open(Arm(MIXED), context_tokens=1000)
    assert (caught.value.log, caught.value.hint) == ((), "It said nothing before: is it a llama-server?")


def test_flags_are_read_from_the_help(binary: str) -> None:
    """All spellings in the build's help are known, nothing else, in whatever encoding it names a device."""
    known = known_flags(binary)
    assert {"-t", "--threads", "-np", "--parallel", "-lv", "--verbosity", "--jinja", "--no-jinja"} <= known
    assert "--cache-ram" not in known


def test_a_busy_port_is_told_beforehand(binary: str, tmp_path: Path) -> None:
    """A port in use is PortTaken with its number, and no server is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = LlamaServer(tmp_path / "m.gguf", binary, port=port)
        with pytest.raises(PortTaken, match=f"port {port} is in use"):
            server.open(Arm(KVConfig("f16", "f16")), context_tokens=512)


def test_a_free_port_is_found() -> None:
    """Without a wish some free port is chosen."""
    assert claim_port(None) > 0


def test_rotation_is_always_said() -> None:
    """The switch is set either way, so that the user's environment doesn't decide."""
    assert rotation_env(KVConfig("q8_0", "q8_0")) == {"LLAMA_ATTN_ROT_DISABLE": "0"}
    assert rotation_env(KVConfig("q8_0", "q8_0", rotation=False)) == {"LLAMA_ATTN_ROT_DISABLE": "1"}
