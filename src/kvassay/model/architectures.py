"""How llama.cpp shapes the memory of each architecture: one line of data for each that is not plainly dense.

Source: ``load_arch_hparams`` in src/models/*.cpp, ``llama_model::create_memory`` in src/llama-model.cpp and the lists
in src/llama-arch.cpp of llama.cpp b11434. Key names are given without the architecture's prefix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType


class Memory(Enum):
    """Which memory class ``create_memory`` builds."""

    ATTENTION = auto()  # llama_kv_cache, llama_kv_cache_iswa
    RECURRENT = auto()  # llama_memory_recurrent: no KV cache at all
    HYBRID = auto()  # llama_memory_hybrid and its variants: both
    COMPRESSED = auto()  # llama_kv_cache_dsv4
    NONE = auto()  # encoders and diffusion models keep nothing between calls
    BORROWED = auto()  # a draft head that lives in its target's cache


class Windowed(Enum):
    """When an architecture's layers slide."""

    ALWAYS = auto()
    IF_SIZED = auto()  # only where the window's key is there and above 0
    UNLESS_ZERO = auto()  # only a window of 0 turns it off


@dataclass(frozen=True, slots=True)
class Window:
    """Which layers see a sliding window, and how wide it is in tokens.

    ``every`` says that of so many layers one is global (the last of them, or with ``dense_first`` the first) unless the
    file has a pattern; None: the file must list the layers. ``size`` is used where the file names none (``needed``: it
    must), ``fixed`` whatever the file says. ``only_layers`` is the one layer count for which any of this holds.
    """

    every: int | None
    when: Windowed = Windowed.ALWAYS
    size: int = 0
    needed: bool = False
    fixed: int | None = None
    dense_first: bool = False
    only_layers: int | None = None


class Recurrent(Enum):
    """Which layers keep a recurrent state instead of keys and values."""

    NO_KV_HEADS = auto()
    NO_KV_HEADS_NO_FF = auto()
    INTERVAL = auto()  # all but every n-th; the file may list them instead
    ALL = auto()  # beside attention


class Trunk(Enum):
    """Which layers of a hybrid the attention cache holds."""

    NOT_RECURRENT = auto()  # NextN layers too
    NOT_RECURRENT_OR_DRAFT = auto()
    NOT_RECURRENT_NO_FF = auto()
    ALL = auto()


class State(Enum):
    """What one layer's recurrent state is made of (``n_embd_r`` and ``n_embd_s`` in llama-hparams.cpp)."""

    MAMBA = auto()
    MAMBA_UNGROUPED = auto()
    SHORT_CONVOLUTION = auto()
    RWKV = auto()
    KDA = auto()
    LIGHTNING = auto()


class Mla(Enum):
    """Whether attention is latent: only K is stored then."""

    NO = auto()
    IF_KEYS = auto()
    NEEDED = auto()


class Indexer(Enum):
    """Which layers also cache the keys of a sparse-attention indexer."""

    NO = auto()
    TRUNK = auto()
    LISTED = auto()  # as attention.indexer.types says, none where it is missing
    LISTED_OR_ALL = auto()
    LISTED_IF_TOP_K = auto()
    AFTER_DENSE = auto()  # behind the leading dense layers; V is cached as well
    ATTENTION = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """How one architecture differs from plain attention in every layer."""

    memory: Memory = Memory.ATTENTION
    window: Window | None = None
    recurrent: Recurrent | None = None
    interval: int = 4
    trunk: Trunk = Trunk.NOT_RECURRENT
    state: State | None = None
    mla: Mla = Mla.NO
    indexer: Indexer = Indexer.NO
    v_dim_is_lora: bool = False  # n_embd_head_v = attention.kv_lora_rank
    kv_from_start: int | None = None  # only so many layers own a cache
    shared_kv: bool = False  # attention.shared_kv_layers at the end own none
    flash_attention: bool = True
    keeps_draft_layers: bool = False  # NextN layers stay in the main context
    rollback: bool = False  # llm_arch_supports_rs_rollback


_EVERY_4 = Window(4, Windowed.IF_SIZED)
_LISTED = Window(None, needed=True)


def _hybrid(state: State, recurrent: Recurrent = Recurrent.NO_KV_HEADS, **more: object) -> Rule:
    return Rule(memory=Memory.HYBRID, recurrent=recurrent, state=state, **more)  # type: ignore[arg-type]


def _recurrent(state: State) -> Rule:
    return Rule(memory=Memory.RECURRENT, recurrent=Recurrent.ALL, state=state)


_GATED_DELTA = _hybrid(State.MAMBA, Recurrent.INTERVAL, trunk=Trunk.NOT_RECURRENT_OR_DRAFT)
_GATED_DELTA_ROLLBACK = _hybrid(State.MAMBA, Recurrent.INTERVAL, trunk=Trunk.NOT_RECURRENT_OR_DRAFT, rollback=True)
_NEMOTRON_H = _hybrid(State.MAMBA, Recurrent.NO_KV_HEADS_NO_FF, trunk=Trunk.NOT_RECURRENT_NO_FF, rollback=True)

SPECIAL: Mapping[str, Rule] = MappingProxyType(
    {
        # -- sliding windows
        "afmoe": Rule(window=_EVERY_4),
        "cohere2": Rule(window=Window(4, needed=True)),
        "cohere2moe": Rule(window=Window(4, needed=True, dense_first=True)),
        "exaone4": Rule(window=Window(4, size=4096, only_layers=64)),
        "exaone-moe": Rule(window=Window(4, needed=True)),
        "gemma2": Rule(window=Window(2, size=4096)),
        "gemma3": Rule(window=Window(6, Windowed.IF_SIZED)),
        "gemma3n": Rule(window=Window(5, needed=True), kv_from_start=20),
        "gemma4": Rule(window=_LISTED, shared_kv=True),
        "gpt-oss": Rule(window=Window(2, needed=True)),
        "granite_swa": Rule(window=_LISTED),
        "laguna": Rule(window=Window(4, Windowed.IF_SIZED, dense_first=True)),
        "llama4": Rule(window=Window(4, Windowed.UNLESS_ZERO, fixed=8192)),
        "maple": Rule(window=_LISTED),
        "mellum": Rule(window=_EVERY_4),
        "mimo2": Rule(window=_LISTED),
        "muse-glimmer": Rule(window=Window(4, needed=True)),
        "olmo2": Rule(window=_EVERY_4),
        "plamo3": Rule(window=Window(8, Windowed.IF_SIZED)),
        "smallthinker": Rule(window=Window(4, Windowed.IF_SIZED, fixed=4096, dense_first=True)),
        "spark2_5": Rule(window=_LISTED),
        "step35": Rule(window=_LISTED),
        "dflash": Rule(window=Window(None, Windowed.IF_SIZED)),
        # -- latent attention
        "deepseek2": Rule(mla=Mla.IF_KEYS),
        "mistral4": Rule(mla=Mla.IF_KEYS),
        "deepseek32": Rule(mla=Mla.IF_KEYS, indexer=Indexer.TRUNK),
        "glm-dsa": Rule(mla=Mla.IF_KEYS, indexer=Indexer.LISTED_OR_ALL),
        "hy_v4": Rule(mla=Mla.NEEDED, indexer=Indexer.LISTED_IF_TOP_K, keeps_draft_layers=True),
        "dots3note": Rule(mla=Mla.NEEDED, window=_LISTED, indexer=Indexer.LISTED),
        "deepseek4": Rule(memory=Memory.COMPRESSED, window=Window(0, needed=True), rollback=True),
        # -- recurrent and hybrid
        "mamba": _recurrent(State.MAMBA_UNGROUPED),
        "mamba2": _recurrent(State.MAMBA),
        "rwkv6": _recurrent(State.RWKV),
        "rwkv6qwen2": _recurrent(State.RWKV),
        "rwkv7": _recurrent(State.RWKV),
        "arwkv7": _recurrent(State.RWKV),
        "jamba": _hybrid(State.MAMBA_UNGROUPED),
        "falcon-h1": _hybrid(State.MAMBA, Recurrent.ALL, trunk=Trunk.ALL),
        "plamo2": _hybrid(State.MAMBA),
        "granitehybrid": _hybrid(State.MAMBA),
        "lfm2": _hybrid(State.SHORT_CONVOLUTION, window=Window(None, Windowed.IF_SIZED), rollback=True),
        "lfm2moe": _hybrid(State.SHORT_CONVOLUTION, rollback=True),
        "nemotron_h": _NEMOTRON_H,
        "nemotron_h_moe": _NEMOTRON_H,
        "qwen3next": _GATED_DELTA,
        "qwen35": _GATED_DELTA_ROLLBACK,
        "qwen35moe": _GATED_DELTA_ROLLBACK,
        "qwen4exp": _hybrid(
            State.MAMBA,
            Recurrent.INTERVAL,
            trunk=Trunk.NOT_RECURRENT_OR_DRAFT,
            indexer=Indexer.ATTENTION,
            rollback=True,
        ),
        "minimax-01": _hybrid(State.LIGHTNING, Recurrent.INTERVAL, interval=8, trunk=Trunk.NOT_RECURRENT_OR_DRAFT),
        "kimi-linear": _hybrid(State.KDA, mla=Mla.NEEDED),
        "bailingmoe3": _hybrid(State.KDA, mla=Mla.NEEDED, rollback=True),
        "kimi-k3": _hybrid(State.KDA, mla=Mla.NEEDED, v_dim_is_lora=True, rollback=True),
        "glm5-next": _hybrid(
            State.KDA,
            mla=Mla.NEEDED,
            trunk=Trunk.NOT_RECURRENT_OR_DRAFT,
            indexer=Indexer.LISTED_OR_ALL,
            v_dim_is_lora=True,
            rollback=True,
        ),
        # -- others
        "minimax-m3": Rule(indexer=Indexer.AFTER_DENSE, keeps_draft_layers=True),
        "grok": Rule(flash_attention=False),
        "graniteswitch": Rule(keeps_draft_layers=True),
        "gemma4-assistant": Rule(memory=Memory.BORROWED),
    }
    | dict.fromkeys(
        [
            "bert",
            "jina-bert-v2",
            "jina-bert-v3",
            "nomic-bert",
            "nomic-bert-moe",
            "neo-bert",
            "eurobert",
            "wavtokenizer-dec",
            "modern-bert",
            "gemma-embedding",
            "dream",
            "llada",
            "llada-moe",
            "rnd1",
            "clef",
        ],
        Rule(memory=Memory.NONE),
    )
)

DENSE = frozenset(
    [
        "llama",
        "deci",
        "falcon",
        "gpt2",
        "gptneox",
        "mpt",
        "baichuan",
        "starcoder",
        "refact",
        "bloom",
        "stablelm",
        "qwen",
        "qwen2",
        "qwen2moe",
        "qwen2vl",
        "qwen3",
        "qwen3moe",
        "qwen3vl",
        "qwen3vlmoe",
        "phi2",
        "phi3",
        "phimoe",
        "plamo",
        "codeshell",
        "orion",
        "internlm2",
        "minicpm",
        "minicpm3",
        "gemma",
        "starcoder2",
        "xverse",
        "command-r",
        "dbrx",
        "olmo",
        "olmoe",
        "openelm",
        "arctic",
        "deepseek",
        "deepseek2-ocr",
        "chatglm",
        "glm4",
        "glm4moe",
        "bitnet",
        "t5",
        "t5encoder",
        "jais",
        "jais2",
        "nemotron",
        "exaone",
        "granite",
        "granitemoe",
        "chameleon",
        "plm",
        "bailingmoe",
        "bailingmoe2",
        "dots1",
        "arcee",
        "ernie4_5",
        "ernie4_5-moe",
        "hunyuan-moe",
        "hunyuan-dense",
        "hunyuan_vl",
        "hy_v3",
        "smollm3",
        "seed_oss",
        "grovemoe",
        "apertus",
        "hrm_text",
        "minimax-m2",
        "cogvlm",
        "pangu-embedded",
        "mistral3",
        "eagle3",
        "paddleocr",
        "llama-embed",
        "maincoder",
        "talkie",
        "nanbeige",
        "qwen3tts",
        "pockettts",
    ]
)
"""Architectures in which every layer keeps its own keys and values. (phi3's window is switched off in llama.cpp.)"""

ARCHITECTURES: Mapping[str, Rule] = MappingProxyType(dict.fromkeys(sorted(DENSE), Rule()) | dict(SPECIAL))
"""Every architecture of llama.cpp b11434 whose memory is known here."""
