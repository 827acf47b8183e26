"""A side with exceptions for some layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.kv import parse_pair
from kvassay.backend.layers import Side, read_side, require_layers, with_layers
from kvassay.errors import ConfigError
from kvassay.quant.table import FORMATS
from kvassay.types import KVConfig

TYPES = tuple(FORMATS)


@given(st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES), max_size=4), st.integers(1, 9))
def test_reads_what_a_side_prints(base: str, types: list[str], wide: int) -> None:
    """Every side is read back from its own text, and its layers have the types it says."""
    text = with_layers(base, [f"{10 * n}-{10 * n + wide - 1}={name}" for n, name in enumerate(types)])
    side = read_side(text, str)
    assert read_side(str(side), str) == side
    for n, name in enumerate(types):
        assert side.of_layer(10 * n) == side.of_layer(10 * n + wide - 1) == name
        assert side.of_layer(10 * n + wide) == base


def test_an_exception_that_says_nothing_is_dropped() -> None:
    """A layer given the base's own type is no exception: the label stays what it was."""
    assert str(read_side("f16[0-3=f16]", str)) == "f16"


def test_single_layers_and_order() -> None:
    """One layer needs no range; exceptions are written in the order of their layers."""
    assert str(read_side("q4_0[23-23=q8_0+0-1=f16]", str)) == "q4_0[0-1=f16+23=q8_0]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q4_0[0-3]", "'0-3' is not LAYERS=TYPE"),
        ("q4_0[3-0=f16]", "layer 0 comes before layer 3"),
        ("q4_0[0-3=f16+2=q8_0]", "layer 2 is named twice"),
        ("q4_0[0-3=f16", "is not a type with exceptions"),
    ],
)
def test_anything_else_is_refused(text: str, says: str) -> None:
    """Each way to get it wrong has its own sentence."""
    with pytest.raises(ConfigError, match=says):
        read_side(text, str)


def test_exceptions_are_given_once() -> None:
    """A side that names its layers itself takes none from --k-layers."""
    with pytest.raises(ConfigError, match="names its layers itself"):
        with_layers("q4_0[0=f16]", ["1=f16"])


def test_layers_beyond_the_last_are_refused() -> None:
    """A model of 24 layers has no layer 24."""
    require_layers(["q4_0[23=f16]"], 24)
    with pytest.raises(ConfigError, match="names layer 24; this model has 24"):
        require_layers(["f16", "q4_0[0=f16+24=f16]"], 24)


def test_a_pair_takes_exceptions_where_the_back_end_does() -> None:
    """Both sides keep theirs in the pair's name; other back ends refuse, and say which one can."""
    pair = parse_pair("q4_0[0-3=f16]/8 norot", TYPES, by_layer=True)
    assert pair == KVConfig("q4_0[0-3=f16]", "8", rotation=False)
    assert str(pair) == "q4_0[0-3=f16]/8 norot"
    with pytest.raises(ConfigError, match="need --backend transformers"):
        parse_pair("q4_0[0-3=f16]/f16", TYPES)


def test_types_in_exceptions_are_checked() -> None:
    """A typing error inside the brackets is found like any other."""
    with pytest.raises(ConfigError, match="unknown cache type 'q9'"):
        parse_pair("q4_0[0-3=q9]/f16", TYPES, by_layer=True)


def test_highest_layer() -> None:
    """A side without exceptions names no layer."""
    assert Side("f16").last_named == -1
