"""A back end whose answers come from a function or a list: for tests of the runner and the reports, without a model."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import jinja2

from kvassay.backend.base import Boot, Listener, Progress, Sampling, silent
from kvassay.backend.kv import BITS_PER_VALUE, LLAMA_TYPES
from kvassay.backend.llama_wire import conversation, too_long
from kvassay.errors import BackendError
from kvassay.types import Arm, BootFacts, ChatReply, Completion, Message, Position, Stop, Timings, Tool, WireCall

CHAT_TEMPLATE = """\
<|im_start|>system
{%- if tools %}
# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}
For each call return <tool_call>
{"name": ..., "arguments": ...}
</tool_call>
{%- endif %}<|im_end|>
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}<|im_start|>assistant
"""
"""ChatML with Hermes calls, so that dialects are chosen as for a real model."""

Script = Callable[[str, Arm], str]

_LAYERS, _VALUES = 8, 256
_PIECE = re.compile(r"[A-Za-z0-9_]{1,4}|[ \t]{1,4}|[\s\S]")
_WIDE = 1 << 28
_VOCABULARY = 200  # as many alternatives as there are, however many are asked for
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_PROMPT_TOKENS_PER_MS, _MS_PER_TOKEN = 10.0, 1.0


@dataclass(slots=True)
class Scripted:
    """``script`` answers a prompt's text on an arm; a list answers the 1st, 2nd … request of every boot, round again
    after its end.

    ``delay_s`` is waited in every request. ``faults`` raises the error given for the n-th request (counted from 0 over
    all boots), ``refused`` the one given for an arm's label when it is opened. ``log_probs`` off leaves positions out
    even where the caller asks for them. Ids of tokens are their text: 4 ASCII characters, or one other character.
    """

    script: Script | Sequence[str]
    delay_s: float = 0.0
    faults: Mapping[int, BackendError] = field(default_factory=dict)
    refused: Mapping[str, BackendError] = field(default_factory=dict)
    log_probs: bool = True
    cache_types: tuple[str, ...] = LLAMA_TYPES
    requests: int = 0

    @property
    def name(self) -> str:
        return "scripted"

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        if error := self.refused.get(arm.label):
            raise error
        listener(Progress("ready"))
        return ScriptedBoot(self, arm, context_tokens)

    def answer(self, prompt: str, arm: Arm, number_in_boot: int) -> str:
        """The text for one request, or its fault."""
        time.sleep(self.delay_s)
        number, self.requests = self.requests, self.requests + 1
        if error := self.faults.get(number):
            raise error
        return self.script(prompt, arm) if callable(self.script) else self.script[number_in_boot % len(self.script)]


class ScriptedBoot:
    """One boot: a one-slot prompt cache that is counted as a server would count it."""

    def __init__(self, backend: Scripted, arm: Arm, context_tokens: int) -> None:
        self._backend = backend
        self._arm = arm
        self._context_tokens = context_tokens
        self._cached: tuple[int, ...] = ()
        self._answered = 0
        self._template = jinja2.Environment(autoescape=False).from_string(CHAT_TEMPLATE)  # noqa: S701 - a prompt, not a page

    @property
    def facts(self) -> BootFacts:
        def size(cache_type: str) -> int:
            return round(self._context_tokens * _LAYERS * _VALUES * BITS_PER_VALUE.get(cache_type, 16.0) / 8)

        kv = self._arm.kv
        return BootFacts(
            backend="scripted",
            build="scripted",
            context_tokens=self._context_tokens,
            slots=1,
            k_type=kv.k,
            v_type=kv.v,
            k_bytes=size(kv.k),
            v_bytes=size(kv.v),
            kv_cells=self._context_tokens,
            kv_layers=_LAYERS,
            chat_template=CHAT_TEMPLATE,
        )

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self._template.render(**conversation(messages, tools)) + "\n"

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(encode(text))

    def prefill(self, tokens: Sequence[int], listener: Listener = silent) -> Completion:
        timings = self._process(tuple(tokens), "")
        listener(Progress("prompt", len(tokens), len(tokens)))
        return Completion("", Stop.LIMIT, timings)

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        whole = tuple(encode(self._answer(decode(tokens))))
        said = whole[: sampling.max_tokens]
        return Completion(
            text=decode(said),
            stop=Stop.EOS if said == whole else Stop.LIMIT,
            timings=self._process(tuple(tokens), decode(said)),
            tokens=said,
            positions=tuple(self._positions(said, sampling.top_n)) if self._backend.log_probs else (),
        )

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        del stream  # a script has nothing to differ by
        said = self.complete(self.tokenize(self.render(messages, tools)), sampling)
        calls = tuple(_calls(said.text))
        return ChatReply(
            content=_CALL.sub("", said.text).strip() if calls else said.text,
            calls=calls,
            finish_reason="tool_calls" if calls else "stop" if said.stop is Stop.EOS else "length",
            timings=said.timings,
        )

    def close(self) -> None:
        self._cached = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _positions(self, tokens: Sequence[int], top_n: int) -> Iterator[Position]:
        """Positions with a probability that tells the pair, as real ones do: the coarser the cache, the less of it."""
        kv = self._arm.kv
        first = -0.05 - sum(16.0 - BITS_PER_VALUE.get(side, 16.0) for side in (kv.k, kv.v)) / 1000
        for token in tokens if top_n else ():
            others = ((token + n, -4.0 - n) for n in range(1, min(top_n, _VOCABULARY)))
            yield Position(token, _piece(token), logprob=first, top=((token, first), *others))

    def _answer(self, prompt: str) -> str:
        self._answered += 1
        return self._backend.answer(prompt, self._arm, self._answered - 1)

    def _process(self, tokens: tuple[int, ...], said: str) -> Timings:
        if len(tokens) > self._context_tokens:
            raise too_long(len(tokens), self._context_tokens)
        same = next((i for i, (a, b) in enumerate(zip(tokens, self._cached, strict=False)) if a != b), None)
        shared = min(len(tokens), len(self._cached)) if same is None else same
        cached = min(shared, len(tokens) - 1)  # the last token is always computed, for its logits
        predicted = tuple(encode(said))
        self._cached = tokens + predicted[:-1]
        processed = len(tokens) - cached
        return Timings(
            cached_tokens=cached,
            processed_tokens=processed,
            prompt_ms=processed / _PROMPT_TOKENS_PER_MS,
            predicted_tokens=len(predicted),
            predicted_ms=len(predicted) * _MS_PER_TOKEN,
        )


def encode(text: str) -> Iterator[int]:
    """Token ids of a text, each below 2³¹: up to four ASCII word characters or blanks, or any one character."""
    for piece in _PIECE.findall(text):
        if len(piece) == 1:
            yield _WIDE + ord(piece)
        else:
            yield sum(ord(char) << (7 * place) for place, char in enumerate(piece))


def decode(tokens: Sequence[int]) -> str:
    """The text of token ids."""
    return "".join(map(_piece, tokens))


def _piece(token: int) -> str:
    if token >= _WIDE:
        return chr(token - _WIDE)
    return "".join(chr(token >> shift & 127) for shift in range(0, 28, 7) if token >> shift)


def _calls(text: str) -> Iterator[WireCall]:
    for body in _CALL.findall(text):
        with suppress(ValueError, KeyError, TypeError):
            call = json.loads(body)
            yield WireCall(call["name"], json.dumps(call["arguments"]))
