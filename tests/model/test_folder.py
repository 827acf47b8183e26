"""A Hugging Face folder as a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvassay.errors import ModelFileError
from kvassay.model.folder import read_folder


def folder(path: Path, **config: object) -> Path:
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def test_the_configuration_tells_context_and_layers(tmp_path: Path) -> None:
    """What checks a run before any weights are loaded stands in config.json, for models that see in text_config."""
    found = read_folder(str(folder(tmp_path, max_position_embeddings=4096, num_hidden_layers=24)))
    assert (found.trained_tokens, found.n_layers, found.path) == (4096, 24, tmp_path)
    nested = read_folder(str(folder(tmp_path, text_config={"num_hidden_layers": 8})))
    assert (nested.trained_tokens, nested.n_layers) == (None, 8)


def test_the_hash_is_the_contents(tmp_path: Path) -> None:
    """Any changed file changes the hash; where the folder lies does not."""
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        path.mkdir()
        folder(path, num_hidden_layers=2)
    assert read_folder(str(first)).sha256 == read_folder(str(second)).sha256
    (second / "model.safetensors").write_bytes(b"Weights")
    assert read_folder(str(first)).sha256 != read_folder(str(second)).sha256


def test_the_files_of_a_folder_are_hashed_as_one(tmp_path: Path) -> None:
    """Progress rises once, to the size of all of them."""
    files = [file for file in folder(tmp_path).iterdir() if file.suffix]
    told: list[tuple[int, int]] = []
    read_folder(str(tmp_path), progress=lambda done, total, _note: told.append((done, total)))
    whole = sum(file.stat().st_size for file in files)
    assert told == [(told[0][0], whole), (whole, whole)]
    assert told[0][0] < whole


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, r"without config\.json"),
        ({"config.json": "{"}, "can't be read"),
        ({"config.json": "[" * 100_000}, "can't be read"),
        ({"config.json": "[]"}, "is no JSON object"),
        ({"config.json": "{}"}, "holds no weights"),
    ],
)
def test_a_folder_that_is_no_model_says_why(tmp_path: Path, files: dict[str, str], says: str) -> None:
    """Each lack has its own sentence."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelFileError, match=says):
        read_folder(str(tmp_path))


def test_a_link_whose_file_is_gone_is_named(tmp_path: Path) -> None:
    """As in a Hugging Face cache that was pruned."""
    (folder(tmp_path) / "model-2.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(ModelFileError, match=r"model-2\.safetensors' can't be read"):
        read_folder(str(tmp_path))
