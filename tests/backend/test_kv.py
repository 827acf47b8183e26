"""Cache types as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.kv import LLAMA_TYPES, is_quantized, parse_pair
from kvassay.errors import ConfigError
from kvassay.types import KVConfig

types = st.sampled_from(LLAMA_TYPES)
configs = st.builds(KVConfig, k=types, v=types, rotation=st.booleans())


@given(configs)
def test_reads_what_a_config_prints(kv: KVConfig) -> None:
    """Every pair is read back from its own text."""
    assert parse_pair(str(kv), LLAMA_TYPES) == kv


@given(configs, st.sampled_from(["", " ", "  "]), st.booleans())
def test_blanks_and_case_do_not_matter(kv: KVConfig, blank: str, upper: bool) -> None:  # noqa: FBT001 - drawn
    """Blanks around the parts and the case of letters are ignored; a colon before norot is as good as a space."""
    text = f"{blank}{kv.k}{blank}/{blank}{kv.v}{blank}" + ("" if kv.rotation else ":norot")
    assert parse_pair(text.upper() if upper else text, LLAMA_TYPES) == kv


@given(types)
def test_one_type_means_both(cache_type: str) -> None:
    """A single type holds for K and V."""
    assert parse_pair(cache_type, LLAMA_TYPES) == KVConfig(cache_type, cache_type)


@given(st.text(max_size=12))
def test_any_other_text_is_refused(text: str) -> None:
    """Text is either a pair of known types or a ConfigError, never anything else."""
    try:
        kv = parse_pair(text, LLAMA_TYPES)
    except ConfigError:
        return
    assert {kv.k, kv.v} <= set(LLAMA_TYPES)


@pytest.mark.parametrize(("text", "nearest"), [("q8", "q8_0"), ("f16/q4-0", "q4_0"), ("fp16/f16", "f16")])
def test_an_unknown_type_names_the_nearest(text: str, nearest: str) -> None:
    """The error lists all types and guesses the one that was meant."""
    with pytest.raises(ConfigError) as caught:
        parse_pair(text, LLAMA_TYPES)
    assert caught.value.hint == f"Known types: {', '.join(LLAMA_TYPES)}. Did you mean {nearest}?"


def test_three_parts_are_no_pair() -> None:
    """More than one slash is refused with the way to write it."""
    with pytest.raises(ConfigError, match="not a K/V pair"):
        parse_pair("f16/f16/f16", LLAMA_TYPES)


def test_other_engines_bring_their_own_types() -> None:
    """The list of types is the engine's: ExLlamaV3 counts bits."""
    assert parse_pair("8/4", ("2", "3", "4", "8")) == KVConfig("8", "4")


def test_which_types_are_quantized() -> None:
    """Plain floats are not quantized, everything else is."""
    assert [t for t in LLAMA_TYPES if not is_quantized(t)] == ["f32", "f16", "bf16"]
