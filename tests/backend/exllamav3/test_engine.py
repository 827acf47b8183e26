"""What ``--backend exllamav3`` refuses before anything is loaded: no card needed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from kvassay import backend
from kvassay.backend.exllamav3 import TYPES, import_engine, require_pair
from kvassay.backend.kv import parse_pair
from kvassay.errors import BootFailed, ConfigError, PairRefused
from kvassay.extras import install_line
from kvassay.plan.exllama import BITS
from kvassay.types import Arm, KVConfig

BOTH_OR_NEITHER = [("f16", "f16"), *((k, v) for k in BITS for v in BITS)]


def test_types_are_f16_and_the_bits_that_the_planner_knows() -> None:
    """One list of bits, 2 to 8."""
    assert {*TYPES} == {"f16", *BITS}
    assert backend.cache_types("exllamav3") == TYPES
    assert str(parse_pair("8/4", TYPES)) == "8/4"
    with pytest.raises(ConfigError, match="unknown cache type 'q8_0'"):
        parse_pair("q8_0/4", TYPES)


@pytest.mark.parametrize(("k", "v"), BOTH_OR_NEITHER)
def test_every_pair_of_bits_is_taken(k: str, v: str) -> None:
    """49 pairs of bits, and f16 on both halves."""
    require_pair(KVConfig(k, v))


@pytest.mark.parametrize(("pair", "instead"), [("f16/4", "8/4"), ("3/f16", "3/8")])
def test_f16_beside_bits_is_refused_with_the_nearest_pair_that_is(pair: str, instead: str) -> None:
    """``CacheLayer_quant`` quantises both halves."""
    engine = backend.make("exllamav3", model_path=Path("nowhere"))
    with pytest.raises(PairRefused, match="both halves are quantised, or neither") as refused:
        engine.open(Arm(parse_pair(pair, TYPES)), context_tokens=256)
    assert refused.value.hint.endswith(f": {instead}.")


def test_rotation_has_no_switch() -> None:
    """A pair that asks for none would be measured with it."""
    with pytest.raises(PairRefused, match="always rotated"):
        require_pair(parse_pair("8/4 norot", TYPES))


def test_a_gguf_file_is_refused_with_what_is_read(tmp_path: Path) -> None:
    """Folders only."""
    engine = backend.make("exllamav3", model_path=tmp_path / "model.gguf")
    with pytest.raises(ConfigError, match=r"can't read 'model\.gguf'") as refused:
        engine.open(Arm(KVConfig("8", "4")), context_tokens=256)
    assert "EXL3" in refused.value.hint


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfigError, and the line to install it."""

    def without(name: str) -> object:
        return None if name == "exllamav3" else object()

    monkeypatch.setattr("kvassay.backend.in_process.find_spec", without)
    engine = backend.make("exllamav3", model_path=tmp_path)
    with pytest.raises(ConfigError, match="needs exllamav3, not installed here") as refused:
        engine.open(Arm(KVConfig("8", "4")), context_tokens=256)
    assert refused.value.hint == f"Install it: {install_line('exllamav3')}"


def test_without_a_card_there_is_one_clear_error() -> None:
    """Said before ExLlamaV3 is imported, which would compile."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BootFailed, match=r"needs a CUDA device, and torch .* sees none"):
        import_engine()
