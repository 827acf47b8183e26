"""Where shapes come from: files cut behind the header, split models, web addresses, folders."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.errors import FetchError, ModelFileError
from kvassay.model import remote
from kvassay.model.folder import read_model
from kvassay.model.hf_shape import FAMILIES, shape_of_folder
from kvassay.model.resolve import resolve
from kvassay.model.source import load_shape
from kvassay.plan.memory import CacheSettings, draft_kv_bytes, layer_memory
from kvassay.types import KVConfig
from model.model_fixtures import Hub, gguf_bytes, running_hub
from plan.architectures import ARRAY, STRING, plain

U16 = 2
Q8 = KVConfig("q8_0", "q8_0")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as server:
        yield server


def model_bytes(*, tokens: int = 128, data_bytes: int = 0, block: int | None = 0, files: int = 1) -> bytes:
    keys = {f"llama.{key}": value for key, value in plain().items()}
    keys |= {"general.architecture": (STRING, "llama")}
    keys |= {"tokenizer.ggml.tokens": (ARRAY, (STRING, [f"token number {n}" for n in range(tokens)]))}
    keys |= {"split.count": (U16, files)} if files > 1 else {}
    table = {} if block is None else {f"blk.{block}.w": ((32, 1 << 20), 8, 0)}
    return gguf_bytes(keys, table, data_bytes=data_bytes)


def folder(path: Path, **config: object) -> Path:
    base: dict[str, object] = {
        "model_type": "qwen2",
        "num_hidden_layers": 4,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 4096,
        "max_position_embeddings": 32_768,
        "vocab_size": 1000,
    }
    path.mkdir(exist_ok=True, parents=True)
    (path / "config.json").write_text(json.dumps({key: v for key, v in {**base, **config}.items() if v != "gone"}))
    return path


def kv_bytes(path: Path, kv: KVConfig = Q8) -> int:
    shape = shape_of_folder(path)
    return sum(layer.kv_bytes for layer in layer_memory(shape, kv, CacheSettings(8192)))


def test_a_header_without_its_tensor_data_is_enough(tmp_path: Path) -> None:
    """The weights are in the table, the data is never read."""
    path = tmp_path / "header.gguf"
    path.write_bytes(model_bytes())
    shape = load_shape(str(path))
    assert shape.vocab_size == 128
    assert shape.weights is not None
    assert shape.weights.layers == (34 << 20, 0)


def test_a_split_models_weights_are_those_of_all_its_files(tmp_path: Path) -> None:
    """Where one is missing, the sum says that it is not complete."""
    first = tmp_path / "m-00001-of-00002.gguf"
    first.write_bytes(model_bytes())
    alone = load_shape(str(first)).weights
    assert alone is not None
    assert not alone.complete
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(model_bytes(block=1))
    both = load_shape(str(first)).weights
    assert both is not None
    assert both.complete
    assert both.layers == (34 << 20, 34 << 20)


def test_the_first_file_of_a_split_model_may_hold_no_tensors(tmp_path: Path) -> None:
    """As llama-gguf-split --no-tensor-first-split writes it."""
    first = tmp_path / "m-00001-of-00002.gguf"
    first.write_bytes(model_bytes(block=None))
    assert load_shape(str(first)).weights is None
    (tmp_path / "m-00002-of-00002.gguf").write_bytes(model_bytes(block=1))
    weights = load_shape(str(first)).weights
    assert weights is not None
    assert (weights.layers, weights.complete) == ((0, 34 << 20), True)


def test_a_part_of_a_split_model_is_known_by_its_header_too(hub: Hub, tmp_path: Path) -> None:
    """Whatever it is called, here or on the web, its tensors are not all."""
    (tmp_path / "renamed.gguf").write_bytes(model_bytes(files=3))
    hub.files["/m.gguf"] = model_bytes(files=3)
    for name in (str(tmp_path / "renamed.gguf"), f"{hub.url}/m.gguf"):
        weights = load_shape(name).weights
        assert weights is not None
        assert not weights.complete


def test_of_a_remote_file_only_the_header_travels(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges grow until the header is whole; megabytes of data behind it stay where they are."""
    monkeypatch.setattr(remote, "FIRST_BYTES", 4096)
    hub.files["/o/r/m.gguf"] = model_bytes(tokens=2000, data_bytes=34 << 20)
    shape = load_shape(f"{hub.url}/o/r/m.gguf")
    assert shape.vocab_size == 2000
    starts = [int(str(each).removeprefix("bytes=").partition("-")[0]) for each in hub.gets()]
    assert starts == sorted(set(starts))
    assert len(starts) > 1
    assert max(starts) < 1 << 20


def test_an_hf_name_that_is_not_here_is_read_from_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its header only; nothing is stored."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("KVASSAY_HOME", str(tmp_path))
    hub.files["/o/r/resolve/main/m.gguf"] = model_bytes()
    assert load_shape("hf:o/r/m.gguf").architecture == "llama"


@pytest.mark.parametrize(
    ("path", "content", "error"),
    [
        ("/none.gguf", b"", FetchError),
        ("/text.gguf", b"hello, I am no model" * 500, ModelFileError),
        ("/cut.gguf", model_bytes()[:900], ModelFileError),
    ],
)
def test_a_remote_file_that_is_no_model_is_named(hub: Hub, path: str, content: bytes, error: type[Exception]) -> None:
    """Missing, foreign, or cut off inside its header."""
    if content:
        hub.files[path] = content
    with pytest.raises(error, match=path[1:]):
        load_shape(hub.url + path)


@pytest.mark.parametrize("address", ["http://", "https://127.0.0.1:1/m.gguf", "http://[bad/m.gguf"])
def test_an_address_that_leads_nowhere_is_one_message(address: str) -> None:
    """No traceback of the HTTP library."""
    with pytest.raises((ModelFileError, FetchError)):
        load_shape(address)


def test_a_folder_costs_what_its_gguf_would(tmp_path: Path) -> None:
    """Dense, with the head dimension derived and stated."""
    eight_bits = 34 * 8192 // 32
    assert kv_bytes(folder(tmp_path)) == 4 * 2 * 2 * 64 * eight_bits
    assert kv_bytes(folder(tmp_path, head_dim=128)) == 4 * 2 * 2 * 128 * eight_bits


def test_a_folders_windows_hybrids_and_latents_are_seen(tmp_path: Path) -> None:
    """As the converter would write them."""
    kinds = ["sliding_attention"] * 3 + ["full_attention"]
    windowed = folder(tmp_path, model_type="gemma3_text", sliding_window=512, layer_types=kinds, head_dim=64)
    assert [layer.window for layer in shape_of_folder(windowed).layers] == [True, True, True, False]
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    linear = {"linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16}
    linear |= {"linear_num_value_heads": 32, "linear_value_head_dim": 128}
    hybrid = shape_of_folder(folder(tmp_path, model_type="qwen3_next", layer_types=kinds, head_dim=256, **linear))
    assert [layer.recurrent for layer in hybrid.layers] == [True, True, True, False]
    assert hybrid.layers[0].state_elements == 3 * (4096 + 2 * 16 * 128) + 128 * 4096
    mla = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
    latent = folder(tmp_path, model_type="deepseek_v3", q_lora_rank=1536, **mla)
    assert kv_bytes(latent) == 4 * 576 * 34 * 8192 // 32


def test_a_folders_experts_widen_its_graph(tmp_path: Path) -> None:
    """All that one token visits, where there is no dense feed-forward (Qwen3.5-MoE)."""
    experts = {"num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512}
    experts |= {"shared_expert_intermediate_size": 512}
    path = folder(tmp_path, model_type="qwen3_5_moe_text", intermediate_size="gone", **experts)
    assert shape_of_folder(path).feed_forward == 9 * 512


def test_safetensors_are_sized_from_their_headers(tmp_path: Path) -> None:
    """EXL3 folders hold the same kind of file."""
    table = {
        "__metadata__": {"format": "pt"},
        "model.layers.1.mlp.weight": {"dtype": "F16", "shape": [4], "data_offsets": [0, 100]},
        "model.embed_tokens.weight": {"dtype": "F16", "shape": [4], "data_offsets": [100, 160]},
        "lm_head.weight": {"dtype": "F16", "shape": [4], "data_offsets": [160, 200]},
    }
    raw = json.dumps(table).encode()
    path = folder(tmp_path)
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    weights = shape_of_folder(path).weights
    assert weights is not None
    assert (weights.layers, weights.input_bytes, weights.output_bytes) == ((0, 100, 0, 0), 60, 40)
    (path / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60))
    with pytest.raises(ModelFileError, match="safetensors"):
        shape_of_folder(path)


def safetensors(path: Path, sizes: dict[str, int]) -> None:
    """A file's header: tensors of so many bytes."""
    ends = list(accumulate(sizes.values()))
    table = {name: {"data_offsets": [end - sizes[name], end]} for name, end in zip(sizes, ends, strict=True)}
    raw = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw)


def test_layers_that_only_draft_stand_behind_the_others(tmp_path: Path) -> None:
    """As the converter appends them: a cache of their own while drafting, weights that are else left unread."""
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    qwen = folder(tmp_path / "a", model_type="qwen3_5_text", layer_types=kinds, mtp_num_hidden_layers=1, head_dim=256)
    safetensors(qwen / "m.safetensors", {"model.layers.0.w": 10, "mtp.layers.0.w": 20, "mtp.fc.weight": 3})
    glm = folder(tmp_path / "b", model_type="glm4_moe", num_nextn_predict_layers=1, head_dim=128)
    safetensors(glm / "m.safetensors", {"model.layers.0.w": 10, "model.layers.4.w": 23})
    for path in (qwen, glm):
        found = shape_of_folder(path)
        assert [layer.draft for layer in found.layers] == [False] * 4 + [True]
        assert found.weights is not None
        assert found.weights.layers == (10, 0, 0, 0, 23)
        row = found.layers[4].k_elements * 34 // 32
        assert draft_kv_bytes(found, Q8, CacheSettings(8192, draft_tokens=2)) == 2 * row * 8192
    assert kv_bytes(glm) == 4 * 2 * 2 * 128 * 34 * 8192 // 32


def test_weights_that_lie_in_a_folder_twice_are_counted_once(tmp_path: Path) -> None:
    """Mistral's consolidated file beside the usual ones; an index left over from other files says nothing."""
    path = folder(tmp_path)
    safetensors(path / "consolidated.safetensors", {"layers.0.attention.wq.weight": 50})
    safetensors(path / "model-00001-of-00002.safetensors", {"model.layers.0.w": 20})
    safetensors(path / "model-00002-of-00002.safetensors", {"model.layers.1.w": 30})
    files = {f"model.layers.{n - 1}.w": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    index = path / "model.safetensors.index.json"
    for said in ("", json.dumps({"metadata": {"total_size": 50}, "weight_map": files})):
        index.write_text(said)
        weights = shape_of_folder(path).weights
        assert weights is not None
        assert (weights.total_bytes, weights.complete) == (50, True)
    safetensors(path / "model.safetensors", {"model.layers.0.w": 7})
    single = shape_of_folder(path).weights
    assert single is not None
    assert (single.total_bytes, single.complete) == (7, True)


def test_tied_embeddings_of_a_folder_are_its_output_too(tmp_path: Path) -> None:
    """Where no tensor is the output, as a GGUF's; the index may name one in a file that is not here."""
    path = folder(tmp_path)
    safetensors(path / "model-00001-of-00002.safetensors", {"model.embed_tokens.weight": 60, "model.layers.0.w": 10})
    tied = shape_of_folder(path).weights
    assert tied is not None
    assert (tied.input_bytes, tied.output_bytes, tied.tied_bytes) == (60, 0, 60)
    names = {"lm_head.weight": "model-00002-of-00002.safetensors"}
    index = {"metadata": {"total_size": 130}, "weight_map": names}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    separate = shape_of_folder(path).weights
    assert separate is not None
    assert separate.tied_bytes == 0


def test_the_index_counts_files_that_are_not_here(tmp_path: Path) -> None:
    """Its total is spread over the layers, and the weights are not exact."""
    path = folder(tmp_path)
    table = {"model.layers.1.w": {"dtype": "F16", "shape": [4], "data_offsets": [0, 100]}}
    raw = json.dumps(table).encode()
    index = {
        "metadata": {"total_size": 503},
        "weight_map": {"model.layers.1.w": "model-00001-of-00002.safetensors", "x": "model-00002-of-00002.safetensors"},
    }
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    alone = shape_of_folder(path).weights
    (path / "model-00001-of-00002.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    half = shape_of_folder(path).weights
    assert alone is not None
    assert half is not None
    assert (alone.total_bytes, alone.complete, half.total_bytes, half.complete) == (503, False, 503, False)
    assert half.layers == (100, 201, 101, 101)
    index["weight_map"] = {"model.layers.1.w": "model-00001-of-00002.safetensors"}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    whole = shape_of_folder(path).weights
    assert whole is not None
    assert (whole.total_bytes, whole.complete) == (100, True)
    for junk in ("", "[]", "{}", "[" * 100_000):
        (path / "model.safetensors.index.json").write_text(junk)
        assert shape_of_folder(path).weights == whole


def test_gemma_3_leaves_out_what_is_usual(tmp_path: Path) -> None:
    """As the configuration of gemma-3-4b-it does."""
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "sliding_window": 1024}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    shape = shape_of_folder(tmp_path)
    assert (shape.context_length, shape.vocab_size, shape.heads) == (131_072, 262_208, 8)
    assert (shape.layers[5].k_elements, sum(layer.window for layer in shape.layers)) == (4 * 256, 29)


@pytest.mark.parametrize("kind", sorted(FAMILIES.keys() - {"kimi_k2", "mistral3"}))
def test_what_a_configuration_leaves_out_is_what_transformers_takes(tmp_path: Path, kind: str) -> None:
    """Heads, dimensions, windows, states and the context of every model type; layers and width are stated."""
    pytest.importorskip("torch", reason="needs the extra: pip install 'kvassay[transformers]'")
    auto = pytest.importorskip("transformers.models.auto.configuration_auto")
    usual = auto.CONFIG_MAPPING[kind]().get_text_config()
    stated = {"model_type": kind, "num_hidden_layers": usual.num_hidden_layers, "hidden_size": usual.hidden_size}
    shapes = []
    for config in (stated, {**usual.to_dict(), "model_type": kind}):
        (tmp_path / "config.json").write_text(json.dumps(config))
        shapes.append(shape_of_folder(tmp_path))
    short, full = shapes
    assert (short.layers, short.window, short.heads) == (full.layers, full.window, full.heads)
    assert short.context_length == full.context_length


def test_heads_of_vision_models_are_those_that_their_configurations_leave_out(tmp_path: Path) -> None:
    """As the configurations of pixtral-12b and paligemma2-3b do: 32 heads, and heads of 256."""
    text = {"model_type": "mistral", "hidden_size": 5120, "num_hidden_layers": 40, "num_key_value_heads": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": text | {"head_dim": 128}}))
    assert kv_bytes(tmp_path) == 40 * 2 * 8 * 128 * 34 * 8192 // 32
    text = {"model_type": "gemma2", "hidden_size": 2304, "num_hidden_layers": 26, "num_attention_heads": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "paligemma", "text_config": text}))
    assert {layer.k_elements for layer in shape_of_folder(tmp_path).layers} == {4 * 256}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "unheard_of"}, "unheard_of"),
        ({"model_type": ["a"]}, "model type"),
        ({"num_hidden_layers": "gone"}, "doesn't say 'num_hidden_layers'"),
        ({"num_hidden_layers": 10**9}, "block_count"),
        ({"num_attention_heads": -1}, "-1"),
        ({"num_attention_heads": 0}, "attention.head_count"),
        ({"model_type": "kimi_k2"}, "kv_lora_rank"),
        ({"model_type": "deepseek_v3", "v_head_dim": None}, "v_head_dim"),
        ({"hidden_size": {"a": 1}}, "embedding_length"),
        ({"hidden_size": None}, "doesn't say 'hidden_size'"),
    ],
)
def test_a_config_that_can_not_be_is_met_in_words(tmp_path: Path, config: dict[str, object], said: str) -> None:
    """Unknown types fail closed, values are named by their key."""
    with pytest.raises(ModelFileError, match=said):
        shape_of_folder(folder(tmp_path, **config))


@given(
    text=st.one_of(st.binary(max_size=60), st.just(b"[" * 100_000), st.just(b'{"model_type": "llama"}'), st.just(b"3"))
)
def test_any_bytes_as_config_are_met_in_words(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    """No traceback, whatever the file holds."""
    path = tmp_path_factory.mktemp("folder")
    (path / "config.json").write_bytes(text)
    with pytest.raises(ModelFileError):
        shape_of_folder(path)


@pytest.mark.parametrize("name", ["x" * 5000 + ".gguf", "~nobody-of-this-name/m.gguf"])
def test_a_name_that_the_system_refuses_is_met_in_words(name: str) -> None:
    """Too long, or of a user who is not here."""
    for ask in (load_shape, resolve, lambda named: read_model(named, folder=True)):
        with pytest.raises(ModelFileError):
            ask(name)


def test_a_folder_without_config_says_what_to_name(tmp_path: Path) -> None:
    """A GGUF file, or the right folder."""
    with pytest.raises(ModelFileError, match="without config"):
        load_shape(str(tmp_path))
