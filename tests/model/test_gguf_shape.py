"""From a header to a shape: every architecture's layers, and hostile values met in words."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.errors import ModelFileError
from kvassay.model.architectures import ARCHITECTURES, DENSE, SPECIAL, Memory
from kvassay.model.gguf import GGUFHeader, Value, parse_header
from kvassay.model.gguf_shape import shape_of
from kvassay.model.shape import ModelShape
from kvassay.plan.memory import CacheSettings, layer_memory, refusal
from kvassay.types import KVConfig
from model.model_fixtures import Typed, gguf_bytes
from plan.architectures import ARRAY, BOOL, EXPERTS, F32, STRING, U32, keys_of, plain, u32s


def header(architecture: str, keys: dict[str, Typed], *, tensors: bool = False) -> GGUFHeader:
    full = {"general.architecture": (STRING, architecture), "general.name": (STRING, "Test")}
    full |= {f"{architecture}.{key}": value for key, value in keys.items()}
    table = {"token_embd.weight": ((256, 100), 1, 0), "blk.1.w": ((32, 2), 8, 51_200)} if tensors else {}
    return parse_header(gguf_bytes(full, table), source="m.gguf")


def shape(architecture: str, **changes: Typed) -> ModelShape:
    keys = keys_of(architecture) | {key.replace("__", "."): value for key, value in changes.items()}
    return shape_of(header(architecture, keys), source="m.gguf")


def windows(found: ModelShape) -> str:
    return "".join("s" if layer.window else "f" for layer in found.layers)


def test_no_architecture_has_two_rules() -> None:
    """The plain ones are not among the special ones."""
    assert not DENSE & SPECIAL.keys()


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_known_architecture_gives_a_shape_with_all_its_layers(architecture: str) -> None:
    """Whether it caches, or says why not."""
    keys = keys_of(architecture) | EXPERTS
    found = shape_of(header(architecture, keys), source="m.gguf")
    assert found.layers
    if found.memory is Memory.NONE:
        assert "no KV cache" in str(refusal(found, KVConfig("f16", "f16"), CacheSettings(4096)))
    elif found.memory is not Memory.BORROWED:
        layers = layer_memory(found, KVConfig("f16", "f16"), CacheSettings(4096))
        assert sum(layer.kv_bytes + layer.state for layer in layers) > 0


def test_a_pattern_may_be_in_the_code_a_number_or_a_list() -> None:
    """gemma3 slides in five of six layers, a number says every how many is global, a list says it layer by layer."""
    twelve = {"block_count": (U32, 12)}
    base = {key: value for key, value in plain().items() if key != "attention.sliding_window_pattern"} | twelve
    assert windows(shape_of(header("gemma3", base), source="m")) == "sssssfsssssf"
    numbered = base | {"attention.sliding_window_pattern": (U32, 3)}
    assert windows(shape_of(header("gemma3", numbered), source="m")) == "ssfssfssfssf"
    listed = base | {"attention.sliding_window_pattern": (ARRAY, (BOOL, [True, False] * 6))}
    assert windows(shape_of(header("gemma3", listed), source="m")) == "sfsfsfsfsfsf"


def test_a_header_without_a_window_slides_nowhere() -> None:
    """Where the architecture leaves it open."""
    keys = {key: value for key, value in plain().items() if "sliding" not in key}
    assert windows(shape_of(header("gemma3", keys), source="m")) == "ff"
    with pytest.raises(ModelFileError, match="sliding_window"):
        shape_of(header("gpt-oss", keys), source="m")


def test_layers_that_share_a_cache_own_none() -> None:
    """gemma4's last layers, as attention.shared_kv_layers says."""
    assert [layer.attention for layer in shape("gemma4").layers] == [True, True, True, False, False]


def test_nextn_layers_are_left_to_the_draft() -> None:
    """They are layers, and own nothing in the main context."""
    found = shape("glm4moe")
    assert [layer.draft for layer in found.layers] == [False, False, False, True]
    assert [layer.attention for layer in found.layers] == [True, True, True, False]


def test_weights_come_from_the_tensor_table() -> None:
    """By layer, and embeddings apart; an absent output is the embeddings again."""
    found = shape_of(header("llama", plain(), tensors=True), source="m").weights
    assert found is not None
    assert (found.layers, found.input_bytes, found.tied_bytes) == ((0, 68), 51_200, 51_200)
    assert shape("llama").weights is None


def test_an_unknown_architecture_fails_closed() -> None:
    """No guess; the nearest known one is named, and what is missing."""
    with pytest.raises(ModelFileError, match=r"qwen3next2.*knows qwen3next") as error:
        shape_of(header("qwen3next2", plain()), source="m.gguf")
    assert "architectures.py" in error.value.hint
    started = time.process_time()
    with pytest.raises(ModelFileError, match="xxxx"):
        shape_of(header("x" * 20_000_000, {}), source="m.gguf")
    assert time.process_time() - started < 1
    with pytest.raises(ModelFileError, match="projector"):
        shape_of(header("clip", {}), source="mmproj.gguf")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("block_count", (U32, 2**31), "block_count"),
        ("block_count", (U32, 0), "no layers"),
        ("block_count", (F32, float("nan")), "nan"),
        ("block_count", (5, -1), "-1"),
        ("block_count", (STRING, "x" * 10_000), "block_count"),
        ("nextn_predict_layers", (U32, 3), "nextn_predict_layers"),
        ("attention.head_count", u32s(2, 2, 2), "3 elements, expected 2"),
        ("attention.head_count_kv", (ARRAY, (F32, [2.0, 2.0])), "2.0"),
        ("attention.sliding_window_pattern", (ARRAY, (BOOL, [True])), "1 elements"),
        ("attention.key_length", (BOOL, True), "True"),
        ("attention.key_length", (U32, 0), "no size"),
        ("attention.value_length", (U32, 0), "no size"),
        ("attention.head_count", (U32, 0), "no size"),
        ("attention.head_count", (U32, 1000), "no size"),
    ],
)
def test_values_that_no_loader_would_take_are_named(key: str, value: Typed, said: str) -> None:
    """The key, the value, and what it should have been."""
    with pytest.raises(ModelFileError, match=said):
        shape_of(header("gemma3", plain() | {key: value}), source="m.gguf")


values: st.SearchStrategy[Value] = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 520),
    st.floats(),
    st.booleans(),
    st.text(max_size=40),
    st.lists(st.integers(-2, 2**32), max_size=530).map(tuple),
    st.lists(st.booleans(), max_size=8).map(tuple),
)


@given(architecture=st.sampled_from(sorted(SPECIAL)), data=st.data())
def test_no_value_of_any_key_is_met_otherwise_than_in_words(architecture: str, data: st.DataObject) -> None:
    """A shape whose memory is a number, or a ModelFileError; never another exception, never much memory."""
    good = header(architecture, keys_of(architecture) | EXPERTS).metadata
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(good)), values, min_size=1, max_size=4))
    hostile = GGUFHeader(3, {**good, **changed}, {}, (), 0)
    tracemalloc.start()
    try:
        found = shape_of(hostile, source="m.gguf")
    except ModelFileError:
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20
    settings = CacheSettings(5000, 3)
    if refusal(found, KVConfig("q8_0", "q8_0"), settings) is None:
        assert all(
            layer.kv_bytes >= 0 <= layer.state for layer in layer_memory(found, KVConfig("q8_0", "q8_0"), settings)
        )


@given(cut=st.integers(0, 3000), noise=st.binary(max_size=24))
def test_damaged_bytes_are_met_in_words(cut: int, noise: bytes) -> None:
    """Bytes overwritten anywhere in a header."""
    good = gguf_bytes(
        {"general.architecture": (STRING, "gemma3")} | {f"gemma3.{key}": value for key, value in plain().items()}
    )
    bad = (good[:cut] + noise + good[cut + len(noise) :])[: max(len(good), 1)]
    with suppress(ModelFileError):
        assert shape_of(parse_header(bad, source="m.gguf"), source="m.gguf").layers
