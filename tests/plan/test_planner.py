"""The planner: what fits, which rows nothing beats, what it says; the table, the picture and the JSON of it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kvassay.errors import ConfigError
from kvassay.kv_cache import PAD
from kvassay.model.gguf import parse_header
from kvassay.model.gguf_shape import shape_of
from kvassay.model.shape import ModelShape
from kvassay.plan import hardware
from kvassay.plan.advice import Attention
from kvassay.plan.breakdown import MIB, Certainty, Place, breakdown, compute_bytes, scratch_bytes
from kvassay.plan.evidence import Evidence, Grade, evidence_for
from kvassay.plan.hardware import Memory
from kvassay.plan.launch import LaunchLine
from kvassay.plan.memory import CacheSettings, FlashAttention, context_of, layer_memory
from kvassay.plan.picture import render
from kvassay.plan.planner import PAIRS, Budget, Plan, make_plan, needed, slots_cost_bytes
from kvassay.plan.sizes import size_bytes
from kvassay.plan.table import print_plan
from kvassay.plan.view import Entry, PlanView, to_json
from kvassay.types import KVConfig
from model.model_fixtures import Typed, gguf_bytes
from plan.architectures import F32, STRING, U32, keys_of, plain

GIB = 1 << 30


def shape(architecture: str = "llama", **changes: Typed) -> ModelShape:
    keys = keys_of(architecture) | {key.replace("__", "."): value for key, value in changes.items()}
    full = {"general.architecture": (STRING, architecture), "general.name": (STRING, "Test <b>model</b>")}
    full |= {f"{architecture}.{key}": value for key, value in keys.items()}
    tensors = {
        "token_embd.weight": ((256, 128), 8, 0),
        "blk.0.w": ((32, 3 << 20), 8, 34_816),
        "blk.1.w": ((32, 3 << 20), 8, 34_816),
    }
    return shape_of(parse_header(gguf_bytes(full, tensors), source="m.gguf"), source="m.gguf")


def planned(
    budget_gib: float, wanted: int = 65_536, model: ModelShape | None = None, place: Place | None = None
) -> Plan:
    settings = CacheSettings(wanted)
    return make_plan(model or shape(), settings, place or Place(), Budget(int(budget_gib * GIB), 0))


def view_of(
    plan: Plan, attention: dict[str, Attention] | None = None, evidence: dict[str, Evidence] | None = None
) -> PlanView:
    entries = tuple(
        Entry(
            row,
            (attention or {}).get(str(row.kv), Attention("fast", "its kernel is compiled")),
            evidence_for("Test", row.kv, evidence or {}),
        )
        for row in plan.rows
    )
    memory = Memory("cuda", "a GPU", plan.budget.total_bytes, "--vram")
    return PlanView(plan, memory, entries, (LaunchLine("llama-server", "llama-server -m m.gguf", ""),))


def printed(view: PlanView) -> str:
    console = Console(width=80, record=True, file=StringIO())
    print_plan(view, console)
    return console.export_text()


@given(
    context=st.integers(1, 400_000),
    parallel=st.integers(1, 9),
    unified=st.booleans(),
    ubatch=st.integers(1, 5000),
)
def test_a_context_holds_what_was_asked_in_cells_of_256(
    context: int, parallel: int, ubatch: int, *, unified: bool
) -> None:
    """Never less in all, never a block too many for each stream."""
    found = context_of(shape(), CacheSettings(context, parallel, unified, ubatch=ubatch))
    assert found.cells % PAD == 0
    assert found.n_ctx == found.cells * found.streams
    assert context <= found.n_ctx <= context + PAD * (found.streams + 1)
    assert found.n_ubatch <= min(context, ubatch)


@given(context=st.integers(1, 300_000), more=st.integers(0, 100_000), pair=st.sampled_from(PAIRS))
def test_more_context_never_costs_less(context: int, more: int, pair: KVConfig) -> None:
    """Which is what the search for the greatest context rests on."""
    for architecture in ("llama", "gemma3", "qwen35"):
        model = shape(architecture)
        small, large = (breakdown(model, pair, CacheSettings(n), Place()) for n in (context, context + more))
        assert small.device_bytes <= large.device_bytes


@given(budget_mib=st.integers(100, 4000), pair=st.sampled_from(PAIRS))
def test_the_greatest_context_fits_and_the_next_does_not(budget_mib: int, pair: KVConfig) -> None:
    """Or it is the model's own, or nothing fits."""
    model, place = shape(), Place()
    (row,) = make_plan(model, CacheSettings(4096), place, Budget(budget_mib * MIB, 0), [pair]).rows

    def cost(tokens: int) -> int:
        return needed(breakdown(model, pair, CacheSettings(tokens), place), place)

    if row.max_context:
        assert cost(row.max_context) <= budget_mib * MIB
    if row.max_context < model.context_length:
        assert cost(row.max_context + PAD) > budget_mib * MIB


def test_a_row_that_another_beats_everywhere_is_not_marked() -> None:
    """With memory for the whole context in f16, nothing else is worth a mark."""
    assert [str(row.kv) for row in planned(40).rows if row.pareto] == ["f16/f16"]
    tight = {str(row.kv): row.pareto for row in planned(0.75).rows}
    assert tight["f16/f16"]
    assert tight["q4_0/q4_0"]


def test_where_f16_fits_no_quantisation_is_advised() -> None:
    """The headline says so, and the chosen pair is f16."""
    view = view_of(planned(40))
    assert view.sentences[0].startswith("You don't need to quantise")
    assert str(view.chosen and view.chosen.kv) == "f16/f16"


def test_where_f16_does_not_fit_the_least_quantised_pair_is_named() -> None:
    """And how far f16 would reach."""
    view = view_of(planned(0.78))
    assert not view.plan.needs_no_quantisation
    assert view.chosen is not None
    assert str(view.chosen.kv) in view.sentences[0]
    assert "f16/f16 reaches" in view.sentences[0]


def test_a_pair_that_runs_badly_or_was_measured_worse_is_not_chosen() -> None:
    """As long as another one fits."""
    plan = planned(40)
    slow = {"f16/f16": Attention("cpu", "no kernel for it")}
    worse = {"f16/q8_0": Evidence(Grade.MEASURED, "degraded at up to 8,192 tokens", "s", is_worse=True)}
    view = view_of(plan, slow, worse)
    assert view.chosen is not None
    assert str(view.chosen.kv) == "q8_0/q8_0"
    text = printed(view)
    assert "attention cpu: f16/f16" in text
    assert "measured on your machine: degraded" in " ".join(text.split())


def test_the_table_keeps_within_eighty_columns_and_counts_the_scratch() -> None:
    """And names -np 1 with what four slots would cost."""
    text = printed(view_of(planned(1.0)))
    assert max(len(line) for line in text.splitlines()) <= 80
    for words in ("f16 scratch", "-np 1", "not measured", "max context", "llama-server -m m.gguf"):
        assert words in text


def test_refused_pairs_stand_in_the_table_with_the_reason() -> None:
    """Latent attention takes equal types only."""
    text = " ".join(printed(view_of(planned(4, model=shape("deepseek2")))).split())
    assert "refused" in text
    assert "latent attention" in text


def test_a_model_without_a_cache_says_so_first() -> None:
    """Instead of "does not fit"."""
    assert "no KV cache" in view_of(planned(4, model=shape("modern-bert"))).sentences[0]


def test_the_json_marks_every_line_and_adds_up() -> None:
    """Certainty and source beside each part; the total is their sum."""
    answer = to_json(view_of(planned(1.0)))
    assert json.loads(json.dumps(answer)) == answer
    for pair in answer["pairs"]:  # type: ignore[union-attr]
        lines = pair["breakdown"]  # type: ignore[index,call-overload]
        assert {line["certainty"] for line in lines} <= {each.value for each in Certainty}  # type: ignore[union-attr,index,call-overload]
        assert sum(line["device_bytes"] for line in lines) == pair["total_bytes"]  # type: ignore[union-attr,index,call-overload,misc]


def test_the_picture_is_one_page_with_a_line_for_each_pair_and_nothing_from_outside() -> None:
    """Names from the model are escaped; no address but the data icon."""
    page = render(view_of(planned(1.0)))
    assert page.count('class="series"') >= 2 * len(PAIRS)
    assert "<b>model</b>" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_scratch_is_the_f16_copy_of_one_layer_on_cuda_only() -> None:
    """Each side that is not f16; none without flash attention, none on other devices."""
    model, settings = shape(), CacheSettings(10_240)
    one_side = 2 * 10_240 * 256
    assert scratch_bytes(model, KVConfig("q8_0", "q8_0"), settings, "cuda") == 2 * one_side
    assert scratch_bytes(model, KVConfig("bf16", "f16"), settings, "hip") == one_side
    assert scratch_bytes(model, KVConfig("f16", "f16"), settings, "cuda") == 0
    assert scratch_bytes(model, KVConfig("q8_0", "q8_0"), settings, "metal") == 0
    off = CacheSettings(10_240, flash_attention=FlashAttention.OFF)
    assert scratch_bytes(model, KVConfig("q8_0", "f16"), off, "cuda") == 0
    assert compute_bytes(model, off) > compute_bytes(model, settings)


def test_layers_that_stay_on_the_host_take_their_cache_with_them() -> None:
    """One of two layers and the output on the device: llama.cpp counts the output as a layer."""
    place = Place(gpu_layers=2)
    parts = breakdown(shape(), KVConfig("f16", "f16"), CacheSettings(4096), place)
    k = next(line for line in parts.lines if line.name == "K")
    assert k.device_bytes == k.host_bytes == 4096 * 512
    assert parts.of("weights: layers") == 2 * (3 << 20) * 34


def test_four_slots_cost_windows_and_states() -> None:
    """Dense models pay next to nothing in a unified cache, hybrids four states."""
    hybrid = planned(40, model=shape("qwen35"))
    one = sum(layer.state for layer in layer_memory(hybrid.shape, PAIRS[0], CacheSettings(65_536)))
    assert slots_cost_bytes(hybrid, PAIRS[0]) >= 3 * one
    assert slots_cost_bytes(planned(40), PAIRS[0]) < MIB


def test_published_figures_come_with_their_source() -> None:
    """And only for the model they were measured on."""
    found = evidence_for("Qwen3.6 27B Instruct", KVConfig("q4_0", "q4_0"), {})
    assert found.grade is Grade.PUBLISHED
    assert "beellama" in found.words
    assert evidence_for("Qwen3 8B", KVConfig("q4_0", "q4_0"), {}).words == "not measured"


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GiB", 24 * GIB), ("24", 24 * GIB), ("24GB", 24 * GIB), ("1.5g", 3 * GIB // 2), ("512MiB", GIB // 2)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    """With or without a unit."""
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1GiB", "lots", "24 parsecs", "1e9", "24b", "999999999TiB"])
def test_what_is_no_size_is_named(text: str) -> None:
    """Instead of a plan for nothing."""
    with pytest.raises(ConfigError):
        size_bytes(text)


def test_devices_are_read_from_what_the_system_tells(tmp_path: Path) -> None:
    """nvidia-smi's lines and the kernel's files; anything else is skipped."""
    text = "NVIDIA GeForce RTX 4090, 24564\nnvidia-smi has failed\nweird, [N/A]\n"
    assert hardware.parse_nvidia(text) == [
        Memory("cuda", "NVIDIA GeForce RTX 4090", 24_564 * MIB, "nvidia-smi"),
    ]
    for card, content in (("card0", f"{16 * GIB}\n"), ("card1", "none")):
        (tmp_path / card / "device").mkdir(parents=True)
        (tmp_path / card / "device" / "mem_info_vram_total").write_text(content)
    assert [each.total_bytes for each in hardware.amd(tmp_path)] == [16 * GIB]
    assert hardware.detect().total_bytes > 0


@pytest.mark.parametrize(
    ("memory_gib", "wired_mib"), [(16, 10_922), (24, 16_384), (32, 21_845), (36, 27_648), (64, 49_152)]
)
def test_a_macs_gpu_is_counted_with_what_llama_cpp_prints(memory_gib: int, wired_mib: int) -> None:
    """recommendedMaxWorkingSetSize: smaller Macs keep a third for themselves."""
    assert hardware.wired_bytes(memory_gib * GIB) // MIB == wired_mib


def test_a_limit_that_was_set_on_a_mac_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By sysctl iogpu.wired_limit_mb; 0 is the default."""
    monkeypatch.setattr(hardware.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "arm64")
    told = {"iogpu.wired_limit_mb": "30000\n", "hw.memsize": f"{32 * GIB}\n"}
    monkeypatch.setattr(hardware, "say", lambda *command: told[command[-1]])
    assert [each.total_bytes for each in hardware.apple()] == [30_000 * MIB]
    told["iogpu.wired_limit_mb"] = "0"
    assert [each.total_bytes // MIB for each in hardware.apple()] == [21_845]


def test_a_model_of_more_context_than_llama_cpp_takes_is_planned_up_to_that() -> None:
    """Headers may say any number."""
    plan = planned(4, model=shape("mamba2", logit_scale=(F32, 1.0), context_length=(U32, 2**32 - 1)))
    assert {row.max_context for row in plan.rows} == {2**31 - 256}


def test_a_model_of_no_context_or_no_kv_still_plans() -> None:
    """A pure recurrent model costs its states whatever the pair."""
    plan = planned(4, model=shape("mamba2", logit_scale=(F32, 1.0), context_length=(U32, 4096)))
    assert {row.max_context for row in plan.rows} == {65_536}
    assert plain()["context_length"] == (U32, 131_072)
