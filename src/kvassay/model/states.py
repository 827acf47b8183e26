"""How many F32 elements a layer's recurrent state has (``n_embd_r`` and ``n_embd_s`` of llama-hparams.cpp)."""

from __future__ import annotations

from kvassay.model.architectures import Memory, State
from kvassay.model.keys import MAX_LAYERS
from kvassay.model.reading import Reading

CSA_RATIO, HCA_RATIO = 4, 128  # llama-kv-cache-dsv4.cpp:18


def state_elements(reading: Reading) -> tuple[int, ...]:
    """Elements of each layer's state for one sequence; 0 for layers without."""
    if reading.rule.memory is Memory.COMPRESSED:
        ratios = compression_of(reading)
        return tuple(
            _compressor(reading, ratio) if inside else 0 for ratio, inside in zip(ratios, reading.trunk, strict=True)
        )
    if reading.rule.state is None:
        return (0,) * reading.depth.all
    each, extra = _elements(reading), _ngram(reading)
    return tuple(each + extra[il] if recurrent else 0 for il, recurrent in enumerate(reading.recurrent))


def compression_of(reading: Reading) -> tuple[int, ...]:
    """DeepSeek-V4's compression ratio by layer; 0 elsewhere."""
    count = reading.depth.all
    if reading.rule.memory is not Memory.COMPRESSED:
        return (0,) * count
    listed = reading.keys.listed("attention.compress_ratios", range(count, MAX_LAYERS + 1))
    return tuple(ratio if ratio in (CSA_RATIO, HCA_RATIO) else 0 for ratio in listed[:count])


def _elements(reading: Reading) -> int:
    keys, heads = reading.keys, reading.heads
    embedding = keys.u32("embedding_length")
    match reading.rule.state:
        case State.SHORT_CONVOLUTION:
            return embedding * max(keys.u32("shortconv.l_cache") - 1, 0)
        case State.RWKV:
            return embedding * (keys.u32("token_shift_count", 2) + keys.u32("wkv.head_size"))
        case State.KDA:
            dim, kernel = keys.u32("kda.head_dim"), keys.u32("ssm.conv_kernel")
            return heads.q[0] * dim * (3 * (kernel - 1 if kernel else 3) + dim)
        case State.LIGHTNING:
            return heads.k_dim * heads.k_dim * heads.q[0]
    return _mamba(reading)


def _mamba(reading: Reading) -> int:
    """The convolution's last inputs and the state itself."""
    keys = reading.keys
    groups = 0 if reading.rule.state is State.MAMBA_UNGROUPED else keys.u32("ssm.group_count")
    kernel, inner, size = (keys.u32(f"ssm.{key}") for key in ("conv_kernel", "inner_size", "state_size"))
    return max(kernel - 1, 0) * (inner + 2 * groups * size) + size * inner


def _compressor(reading: Reading, ratio: int) -> int:
    """DeepSeek-V4's compressor states: values and scores (llama_dsv4_comp_state)."""
    dim = reading.heads.k_dim
    if ratio == HCA_RATIO:
        return 2 * dim * HCA_RATIO
    if ratio == CSA_RATIO:
        return 2 * (2 * CSA_RATIO) * 2 * (dim + reading.keys.u32("attention.indexer.key_length"))
    return 0


def _ngram(reading: Reading) -> tuple[int, ...]:
    """qwen4exp's n-gram history, kept by one layer (``ple_conv_state``)."""
    keys, nothing = reading.keys, (0,) * reading.depth.all
    if reading.architecture != "qwen4exp" or not keys.has("ple.layers"):
        return nothing
    at = keys.listed("ple.layers", (0, 1))
    rows = max(keys.u32("ple.conv_kernel") - 1, 0) * keys.u32("ple.ngram_size") * keys.u32("hyper_connection.count")
    return tuple(rows * keys.u32("embedding_length") if il in at else 0 for il in range(len(nothing)))
