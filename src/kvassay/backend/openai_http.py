"""The client of one running server of the OpenAI kind: the ``Boot`` behind all engines that are attached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self, cast

import httpx

from kvassay.backend import openai_wire as wire
from kvassay.backend.base import Listener, Progress, Sampling, silent
from kvassay.backend.engine import Engine, Met, Pen, RawPrompt
from kvassay.backend.llama_http import WATCHED, Host, RefusedError, named_errors
from kvassay.backend.llama_wire import assemble, event, failed_reply, lines
from kvassay.backend.patience import PATIENCE_S, Patience, attend
from kvassay.errors import BackendError
from kvassay.types import BootFacts, ChatReply, Completion, JsonObject, Message, Position, Timings, Tool

_MOST_OF_A_VOCABULARY = 4096  # more alternatives than this are asked for only to see the whole vocabulary
_PART_OF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_CHAT = "/v1/chat/completions"


def no_pulse() -> object:
    """The pulse of a server that can't be watched."""
    return None


@dataclass(frozen=True, slots=True)
class Line:
    """The way to one server. ``pulse`` changes as long as it works, None where it can't be watched."""

    client: httpx.Client
    host: Host
    pulse: Callable[[], object] = no_pulse
    patience_s: float = PATIENCE_S

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def json(self, path: str) -> JsonObject:
        response = self._get(path)
        try:
            body = response.json() if response.is_success else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def text(self, path: str) -> str:
        response = self._get(path)
        return response.text if response.is_success else ""

    def post(self, path: str, body: JsonObject) -> JsonObject:
        patience = Patience(self.patience_s)
        with named_errors(patience, self.host):
            response = attend(partial(self.client.post, path, json=body, timeout=WATCHED), self.pulse, patience)
        _refuse(response.status_code, response.text)
        try:
            reply = response.json()
        except ValueError:
            raise BackendError(f"{self.client.base_url}{path[1:]} answered no JSON: {response.text[:200]!r}") from None
        return cast("JsonObject", reply)

    def events(self, path: str, body: JsonObject) -> Iterator[JsonObject]:
        """The data events of a streamed answer."""
        patience = Patience(self.patience_s)
        patience.start()
        with named_errors(patience, self.host), self.client.stream("POST", path, json=body) as response:
            if response.is_error:
                _refuse(response.status_code, response.read().decode("utf-8", "replace"))
            for line in lines(response.iter_text()):
                if chunk := event(line):
                    patience.sign()
                    yield chunk
                else:
                    patience.check()

    def _get(self, path: str) -> httpx.Response:
        with named_errors(Patience(self.patience_s), self.host):
            response = self.client.get(path)
        if response.status_code in (401, 403):
            raise BackendError(
                f"{self.client.base_url} wants an API key",
                hint="Put the key into the environment variable KVASSAY_API_KEY.",
            )
        return response


class OpenAIBoot:
    """One running server of some engine. ``pen`` belongs to the back end, which closes it."""

    def __init__(self, line: Line, engine: Engine, met: Met, pen: Pen) -> None:
        self._line, self._engine, self._met, self._pen = line, engine, met, pen
        self._opening = "" if engine.takes == "tokens" else pen.opening
        self._closed = False
        self._texts: dict[int, str] = {}

    @property
    def facts(self) -> BootFacts:
        return self._met.facts

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self._pen.render(messages, tools)

    def tokenize(self, text: str) -> tuple[int, ...]:
        tokens = self._pen.tokenize(text)
        if self._engine.takes != "tokens" and self._pen.detokenize(tokens) not in (text, self._opening + text):
            raise BackendError(
                f"a prompt of {len(tokens)} tokens is another text when its tokens are put together again",
                hint=f"{self._engine.name} takes prompts as text only, so this tokenizer can't be used for it.",
            )
        return tokens

    def prefill(self, tokens: Sequence[int], listener: Listener = silent) -> Completion:
        """One token is generated: no server of this kind processes a prompt only."""
        listener(Progress("prompt", 0, len(tokens)))
        started = time.perf_counter()
        answer = self.complete(tokens, Sampling(max_tokens=1))
        waited_ms = 1000 * (time.perf_counter() - started)
        listener(Progress("prompt", len(tokens), len(tokens)))
        told = answer.timings.prompt_ms or not answer.timings.processed_tokens
        return answer if told else replace(answer, timings=replace(answer.timings, prompt_ms=waited_ms))

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        listed = min(sampling.top_n, self._engine.most_alternatives)
        wanted = self._engine.completion(self._met.model, self._raw(tokens), replace(sampling, top_n=listed))
        answer = self._engine.read(self._line.post(wanted.path, wanted.body))
        answer = replace(answer, positions=tuple(self._worded(answer.positions)))
        # Half a vocabulary must not pass for a whole one: the least log-probability seen bounds what was not seen.
        whole = sampling.top_n > _MOST_OF_A_VOCABULARY
        return replace(answer, positions=()) if whole and listed < sampling.top_n else answer

    def _raw(self, tokens: Sequence[int]) -> RawPrompt:
        """The prompt as the engine takes it."""
        if self._engine.takes == "tokens":
            return tuple(tokens)
        text = self._pen.detokenize(tokens)
        return text.removeprefix(self._opening) if self._engine.takes == "text" else text

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        body = wire.chat_body(self._met.model, messages, tools, sampling, stream=stream) | self._engine.chat()
        try:
            return self._streamed(body) if stream else wire.chat_reply(self._line.post(_CHAT, body))
        except RefusedError as refusal:
            return failed_reply(refusal.status, refusal.text)

    def _worded(self, positions: Sequence[Position]) -> Iterator[Position]:
        """Positions with their tokens' text. Those that end inside a character are left out, as llama.cpp does it."""
        for position in positions:
            text = self._texts.get(position.token_id)
            if text is None:
                text = self._texts[position.token_id] = self._pen.detokenize([position.token_id])
            if _PART_OF_A_CHARACTER not in text:
                yield replace(position, text=text)

    def _streamed(self, body: JsonObject) -> ChatReply:
        chunks: list[JsonObject] = list(self._line.events(_CHAT, body))
        return replace(assemble(chunks), timings=_last_usage(chunks))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._line.host.close()
            self._line.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _last_usage(chunks: Iterable[JsonObject]) -> Timings | None:
    counts = [told for chunk in chunks if (told := wire.usage(chunk))]
    return counts[-1] if counts else None


def _refuse(status: int, text: str) -> None:
    if status >= httpx.codes.BAD_REQUEST:
        raise wire.context_error(status, text) or RefusedError(status, text)
