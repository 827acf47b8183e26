"""The capability table is whole, and its rules say what was read, and nothing of what wasn't."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.backend.kv import LLAMA_TYPES
from kvassay.kv_cache import cache_types, ggml_id, ggml_name
from kvassay.plan.capability import Where, compiled_pairs, engine_name, placement, since
from kvassay.plan.capability_file import changes, engines, ranges
from kvassay.plan.memory import BYTES_PER_BLOCK
from kvassay.types import KVConfig

DEVICES = ("cuda", "hip", "musa", "metal", "vulkan", "sycl", "opencl", "webgpu", "cann", "cpu")
types = st.sampled_from(LLAMA_TYPES)
pairs = st.builds(KVConfig, k=types, v=types)


def where(build: int | None, device: str, pair: str, **more: object) -> Where:
    k, v = pair.split("/")
    return placement("llama.cpp", build=build, device=device, kv=KVConfig(k, v), **more).where  # type: ignore[arg-type]


def test_the_ranges_of_a_device_leave_no_hole_and_do_not_overlap() -> None:
    """Builds nobody read are ranges of their own, so every build has exactly one answer."""
    for engine, device in {(one.engine, device) for one in ranges() for device in one.devices}:
        mine = sorted((r for r in ranges() if r.engine == engine and device in r.devices), key=lambda r: r.from_)
        assert mine[0].from_ == 0, (engine, device)
        assert mine[-1].to is None, (engine, device)
        assert all(a.to is not None and a.to + 1 == b.from_ for a, b in pairwise(mine)), (engine, device)


def test_every_range_ends_in_a_case_that_fits_all() -> None:
    """No pair falls through."""
    assert all(one.case[-1].fits_all for one in ranges())


def test_every_fact_has_a_source_and_a_date_that_is_not_in_the_future() -> None:
    """Ranges, changes, engines and each limit of an engine."""
    facts = [*ranges(), *changes().values(), *engines().values(), *(x for e in engines().values() for x in e.limits)]
    today = dt.datetime.now(tz=dt.UTC).date() + dt.timedelta(days=1)
    assert all(fact.source.strip() and dt.date(2026, 1, 1) <= fact.date <= today for fact in facts)


def test_every_type_engine_and_device_named_is_known() -> None:
    """A typing error in the data can't hide."""
    known = {one.name for family in ("ggml", "ik", "exl3") for one in cache_types(family)} | {"fp16"}  # type: ignore[arg-type]
    for one in ranges():
        assert one.engine in engines()
        assert set(one.devices) <= set(DEVICES)
        named = {name for case in one.case for name in (*(case.k or ()), *(case.v or ()))}
        named |= {side for pair in one.compiled for side in pair.split("-")}
        assert named <= known, one
    for engine in engines().values():
        if engine.model == "gguf" or engine.runs:
            assert {*engine.k_types, *engine.v_types} <= known


def test_changes_lie_between_two_different_builds() -> None:
    """absent_at comes before present_at."""
    assert all(0 < change.absent_at < change.present_at for change in changes().values())


@given(pairs, st.sampled_from(DEVICES), st.one_of(st.none(), st.integers(0, 20000)))
def test_every_pair_has_an_answer_with_reason_and_source(kv: KVConfig, device: str, build: int | None) -> None:
    """The rules are total, and an answer is a sentence."""
    answer = placement("llama.cpp", build=build, device=device, kv=kv)
    assert answer.why.endswith((".", ".)"))
    assert answer.source


@pytest.mark.parametrize("build", [10868, 10870, 10877])
@pytest.mark.parametrize("pair", ["q8_0/q4_0", "q5_1/q5_1", "f16/q8_0"])
def test_builds_between_the_bisected_points_are_unknown(build: int, pair: str) -> None:
    """Nobody looked there, so nothing is claimed."""
    assert where(build, "cuda", pair) is Where.UNKNOWN


@pytest.mark.parametrize(
    ("build", "device", "pair", "expected"),
    [
        (10867, "cuda", "q8_0/q4_0", Where.CPU),
        (10488, "hip", "q5_1/q5_1", Where.CPU),
        (10867, "cuda", "q8_0/q8_0", Where.FAST),
        (10878, "cuda", "q8_0/q4_0", Where.SLOW_ON_GPU),
        (11434, "rocm", "q4_0/q4_0", Where.FAST),
        (11434, "musa", "f16/f32", Where.FAST),
        (11434, "cuda", "iq4_nl/f16", Where.CPU),
        (11434, "cuda", "f16/iq4_nl", Where.CPU),
        (11434, "metal", "q8_0/q4_0", Where.CPU),
        (11434, "metal", "q5_1/q5_1", Where.FAST),
        (11434, "metal", "bf16/bf16", Where.UNKNOWN),
        (9101, "vulkan", "q8_0/q4_0", Where.UNKNOWN),
        (9110, "vulkan", "q8_0/q4_0", Where.UNKNOWN),
        (9113, "vulkan", "q8_0/iq4_nl", Where.FAST),
        (9113, "vulkan", "bf16/f16", Where.CPU),
        (11434, "sycl", "q8_0/iq4_nl", Where.UNKNOWN),
        (11434, "opencl", "q8_0/f16", Where.SLOW_ON_GPU),
        (11434, "webgpu", "q5_0/f16", Where.CPU),
        (11434, "cann", "q8_0/q8_0", Where.CPU),
        (8000, "cuda", "q8_0/q8_0", Where.UNKNOWN),
        (None, "cpu", "q8_0/q4_0", Where.CPU),
    ],
)
def test_where_attention_runs(build: int | None, device: str, pair: str, expected: Where) -> None:
    """The facts of each device, on both sides of each change."""
    assert where(build, device, pair) is expected


def test_an_unknown_build_says_only_what_all_read_builds_agree_on() -> None:
    """iq4_nl never ran on CUDA; unequal pairs depend on the build."""
    assert where(None, "cuda", "iq4_nl/iq4_nl") is Where.CPU
    assert where(None, "cuda", "q8_0/q8_0") is Where.FAST
    unequal = placement("llama.cpp", build=None, device="cuda", kv=KVConfig("q8_0", "q4_0"))
    assert unequal.where is Where.UNKNOWN
    assert "b9093 to b10867: cpu" in unequal.why


def test_compiled_kernels_make_a_pair_fast() -> None:
    """A list adds pairs from b10878 on; before, only FA_ALL_QUANTS did."""
    assert where(11434, "cuda", "q8_0/q4_0", fa_quants="q8_0-q4_0;q8_0-q8_0") is Where.FAST
    assert where(11434, "cuda", "q5_1/q4_0", fa_quants="all") is Where.FAST
    assert where(10867, "cuda", "q8_0/q4_0", fa_quants="all") is Where.FAST
    assert where(10867, "cuda", "q8_0/q4_0", fa_quants="q8_0-q4_0") is Where.CPU
    assert compiled_pairs("Q8_0-Q4_0, q8_0-q8_0", ()) == {"f16-f16", "q8_0-q4_0", "q8_0-q8_0"}


def test_head_dimensions_decide_too() -> None:
    """No multiple of 32 is refused, an unsupported one runs on the CPU, one without vector kernel slowly."""
    assert where(11434, "cuda", "q8_0/q8_0", head_dim_k=72, head_dim_v=72) is Where.REFUSED
    assert where(11434, "cuda", "f16/f16", head_dim_k=200, head_dim_v=200) is Where.CPU
    assert where(11434, "cuda", "q8_0/q8_0", head_dim_k=96, head_dim_v=96) is Where.SLOW_ON_GPU
    assert where(11434, "vulkan", "f16/f16", head_dim_k=36, head_dim_v=36) is Where.CPU
    conditional = placement(
        "llama.cpp", build=11434, device="cuda", kv=KVConfig("f16", "f16"), head_dim_k=192, head_dim_v=128
    )
    assert "multiple of 8" in conditional.why


def test_latent_attention_refuses_unequal_types_since_the_change() -> None:
    """Before b10204 and in the window nothing is claimed."""
    mla = {"head_dim_k": 576, "head_dim_v": 512}
    assert where(10216, "cuda", "q8_0/f16", **mla) is Where.REFUSED
    assert where(10210, "cuda", "q8_0/f16", **mla) is Where.UNKNOWN
    assert where(10216, "cuda", "q8_0/f16", mla=True) is Where.REFUSED


@pytest.mark.parametrize(
    ("engine", "pair", "expected"),
    [
        ("Ollama", "q8_0/q4_0", Where.REFUSED),
        ("Ollama", "q8_0/q8_0", Where.FAST),
        ("koboldcpp", "f16/q8_0", Where.REFUSED),
        ("vllm", "fp8/auto", Where.REFUSED),
        ("vllm", "fp8/fp8", Where.UNKNOWN),
        ("TabbyAPI", "8/4", Where.FAST),
        ("TabbyAPI", "f16/4", Where.REFUSED),
        ("TabbyAPI", "9/4", Where.REFUSED),
        ("lmstudio", "bf16/bf16", Where.REFUSED),
        ("somebody", "f16/f16", Where.UNKNOWN),
        ("llama-server", "q6_0/f16", Where.REFUSED),
    ],
)
def test_other_back_ends_have_their_own_limits(engine: str, pair: str, expected: Where) -> None:
    """One value, presets, bits; what is refused there is refused by the table."""
    k, v = pair.split("/")
    assert placement(engine, build=None, device="cuda", kv=KVConfig(k, v)).where is expected


def test_changes_are_known_on_both_sides_only() -> None:
    """Between the two builds, and without a build, the answer is None."""
    answers = [since("cuda-any-pair-on-gpu", build) for build in (10867, 10868, 10877, 10878, None)]
    assert answers == [False, None, None, True, None]


def test_sizes_of_blocks_are_ggmls() -> None:
    """sizeof(block_…) in ggml-common.h: the numbers that the plan's bytes and the read-back check rest on."""
    assert BYTES_PER_BLOCK == {
        "f32": 128, "f16": 64, "bf16": 64, "q8_0": 34, "q5_1": 24, "q5_0": 22, "q4_1": 20, "q4_0": 18, "iq4_nl": 18,
    }  # fmt: skip


@given(types)
def test_numbers_and_names_of_types_belong_together(name: str) -> None:
    """llama-cpp-python's numbers are read back."""
    number = ggml_id(name)
    assert number is not None
    assert ggml_name(number) == name


def test_names_of_back_ends_are_recognised() -> None:
    """As people write them."""
    assert [engine_name(n) for n in ("llama-server", "TabbyAPI", " vLLM ", "LM Studio")] == [
        "llama.cpp", "exllamav3", "vllm", "lmstudio",
    ]  # fmt: skip
