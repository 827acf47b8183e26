"""The client of one running llama-server: the ``Boot`` behind all three ways to llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self, cast

import httpx

from kvassay import dialect
from kvassay.backend import llama_wire as wire
from kvassay.backend.base import Listener, Progress, Sampling, silent
from kvassay.backend.llama_log import warnings
from kvassay.backend.patience import PATIENCE_S, OutOfPatienceError, Patience, attend
from kvassay.errors import BackendError, ServerDied, ServerHung
from kvassay.types import BootFacts, ChatReply, Completion, JsonObject, Message, Tool

_CONNECT_S = 30.0
_PULSE_TIMEOUT_S = 5.0
WATCHED = httpx.Timeout(_CONNECT_S, read=None)
"""For a request that is attended: a reply in one piece comes when it comes, and patience says when it is too late."""

_RESUME = "What was finished is kept: run again with --resume to go on."


class Host(Protocol):
    """What stands behind a boot: a process of ours, or somebody else's server."""

    def log(self) -> str: ...

    def last_words(self) -> tuple[str, ...]: ...

    def exit_reason(self) -> str: ...

    def close(self) -> None: ...


class LlamaBoot:
    """One running llama-server. All raw requests go to slot 0, which holds the prompt cache."""

    def __init__(self, client: httpx.Client, facts: BootFacts, host: Host, *, patience_s: float = PATIENCE_S) -> None:
        self._client = client
        self._facts = facts
        self._host = host
        self._patience = Patience(patience_s)
        self._closed = False

    @property
    def facts(self) -> BootFacts:
        """The boot's facts; warnings that the server logged since the start are among them."""
        seen = (*self._facts.warnings, *(() if self._closed else warnings(self._host.log())))
        return replace(self._facts, warnings=tuple(dict.fromkeys(seen)))

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return str(self._post("/apply-template", wire.conversation(messages, tools))["prompt"])

    def tokenize(self, text: str) -> tuple[int, ...]:
        body = self._post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        return tuple(cast("list[int]", body["tokens"]))

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        return str(self._post("/detokenize", {"tokens": list(tokens)})["content"])

    def prefill(self, tokens: Sequence[int], listener: Listener = silent) -> Completion:
        last: JsonObject = {}
        for last in self._events("/completion", wire.prefill_body(tokens)):
            if isinstance(progress := last.get("prompt_progress"), dict):
                listener(Progress("prompt", int(str(progress["processed"])), int(str(progress["total"]))))
        if "error" in last:
            raise RefusedError(500, str(last["error"]))
        return wire.completion(last)

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        return wire.completion(self._post("/completion", wire.completion_body(tokens, sampling, dialect.markers())))

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        body = wire.chat_body(messages, tools, sampling, stream=stream)
        try:
            if stream:
                return wire.assemble(self._events("/v1/chat/completions", body))
            return wire.chat_reply(self._post("/v1/chat/completions", body))
        except RefusedError as refusal:
            return wire.failed_reply(refusal.status, refusal.text)

    def close(self) -> None:
        if not self._closed:
            self._facts = self.facts
            self._closed = True
            self._host.close()
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ----------------------------------------------------------------- requests

    def _post(self, path: str, body: JsonObject) -> JsonObject:
        """A request whose reply comes in one piece; meanwhile its progress shows in ``/slots``."""
        with named_errors(self._patience, self._host):
            response = attend(partial(self._client.post, path, json=body, timeout=WATCHED), self._pulse, self._patience)
        _raise_for_status(response, response.text)
        try:
            return cast("JsonObject", response.json())
        except ValueError:
            raise BackendError(f"{response.url} answered no JSON: {response.text[:200]!r}") from None

    def _events(self, path: str, body: JsonObject) -> Iterator[JsonObject]:
        self._patience.start()
        with named_errors(self._patience, self._host), self._client.stream("POST", path, json=body) as response:
            if response.is_error:
                _raise_for_status(response, response.read().decode("utf-8", "replace"))
            for line in wire.lines(response.iter_text()):
                if chunk := wire.event(line):
                    self._patience.sign()
                    yield chunk
                else:
                    self._patience.check()  # pings come every 30 s, however stuck the computation is

    def _pulse(self) -> object:
        """What changes as long as the server works, its slots' counters; None where they can't be had."""
        try:
            return self._client.get("/slots", timeout=_PULSE_TIMEOUT_S).text
        except httpx.HTTPError:
            return None


class RefusedError(BackendError):
    """The server answered a request with an HTTP error; ``text`` is the body."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the server answered with HTTP {status}: {text[:500]}")
        self.status = status
        self.text = text


@contextmanager
def named_errors(patience: Patience, host: Host) -> Iterator[None]:
    """What a vanished or a stuck server looks like from here, as ServerDied and ServerHung."""
    try:
        yield
    except (OutOfPatienceError, httpx.TimeoutException) as error:
        message = f"the server made no progress for {patience.limit_s:.0f} s"
        raise ServerHung(message, hint=_RESUME, log=host.last_words()) from error
    except httpx.TransportError as error:
        message = f"the server {host.exit_reason()} while a request was under way"
        raise ServerDied(message, hint=_RESUME, log=host.last_words()) from error


def connect(base_url: str, *, api_key: str | None = None, patience_s: float = PATIENCE_S) -> httpx.Client:
    """A client for one llama-server; it reads no proxy settings, since nothing may leave the machine unasked."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    timeout = httpx.Timeout(_CONNECT_S, read=patience_s)
    # The server drops idle connections whenever it likes; a fresh one costs nothing on the loopback.
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=base_url, headers=headers, timeout=timeout, limits=limits, trust_env=False)


def _raise_for_status(response: httpx.Response, text: str) -> None:
    if response.is_error:
        raise wire.context_error(text) or RefusedError(response.status_code, text)
