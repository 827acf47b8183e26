"""The user's own llama-server binary, their flags passed through."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kvassay.backend.base import Boot, Listener, silent
from kvassay.backend.engaged import FlashAttention, refuse_early
from kvassay.backend.kv import LLAMA_TYPES
from kvassay.backend.process import ServerProcess
from kvassay.backend.starting import Start, open_boot
from kvassay.errors import BackendError, ConfigError, PortTaken
from kvassay.kv_cache import pad
from kvassay.types import Arm, KVConfig

_HELP_S = 60.0

_OURS: dict[str, str] = {
    **dict.fromkeys(("-m", "--model", "-mu", "--model-url", "-hf", "-hfr", "--hf-repo"), "the run's model decides it"),
    **dict.fromkeys(("-c", "--ctx-size"), "the run's depths decide it"),
    **dict.fromkeys(("-ctk", "--cache-type-k", "-ctv", "--cache-type-v"), "the arm decides it"),
    **dict.fromkeys(("-lv", "--verbosity", "--log-verbosity", "--log-disable"), "the cache is read back from the log"),
    **dict.fromkeys(("--port", "--host"), "kvassay has its own option for the port and listens on this machine only"),
    **dict.fromkeys(("--api-key", "--api-key-file"), "the server listens on this machine only"),
}

# Added where the build knows the flag and the user did not give it. Each tuple: the flag's names, then our arguments.
_DEFAULTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("-np", "--parallel"), ("-np", "1")),
    (("-b", "--batch-size"), ("-b", "512")),  # = ubatch: the same computation, progress reported four times as often
    (("-fit", "--fit"), ("-fit", "off")),
    (("--cache-ram", "-cram"), ("--cache-ram", "0")),
    (("--no-context-shift", "--context-shift"), ("--no-context-shift",)),
    (("--jinja", "--no-jinja"), ("--jinja",)),
    (("--no-webui", "--webui", "--no-ui", "--ui"), ("--no-webui",)),
)


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """Each boot is a process of the user's ``binary`` (found on PATH where None) on ``model_path``.

    ``extra_args`` go to it verbatim; those that contradict the arm are refused. ``port`` None means any free one.
    """

    model_path: Path
    binary: str | None = None
    extra_args: tuple[str, ...] = ()
    threads: int | None = None
    flash_attention: FlashAttention = "auto"
    gpu_layers: int | None = None
    port: int | None = None
    log_dir: Path | None = None
    model_sha256: str | None = None

    def __post_init__(self) -> None:
        refuse_flags(self.extra_args)

    @property
    def name(self) -> str:
        return "llama-server"

    @property
    def cache_types(self) -> tuple[str, ...]:
        return LLAMA_TYPES

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        refuse_early(arm.kv, _flash_attention(self.extra_args, self.flash_attention))
        binary = find_binary(self.binary)
        context_tokens = pad(context_tokens)
        port = claim_port(self.port)
        command = [binary, *self._arguments(arm.kv, context_tokens, port, known_flags(binary)), *self.extra_args]
        process = ServerProcess(command, env=rotation_env(arm.kv), log_dir=self.log_dir, name="llama-server")
        return open_boot(Start(self.name, arm.kv, context_tokens, model_sha256=self.model_sha256), process, listener)

    def _arguments(self, kv: KVConfig, context_tokens: int, port: int, known: frozenset[str]) -> list[str]:
        given = {argument.partition("=")[0] for argument in self.extra_args}
        options = {"-t": self.threads, "-ngl": self.gpu_layers}
        return [
            *("-m", str(self.model_path), "-c", str(context_tokens), "-ctk", kv.k, "-ctv", kv.v),
            *("--host", "127.0.0.1", "--port", str(port)),
            *(("-lv", "4") if "-lv" in known else ()),
            *(("-fa", self.flash_attention) if self.flash_attention != "auto" else ()),
            *(part for flag, value in options.items() if value is not None for part in (flag, str(value))),
            *(part for names, ours in _DEFAULTS if ours[0] in known and not given & {*names} for part in ours),
        ]


def refuse_flags(extra_args: Sequence[str]) -> None:
    """Raise ConfigError for a flag that would contradict the arm or hide what it does."""
    for argument in extra_args:
        if reason := _OURS.get(argument.partition("=")[0]):
            raise ConfigError(
                f"server flag {argument!r} can't be passed through: {reason}",
                hint="Leave it out; kvassay sets it for each arm.",
            )


def find_binary(binary: str | None) -> str:
    """The path of the binary given, or of llama-server on PATH. Raises ConfigError."""
    found = shutil.which(binary or "llama-server")
    if found is None:
        raise ConfigError(
            f"no program {binary or 'llama-server'!r} can be run",
            hint="Give the path of your llama-server, or use the embedded back end, which needs none.",
        )
    return found


def known_flags(binary: str) -> frozenset[str]:
    """The flags in this build's own help: flags come and go between builds, and an unknown one stops the server."""
    try:
        said = subprocess.run([binary, "--help"], capture_output=True, timeout=_HELP_S, check=False)  # noqa: S603 - the user's own binary
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{binary!r} could not be asked for its flags: {error}") from error
    words = (said.stdout + said.stderr).decode("utf-8", "replace").replace(",", " ").split()
    return frozenset(word for word in words if word.startswith("-"))


def claim_port(port: int | None) -> int:
    """``port`` if it is free, or any free one. Raises PortTaken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise PortTaken(
                f"port {port} is in use ({error.strerror})", hint="End what uses it, or leave the port to kvassay."
            ) from error
        return int(probe.getsockname()[1])


def rotation_env(kv: KVConfig) -> dict[str, str]:
    """llama.cpp's switch for rotation, set either way so that the user's own environment can't decide."""
    return {"LLAMA_ATTN_ROT_DISABLE": "0" if kv.rotation else "1"}


def _flash_attention(extra_args: Sequence[str], otherwise: FlashAttention) -> FlashAttention:
    for flag, value in pairwise(extra_args):
        if flag in {"-fa", "--flash-attn"} and value in {"off", "0", "false"}:
            return "off"
    return otherwise
