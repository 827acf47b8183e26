"""What a model's header adds to a set-up."""

from __future__ import annotations

from pathlib import Path

import pytest

from doctor.setups import command, findings
from kvassay.doctor.read_model import with_model
from kvassay.doctor.setup import Setup
from plan.architectures import keys_of, write


def seen(folder: Path, architecture: str) -> Setup:
    """A set-up beside its model."""
    keys = {key: value for key, value in keys_of(architecture).items() if key != "attention.sliding_window_pattern"}
    write(folder / "m.gguf", architecture, keys)
    return with_model(command("llama-server -m m.gguf -ctk q8_0 -ctv q8_0"), folder)


@pytest.mark.parametrize(
    ("architecture", "rule"),
    [
        ("gemma3", "window-saves-less"),  # its pattern is in the code, not in the file
        ("gpt-oss", "window-saves-less"),
        ("lfm2moe", "recurrent-state"),  # it has no ssm keys
        ("qwen35", "recurrent-state"),
        ("deepseek2", "latent-has-no-v"),
    ],
)
def test_layers_are_known_by_the_architectures_rules(tmp_path: Path, architecture: str, rule: str) -> None:
    """Also where no key of the file names them."""
    rules = {"window-saves-less", "recurrent-state", "latent-has-no-v"}
    assert rules & findings(seen(tmp_path, architecture)).keys() == {rule}


@pytest.mark.parametrize("architecture", ["phi3", "qwen3"])
def test_a_window_that_llama_cpp_ignores_is_none(tmp_path: Path, architecture: str) -> None:
    """Though the file names one."""
    assert seen(tmp_path, architecture).value("sliding_window") is None


def test_of_an_unknown_architecture_only_the_file_speaks(tmp_path: Path) -> None:
    """Neither latent nor not."""
    setup = seen(tmp_path, "unheard-of")
    assert (setup.value("architecture"), setup.value("head_dim_k"), setup.value("mla")) == ("unheard-of", "128", None)


def test_a_model_that_is_not_there_adds_nothing(tmp_path: Path) -> None:
    """Nor does a file that is no model."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    plain = command("llama-server -m m.gguf")
    assert with_model(plain, tmp_path) is plain
    assert with_model(plain, None) is plain
