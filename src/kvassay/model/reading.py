"""What all rules need of a header: how many layers, their heads, and which of them are recurrent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kvassay.model.architectures import Mla, Recurrent, Rule
from kvassay.model.gguf import GGUFHeader
from kvassay.model.keys import MAX_LAYERS, Keys


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads and feed-forward widths by layer, head dimensions of global and windowed layers."""

    q: tuple[int, ...]
    kv: tuple[int, ...]
    ff: tuple[int, ...]
    k_dim: int
    v_dim: int
    k_dim_window: int
    v_dim_window: int
    latent: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """How many layers there are, and how many of the last ones only draft."""

    all: int
    draft: int

    @property
    def trunk(self) -> int:
        return self.all - self.draft


@dataclass(frozen=True, slots=True)
class Reading:
    """One header under one rule."""

    keys: Keys
    rule: Rule
    depth: Depth
    heads: Heads
    recurrent: tuple[bool, ...]

    @property
    def architecture(self) -> str:
        return str(self.keys.header.architecture)

    @property
    def trunk(self) -> tuple[bool, ...]:
        """Which layers belong to the main context's graph."""
        return tuple(il < self.depth.trunk for il in range(self.depth.all))

    @property
    def none(self) -> tuple[bool, ...]:
        """No layer."""
        return (False,) * self.depth.all


def read(keys: Keys, rule: Rule) -> Reading:
    """Read what the rules need. Raises ModelFileError."""
    depth = _depth(keys)
    heads = _heads(keys, rule, depth)
    if keys.header.architecture in ("graniteswitch", "nanbeige"):
        depth, heads = _expanded(keys, depth, heads)
    return Reading(keys, rule, depth, heads, _recurrent(keys, rule, depth, heads))


def _depth(keys: Keys) -> Depth:
    layers = keys.u32("block_count", most=MAX_LAYERS)
    if layers == 0:
        raise keys.bad("it has no layers")
    draft = keys.u32("nextn_predict_layers", 0, most=layers)
    if keys.header.architecture == "deepseek4" and draft and not _has_draft_tensors(keys.header, layers - draft):
        draft = 0
    return Depth(layers, draft)


def _has_draft_tensors(header: GGUFHeader, first: int) -> bool:
    return any(tensor.name == f"blk.{first}.nextn.eh_proj.weight" for tensor in header.tensors)


def _heads(keys: Keys, rule: Rule, depth: Depth) -> Heads:
    """Head counts and dimensions as llama.cpp defaults them: embedding over the heads of layer 0."""
    zeros = (0,) * depth.all
    q = keys.per_layer("attention.head_count", depth.all, zeros)
    embedding = keys.u32("embedding_length")
    stated = q[0] > 0 or keys.header.architecture == "plamo2"
    default = embedding // q[0] if q[0] else 0
    k_dim = keys.u32("attention.key_length", default) if stated else 0
    v_dim = keys.u32("attention.value_length", default) if stated else 0
    needed = None if rule.mla is Mla.NEEDED else 0
    mla = rule.mla is not Mla.NO and 0 not in [
        keys.u32(f"attention.{side}_length_mla", needed) for side in ("key", "value")
    ]
    return Heads(
        q=q,
        kv=keys.per_layer("attention.head_count_kv", depth.all, q),
        ff=keys.per_layer("feed_forward_length", depth.all, zeros),
        k_dim=k_dim,
        v_dim=keys.u32("attention.kv_lora_rank") if rule.v_dim_is_lora else v_dim,
        k_dim_window=keys.u32("attention.key_length_swa", k_dim),
        v_dim_window=keys.u32("attention.value_length_swa", v_dim),
        latent=mla,
    )


def _expanded(keys: Keys, depth: Depth, heads: Heads) -> tuple[Depth, Heads]:
    """granite-switch adds a router layer of one head; nanbeige runs its layers several times, each with its cache."""
    if keys.header.architecture == "nanbeige":
        loops = max(1, keys.u32("num_loops", 1, most=MAX_LAYERS))
        extra, q, kv, ff = depth.trunk * (loops - 1), heads.q * loops, heads.kv * loops, heads.ff * loops
    else:
        extra, q, kv, ff = 1, (*heads.q[: depth.trunk], 1), (*heads.kv[: depth.trunk], 1), (*heads.ff, 0)
    count = depth.trunk + extra
    if count > MAX_LAYERS:
        raise keys.bad(f"its loops make {count} layers, more than {MAX_LAYERS}")
    return Depth(count, 0), replace(heads, q=q, kv=kv, ff=ff)


def _recurrent(keys: Keys, rule: Rule, depth: Depth, heads: Heads) -> tuple[bool, ...]:
    """Which layers keep a recurrent state."""
    trunk = [il < depth.trunk for il in range(depth.all)]
    match rule.recurrent:
        case Recurrent.ALL:
            return tuple(trunk)
        case Recurrent.NO_KV_HEADS:
            return tuple(inside and heads.kv[il] == 0 for il, inside in enumerate(trunk))
        case Recurrent.NO_KV_HEADS_NO_FF:
            return tuple(inside and heads.kv[il] == heads.ff[il] == 0 for il, inside in enumerate(trunk))
        case Recurrent.INTERVAL:
            return _by_interval(keys, rule, depth)
    return (False,) * depth.all


def _by_interval(keys: Keys, rule: Rule, depth: Depth) -> tuple[bool, ...]:
    if keys.has("attention.recurrent_layers"):
        return tuple(map(bool, keys.per_layer("attention.recurrent_layers", depth.all, ())))
    interval = keys.u32("full_attention_interval", rule.interval)
    if interval == 0:
        raise keys.bad("full_attention_interval is 0")
    return tuple(il < depth.trunk and (il + 1) % interval != 0 for il in range(depth.all))
