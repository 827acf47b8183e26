"""Headers of many architectures, as small or as large as asked: all keys that any of them reads.

After ``get_gguf_ctx`` of tests/test-llama-archs.cpp in llama.cpp b11434, which builds models from such headers alone.
"""

from __future__ import annotations

from pathlib import Path

from model.model_fixtures import Typed, gguf_bytes

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def u32s(*values: int) -> Typed:
    """An array of u32."""
    return (ARRAY, (U32, list(values)))


def plain(layers: int = 2, embedding: int = 256, heads: int = 2, kv_heads: int | None = None) -> dict[str, Typed]:
    """Keys that suit every architecture with attention in all layers; names without the architecture."""
    numbers = {
        "vocab_size": 128,
        "context_length": 131_072,
        "embedding_length": embedding,
        "features_length": embedding,
        "block_count": layers,
        "leading_dense_block_count": 1,
        "feed_forward_length": 384,
        "time_mix_extra_dim": 64,
        "time_decay_extra_dim": 128,
        "full_attention_interval": 2,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads or heads,
        "attention.group_norm_groups": 8,
        "attention.q_lora_rank": 512,
        "attention.kv_lora_rank": 512,
        "attention.relative_buckets_count": 8,
        "attention.sliding_window": 1024,
        "attention.sliding_window_pattern": 2,
        "attention.indexer.head_count": 64,
        "attention.indexer.key_length": 128,
        "attention.indexer.top_k": 131_072,
        "attention.indexer.block_size": 4,
        "attention.indexer.local_blocks": 1,
        "ssm.inner_size": 2 * embedding,
        "ssm.conv_kernel": 4,
        "ssm.state_size": 128,
        "ssm.time_step_rank": heads,
        "ssm.group_count": 2,
        "kda.head_dim": 128,
        "wkv.head_size": embedding // heads,
        "shortconv.l_cache": 3,
        "attention.decay_lora_rank": 64,
        "attention.iclr_lora_rank": 64,
        "attention.value_residual_mix_lora_rank": 32,
        "attention.gate_lora_rank": 128,
    }
    fractions = {
        "logit_scale": 1.0,
        "residual_scale": 3.5,
        "attention.max_alibi_bias": 8.0,
        "attention.clamp_kqv": 1.0,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.group_norm_epsilon": 1e-5,
        "kda.gate_lower_bound": -5.0,
        "swiglu_clamp_exp": 7.0,
        "swiglu_clamp_shexp": 7.0,
    }
    quarter = embedding // heads // 4
    return (
        {key: (U32, value) for key, value in numbers.items()}
        | {key: (F32, value) for key, value in fractions.items()}
        | {"use_parallel_residual": (BOOL, False), "kda.safe_gate": (BOOL, True)}
        | {"rope.dimension_sections": u32s(quarter, quarter, quarter, quarter)}
    )


EXPERTS: dict[str, Typed] = {
    "expert_feed_forward_length": (U32, 384),
    "expert_shared_feed_forward_length": (U32, 192),
    "interleave_moe_layer_step": (U32, 2),
    "expert_count": (U32, 2),
    "expert_used_count": (U32, 2),
    "expert_shared_count": (U32, 1),
    "expert_gating_func": (U32, 2),
    "expert_group_scale": (F32, 1.0),
    "experts_per_group": (U32, 1),
    "expert_weights_scale": (F32, 1.0),
    "expert_weights_norm": (BOOL, True),
}


def write(path: Path, architecture: str, keys: dict[str, Typed]) -> Path:
    """Write a header without tensors."""
    full = {"general.architecture": (STRING, architecture), "tokenizer.ggml.model": (STRING, "none")}
    full |= {f"xielu.{key}": (F32, 1.0) for key in ("alpha_n", "alpha_p", "beta", "eps")}
    path.write_bytes(gguf_bytes(full | {f"{architecture}.{key}": value for key, value in keys.items()}))
    return path


def _latent(**more: Typed) -> dict[str, Typed]:
    return {
        **plain(embedding=128, heads=1),
        "attention.key_length": (U32, 576),
        "attention.value_length": (U32, 512),
        "attention.key_length_mla": (U32, 192),
        "attention.value_length_mla": (U32, 128),
        "rope.dimension_count": (U32, 64),
        **more,
    }


def _hybrid(layers: int, kv: tuple[int, ...], **more: Typed) -> dict[str, Typed]:
    return {
        **plain(layers),
        "attention.head_count": u32s(*kv),
        "attention.head_count_kv": u32s(*kv),
        **more,
    }


_DELTA = {"ssm.inner_size": (U32, 256)}
_MLA_HYBRID = {"attention.head_count": u32s(1, 0), "attention.head_count_kv": u32s(1, 0)}
_MIX = {
    "hyper_connection.count": (U32, 4),
    "hyper_connection.sinkhorn_iterations": (U32, 2),
    "hyper_connection.epsilon": (F32, 1e-6),
    "hyper_connection.low_rank": (U32, 8),
    "hyper_connection.magnitude": (F32, 2.0),
}
_FLAGS = (ARRAY, (BOOL, [True, False, True, True, False]))
_LISTED = {"block_count": (U32, 5), "attention.sliding_window_pattern": _FLAGS}

SPECIFIC: dict[str, dict[str, Typed]] = {
    "gemma3n": plain(22, embedding=64, heads=1),
    "gemma4": {
        **plain(embedding=128),
        "block_count": (U32, 5),
        "attention.sliding_window_pattern": (ARRAY, (BOOL, [True, True, False, True, False])),
        "embedding_length_per_layer_input": (U32, 64),
        "attention.shared_kv_layers": (U32, 2),
        "attention.key_length": (U32, 128),
        "attention.value_length": (U32, 128),
        "attention.key_length_swa": (U32, 64),
        "attention.value_length_swa": (U32, 64),
        "rope.freq_base_swa": (F32, 10000.0),
    },
    "dflash": plain() | _LISTED,
    "granite_swa": plain() | _LISTED,
    "maple": plain() | _LISTED,
    "mimo2": plain() | _LISTED,
    "spark2_5": plain() | _LISTED,
    "step35": plain() | _LISTED,
    "exaone4": plain(64, embedding=64),
    "cohere2": plain(8) | {"attention.sliding_window_pattern": (U32, 4)},
    "gpt-oss": plain(6, kv_heads=1),
    "phi3": plain(4),
    "llama4": plain(4),
    "glm4moe": plain(4, kv_heads=1) | {"nextn_predict_layers": (U32, 1)},
    "qwen3": plain(3, heads=4, kv_heads=1) | {"attention.key_length": (U32, 96), "attention.value_length": (U32, 96)},
    "deepseek2": _latent(),
    "mistral4": _latent(),
    "deepseek32": _latent(),
    "glm-dsa": _latent(),
    "hy_v4": _latent(**_MIX, **{"attention.indexer.types": u32s(1, 0)}),
    "dots3note": _latent(
        **{
            "attention.kv_lora_rank_swa": (U32, 512),
            "attention.key_length_swa": (U32, 576),
            "attention.value_length_swa": (U32, 512),
            "attention.key_length_mla_swa": (U32, 192),
            "attention.value_length_mla_swa": (U32, 128),
            "rope.freq_base_swa": (F32, 10000.0),
            "attention.indexer.types": u32s(1, 0),
            "attention.sliding_window_pattern": u32s(0, 1),
        }
    ),
    "deepseek4": plain(4, embedding=512, heads=8, kv_heads=1)
    | _MIX
    | {
        "attention.key_length": (U32, 64),
        "attention.value_length": (U32, 64),
        "attention.q_lora_rank": (U32, 64),
        "rope.dimension_count": (U32, 32),
        "attention.output_group_count": (U32, 8),
        "attention.output_lora_rank": (U32, 32),
        "attention.compress_ratios": u32s(0, 0, 4, 128),
        "attention.compress_rope_freq_base": (F32, 160000.0),
        "hash_layer_count": (U32, 0),
        "expert_gating_func": (U32, 4),
    },
    "jamba": _hybrid(4, (2, 0, 0, 1)),
    "plamo2": _hybrid(4, (2, 0, 2, 0)) | {"ssm.group_count": (U32, 0)},
    "granitehybrid": _hybrid(4, (2, 0, 0, 2)),
    "lfm2": _hybrid(4, (2, 0, 0, 2)),
    "lfm2moe": _hybrid(4, (2, 0, 0, 2)),
    "nemotron_h": _hybrid(5, (2, 0, 0, 2, 0)) | {"feed_forward_length": u32s(0, 0, 384, 0, 0)},
    "nemotron_h_moe": _hybrid(5, (2, 0, 0, 2, 0)) | {"feed_forward_length": u32s(0, 0, 384, 0, 0)},
    "qwen3next": plain(6) | _DELTA,
    "qwen35": plain(6) | _DELTA | {"nextn_predict_layers": (U32, 1), "full_attention_interval": (U32, 3)},
    "qwen35moe": plain(5) | _DELTA | {"attention.recurrent_layers": u32s(1, 1, 0, 1, 0)},
    "qwen4exp": plain(4)
    | _DELTA
    | _MIX
    | {"attention.compress_ratios": u32s(4, 4, 4, 4), "attention.indexer.key_length": (U32, 128)},
    "minimax-01": plain(8),
    "kimi-linear": _latent(**_MLA_HYBRID),
    "bailingmoe3": _latent(**_MLA_HYBRID),
    "kimi-k3": _latent(**_MLA_HYBRID)
    | {
        "attn_res.block_size": (U32, 12),
        "activation.situ_beta": (F32, 4.0),
        "activation.situ_linear_beta": (F32, 25.0),
        "expert_latent_length": (U32, 384),
    },
    "glm5-next": _latent(**_MIX)
    | {
        "attention.key_length": (U32, 512),
        "rope.dimension_count": (U32, 0),
        "attention.head_count_kv": u32s(1, 0),
        "attention.indexer.kpool": (U32, 4),
        "attention.indexer.kpool_select_tail": (BOOL, True),
    },
    "minimax-m3": plain(4)
    | {
        "attention.indexer.head_count": (U32, 2),
        "attention.indexer.key_length": (U32, 128),
        "rope.dimension_count": (U32, 64),
    },
    "graniteswitch": plain(3)
    | {"adapters.count": (U32, 1), "adapters.lora_rank": (U32, 8)}
    | {"adapters.token_ids_activate": u32s(1), "adapters.token_ids_substitute": u32s(2)},
    "rwkv6qwen2": plain() | {"token_shift_count": (U32, 1)},
    "arwkv7": plain() | {"token_shift_count": (U32, 1)},
    "hrm_text": plain(6)
    | {f"hrm.{key}": (U32, n) for key, n in (("layers_per_stack", 1), ("h_cycles", 2), ("l_cycles", 2))},
    "nanbeige": plain(3) | {"num_loops": (U32, 2)},
}


def keys_of(architecture: str) -> dict[str, Typed]:
    """Keys that llama.cpp loads this architecture from."""
    return SPECIFIC.get(architecture) or plain()
