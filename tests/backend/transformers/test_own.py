"""transformers' own ``QuantizedCache`` as a pair: its terms, and with its libraries what it holds and answers."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra: pip install 'kvassay[transformers]'")
pytest.importorskip("transformers", reason="needs the extra: pip install 'kvassay[transformers]'")

import torch
from transformers import QuantizedCache

from backend.transformers.tiny import HEAD_DIM, KV_HEADS, LAYERS, save_hybrid, save_tiny
from kvassay import backend
from kvassay.assay.arms import arms_of
from kvassay.assay.follow import follow, said
from kvassay.backend.base import Backend, Sampling
from kvassay.backend.in_process.boot import InProcessBoot
from kvassay.backend.transformers import TYPES
from kvassay.backend.transformers.boot import TransformersMind
from kvassay.backend.transformers.own import OWN_TYPES, RESIDUAL, own_type
from kvassay.errors import ConfigError, PairRefused
from kvassay.extras import install_line
from kvassay.settings import check
from kvassay.types import Arm, KVConfig

GREEDY = Sampling(max_tokens=12, top_n=5)


def _missing(package: str) -> bool:
    try:
        return find_spec(package) is None
    except ModuleNotFoundError:
        return True


WITH_LIBRARY = [
    pytest.param(
        one.name,
        marks=pytest.mark.skipif(
            _missing(one.package), reason="needs the extra: pip install 'kvassay[quantized-cache]'"
        ),
    )
    for one in (OWN_TYPES["quanto4"], OWN_TYPES["quanto2"], OWN_TYPES["hqq4"], OWN_TYPES["hqq3"])
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = save_tiny(tmp_path_factory.mktemp("tiny"))
    return backend.make("transformers", model_path=folder, device="cpu", threads=1)


def open_boot(engine: Backend, name: str, context_tokens: int = 1024) -> InProcessBoot:
    boot = engine.open(Arm(KVConfig(name, name)), context_tokens=context_tokens)
    assert isinstance(boot, InProcessBoot)
    return boot


def text(boot: InProcessBoot, n: int) -> tuple[int, ...]:
    return boot.tokenize("".join(f"value_{line} = {line * line}\n" for line in range(n)))


def upstream(boot: InProcessBoot, *passes: tuple[int, ...]) -> torch.Tensor:
    """The last logits of transformers alone, its cache made as its users make it."""
    assert isinstance(boot.mind, TransformersMind)
    one, model = OWN_TYPES[str(boot.facts.k_type)], boot.mind._loaded.model
    cache = QuantizedCache(one.library, model.config, nbits=one.nbits)
    with torch.inference_mode():
        for tokens in passes:
            logits = model(torch.tensor([tokens]), cache=cache).logits[0, -1]
    return torch.log_softmax(logits.double(), dim=-1)


@pytest.mark.parametrize(
    ("k", "v"), [("quanto4", "f16"), ("f16", "hqq4"), ("quanto4", "quanto2"), ("quanto4[0=f16]", "quanto4[0=f16]")]
)
def test_one_number_of_bits_holds_for_all(k: str, v: str) -> None:
    """K and V can't be set apart, nor layers: said before anything is started, with the pair that can be had."""
    with pytest.raises(PairRefused, match="one number of bits holds for K, V and all layers") as refused:
        own_type(KVConfig(k, v))
    assert str(refused.value.hint).startswith("Judge it as a whole: --kv ")


def test_it_is_not_rotated() -> None:
    """There is nothing that norot could switch off; kvassay's own formats are none of its business."""
    with pytest.raises(PairRefused, match="rotates nothing"):
        own_type(KVConfig("hqq4", "hqq4", rotation=False))
    assert own_type(KVConfig("q4_0", "8")) is None


def test_the_pair_is_judged_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one pair no halves are made: the reference, the pair, the reference's second boot."""
    monkeypatch.setattr(backend.transformers, "require_installed", lambda *_: None)
    settings = check({"backend": "transformers", "pairs": ("quanto4",), "model": "m"})
    assert [arm.label for arm in arms_of(settings, TYPES)] == ["f16/f16", "quanto4/quanto4", "f16/f16 #2"]


def test_a_layer_of_its_own_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """--k-layers makes the pair one that upstream has not: no reference is measured for it."""
    monkeypatch.setattr(backend.transformers, "require_installed", lambda *_: None)
    settings = check({"backend": "transformers", "pairs": ("hqq4",), "k_layers": ("0=f16",), "model": "m"})
    with pytest.raises(ConfigError, match="one number of bits"):
        arms_of(settings, TYPES)


@pytest.mark.parametrize(("name", "package"), [("quanto2", "optimum.quanto"), ("hqq8", "hqq")])
def test_a_missing_library_is_named_before_anything_starts(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the reference has been measured."""
    monkeypatch.setattr("kvassay.backend.in_process.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=f"{name} .* needs {package}, not installed here") as missing:
        arms_of(check({"backend": "transformers", "pairs": (name,), "model": "m"}), TYPES)
    assert missing.value.hint == f"Install it: {install_line('quantized-cache')}"


def test_its_state_can_be_gone_back_to(tmp_path: Path) -> None:
    """A copy goes its own way: what is added to the cache afterwards doesn't reach it. Tested with the type that needs
    no library.
    """
    from kvassay.backend.transformers.load import load  # noqa: PLC0415  needs the extra
    from kvassay.backend.transformers.own_cache import OwnCache  # noqa: PLC0415

    model = load(save_tiny(tmp_path), device="cpu", dtype="float32", threads=1).model
    cache = OwnCache("fp8", model.config)
    with torch.inference_mode():
        model(torch.arange(5, 40)[None], cache=cache)
        kept = copy.deepcopy(cache)
        first = model(torch.tensor([[9, 8, 7]]), cache=cache).logits
        model(torch.tensor([[6, 6, 6]]), cache=cache)
        again = model(torch.tensor([[9, 8, 7]]), cache=copy.deepcopy(kept)).logits
    assert torch.equal(first, again)
    assert kept.get_seq_length() == 35


@pytest.mark.parametrize("name", WITH_LIBRARY)
def test_answers_are_upstreams(engine: Backend, name: str) -> None:
    """A question behind a prefix gets the distribution that QuantizedCache gives in the same passes;
    it is not the plain model's, and another question goes back to the prefix's own state.
    """
    with open_boot(engine, name) as boot, open_boot(engine, "f32") as plain:
        prefix = text(boot, 20)
        one, other = (*prefix, *boot.tokenize("print(")), (*prefix, *boot.tokenize("what is value_7?"))
        for each in (boot, plain):
            each.prefill(prefix)
        first = boot.complete(one, GREEDY)
        second = boot.complete(other, GREEDY)
        assert second.timings.cached_tokens == len(prefix)
        assert boot.complete(one, GREEDY).positions == first.positions
        wanted = upstream(boot, prefix[:-1], prefix[-1:], one[len(prefix) :])
        for token, logprob in first.positions[0].top:
            assert logprob == pytest.approx(float(wanted[token]), abs=1e-4)
        assert len(prefix) > RESIDUAL
        assert plain.complete(one, GREEDY).positions[0].logprob != first.positions[0].logprob


@pytest.mark.parametrize("name", WITH_LIBRARY)
def test_a_question_that_stands_alone_is_read_from_the_cache_too(engine: Backend, name: str) -> None:
    """The first pass attends to K and V as they were; the answer's first token has to feel what was stored."""
    with open_boot(engine, name) as boot, open_boot(engine, "f32") as plain:
        prompt = text(boot, 12)
        answers = [each.complete(prompt, GREEDY) for each in (boot, plain)]
        assert answers[0].positions[0].logprob != pytest.approx(answers[1].positions[0].logprob, abs=1e-3)
        reading = follow(boot, prompt, answers[1].tokens[:6], top_n=5, known=said(answers[0]))
        assert None not in reading.positions


@pytest.mark.parametrize("name", WITH_LIBRARY)
def test_it_says_what_it_holds(engine: Backend, name: str) -> None:
    """Bytes with a scale and a zero point a group of 64, and which tokens wait unquantised."""
    with open_boot(engine, name) as boot:
        values = 1024 * KV_HEADS * HEAD_DIM * LAYERS
        assert boot.facts.k_bytes == boot.facts.v_bytes == round(values * (OWN_TYPES[name].stored + 1) / 8)
        assert "of the latest tokens up to 127 wait in torch.float32" in boot.facts.warnings[0]


@pytest.mark.parametrize("name", WITH_LIBRARY[:1])
def test_models_that_it_refuses(tmp_path: Path, name: str) -> None:
    """Layers without full attention, in upstream's words; heads that make no groups, in ours."""
    hybrid = backend.make("transformers", model_path=save_hybrid(tmp_path / "hybrid"), device="cpu", threads=1)
    with pytest.raises(PairRefused, match="only supported for models with only full attention"):
        open_boot(hybrid, name)
    odd = save_tiny(tmp_path / "odd", hidden_size=160, num_attention_heads=4, num_key_value_heads=1)
    with pytest.raises(PairRefused, match="40 values of K or V don't divide into groups of 64"):
        open_boot(backend.make("transformers", model_path=odd, device="cpu", threads=1), name)
