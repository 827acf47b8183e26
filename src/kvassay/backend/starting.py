"""From a process just started to a boot that answers, checked to be what was asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import httpx

from kvassay.backend import llama_log
from kvassay.backend.base import Listener, Progress
from kvassay.backend.engaged import boot_facts, check
from kvassay.backend.llama_http import LlamaBoot, connect
from kvassay.backend.patience import OutOfPatienceError, Patience
from kvassay.backend.process import ServerProcess
from kvassay.backend.props import props_facts
from kvassay.errors import BootFailed, ModelFileError, OutOfMemory, PairRefused, PortTaken, ServerHung
from kvassay.types import BootFacts, KVConfig

_POLL_S = 0.1

_HINTS: dict[type[Exception], str] = {
    OutOfMemory: "Use a smaller depth or smaller cache types, put fewer layers on the GPU, or end other programs.",
    PairRefused: "Leave this pair out: llama.cpp can't run it on this model with these settings.",
    PortTaken: "End what uses the port, or leave the port to kvassay.",
    ModelFileError: "Is the file complete, a GGUF, and of an architecture that this build knows?",
}


@dataclass(frozen=True, slots=True)
class Start:
    """What a start is about: for the check of what engaged, for the facts, and for messages."""

    backend: str
    kv: KVConfig
    context_tokens: int
    model_sha256: str | None = None
    build: str | None = None
    api_key: str | None = None


def open_boot(start: Start, process: ServerProcess, listener: Listener) -> LlamaBoot:
    """Wait until the server answers, read its facts back, check them. The process is ended on any failure.

    Raises BootFailed and its kin, ModelFileError, NotEngaged.
    """
    try:
        client = connect(_wait_for_address(start, process, listener), api_key=start.api_key)
        facts = _facts(start, process, client)
        listener(Progress("ready"))
        return LlamaBoot(client, facts, process)
    except BaseException:
        process.close()
        raise


def _facts(start: Start, process: ServerProcess, client: httpx.Client) -> BootFacts:
    log = llama_log.parse(process.log())
    check(start.kv, log)
    told = props_facts(client, context_tokens=start.context_tokens)
    return replace(
        boot_facts(log),
        backend=start.backend,
        build=start.build or told.build or log.build,
        model_path=told.model_path,
        model_sha256=start.model_sha256,
        context_tokens=told.context_tokens,
        slots=told.slots,
        chat_template=told.chat_template,
    )


def _wait_for_address(start: Start, process: ServerProcess, listener: Listener) -> str:
    """Follow the log until the server listens, which it says only once the model is loaded."""
    patience = Patience()
    stage = ""
    while process.running():
        log = process.log()
        if address := llama_log.address(log):
            return address
        if (now := llama_log.stage(log)) != stage:
            stage = now
            listener(Progress("loading" if stage != "starting" else "starting", note=stage))
        try:
            patience.observe(process.pulse())
        except OutOfPatienceError as error:
            message = f"the server for {start.kv} did nothing for {patience.limit_s:.0f} s while {stage}"
            raise ServerHung(message, log=process.last_words()) from error
        time.sleep(_POLL_S)
    raise _failure(start, process)


def _failure(start: Start, process: ServerProcess) -> BootFailed | ModelFileError:
    log = process.log()
    kind = OutOfMemory if process.killed() else llama_log.classify(log)
    words = llama_log.decisive(log)
    silent = "It said nothing before: is it a llama-server?"
    return kind(
        f"the server for {start.kv} with {start.context_tokens} tokens of context {process.exit_reason()}",
        hint=_HINTS.get(kind, "The lines above are the server's own words." if words else silent),
        log=words,
    )
