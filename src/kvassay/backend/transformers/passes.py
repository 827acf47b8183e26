"""Passes of a model over a cache, and what a model's own code can't do with one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence

import torch
from transformers import Cache, PreTrainedModel

_PROMPT = tuple(range(1, 9))
_ALIKE = 0.01
"""Logits further apart than this, as a part of their spread, were computed from different things."""


def forward(model: PreTrainedModel, cache: Cache, tokens: Sequence[int], held: int) -> torch.Tensor:
    """One pass over ``tokens`` behind the ``held`` ones in the cache; the last one's logits. Positions are told as
    ``generate()`` tells them: left to itself, Bamba counts each pass from 0.
    """
    ids = torch.tensor([tokens], device=model.device)
    told = {"input_ids": ids, "cache": cache, "use_cache": True, "logits_to_keep": 1}
    if "position_ids" in inspect.signature(model.forward).parameters:
        told["position_ids"] = torch.arange(held, held + len(tokens), device=model.device)[None]
    with torch.inference_mode():
        last: torch.Tensor = model(**told).logits[0, -1]
    return last


def keeps_state_elsewhere(model: PreTrainedModel, empty: Cache) -> bool:
    """Whether another prompt changes what comes behind a cache (RecurrentGemma's state lives in its modules)."""
    cache = copy.deepcopy(empty)
    forward(model, cache, _PROMPT[:4], 0)
    kept = copy.deepcopy(cache)
    undisturbed = forward(model, cache, _PROMPT[4:5], 4)
    forward(model, copy.deepcopy(empty), _PROMPT[::-1], 0)
    return not _alike(forward(model, kept, _PROMPT[4:5], 4), undisturbed)


def forgets_its_state(model: PreTrainedModel, empty: Cache) -> bool:
    """Whether several tokens in one pass begin anew instead of going on from the state that the cache holds, as in
    transformers' Mamba and Jamba (5.24): their code goes on by one token a pass only.
    """
    cache = copy.deepcopy(empty)
    forward(model, cache, _PROMPT[:4], 0)
    whole = forward(model, copy.deepcopy(empty), _PROMPT, 0)
    return not _alike(forward(model, cache, _PROMPT[4:], 4), whole)


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    spread = (other.float() - other.float().mean()).norm()
    return bool((one.float() - other.float()).norm() <= _ALIKE * spread)
