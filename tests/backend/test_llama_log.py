"""The facts and the failures in llama.cpp's log, in the forms of several builds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.logs import cassette
from kvassay.backend.llama_log import Cache, address, classify, decisive, parse, stage, warnings
from kvassay.errors import BootFailed, ModelFileError, OutOfMemory, PairRefused, PortTaken

MIB = 1024 * 1024


def test_reads_an_unquantized_start() -> None:
    """All facts of a plain f16 start on a CPU are found."""
    facts = parse(cassette("b11549_f16_f16"))
    assert facts.caches == (Cache(8192, 24, "f16", 48 * MIB, "f16", 48 * MIB),)
    assert (facts.k_values, facts.v_values, facts.k_head_dim, facts.v_head_dim) == (128, 128, 64, 64)
    assert (facts.k_rotation, facts.v_rotation) == (0, 0)
    assert facts.flash_attention is True
    assert facts.graph_splits == 1
    assert facts.compute_bytes == round(45.27 * MIB)
    assert facts.model_bytes == round(462.96 * MIB) + round(28.05 * MIB)
    assert facts.devices == ("CPU: Intel(R) Xeon(R) Processor",)
    assert facts.build == "b0-unknown"
    assert facts.warnings == ()


def test_reads_a_mixed_quantized_start() -> None:
    """K and V are told apart, and rotation and forced flash attention are seen."""
    facts = parse(cassette("b11549_q8_0_q4_0"))
    assert facts.caches == (Cache(8192, 24, "q8_0", round(25.5 * MIB), "q4_0", round(13.5 * MIB)),)
    assert (facts.k_rotation, facts.v_rotation) == (64, 64)
    assert facts.flash_attention is True


def test_reads_rotation_off() -> None:
    """Rotation switched off shows as block 0 and as a warning."""
    facts = parse(cassette("b11434_norot"))
    assert (facts.k_rotation, facts.v_rotation) == (0, 0)
    assert facts.warnings == ("llama_kv_cache: attention rotation force disabled (LLAMA_ATTN_ROT_DISABLE)",)


def test_reads_the_forms_of_old_builds() -> None:
    """The names and forms used before b11065 give the same facts."""
    facts = parse(cassette("written_from_sources_old"))
    assert facts.caches == (Cache(4096, 32, "q8_0", 136 * MIB, "q8_0", 136 * MIB),)
    assert (facts.k_rotation, facts.v_rotation) == (64, 0)
    assert facts.flash_attention is True
    assert facts.graph_splits == 66
    assert facts.compute_bytes == round(258.5 * MIB) + round(16.01 * MIB)
    assert facts.devices == ("CUDA0: NVIDIA GeForce RTX 3090",)
    assert facts.build == "5996 (a1b2c3d4)"


def test_reads_the_cache_of_june_2025() -> None:
    """Builds b5600 to b5949 did not say of how many streams the sequences are."""
    line = "llama_kv_cache_unified: size =  272.00 MiB (  4096 cells,  32 layers,  1 seqs), K (q8_0):  136.00 MiB, "
    assert parse(f"{line}V (q8_0):  136.00 MiB\n").caches == (Cache(4096, 32, "q8_0", 136 * MIB, "q8_0", 136 * MIB),)


@pytest.mark.parametrize(
    "mark",
    [
        "0.16.369.206 I srv    load_model: creating MTP draft context against the target model '/m.gguf'",
        "srv    load_model: loading draft model '/draft.gguf'",
    ],
)
def test_a_draft_models_cache_is_not_the_arms(mark: str) -> None:
    """Speculative decoding allocates a second cache, f16 unless told otherwise: the facts stay the model's."""
    model = cassette("b11549_q8_0_q4_0")
    assert parse(f"{model}\n{mark}\n{cassette('b11549_f16_f16')}") == parse(model)


def test_reads_two_caches_and_a_fallback() -> None:
    """Sliding-window models have two caches; the last reservation holds; lost flash attention is a warning."""
    facts = parse(cassette("written_from_sources_cuda_swa"))
    assert [(c.cells, c.layers) for c in facts.caches] == [(8192, 8), (1536, 40)]
    assert facts.flash_attention is False
    assert facts.graph_splits == 50
    assert facts.compute_bytes == 120 * MIB
    assert [line.split(":")[0] for line in facts.warnings] == [
        "resolve_fused_ops",
        "resolve_fused_ops",
        "ggml_cuda_flash_attn_ext",
    ]


def test_a_silent_log_yields_no_facts() -> None:
    """A log of verbosity 3 has no line of the cache: nothing is made up."""
    facts = parse("srv  load_model: loading model\nmodel loaded\n")
    assert facts.caches == ()
    assert facts.flash_attention is None
    assert facts.graph_splits is None
    assert facts.compute_bytes is None


FAILURES: dict[str, tuple[type[Exception], str]] = {
    "b11434_v_needs_flash_attention": (PairRefused, "quantized V cache requires flash_attn to be enabled"),
    "b11434_unknown_type": (PairRefused, "Unsupported cache type: q9"),
    "b11434_out_of_memory": (OutOfMemory, "insufficient memory (attempted to allocate 2197265.62 MB)"),
    "b11434_port_taken": (PortTaken, "couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8398"),
    "b11434_not_a_gguf": (ModelFileError, "invalid magic characters: 'noth', expected 'GGUF'"),
    "b11434_truncated_model": (ModelFileError, "data is not within the file bounds"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_start_is_named(name: str) -> None:
    """Each failure gets its class, and its cause stands in the first decisive line."""
    kind, cause = FAILURES[name]
    assert classify(cassette(name)) is kind
    assert cause in decisive(cassette(name))[0]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("alloc_buffer: allocating 8710.00 MiB on device 0: cudaMalloc failed: out of memory", OutOfMemory),
        ("ggml_vulkan: Device memory allocation failed: ErrorOutOfDeviceMemory", OutOfMemory),
        ("E llama_init_from_model: model does not support different K (q8_0) and V (q4_0) cache types", PairRefused),
        ("K cache type q8_0 with block size 32 does not divide n_embd_head_k=72", PairRefused),
        ("quantized V cache was requested, but this requires Flash Attention", PairRefused),
        ("llama_init_from_model: V cache quantization requires flash_attn", PairRefused),
        ("something else entirely", BootFailed),
    ],
)  # fmt: skip
def test_other_failures_are_named(line: str, kind: type[Exception]) -> None:
    """Failures of devices that were not at hand are known by their words."""
    assert classify(line) is kind


@pytest.mark.parametrize("name", ["b11549_f16_f16", "b11549_q8_0_q4_0", "b11434_norot"])
def test_a_good_start_is_no_known_failure(name: str) -> None:
    """The words of a good start are not taken for a cause of failure."""
    assert classify(cassette(name)) is BootFailed


def test_decisive_lines_are_few_and_bare() -> None:
    """Time stamps and repetitions are left out, and there are at most five."""
    lines = decisive(cassette("b11434_out_of_memory"))
    assert len(lines) == 5
    assert len(set(lines)) == 5
    assert not any(line.startswith("0.") for line in lines)


def test_without_errors_the_last_lines_are_decisive() -> None:
    """A server that died without a word shows the last it said."""
    assert decisive("one\ntwo\n\nthree\n", limit=2) == ("two", "three")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("b11549_f16_f16", "http://127.0.0.1:8101"),
        ("written_from_sources_old", "http://127.0.0.1:8080"),
        ("b11434_not_a_gguf", None),
    ],
)
def test_the_address_is_read_once_the_server_listens(name: str, url: str | None) -> None:
    """The address stands in the log when the model is loaded, and not before."""
    assert address(cassette(name)) == url


def test_stages_follow_each_other() -> None:
    """A growing log names the stages of a start in their order."""
    lines = cassette("b11549_f16_f16").splitlines()
    seen = [stage("\n".join(lines[:n])) for n in range(len(lines))]
    assert list(dict.fromkeys(seen)) == ["starting", "loading the weights", "allocating the cache", "warming up"]


@given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    """No log makes the parser fail."""
    parse(text)
    decisive(text)
    classify(text)
    assert warnings(text) == parse(text).warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main: server is listening on http://127.0.0.1:32827\n", "http://127.0.0.1:32827"),
        ("main: server is listening on http://127.0.0.1:32827 - starting the main loop\n", "http://127.0.0.1:32827"),
        ("main: server is listening on http://127.0.0.1:32827I srv  update_slots: all slots", "http://127.0.0.1:32827"),
        ("main: server is listening on http://[::1]:8080/\n", "http://[::1]:8080"),
        ("main: server is listening on http://127.0.0.1:328", None),
    ],
)
def test_the_address_ends_with_its_port(text: str, expected: str | None) -> None:
    """However lines of several threads run into each other, and only once the port is written out."""
    assert address(text) == expected
