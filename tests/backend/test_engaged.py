"""The manipulation check."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.logs import cassette
from kvassay.backend.engaged import boot_facts, check, refuse_early
from kvassay.backend.kv import BITS_PER_VALUE, LLAMA_TYPES
from kvassay.backend.llama_log import Cache, LogFacts, parse
from kvassay.errors import NotEngaged, PairRefused
from kvassay.types import KVConfig

CELLS, LAYERS, VALUES = 8192, 24, 128


def log_of(kv: KVConfig) -> LogFacts:
    """What a server that did as told would log."""

    def size(cache_type: str) -> int:
        mib = CELLS * LAYERS * VALUES * BITS_PER_VALUE[cache_type] / 8 / 2**20
        return round(round(mib, 2) * 2**20)

    def block(cache_type: str) -> int:
        return 64 if kv.rotation and cache_type not in {"f32", "f16", "bf16"} else 0

    cache = Cache(CELLS, LAYERS, kv.k, size(kv.k), kv.v, size(kv.v))
    return LogFacts(
        caches=(cache,),
        k_values=VALUES,
        v_values=VALUES,
        k_head_dim=64,
        v_head_dim=64,
        k_rotation=block(kv.k),
        v_rotation=block(kv.v),
    )


types = st.sampled_from(LLAMA_TYPES)
configs = st.builds(KVConfig, k=types, v=types, rotation=st.booleans())


@given(configs)
def test_what_was_asked_for_passes(kv: KVConfig) -> None:
    """A server that did as told passes, whatever the pair."""
    check(kv, log_of(kv))


@given(configs, configs)
def test_other_types_do_not_pass(asked: KVConfig, found: KVConfig) -> None:
    """A server with another pair is found out, and both pairs are named."""
    if (asked.k, asked.v) == (found.k, found.v):
        return
    with pytest.raises(NotEngaged, match=rf"asked for {asked}, but .*allocated {found.k}/{found.v}"):
        check(asked, log_of(found))


@pytest.mark.parametrize("side", ["k_bytes", "v_bytes"])
def test_a_wrong_size_does_not_pass(side: str) -> None:
    """A cache that is called q4_0 but takes the room of q8_0 is found out."""
    kv = KVConfig("q4_0", "q4_0")
    log = log_of(kv)
    swollen = replace(log.caches[0], **{side: log_of(KVConfig("q8_0", "q8_0")).caches[0].k_bytes})
    with pytest.raises(NotEngaged, match=r"25\.50 MiB where q4_0 takes 13\.50 MiB"):
        check(kv, replace(log, caches=(swollen,)))


def test_rotation_must_be_as_asked() -> None:
    """Rotation that stayed off, or on, is found out."""
    on, off = KVConfig("q8_0", "f16"), KVConfig("q8_0", "f16", rotation=False)
    with pytest.raises(NotEngaged, match="K is not rotated"):
        check(on, log_of(off))
    with pytest.raises(NotEngaged, match=r"K is rotated \(block 64\)"):
        check(off, log_of(on))


def test_rotation_is_not_demanded_where_it_cannot_be() -> None:
    """Head dimensions that are no multiple of 64 can't be rotated; builds without the line don't tell."""
    kv = KVConfig("q8_0", "q8_0")
    check(kv, replace(log_of(replace(kv, rotation=False)), k_head_dim=80, v_head_dim=80))
    check(kv, replace(log_of(kv), k_rotation=None, v_rotation=None))


def test_a_log_without_the_cache_does_not_pass() -> None:
    """What can't be read back isn't taken on trust."""
    with pytest.raises(NotEngaged, match="could not be read back"):
        check(KVConfig("f16", "f16"), LogFacts())


def test_latent_attention_has_no_v() -> None:
    """A cache without V (MLA) is not held to a size of V."""
    kv = KVConfig("q8_0", "q8_0")
    log = log_of(kv)
    check(kv, replace(log, caches=(replace(log.caches[0], v_bytes=0),)))


def test_real_logs_pass() -> None:
    """Recorded starts pass for the pair that they were started with."""
    check(KVConfig("f16", "f16"), parse(cassette("b11549_f16_f16")))
    check(KVConfig("q8_0", "q4_0"), parse(cassette("b11549_q8_0_q4_0")))
    check(KVConfig("q5_1", "q8_0", rotation=False), parse(cassette("b11434_norot")))


def test_facts_sum_over_caches() -> None:
    """The facts of a model with two caches give the bytes of both and the cells of the larger."""
    facts = boot_facts(parse(cassette("written_from_sources_cuda_swa")))
    assert facts.k_bytes == (64 + 60) * 2**20
    assert facts.v_bytes == 38.75 * 2**20
    assert (facts.kv_cells, facts.kv_layers) == (8192, 48)


def test_quantized_v_without_flash_attention_is_refused_early() -> None:
    """llama.cpp refuses it after loading; we say so before."""
    with pytest.raises(PairRefused, match="V cache 'q8_0' needs flash attention"):
        refuse_early(KVConfig("f16", "q8_0"), "off")
    refuse_early(KVConfig("q8_0", "f16"), "off")
    refuse_early(KVConfig("f16", "q8_0"), "auto")
