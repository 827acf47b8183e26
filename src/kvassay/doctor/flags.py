"""The flags and variables the doctor understands, per engine: a table of names, values and defaults.

llama-server's names are those of common/arg.cpp at b11434; the others' stand in plan/data/engines.toml with sources.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting: its fact's name, its flags, its variable. ``takes_value`` False: the flag's presence says "on".
    ``off`` flags take no value and say "off". ``default`` is what holds where nobody set it.
    """

    fact: str
    names: tuple[str, ...] = ()
    env: str | None = None
    takes_value: bool = True
    off: tuple[str, ...] = ()
    default: str | None = None
    secret: bool = False


def _switch(fact: str, *names: str, env: str | None = None, off: tuple[str, ...] = ()) -> Flag:
    return Flag(fact, names, env, takes_value=False, off=off)


_LLAMA = (
    Flag("model", ("-m", "--model"), "LLAMA_ARG_MODEL"),
    Flag("hf_repo", ("-hf", "-hfr", "--hf-repo"), "LLAMA_ARG_HF_REPO"),
    Flag("k_type", ("-ctk", "--cache-type-k"), "LLAMA_ARG_CACHE_TYPE_K", default="f16"),
    Flag("v_type", ("-ctv", "--cache-type-v"), "LLAMA_ARG_CACHE_TYPE_V", default="f16"),
    Flag(
        "draft_k_type",
        ("-ctkd", "--cache-type-k-draft", "--spec-draft-type-k"),
        "LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K",
    ),
    Flag(
        "draft_v_type",
        ("-ctvd", "--cache-type-v-draft", "--spec-draft-type-v"),
        "LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V",
    ),
    Flag("draft_model", ("-md", "--model-draft", "--spec-draft-model"), "LLAMA_ARG_SPEC_DRAFT_MODEL"),
    Flag("draft_repo", ("-hfd", "-hfrd", "--hf-repo-draft", "--spec-draft-hf"), "LLAMA_ARG_SPEC_DRAFT_HF_REPO"),
    Flag("spec_type", ("--spec-type",), "LLAMA_ARG_SPEC_TYPE"),
    Flag("flash_attention", ("-fa", "--flash-attn"), "LLAMA_ARG_FLASH_ATTN", default="auto"),
    Flag("context", ("-c", "--ctx-size"), "LLAMA_ARG_CTX_SIZE"),
    Flag("parallel", ("-np", "--parallel"), "LLAMA_ARG_N_PARALLEL"),
    _switch("unified", "-kvu", "--kv-unified", env="LLAMA_ARG_KV_UNIFIED", off=("-no-kvu", "--no-kv-unified")),
    Flag("ubatch", ("-ub", "--ubatch-size"), "LLAMA_ARG_UBATCH"),
    Flag("batch", ("-b", "--batch-size"), "LLAMA_ARG_BATCH"),
    _switch("swa_full", "--swa-full", env="LLAMA_ARG_SWA_FULL"),
    Flag("fit", ("-fit", "--fit"), "LLAMA_ARG_FIT", default="on"),
    Flag("gpu_layers", ("-ngl", "--gpu-layers", "--n-gpu-layers"), "LLAMA_ARG_N_GPU_LAYERS"),
    _switch("kv_offload", "-kvo", "--kv-offload", env="LLAMA_ARG_KV_OFFLOAD", off=("-nkvo", "--no-kv-offload")),
    Flag("split_mode", ("-sm", "--split-mode"), "LLAMA_ARG_SPLIT_MODE"),
    Flag("tensor_split", ("-ts", "--tensor-split"), "LLAMA_ARG_TENSOR_SPLIT"),
    Flag("override_tensor", ("-ot", "--override-tensor"), "LLAMA_ARG_OVERRIDE_TENSOR"),
    Flag("devices_flag", ("-dev", "--device"), "LLAMA_ARG_DEVICE"),
    Flag("verbosity", ("-lv", "--verbosity", "--log-verbosity"), "LLAMA_ARG_LOG_VERBOSITY", default="3"),
    _switch("verbose", "-v", "--verbose", "--log-verbose"),
    Flag("rotation_off", (), "LLAMA_ATTN_ROT_DISABLE"),
    Flag("host", ("--host",), "LLAMA_ARG_HOST"),
    Flag("port", ("--port",), "LLAMA_ARG_PORT"),
    Flag("alias", ("-a", "--alias"), "LLAMA_ARG_ALIAS"),
    Flag("api_key", ("--api-key",), "LLAMA_API_KEY", secret=True),
    Flag("hf_token", ("-hft", "--hf-token"), "HF_TOKEN", secret=True),
)
_IK = (
    *(flag for flag in _LLAMA if flag.fact not in {"fit", "rotation_off", "verbosity", "flash_attention", "unified"}),
    Flag("flash_attention", ("-fa", "--flash-attn"), off=("-no-fa", "--no-flash-attn"), default="on"),
    _switch("rotation_k", "-khad", "--k-cache-hadamard"),
    _switch("rotation_v", "-vhad", "--v-cache-hadamard"),
    Flag("k_first", ("-ctk-first", "--cache-type-k-first")),
    Flag("k_last", ("-ctk-last", "--cache-type-k-last")),
    Flag("v_first", ("-ctv-first", "--cache-type-v-first")),
    Flag("v_last", ("-ctv-last", "--cache-type-v-last")),
    Flag("indexer_type", ("-ictk",)),
)
_KOBOLD = (
    Flag("model", ("--model", "-m")),
    Flag("quantkv", ("--quantkv",), default="f16"),
    Flag(
        "flashattention",
        ("--flashattention", "--flash-attn", "-fa"),
        takes_value=False,
        off=("--noflashattention", "--no-flash-attn", "-nofa"),
        default="on",
    ),
    Flag("context", ("--contextsize", "--ctx-size", "-c")),
    Flag("gpu_layers", ("--gpulayers", "--gpu-layers", "--n-gpu-layers", "-ngl")),
    Flag("api_key", ("--password",), secret=True),
    _switch("vulkan", "--usevulkan"),
)
_OLLAMA = (
    Flag("kv_type", (), "OLLAMA_KV_CACHE_TYPE"),
    Flag("flash_attention", (), "OLLAMA_FLASH_ATTENTION"),
    Flag("context", (), "OLLAMA_CONTEXT_LENGTH"),
    Flag("parallel", (), "OLLAMA_NUM_PARALLEL"),
    Flag("inherited_k", (), "LLAMA_ARG_CACHE_TYPE_K"),
    Flag("inherited_v", (), "LLAMA_ARG_CACHE_TYPE_V"),
    Flag("rotation_off", (), "LLAMA_ATTN_ROT_DISABLE"),
    Flag("api_key", (), "OLLAMA_API_KEY", secret=True),
)
_VLLM = (
    Flag("model", ("--model",)),
    Flag("kv_dtype", ("--kv-cache-dtype",), default="auto"),
    Flag("skip_layers", ("--kv-cache-dtype-skip-layers",)),
    Flag("attention_backend", ("--attention-backend",)),
    Flag("ignored_backend", (), "VLLM_ATTENTION_BACKEND"),
    _switch("calculate_kv_scales", "--calculate-kv-scales"),
    Flag("context", ("--max-model-len",)),
    Flag("api_key", ("--api-key",), "VLLM_API_KEY", secret=True),
    Flag("hf_token", ("--hf-token",), "HF_TOKEN", secret=True),
)
_SGLANG = (
    Flag("model", ("--model-path", "--model")),
    Flag("kv_dtype", ("--kv-cache-dtype",), default="auto"),
    Flag("device", ("--device",)),
    Flag("context", ("--context-length",)),
    Flag("api_key", ("--api-key",), secret=True),
)
_PYTHON = (
    Flag("model", ("--model",), "MODEL"),
    Flag("k_number", ("--type_k",), "TYPE_K"),
    Flag("v_number", ("--type_v",), "TYPE_V"),
    Flag("flash_attn", ("--flash_attn",), "FLASH_ATTN", default="False"),
    Flag("context", ("--n_ctx",), "N_CTX"),
    Flag("gpu_layers", ("--n_gpu_layers",), "N_GPU_LAYERS"),
    Flag("rotation_off", (), "LLAMA_ATTN_ROT_DISABLE"),
    Flag("api_key", ("--api_key",), "API_KEY", secret=True),
)
_TABBY = (
    Flag("model", ("--model-name",), "TABBY_MODEL_MODEL_NAME"),
    Flag("cache_mode", ("--cache-mode",), "TABBY_MODEL_CACHE_MODE", default="FP16"),
    Flag("cache_size", ("--cache-size",), "TABBY_MODEL_CACHE_SIZE"),
    Flag("max_seq_len", ("--max-seq-len",), "TABBY_MODEL_MAX_SEQ_LEN"),
    Flag("backend", ("--backend",), "TABBY_MODEL_BACKEND"),
    Flag("draft_model", ("--draft-model-name",), "TABBY_DRAFT_MODEL_DRAFT_MODEL_NAME"),
    Flag("draft_mode", ("--draft-mode",), "TABBY_DRAFT_MODEL_DRAFT_MODE"),
    Flag("draft_cache_mode", ("--draft-cache-mode",), "TABBY_DRAFT_MODEL_DRAFT_CACHE_MODE"),
    Flag("cache_pair", ("-cq", "--cache_quant")),
)

FLAGS: dict[str, tuple[Flag, ...]] = {
    "llama.cpp": _LLAMA,
    "ik_llama.cpp": _IK,
    "koboldcpp": _KOBOLD,
    "ollama": _OLLAMA,
    "vllm": _VLLM,
    "sglang": _SGLANG,
    "llama-cpp-python": _PYTHON,
    "exllamav3": _TABBY,
}


def flag_of(engine: str | None, fact: str) -> Flag | None:
    """The setting behind a fact's name, None where the engine has none."""
    return next((flag for flag in FLAGS.get(engine or "", ()) if flag.fact == fact), None)
