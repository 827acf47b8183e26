"""The template and the tokenizer from the model's own files, for servers that lend neither (docs/design/engines.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvassay.backend.embedded import Embedded
from kvassay.backend.engine import Pen
from kvassay.backend.llama_http import LlamaBoot
from kvassay.backend.pen_hf import HubPen
from kvassay.errors import ConfigError
from kvassay.types import Arm, KVConfig, Message, Tool

_CONTEXT_TOKENS = 256  # nothing is ever generated
_MAGIC = b"GGUF"


def open_pen(path: Path) -> Pen:
    """The pen made of a GGUF file, a Hugging Face directory, or a tokenizer.json in one.

    Raises ConfigError for anything else, and what starting llama.cpp raises.
    """
    if path.is_file() and path.name != "tokenizer.json":
        return _gguf(path)
    return HubPen.read(path.parent if path.name == "tokenizer.json" else path)


def _gguf(path: Path) -> Pen:
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ConfigError(
                f"{str(path)!r} is neither a GGUF file nor a tokenizer.json",
                hint="Give the model's GGUF file, or the directory with tokenizer.json and tokenizer_config.json.",
            )
    plain = Arm(KVConfig("f16", "f16"))
    boot = Embedded(path, threads=1, gpu_layers=0).open(plain, context_tokens=_CONTEXT_TOKENS)
    assert isinstance(boot, LlamaBoot)  # noqa: S101  what Embedded opens
    return GgufPen(boot)


@dataclass(frozen=True, slots=True)
class GgufPen:
    """llama.cpp on the CPU with the model's file, asked for prompts and token ids only: the weights stay on disk,
    as far as the system maps them.
    """

    boot: LlamaBoot

    @property
    def template(self) -> str:
        return self.boot.facts.chat_template

    @property
    def opening(self) -> str:
        return self.detokenize(self.tokenize(""))

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self.boot.render(messages, tools)

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self.boot.tokenize(text)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self.boot.detokenize(tokens)

    def close(self) -> None:
        self.boot.close()
