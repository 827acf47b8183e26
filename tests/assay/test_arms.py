"""From what the user asks to the arms that isolate it."""

from __future__ import annotations

import pytest

from kvassay.assay.arms import arms_of
from kvassay.backend import cache_types
from kvassay.errors import ConfigError
from kvassay.settings import check
from kvassay.types import Role

EXLLAMA = cache_types("exllamav3")
TYPES = ("f16", "q8_0", "q5_1", "q4_0")


def labels(**values: object) -> list[str]:
    return [arm.label for arm in arms_of(check(values), TYPES)]


def test_one_pair_becomes_the_two_by_two_and_a_second_reference_boot() -> None:
    """K alone, V alone, both, between the reference and its A/A boot."""
    assert labels(pairs="q4_0/q4_0") == ["f16/f16", "q4_0/f16", "f16/q4_0", "q4_0/q4_0", "f16/f16 #2"]


def test_several_pairs_run_as_given() -> None:
    """Nothing is added to pairs that were listed, and nothing runs twice."""
    assert labels(pairs=("q8_0/q8_0", "q4_0/f16", "q8_0"), repeat=False) == ["f16/f16", "q8_0/q8_0", "q4_0/f16"]


def test_types_of_k_and_v_span_a_grid() -> None:
    """Every K with every V, the reference's own pair once."""
    assert labels(k_types="f16,q4_0", v_types="f16,q8_0", repeat=False) == [
        "f16/f16", "f16/q8_0", "q4_0/f16", "q4_0/q8_0",
    ]  # fmt: skip


def test_a_pair_without_rotation_is_isolated_without_rotation() -> None:
    """The 2×2 of an unrotated pair is unrotated."""
    assert labels(pairs="q4_0/q8_0 norot", repeat=False)[1:] == [
        "q4_0/f16 norot", "f16/q8_0 norot", "q4_0/q8_0 norot",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pair", "arms"),
    [
        ("4/4", ["8/8", "4/8", "8/4", "4/4"]),
        ("8/4", ["8/8", "8/4"]),
        ("8/8", ["8/8"]),
        ("2/8", ["8/8", "2/8"]),
    ],
)
def test_an_engine_that_quantises_both_halves_or_neither_is_isolated_at_8_bits(pair: str, arms: list[str]) -> None:
    """ExLlamaV3 has no f16 beside bits: what isn't varied has 8, and 8/8 is measured as well."""
    settings = check({"backend": "exllamav3", "pairs": pair, "repeat": False})
    assert [arm.label for arm in arms_of(settings, EXLLAMA)] == ["f16/f16", *arms]


@pytest.mark.parametrize("asked", [{"pairs": "f16/4"}, {"k_types": "f16,8", "v_types": "f16,8"}, {"control": "2/f16"}])
def test_a_pair_that_an_engine_has_not_is_refused_before_any_boot(asked: dict[str, str]) -> None:
    """f16 beside bits in ExLlamaV3: else the reference would be measured first."""
    settings = check({"backend": "exllamav3", "pairs": "8/8", **asked})
    with pytest.raises(ConfigError, match="both halves are quantised, or neither is"):
        arms_of(settings, EXLLAMA)


def test_a_reference_in_bits_is_its_own_clean_side() -> None:
    """Against 8/8 the 2×2 is the usual one; the reference's own pair is isolated from nothing."""
    settings = check({"backend": "exllamav3", "pairs": "4/3", "reference": "8/8", "repeat": False})
    assert [arm.label for arm in arms_of(settings, EXLLAMA)] == ["8/8", "4/8", "8/3", "4/3"]
    alone = check({"backend": "exllamav3", "pairs": "f16/f16", "repeat": False})
    assert [arm.label for arm in arms_of(alone, EXLLAMA)] == ["f16/f16"]


def test_the_reference_can_be_measured_alone() -> None:
    """Asked for by name, the reference is its own subject."""
    assert labels(pairs="f16", repeat=False) == ["f16/f16"]


def test_attached_servers_are_the_arms_with_the_reference_first() -> None:
    """The pair equal to --reference leads; a second server of it is its A/A boot and comes last."""
    arms = arms_of(
        check({"backend": "attach", "attach": ["f16/f16=http://a", "q4_0/f16=http://b", "f16/f16=http://c"]}), TYPES
    )
    assert [(arm.label, arm.role, arm.endpoint) for arm in arms] == [
        ("f16/f16", Role.REFERENCE, "http://a"),
        ("q4_0/f16", Role.CANDIDATE, "http://b"),
        ("f16/f16 #2", Role.REPEAT, "http://c"),
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no K/V pair"),
        ({"pairs": "q4_9/f16"}, "q4_9"),
        ({"attach": ["http://a"]}, "PAIR=URL"),
        ({"attach": ["f16/f16=http://a"], "pairs": "q8_0"}, "--attach"),
        ({"attach": ["f16/f16=http://a", "q8_0=http://b", "q8_0=http://c"]}, "too often"),
    ],
)
def test_wrong_arms_are_refused_by_name(values: dict[str, object], words: str) -> None:
    """Unknown types, bad endpoints and contradictions each give one message."""
    with pytest.raises(ConfigError, match=words):
        arms_of(check(values), TYPES)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """Addresses of arms are stored and shown."""
    with pytest.raises(ConfigError, match="'h' holds a user or password, or a query") as caught:
        arms_of(check({"attach": ["f16/f16=http://me:s3cret@h:80"]}), TYPES)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://h/?key=s3cret", "http://me:s3cret=@h", "f16/f16=HTTP://me:s3cret@h", "me:s3cret@h"]
)
def test_nor_is_it_where_the_pair_was_left_out_or_the_scheme_is_in_capitals(text: str) -> None:
    """Whoever gives the address alone is told what is missing."""
    with pytest.raises(ConfigError) as caught:
        arms_of(check({"attach": [text]}), TYPES)
    assert "s3cret" not in str(caught.value)


def in_process(**values: object) -> list[str]:
    return labels(backend="transformers", repeat=False, **values)[1:]


def test_exceptions_by_layer_hold_for_what_the_user_names() -> None:
    """--k-layers stands in the label of every arm whose K it changes; V alone, and the reference, keep the reference's
    K whole.
    """
    assert in_process(pairs="q4_0/q8_0", k_layers="0-3=f16,23=q8_0") == [
        "q4_0[0-3=f16+23=q8_0]/f16", "f16/q8_0", "q4_0[0-3=f16+23=q8_0]/q8_0",
    ]  # fmt: skip


def test_a_few_layers_alone_can_be_quantised() -> None:
    """f16/f16 with some layers at q4_0 is a candidate; an exception to the type itself is none."""
    assert in_process(pairs="f16/f16", k_layers="0-1=q4_0") == ["f16[0-1=q4_0]/f16"]
    assert in_process(pairs="q4_0/f16", v_layers="0=f16") == ["q4_0/f16"]


def test_other_back_ends_take_no_types_by_layer() -> None:
    """llama.cpp has one type for all layers: asked otherwise, the settings or the pair are refused."""
    with pytest.raises(ConfigError, match="takes no types by layer"):
        labels(pairs="q4_0/f16", k_layers="0=f16")
    with pytest.raises(ConfigError, match="need --backend transformers"):
        labels(pairs="q4_0[0=f16]/f16")
