"""The user's own command that starts a server for one arm: run it, wait until it answers, read its log."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import replace
from pathlib import Path

import httpx

from kvassay.backend import llama_log
from kvassay.backend.base import Listener, Progress
from kvassay.backend.engaged import boot_facts
from kvassay.backend.engine import Engine
from kvassay.backend.llama_server import rotation_env
from kvassay.backend.patience import OutOfPatienceError, Patience
from kvassay.backend.process import ServerProcess
from kvassay.errors import BootFailed, ConfigError, OutOfMemory, PortTaken, ServerHung
from kvassay.types import BootFacts, KVConfig

_POLL_S = 0.25
_ANSWER_S = 5.0
_READY = (200, 401, 403)  # one that wants a key is up; that it does is said when it is asked more
_SELF_SIZE = re.compile(r"KV self size += +[\d.]+ MiB, K \((\w+)\): +([\d.]+) MiB, V \((\w+)\): +([\d.]+) MiB")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


def words(command: str, engine: Engine, kv: KVConfig) -> list[str]:
    """The command for one arm: ``{k}`` and ``{v}`` are its types as the engine's flags spell them.

    Raises ConfigError for an empty command, unbalanced quotes and unknown placeholders.
    """
    values = {"k": engine.flag(kv.k), "v": engine.flag(kv.v)}
    if "{k}" not in command or (kv.k != kv.v and "{v}" not in command):
        raise ConfigError(
            f"--serve {command!r} would start every pair alike",
            hint="{k} and {v} stand for the arm's cache types; {k} alone will do where K and V are equal.",
        )
    if unknown := [name for name in _PLACEHOLDER.findall(command) if name not in values]:
        raise ConfigError(
            f"{{{unknown[0]}}} in --serve {command!r} is nothing that is known",
            hint="{k} and {v} are replaced by the arm's cache types.",
        )
    # TabbyAPI's one word for a pair: what is not quantised has one name there, FP16 for both sides.
    plain = kv.k == kv.v == engine.cache_types[0]
    line = command.replace("{k},{v}", "{k}") if plain else command
    try:
        found = shlex.split(_PLACEHOLDER.sub(lambda match: values[match[1]], line))
    except ValueError as error:
        raise ConfigError(f"--serve {command!r} can't be split into words: {error}") from None
    if not found:
        raise ConfigError("--serve is empty", hint="Give the command that starts your server, with {k} and {v} in it.")
    return found


def started(
    command: str, engine: Engine, kv: KVConfig, client: httpx.Client, *, log_dir: Path | None, listener: Listener
) -> ServerProcess:
    """A process of the command that answers at the client's address; it is ended on any failure.

    Raises PortTaken where something answers there already, BootFailed and its kin with the log's decisive lines.
    """
    line = words(command, engine, kv)
    if _status(client, engine.health) in (*_READY, httpx.codes.SERVICE_UNAVAILABLE):  # one that still loads is there
        raise PortTaken(
            f"something answers at {client.base_url} already",
            hint="End it first: each arm needs a server of its own, started by --serve.",
        )
    listener(Progress("loading", note=f"starting {line[0]}"))
    process = ServerProcess(line, env=rotation_env(kv), log_dir=log_dir, name=engine.name)
    try:
        _wait(process, client, engine.health, kv)
    except BaseException:
        process.close()
        raise
    return process


def _wait(process: ServerProcess, client: httpx.Client, health: str, kv: KVConfig) -> None:
    patience = Patience()
    while process.running():
        if _status(client, health) in _READY:
            return
        try:
            patience.observe(process.pulse())
        except OutOfPatienceError as error:
            message = f"the server for {kv} did nothing for {patience.limit_s:.0f} s and does not answer"
            raise ServerHung(message, log=process.last_words()) from error
        time.sleep(_POLL_S)
    kind = llama_log.classify(process.log())
    failed = kind if issubclass(kind, BootFailed) else BootFailed
    raise (OutOfMemory if process.killed() else failed)(
        f"the command for {kv} {process.exit_reason()} before its server answered at {client.base_url}",
        hint="--serve wants a command that stays in the foreground.",
        log=llama_log.decisive(process.log()),
    )


def _status(client: httpx.Client, path: str) -> int | None:
    """The status of an answer at the address, whoever gives it; None where nobody does."""
    try:
        return client.get(path, timeout=_ANSWER_S).status_code
    except httpx.HTTPError:
        return None


def log_facts(log: str, facts: BootFacts) -> BootFacts:
    """The facts with what llama.cpp's lines in a log tell beside them; as they were where there are none. ik_llama.cpp
    still writes the line of 2024 (src/llama.cpp:5764).
    """
    told = llama_log.parse(log)
    if not told.caches:
        return _self_size(log, facts)
    found = boot_facts(told)
    return replace(
        found,
        build=facts.build or found.build,
        model_path=facts.model_path,
        context_tokens=facts.context_tokens,
        slots=facts.slots,
    )


def _self_size(log: str, facts: BootFacts) -> BootFacts:
    found = _SELF_SIZE.search(log)
    if found is None:
        return facts
    k_type, k_mib, v_type, v_mib = found.groups()
    sizes = (round(float(mib) * 1024 * 1024) for mib in (k_mib, v_mib))
    k_bytes, v_bytes = sizes
    return replace(facts, k_type=k_type, v_type=v_type, k_bytes=k_bytes, v_bytes=v_bytes)
