"""The engine in process, on a tiny model with random weights."""

from __future__ import annotations

import os
from dataclasses import replace
from math import exp
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra: pip install 'kvassay[transformers]'")
pytest.importorskip("transformers", reason="needs the extra: pip install 'kvassay[transformers]'")

import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save_file
from transformers import (
    BambaConfig,
    DynamicCache,
    Gemma4TextConfig,
    JambaConfig,
    MambaConfig,
    RecurrentGemmaConfig,
    Zamba2Config,
    xLSTMConfig,
)

from backend.transformers.tiny import HEAD_DIM, KV_HEADS, LAYERS, save_hybrid, save_model, save_tiny
from kvassay import backend
from kvassay.backend.base import Backend, Progress, Sampling
from kvassay.backend.in_process.boot import InProcessBoot
from kvassay.backend.transformers.boot import TransformersMind
from kvassay.backend.transformers.boot import open_boot as boot_of
from kvassay.backend.transformers.cache import formats_of
from kvassay.backend.transformers.load import LayerShape, load
from kvassay.errors import BackendError, BootFailed, ConfigError, ContextExceeded, PairRefused
from kvassay.quant.base import F32
from kvassay.quant.table import FORMATS, k_round_trip, v_round_trip
from kvassay.types import Arm, Completion, KVConfig, Message, Stop, ToolCall

GREEDY = Sampling(max_tokens=12, top_n=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Backend:
    return backend.make("transformers", model_path=folder, device="cpu", threads=1)


def open_boot(engine: Backend, kv: str, context_tokens: int = 2048) -> InProcessBoot:
    k, _, v = kv.partition("/")
    boot = engine.open(Arm(KVConfig(k, v)), context_tokens=context_tokens)
    assert isinstance(boot, InProcessBoot)
    return boot


def mind(boot: InProcessBoot) -> TransformersMind:
    assert isinstance(boot.mind, TransformersMind)
    return boot.mind


def stored(boot: InProcessBoot, layer: int) -> tuple[F32, F32]:
    """What the cache holds of a layer: heads × tokens × head dimension."""
    held = mind(boot).held.cache.layers[layer]
    return held.keys[0].numpy(), held.values[0].numpy()


def words(boot: InProcessBoot, text: str) -> tuple[int, ...]:
    return boot.tokenize(text)


def same_answer(one: Completion, other: Completion) -> None:
    """Token for token; log-probabilities but for the CPU's rounding: a prompt in other pieces is summed in another
    order, and a cached value that falls on the other side of a float16 step (2⁻¹¹ of it) makes more of that.
    """
    assert (one.text, one.tokens, one.stop) == (other.text, other.tokens, other.stop)
    for mine, its in zip(one.positions, other.positions, strict=True):
        assert mine.logprob == pytest.approx(its.logprob, abs=1e-3)


@pytest.mark.parametrize("kv", ["q4_0/q8_0", "4/fp8_e4m3", "bf16/iq4_nl"])
def test_the_cache_holds_what_the_formats_make(engine: Backend, kv: str) -> None:
    """The first layer's K and V, which no cache has touched yet, are stored as the formats read them back, to the bit,
    and K's format does nothing to V.
    """
    with open_boot(engine, "f32/f32") as plain, open_boot(engine, kv) as boot:
        tokens = words(boot, "def f(x): return x")
        for one in (plain, boot):
            one.prefill(tokens)
        (k, v), (k_name, v_name) = stored(plain, 0), kv.split("/")
        wanted = k_round_trip(FORMATS[k_name], HEAD_DIM, rotation=True)(k)
        assert np.array_equal(stored(boot, 0)[0], wanted)
        assert np.array_equal(stored(boot, 0)[1], v_round_trip(FORMATS[v_name], HEAD_DIM, rotation=True)(v))
        assert not np.array_equal(stored(boot, 0)[0], k)


def test_later_layers_feel_the_first_ones(engine: Backend) -> None:
    """Attention reads the quantised values: what reaches the last layer differs from the plain model's."""
    with open_boot(engine, "f32/f32") as plain, open_boot(engine, "q4_0[1-2=f32]/f32") as boot:
        tokens = words(boot, "for i in range(10): print(i)")
        answers = [one.complete(tokens, Sampling(max_tokens=1, top_n=50)) for one in (plain, boot)]
        assert answers[0].positions != answers[1].positions


def test_without_rounding_it_is_the_model_itself(engine: Backend) -> None:
    """f32/f32 says token by token what transformers' own generate says."""
    with open_boot(engine, "f32/f32") as boot:
        tokens = words(boot, "<|im_start|>user\nhello<|im_end|>\n")
        answer = boot.complete(tokens, GREEDY)
        model = mind(boot)._loaded.model
        with torch.inference_mode():
            told = model.generate(torch.tensor([tokens]), max_new_tokens=12, do_sample=False)[0, len(tokens) :]
        assert answer.tokens == tuple(told.tolist())


@pytest.mark.parametrize("kv", ["f16/f16", "q4_0/q4_0", "3/5"])
def test_a_cropped_cache_is_the_cache_of_the_prefix(engine: Backend, kv: str) -> None:
    """After another question was answered, going back leaves the prefix's entries as they were, to the bit, and the
    next answer is a fresh boot's.
    """
    with open_boot(engine, kv) as boot, open_boot(engine, kv) as fresh:
        prefix = words(boot, "<|im_start|>user\nRead a.py and b.py.")
        first, second = (*prefix, *words(boot, " Then run it.")), (*prefix, *words(boot, " Now what?"))
        boot.prefill(prefix)
        before = [stored(boot, layer) for layer in range(LAYERS)]
        boot.complete(first, GREEDY)
        again = boot.complete(second, GREEDY)
        assert again.timings.cached_tokens == len(prefix) + 1  # the blank that both questions begin with
        for layer, (k, v) in enumerate(before):
            assert np.array_equal(stored(boot, layer)[0][:, : len(prefix)], k)
            assert np.array_equal(stored(boot, layer)[1][:, : len(prefix)], v)
        same_answer(again, fresh.complete(second, GREEDY))


def test_a_repeated_question_costs_one_token(engine: Backend) -> None:
    """The same prompt again computes its last token only, and says the same; so does a prompt that was an answer."""
    with open_boot(engine, "q8_0/q8_0") as boot:
        tokens = words(boot, "import os")
        first = boot.complete(tokens, GREEDY)
        again = boot.complete(tokens, GREEDY)
        assert (first.timings.cached_tokens, again.timings.processed_tokens) == (0, 1)
        same_answer(first, again)
        on = boot.complete((*tokens, *first.tokens[:4]), replace(GREEDY, max_tokens=4))
        assert on.timings.processed_tokens == 1
        assert on.tokens == first.tokens[4:8]


def test_log_probabilities_are_of_the_whole_vocabulary(engine: Backend) -> None:
    """Asked for more alternatives than there are tokens, it lists all; they add up to 1, the likeliest first, and the
    chosen token is the likeliest.
    """
    with open_boot(engine, "q4_0/f16") as boot:
        answer = boot.complete(words(boot, "x = "), Sampling(max_tokens=3, top_n=1 << 24))
        for token, position in zip(answer.tokens, answer.positions, strict=True):
            logprobs = [logprob for _, logprob in position.top]
            assert len(logprobs) == mind(boot)._loaded.model.config.vocab_size
            assert sum(map(exp, logprobs)) == pytest.approx(1, abs=1e-6)
            assert logprobs == sorted(logprobs, reverse=True)
            assert (token, position.token_id, position.logprob) == (position.top[0][0], token, logprobs[0])


def test_positions_spell_the_text(engine: Backend) -> None:
    """Every token has a position, and their texts together are the answer; without top_n there are none."""
    with open_boot(engine, "f16/f16") as boot:
        tokens = words(boot, "print(")
        answer = boot.complete(tokens, Sampling(max_tokens=20, top_n=2))
        assert "".join(position.text for position in answer.positions) == answer.text
        assert len(answer.positions) == len(answer.tokens) == answer.timings.predicted_tokens
        assert not boot.complete(tokens, Sampling(max_tokens=2)).positions


def test_a_temperature_draws_by_its_seed(engine: Backend) -> None:
    """The same seed draws the same answer, another one another."""
    with open_boot(engine, "f16/f16") as boot:
        tokens = words(boot, "class A:")
        drawn = [boot.complete(tokens, Sampling(max_tokens=20, temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
        assert drawn[0].tokens == drawn[1].tokens != drawn[2].tokens


def test_a_turn_ends_where_the_model_ends_it(engine: Backend, folder: Path) -> None:
    """The token that ends a turn stops generation; it counts as a token and is no text."""
    loaded = load(folder, device="cpu", dtype="float32", threads=1)
    with open_boot(engine, "f32/f32") as boot:
        tokens = words(boot, "y")
        likeliest = boot.complete(tokens, Sampling(max_tokens=1)).tokens[0]
    ending = replace(loaded, ends=frozenset({likeliest}))
    with boot_of(ending, KVConfig("f32", "f32"), 64) as boot:
        answer = boot.complete(tokens, GREEDY)
        assert (answer.tokens, answer.text, answer.stop) == ((likeliest,), "", Stop.EOS)


def test_facts_say_what_formats_need_and_what_is_held(engine: Backend) -> None:
    """Bytes are the formats' for the whole context, exceptions counted layer by layer; the warning names the bytes that
    this process holds instead.
    """
    with open_boot(engine, "q4_0[0=f16]/8", context_tokens=1024) as boot:
        facts, values = boot.facts, 1024 * KV_HEADS * HEAD_DIM
        assert facts.k_bytes == values * (16 + 2 * 4.5) / 8
        assert facts.v_bytes == values * LAYERS * 8.5 / 8
        assert (facts.k_type, facts.v_type, facts.kv_layers) == ("q4_0[0=f16]", "8", LAYERS)
        assert (facts.k_rotation, facts.v_rotation) == (64, 0)
        assert f"{values * LAYERS * 2 * 4 / 2**20:.1f} MiB of torch.float32" in facts.warnings[0]
        assert str(facts.build).endswith(f"torch {torch.__version__}, float32, cpu")


def test_earlier_calls_are_rendered_as_objects(engine: Backend) -> None:
    """Arguments of a call in the history reach the template as an object, so that it writes JSON and no quoted text."""
    call = Message("assistant", tool_calls=(ToolCall("1", "read", {"path": "é.py"}),))
    with open_boot(engine, "f16/f16") as boot:
        text = boot.render([Message("user", "go"), call], ())
    assert '{"name": "read", "arguments": {"path": "é.py"}}' in text
    assert text.endswith("<|im_start|>assistant")


def test_templates_without_a_default_are_told(tmp_path: Path) -> None:
    """Several templates, none of them for a conversation: transformers' complaint is a message, not a traceback."""
    folder = save_tiny(tmp_path)
    (folder / "chat_template.jinja").unlink()
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ messages }}")
    engine = backend.make("transformers", model_path=folder, device="cpu", threads=1)
    with open_boot(engine, "f16/f16") as boot, pytest.raises(BackendError, match="multiple chat templates"):
        boot.render([Message("user", "go")], ())


def test_progress_is_told_while_a_prompt_is_computed(engine: Backend) -> None:
    """Long prompts come in chunks, each reported."""
    told: list[Progress] = []
    with open_boot(engine, "f16/f16") as boot:
        boot.prefill(words(boot, "a" * 600), told.append)
    assert [(one.phase, one.done, one.total) for one in told] == [("prompt", n, 600) for n in (256, 512, 600)]


def test_what_it_can_not_do(engine: Backend, tmp_path: Path) -> None:
    """No chat endpoint, no prompt beyond the context, no layer that isn't there, no model that isn't one."""
    with open_boot(engine, "f16/f16", context_tokens=16) as boot:
        with pytest.raises(BackendError, match="no chat endpoint"):
            boot.chat((), (), GREEDY, stream=False)
        with pytest.raises(ContextExceeded, match="needs 17 tokens"):
            boot.complete([1] * 17, GREEDY)
    with pytest.raises(ConfigError, match="names layer 3; this model has 3"):
        open_boot(engine, "q4_0[3=f16]/f16")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BootFailed, match="transformers can't load"):
        backend.make("transformers", model_path=tmp_path).open(Arm(KVConfig("f16", "f16")), context_tokens=8)


def test_heads_that_make_no_blocks_are_refused(tmp_path: Path) -> None:
    """A head of 40 values has no blocks of 32: the pair is refused, other types run."""
    odd = save_tiny(tmp_path, hidden_size=160, num_attention_heads=4)
    engine = backend.make("transformers", model_path=odd, device="cpu", threads=1)
    with pytest.raises(PairRefused, match="heads of 40 values don't divide into blocks of 32"):
        open_boot(engine, "f16/q8_0")
    with open_boot(engine, "fp8_e5m2/bf16") as boot:
        assert boot.complete(words(boot, "ok"), GREEDY).tokens


def test_sliding_windows_are_cropped_too(tmp_path: Path) -> None:
    """A model with sliding windows keeps every token here and masks: far beyond the window it says what transformers'
    own windowed cache says, and goes back to a prefix that the window has left behind.
    """
    folder = save_tiny(
        tmp_path, use_sliding_window=True, sliding_window=16, layer_types=["full_attention", *["sliding_attention"] * 2]
    )
    engine = backend.make("transformers", model_path=folder, device="cpu", threads=1)
    with open_boot(engine, "f32/f32") as boot:
        tokens = words(boot, "".join(f"line {n}\n" for n in range(12)))
        model, answer = mind(boot)._loaded.model, boot.complete(tokens, GREEDY)
        with torch.inference_mode():
            windowed = model(torch.tensor([tokens]), cache=DynamicCache(config=model.config)).logits[0, -1]
        assert answer.tokens[0] == int(windowed.argmax())
        assert answer.positions[0].logprob == pytest.approx(float(torch.log_softmax(windowed, -1).max()), abs=1e-4)
        boot.complete((*tokens[:5], 7, 8), GREEDY)
        same_answer(boot.complete(tokens, GREEDY), answer)


def test_linear_attention_goes_back_to_a_copy(tmp_path: Path) -> None:
    """A layer with a state instead of K and V can't be cropped: each question starts from the prefix's own state, and
    only the other layer is quantised.
    """
    engine = backend.make("transformers", model_path=save_hybrid(tmp_path), device="cpu", threads=1)
    with open_boot(engine, "8/f16", context_tokens=512) as boot, open_boot(engine, "8/f16") as fresh:
        prefix = words(boot, "Read a.py and b.py.")
        first, second = (*prefix, *words(boot, "Then run it.")), (*prefix, *words(boot, "Now what?"))
        boot.prefill(prefix)
        boot.complete(first, GREEDY)
        again = boot.complete(second, GREEDY)
        assert again.timings.cached_tokens == len(prefix)
        same_answer(again, fresh.complete(second, GREEDY))
        assert (boot.facts.kv_layers, boot.facts.k_bytes) == (1, 512 * 64 * 8.5 / 8)


JAMBA = {
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "num_experts": 1,
    "num_experts_per_tok": 1,
    "use_mamba_kernels": False,
    "mamba_d_state": 8,
}
BAMBA = {
    "attn_layer_indices": [1, 3],
    "mamba_n_heads": 8,
    "mamba_d_head": 32,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
}


@pytest.mark.parametrize(("kind", "shape"), [(JambaConfig, JAMBA), (BambaConfig, BAMBA)])
def test_states_and_positions_go_on_behind_what_is_held(
    tmp_path: Path, kind: type[JambaConfig | BambaConfig], shape: dict[str, object]
) -> None:
    """A long prompt, a question behind a held prefix and the one after it say what the model says of the whole text in
    one pass: also Jamba, whose state is forgotten by any pass of several tokens, and Bamba, which counts each pass's
    positions from 0 unless they are told.
    """
    engine = backend.make("transformers", model_path=save_model(tmp_path, kind, **shape), device="cpu", threads=1)
    with open_boot(engine, "f32/f32") as boot:
        prefix = words(boot, "".join(f"line {n}\n" for n in range(40)))
        assert len(prefix) > 256
        boot.prefill(prefix)
        for question in ("Then run it.", "Now what?"):
            tokens = (*prefix, *words(boot, question))
            answer = boot.complete(tokens, GREEDY)
            assert answer.timings.cached_tokens == len(prefix)
            model, whole = mind(boot)._loaded.model, torch.tensor([[*tokens, *answer.tokens[:-1]]])
            with torch.inference_mode():
                wanted = torch.log_softmax(model(whole, use_cache=False).logits[0, len(tokens) - 1 :], -1)
            for position, logprobs in zip(answer.positions, wanted, strict=True):
                assert position.logprob == pytest.approx(float(logprobs[position.token_id]), abs=1e-3)


ZAMBA2 = {
    "num_key_value_heads": 4,
    "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
    "num_mem_blocks": 1,
    "use_shared_attention_adapter": True,
    "adapter_rank": 8,
    "use_mem_rope": True,
    "n_mamba_heads": 8,
    "mamba_d_state": 16,
}


def test_attention_blocks_that_share_weights_have_a_cache_each(tmp_path: Path) -> None:
    """Zamba2 goes through one block at several places, with heads twice as wide: as many caches are quantised."""
    engine = backend.make("transformers", model_path=save_model(tmp_path, Zamba2Config, **ZAMBA2), device="cpu")
    with open_boot(engine, "q8_0/f16", context_tokens=256) as boot:
        values = 256 * 2 * 4 * (2 * 128 // 4)
        assert (boot.facts.kv_layers, boot.facts.k_bytes, boot.facts.v_bytes) == (2, values * 34 // 32, values * 2)


def test_models_whose_cache_says_nothing_are_refused(tmp_path: Path) -> None:
    """Without K and V there is nothing to quantise; a state outside of the cache would mix prompts; a cache of its own
    takes no formats.
    """
    griffin = {"attention_window_size": 16, "block_types": ["recurrent", "attention"], "lru_width": 128}
    no = [
        (MambaConfig, {}, "no K and V"),
        (RecurrentGemmaConfig, griffin, "outside"),
        (xLSTMConfig, {}, "DynamicCache"),
    ]
    for number, (kind, shape, why) in enumerate(no):
        folder = save_model(tmp_path / str(number), kind, **shape)
        engine = backend.make("transformers", model_path=folder, device="cpu", threads=1)
        with pytest.raises(BootFailed, match=why):
            open_boot(engine, "f16/f16")


def test_damaged_weights_are_no_model(tmp_path: Path) -> None:
    """A file cut off in the download and one without all tensors are told: the library fills gaps with random ones."""
    cut, gap = (save_tiny(tmp_path / name) for name in ("cut", "gap"))
    os.truncate(cut / "model.safetensors", 1000)
    weights = load_bytes((gap / "model.safetensors").read_bytes())
    weights.pop("model.layers.1.self_attn.k_proj.weight")
    save_file(weights, gap / "model.safetensors", metadata={"format": "pt"})
    for folder, why in (
        (cut, "transformers can't load"),
        (gap, "lacks 1 of the model's tensors, 'model.layers.1.self"),
    ):
        engine = backend.make("transformers", model_path=folder, device="cpu", threads=1)
        with pytest.raises(BootFailed, match=why):
            open_boot(engine, "f16/f16")


def test_windows_are_rotated_as_a_cache_of_their_own(tmp_path: Path) -> None:
    """Gemma 4's heads differ between layers with a window and without; llama.cpp keeps two caches and rotates both. In
    one cache different heads are not rotated.
    """
    folder = save_model(
        tmp_path,
        Gemma4TextConfig,
        head_dim=64,
        global_head_dim=128,
        num_global_key_value_heads=2,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"] * 2,
        num_kv_shared_layers=0,
        vocab_size_per_layer_input=258,
        hidden_size_per_layer_input=16,
    )
    shapes = load(folder, device="cpu", dtype="float32", threads=1).shapes
    found = [(one.k_block, one.v_block) for one in formats_of(KVConfig("q4_0", "q4_0"), shapes) if one]
    assert found == [(64, 64), (128, 64)] * 2
    mixed = formats_of(KVConfig("q4_0", "q4_0"), [LayerShape(2, 64, 2, 64), LayerShape(2, 128, 2, 64)])
    assert [(one.k_block, one.v_block) for one in mixed if one] == [(0, 64), (0, 64)]
