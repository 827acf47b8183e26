"""A tiny model with random weights and a byte-level tokenizer, saved as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3NextConfig,
    Qwen3NextForCausalLM,
)

from kvassay.backend.scripted import CHAT_TEMPLATE

LAYERS, KV_HEADS, HEAD_DIM = 3, 2, 64


def save_tiny(folder: Path, **changes: object) -> Path:
    """Three layers, four heads of 64 on two heads of K and V; keys have a bias, as in Qwen2.5."""
    fast = _save_tokenizer(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        **{
            "vocab_size": len(fast),
            "hidden_size": 256,
            "intermediate_size": 64,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": 8192,
            "initializer_range": 0.3,
            "eos_token_id": fast.eos_token_id,
            **changes,
        }
    )
    model = Qwen2ForCausalLM(config)
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.self_attn.k_proj.bias, std=3)
    model.save_pretrained(folder)
    return folder


def save_hybrid(folder: Path) -> Path:
    """One layer of linear attention, one of full attention, as in Qwen3-Next."""
    fast = _save_tokenizer(folder)
    torch.manual_seed(0)
    config = Qwen3NextConfig(
        vocab_size=len(fast),
        hidden_size=128,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        layer_types=["linear_attention", "full_attention"],
        num_experts=0,
        mlp_only_layers=[0, 1],
        initializer_range=0.3,
        eos_token_id=fast.eos_token_id,
    )
    Qwen3NextForCausalLM(config).save_pretrained(folder)
    return folder


def save_model(folder: Path, kind: type[PreTrainedConfig], **changes: object) -> Path:
    """Four small layers of any architecture, two heads of 32 for K and V where it has some."""
    fast = _save_tokenizer(folder)
    torch.manual_seed(0)
    config = kind(
        **{
            "vocab_size": len(fast),
            "hidden_size": 128,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "eos_token_id": fast.eos_token_id,
            "pad_token_id": 0,
            **changes,
        }
    )
    model = AutoModelForCausalLM.from_config(config)
    for part in model.parameters():
        if part.dim() > 1:
            torch.nn.init.normal_(part, std=0.15)
    model.save_pretrained(folder)
    return folder


def _save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")  # noqa: S106 - a token's text
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    fast.chat_template = CHAT_TEMPLATE.replace(
        "{{ call.function.arguments }}", "{{ call.function.arguments | tojson }}"
    )
    fast.save_pretrained(folder)
    return fast
