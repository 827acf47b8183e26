"""A boot of ExLlamaV3: a model and a cache of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from kvassay.backend.exllamav3.layers import Layer, read_layer, require_engaged
from kvassay.backend.exllamav3.load import Loaded, clear, load
from kvassay.backend.in_process.boot import InProcessBoot
from kvassay.backend.in_process.words import words_of
from kvassay.errors import KvassayError, OutOfMemory
from kvassay.prefix import shared
from kvassay.types import BootFacts, KVConfig

_CHUNK = 2048
"""Prompt tokens of one pass: ``max_chunk_size`` of ExLlamaV3's generator."""


def open_boot(
    path: Path, kv: KVConfig, context_tokens: int, *, device: str | None, model_sha256: str | None
) -> InProcessBoot:
    """Load the model with its cache. Raises what ``load`` raises, NotEngaged where the layers hold other types."""
    loaded = load(path, kv, context_tokens, device=device)
    mind = ExLlamaMind(loaded)
    try:
        layers = [read_layer(layer.get_tensors()) for layer in loaded.cache.layers.values()]
        require_engaged(layers, kv)
    except KvassayError:
        mind.free()
        raise
    facts = _facts(loaded, layers, context_tokens=context_tokens, model_sha256=model_sha256)
    return InProcessBoot(mind, words_of(loaded.tokenizer, loaded.ends), facts, context_tokens)


class ExLlamaMind:
    """The model and what its cache holds. Each token's entries depend on nothing behind them, so that forgetting the
    end is a smaller count: what stands behind it is overwritten.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded: Loaded | None = loaded
        self._tokens: tuple[int, ...] = ()
        self.ends = loaded.ends
        self.chunk = _CHUNK

    @property
    def tokens(self) -> tuple[int, ...]:
        return self._tokens

    def back_to(self, tokens: Sequence[int]) -> int:
        self._tokens = self._tokens[: shared(self._tokens, tokens)]
        return len(self._tokens)

    def forward(self, tokens: Sequence[int]) -> torch.Tensor:
        assert self._loaded is not None  # noqa: S101  a closed boot isn't asked
        model, cache, past = self._loaded.model, self._loaded.cache, len(self._tokens)
        asked = {
            "attn_mode": "flash_attn",
            "cache": cache,
            "past_len": past,
            "batch_shape": (1, cache.max_num_tokens),
            "last_tokens_only": 1,
        }
        try:
            logits = model.forward(torch.tensor([tokens], dtype=torch.long), asked)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"{self._loaded.device} has no room for {past + len(tokens):,} tokens", hint="Use a smaller --context."
            ) from error
        self._tokens = (*self._tokens, *tokens)
        last: torch.Tensor = logits[0, -1, : model.config.vocab_size]
        return last

    def keep(self) -> None:
        """Nothing to do: the cache can be cut back to any length."""

    def free(self) -> None:
        if self._loaded is not None:
            self._loaded.unload()
            self._loaded, self._tokens = None, ()
            clear()


def _facts(loaded: Loaded, layers: Sequence[Layer], *, context_tokens: int, model_sha256: str | None) -> BootFacts:
    card = torch.cuda.get_device_name(loaded.device)
    return BootFacts(
        backend="exllamav3",
        build=f"{version('exllamav3')}, torch {torch.__version__}, CUDA {torch.version.cuda}",
        model_path=str(loaded.path),
        model_sha256=model_sha256,
        context_tokens=context_tokens,
        slots=1,
        k_type=layers[0].k.type,
        v_type=layers[0].v.type,
        k_bytes=sum(one.k.nbytes for one in layers),
        v_bytes=sum(one.v.nbytes for one in layers),
        kv_cells=loaded.cache.max_num_tokens,
        kv_layers=len(layers),
        model_bytes=loaded.model_bytes,
        devices=(f"{card} ({loaded.device})",),
        chat_template=str(loaded.tokenizer.chat_template),
    )
