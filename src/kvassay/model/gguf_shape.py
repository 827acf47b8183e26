"""From a GGUF header to a ModelShape, by the rules of architectures.py. Tensor data is never needed.

Follows ``llama_model_base::load_hparams`` and ``llama_model::create_memory`` of llama.cpp b11434.
"""

from __future__ import annotations

from rapidfuzz import process

from kvassay.errors import ModelFileError
from kvassay.model.architectures import ARCHITECTURES, Indexer, Memory, Rule, Trunk
from kvassay.model.gguf import GGUFHeader
from kvassay.model.keys import Keys
from kvassay.model.reading import Reading, read
from kvassay.model.shape import Layer, ModelShape
from kvassay.model.states import compression_of, state_elements
from kvassay.model.weights import weights_of
from kvassay.model.windows import Windows, windows_of

_INDEXER_ROWS = {"glm5-next": 3, "qwen4exp": 2}  # indexer_kpool_row: key | gate | pooled
_GLM_5_2_CONTEXT = 1_048_576
_MIN_SHARING_LAYERS = 2
_SHOWN = 80  # characters of an unknown architecture's name


def shape_of(header: GGUFHeader, *, source: str) -> ModelShape:
    """Read the shape of a model from its header; ``source`` names it in messages.

    Raises ModelFileError where the architecture is unknown, or a key is missing or can't be.
    """
    rule = _rule(header, source)
    keys = Keys(header, source)
    reading = read(keys, rule)
    windows = windows_of(reading)
    return ModelShape(
        architecture=reading.architecture,
        name=header.name or source,
        memory=rule.memory,
        layers=_layers(reading, windows),
        context_length=keys.u32("context_length"),
        embedding_length=keys.u32("embedding_length"),
        vocab_size=_vocabulary(keys),
        feed_forward=_feed_forward(reading),
        heads=max(reading.heads.q, default=0),
        window=windows.size,
        latent=reading.heads.latent or rule.memory is Memory.COMPRESSED,
        flash_attention=rule.flash_attention,
        rollback=rule.rollback,
        experts=keys.u32("expert_count", 0),
        indexer_head=keys.u32("attention.indexer.key_length", 0),
        weights=weights_of(header, reading.depth.all),
    )


def _rule(header: GGUFHeader, source: str) -> Rule:
    architecture = header.architecture
    if architecture is None:
        raise ModelFileError(f"{source!r} doesn't say its architecture (general.architecture).", hint=_FULL_FILE)
    if architecture == "clip":
        raise ModelFileError(
            f"{source!r} is a projector for images or sound (clip), not a language model.",
            hint="Name the language model, and this file with --mmproj.",
        )
    rule = ARCHITECTURES.get(architecture)
    if rule is None:
        shown = architecture[:_SHOWN]
        near = process.extractOne(shown, list(ARCHITECTURES), score_cutoff=80)
        raise ModelFileError(
            f"{source!r} is of architecture {shown!r}, whose cache kvassay doesn't know"
            + (f" (it knows {near[0]})." if near else "."),
            hint="A guess could be off by several times, so none is made. What is missing: the architecture's rule in "
            "kvassay/model/architectures.py (known: llama.cpp b11434).",
        )
    return rule


_FULL_FILE = "Is it a model file? Name the first file of a split model."


def _layers(reading: Reading, windows: Windows) -> tuple[Layer, ...]:
    heads = reading.heads
    attends, indexed = _attending(reading), _indexed(reading)
    if reading.rule.memory is Memory.ATTENTION and not any(heads.kv):
        raise reading.keys.bad("no layer has attention heads (attention.head_count)")
    states, ratios = state_elements(reading), compression_of(reading)
    with_v = reading.rule.indexer is Indexer.AFTER_DENSE
    layers = tuple(
        Layer(
            kv_heads=heads.kv[il],
            head_k=heads.k_dim_window if slides else heads.k_dim,
            head_v=heads.v_dim_window if slides else heads.v_dim,
            window=slides,
            attention=attends[il],
            recurrent=reading.recurrent[il],
            draft=not reading.trunk[il],
            indexer_k=_indexer_elements(reading, il, windows) if indexed[il] else 0,
            indexer_v=heads.v_dim if indexed[il] and with_v else 0,
            compression=ratios[il],
            state_elements=states[il],
        )
        for il, slides in enumerate(windows.layers)
    )
    if any(layer.attention and layer.kv_heads and not (layer.head_k and layer.head_v) for layer in layers):
        raise reading.keys.bad("its attention heads have no size (attention.head_count, key_length or value_length)")
    return layers


def _attending(reading: Reading) -> tuple[bool, ...]:
    """Which layers own keys and values in the main context."""
    match reading.rule.memory:
        case Memory.HYBRID:
            return _hybrid(reading)
        case Memory.COMPRESSED:
            return (True,) * reading.depth.all
        case Memory.ATTENTION:
            owning = _owning(reading)
            keep = reading.rule.keeps_draft_layers or reading.depth.trunk == 0
            return tuple(il < owning and (keep or inside) for il, inside in enumerate(reading.trunk))
    return reading.none


def _hybrid(reading: Reading) -> tuple[bool, ...]:
    layers = zip(reading.recurrent, reading.trunk, reading.heads.ff, strict=True)
    match reading.rule.trunk:
        case Trunk.ALL:
            return (True,) * reading.depth.all
        case Trunk.NOT_RECURRENT_NO_FF:
            return tuple(not recurrent and ff == 0 for recurrent, _, ff in layers)
        case Trunk.NOT_RECURRENT_OR_DRAFT:
            return tuple(not recurrent and inside for recurrent, inside, _ in layers)
    return tuple(not recurrent for recurrent in reading.recurrent)


def _owning(reading: Reading) -> int:
    """``n_layer_kv_from_start``: the layers behind share the caches of earlier ones."""
    rule, count = reading.rule, reading.depth.all
    if rule.kv_from_start is not None:
        return rule.kv_from_start
    if not rule.shared_kv:
        return count
    owning = count - reading.keys.u32("attention.shared_kv_layers", 0)
    if owning < _MIN_SHARING_LAYERS:
        raise reading.keys.bad(f"attention.shared_kv_layers leaves {owning} layers with a cache")
    return owning


def _indexed(reading: Reading) -> tuple[bool, ...]:
    """Which layers cache an indexer's keys."""
    keys, depth = reading.keys, reading.depth
    match reading.rule.indexer:
        case Indexer.NO:
            return reading.none
        case Indexer.AFTER_DENSE:
            first = keys.u32("leading_dense_block_count", 0)
            return tuple(il >= first for il in range(depth.all))
        case Indexer.TRUNK | Indexer.ATTENTION:
            full: tuple[int, ...] = (1,) * depth.trunk
        case Indexer.LISTED:
            full = keys.listed(_TYPES, (depth.trunk, depth.all))
        case Indexer.LISTED_IF_TOP_K:
            full = (0,) * depth.trunk
            if keys.u32("attention.indexer.top_k", 0):
                full = keys.per_layer(_TYPES, depth.trunk, full)
        case Indexer.LISTED_OR_ALL:
            full = keys.per_layer(_TYPES, depth.trunk, _usual_indexers(reading))
    return tuple(inside and bool(full[il]) and not reading.recurrent[il] for il, inside in enumerate(reading.trunk))


_TYPES = "attention.indexer.types"


def _usual_indexers(reading: Reading) -> tuple[int, ...]:
    """GLM-5.2 and later (told by their context) share one indexer among four layers: GLM_5_2_DEFAULT_INDEXER_TYPES."""
    count = reading.depth.trunk
    if reading.architecture != "glm-dsa" or reading.keys.u32("context_length") < _GLM_5_2_CONTEXT:
        return (1,) * count
    return tuple(int(il < 2 or il % 4 == 2) for il in range(count))  # noqa: PLR2004  the table's pattern


def _indexer_elements(reading: Reading, il: int, windows: Windows) -> int:
    if windows.layers[il]:  # dots3note: the indexer's cache keeps the windowed dimension there
        return reading.heads.k_dim_window
    rows = _INDEXER_ROWS.get(reading.architecture, 1)
    if reading.architecture == "qwen4exp" and not any(
        reading.keys.per_layer("attention.compress_ratios", reading.depth.all, ())
    ):
        rows = 1
    return rows * reading.keys.u32("attention.indexer.key_length")


def _feed_forward(reading: Reading) -> int:
    """The widest feed-forward activation of one token: dense, or all experts that a token visits."""
    keys, count, zeros = reading.keys, reading.depth.all, (0,) * reading.depth.all
    if reading.architecture in ("graniteswitch", "nanbeige"):
        return max(reading.heads.ff)
    used = keys.per_layer("expert_used_count", count, zeros)
    wide = keys.per_layer("expert_feed_forward_length", count, zeros)
    shared = keys.u32("expert_shared_feed_forward_length", 0)
    return max(*reading.heads.ff, *(n * ff + shared for n, ff in zip(used, wide, strict=True)))


def _vocabulary(keys: Keys) -> int:
    """Tokens: the tokenizer's list, or else the key."""
    tokens = "tokenizer.ggml.tokens"
    listed = keys.header.metadata.get(tokens)
    counted = len(listed) if isinstance(listed, tuple) else keys.header.array_lengths.get(tokens, 0)
    return counted or keys.u32("vocab_size", 0)
