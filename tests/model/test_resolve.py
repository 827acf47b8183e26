"""From names to files: every form of a name, and every way a file can be wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kvassay.errors import FetchError, ModelFileError
from kvassay.model.resolve import resolve
from model.model_fixtures import Hub, small_gguf

HF = "hf:me/tiny-GGUF/q4/tiny.gguf"
ON_HUB = "/me/tiny-GGUF/resolve/main/q4/tiny.gguf"


def test_a_local_path_resolves_with_hash_and_header(tmp_path: Path) -> None:
    """A whole GGUF by its path gives its absolute path, content hash, size and header."""
    path, content = tmp_path / "tiny.gguf", small_gguf()
    path.write_bytes(content)
    model = resolve(str(path))
    assert (model.path, model.name, model.size_bytes) == (path, str(path), len(content))
    assert model.sha256 == hashlib.sha256(content).hexdigest()
    assert model.header.context_length == 2048


def test_a_link_keeps_its_own_name(tmp_path: Path) -> None:
    """Hub caches link file names to blobs without a suffix: the name is what servers and split files go by."""
    (tmp_path / "blob").write_bytes(small_gguf())
    link = tmp_path / "tiny.gguf"
    link.symlink_to(tmp_path / "blob")
    assert resolve(str(link)).path == link


def test_the_hash_of_a_local_file_is_remembered_until_it_changes(tmp_path: Path) -> None:
    """The second resolve hashes nothing; a changed file is hashed again."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(small_gguf())
    calls: list[int] = []
    first = resolve(str(path), progress=lambda done, *_: calls.append(done))
    assert calls
    calls.clear()
    assert resolve(str(path), progress=lambda done, *_: calls.append(done)).sha256 == first.sha256
    assert not calls
    path.write_bytes(small_gguf() + b"!")
    assert resolve(str(path)).sha256 != first.sha256


def test_an_unwritable_home_does_not_stop_a_local_model(tmp_path: Path, home: Path) -> None:
    """The cache of hashes is a convenience."""
    home.write_text("a file, not a folder")
    path = tmp_path / "tiny.gguf"
    path.write_bytes(small_gguf())
    assert resolve(str(path)).sha256


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04zip", r"not a GGUF file: it starts with b'PK\\x03\\x04'"),
        (small_gguf()[:100], "ends inside its GGUF header, after 100 bytes"),
        (small_gguf()[:-1], r"cut off: it has 4,\d+ bytes, its tensors need 4,\d+"),
    ],
)
def test_damaged_files_each_have_their_own_message(tmp_path: Path, content: bytes, says: str) -> None:
    """Empty, foreign, cut in the header, cut in the data: the user learns which."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=says):
        resolve(str(path))


def test_a_folder_is_no_model_but_names_what_it_holds(tmp_path: Path) -> None:
    """Naming the folder instead of the file is a common slip."""
    (tmp_path / "q.gguf").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"is a folder, not a GGUF file\. It holds q\.gguf"):
        resolve(str(tmp_path))


def test_a_missing_file_names_the_forms_a_model_can_have() -> None:
    """The hint lists path, hf: and catalogue names."""
    with pytest.raises(ModelFileError, match=r"no model '/nowhere/x\.gguf'") as caught:
        resolve("/nowhere/x.gguf")
    assert "hf:owner/repo" in caught.value.hint
    assert "smollm2-135m" in caught.value.hint


@pytest.mark.parametrize(("typed", "meant"), [("qwen2.5-coder-1.5", "qwen2.5-coder-1.5b"), ("SmolLM2", "smollm2-135m")])
def test_a_misspelt_name_gets_the_nearest(typed: str, meant: str) -> None:
    """What was probably meant is named."""
    with pytest.raises(ModelFileError, match=f"Did you mean {meant}"):
        resolve(typed)


@pytest.mark.parametrize(
    "name", ["hf:", "hf:me/tiny", "hf:me/tiny/x.bin", "hf:me/../x/y.gguf", "hf:me/tiny/../y.gguf", "hf:me/t/x.gguf@"]
)
def test_hub_names_of_the_wrong_form_are_refused(name: str) -> None:
    """A name that is no file on the hub raises before any request."""
    with pytest.raises(ModelFileError, match="does not name a GGUF file on the hub"):
        resolve(name)


def test_one_file_of_a_split_hub_model_is_refused() -> None:
    """A part alone would not load."""
    with pytest.raises(ModelFileError, match="one of 3 files"):
        resolve("hf:me/big/m-00001-of-00003.gguf")


def test_a_hub_name_is_fetched_once_and_then_found_offline(hub: Hub) -> None:
    """The first resolve downloads, the second asks nobody."""
    hub.files[ON_HUB] = small_gguf()
    first = resolve(HF)
    asked = len(hub.requests)
    assert resolve(HF, offline=True) == first == resolve(HF)
    assert len(hub.requests) == asked
    assert first.sha256 == hashlib.sha256(small_gguf()).hexdigest()
    assert first.path.name == "tiny.gguf"


def test_a_revision_is_asked_for(hub: Hub) -> None:
    """@revision goes into the address, and is a name of its own."""
    hub.files["/me/tiny-GGUF/resolve/v1.2/tiny.gguf"] = small_gguf()
    assert resolve("hf:me/tiny-GGUF/tiny.gguf@v1.2").header.name == "Tiny"


def test_offline_and_not_here_says_how_to_fetch() -> None:
    """Nothing is downloaded when offline was asked for."""
    for name in ("smollm2-135m", HF):
        with pytest.raises(FetchError, match="is not on this machine") as caught:
            resolve(name, offline=True)
        assert f"kvassay models fetch {name}" in caught.value.hint


def test_a_split_local_model_counts_all_its_files(tmp_path: Path) -> None:
    """Size and hash cover every file; a missing one is named."""
    names = [f"m-{n:05d}-of-00002.gguf" for n in (1, 2)]
    first, second = (tmp_path / name for name in names)
    first.write_bytes(small_gguf())
    with pytest.raises(ModelFileError, match=f"{names[1]!r} is not beside it"):
        resolve(str(first))
    second.write_bytes(small_gguf(2048))
    model = resolve(str(first))
    assert model.size_bytes == first.stat().st_size + second.stat().st_size
    second.write_bytes(small_gguf(2000))
    assert resolve(str(first)).sha256 != model.sha256
