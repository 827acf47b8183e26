"""What a sweep's file says, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.errors import ConfigError
from kvassay.sweep import read_sweep


def sweep(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_every_model_is_run_as_often_as_there_are_boots(tmp_path: Path) -> None:
    """Settings hold for all; folders are named after the models."""
    text = 'models = ["qwen", "/m/Mine Q4.gguf", "hf:a/b/c.gguf"]\nboots = 2\npairs = "q8_0/q8_0"\ndepths = "2k"'
    runs = read_sweep(sweep(tmp_path, text))
    assert [run.name for run in runs] == [f"{name}/boot-{n}" for name in ("qwen", "Mine-Q4", "c") for n in (1, 2)]
    assert [run.settings.model for run in runs][::2] == ["qwen", "/m/Mine Q4.gguf", "hf:a/b/c.gguf"]
    assert {(run.settings.pairs, run.settings.depths) for run in runs} == {(("q8_0/q8_0",), (2048,))}


def test_one_boot_has_the_models_folder_to_itself(tmp_path: Path) -> None:
    """Nothing is nested without need."""
    assert [run.name for run in read_sweep(sweep(tmp_path, 'models = "a,b"'))] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('pairs = "q8_0/q8_0"', "models: Field required"),
        ("models = []", "models: "),
        ('models = ["a"]\nboots = 0', "boots: "),
        ('models = ["a"]\nmodel = "b"', "model = 'b'"),
        ('models = ["x/a.gguf", "y/a.gguf"]', "2 models of the sweep are called 'a'"),
        ('models = ["a"]\ndepth = "2k"', "depth = '2k'"),
        ("models = [", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Before anything is measured."""
    with pytest.raises(ConfigError) as caught:
        read_sweep(sweep(tmp_path, text))
    assert said in str(caught.value)
