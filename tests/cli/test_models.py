"""``kvassay models``: what it prints and when it fails."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kvassay.cli.models import download_progress, models
from kvassay.errors import FetchError, KvassayError, ModelFileError
from kvassay.model import store
from kvassay.model.catalog import CATALOG
from kvassay.model.fetch import blob_of
from kvassay.model.store import Blob

NAME = "hf:me/tiny/tiny.gguf"
CONTENT = b"GGUF and more"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty KVASSAY_HOME and no hub."""
    monkeypatch.setenv("KVASSAY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def blob(home: Path) -> Blob:
    """A file fetched earlier under an hf: name."""
    assert home
    blob = Blob(NAME, "tiny.gguf", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    blob.folder.mkdir(parents=True)
    blob.part.write_bytes(CONTENT)
    store.commit(blob)
    store.save_ref(blob)
    return blob


def run(*arguments: str) -> Result:
    """Run the command and let everything but our own errors through."""
    result = CliRunner().invoke(models, arguments)
    if result.exception and not isinstance(result.exception, KvassayError | SystemExit):
        raise result.exception
    return result


@pytest.mark.usefixtures("home")
def test_without_subcommand_it_lists_in_80_columns() -> None:
    """All names with size, context, state and licence, in a terminal's width."""
    lines = run().output.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert rows["qwen2.5-coder-1.5b"][1:5] == ["1,117", "32k", "–", "Apache-2.0"]
    assert set(CATALOG) <= set(rows)
    assert run("list").output == run().output


@pytest.mark.usefixtures("blob")
def test_list_shows_fetched_and_partial() -> None:
    """What is here is told from what is only begun; hf: names appear too."""
    begun = blob_of(CATALOG["smollm2-135m"])
    begun.folder.mkdir(parents=True)
    begun.part.write_bytes(b"x")
    output = run("list").output
    assert "partial 0 %" in next(line for line in output.splitlines() if "smollm2" in line)
    assert "fetched" in next(line for line in output.splitlines() if "hf:me" in line)


def test_fetch_of_what_is_here_prints_its_path(blob: Blob) -> None:
    """No network is needed for a model that is on this machine."""
    assert str(blob.path) in run("fetch", NAME).output


@pytest.mark.usefixtures("home")
def test_fetch_raises_for_unknown_names_and_dead_hubs() -> None:
    """Errors are left to main, which prints them and sets the exit code."""
    assert isinstance(run("fetch", "smolm2").exception, ModelFileError)
    assert isinstance(run("fetch", NAME).exception, FetchError)


def test_verify_passes_good_files_and_deletes_bad_ones(blob: Blob) -> None:
    """Without names everything here is hashed; a changed file goes, and the error names it."""
    assert f"{NAME}: ok" in run("verify").output
    blob.path.write_bytes(b"changed")
    result = run("verify")
    assert isinstance(result.exception, ModelFileError)
    assert NAME in str(result.exception)
    assert not blob.path.exists()


@pytest.mark.usefixtures("home")
def test_verify_of_what_is_not_here_says_so() -> None:
    """A named model that was never fetched is an error, an empty store is not."""
    assert run("verify").exit_code == 0
    assert "is not on this machine" in str(run("verify", "smollm2-135m").exception)


def test_rm_deletes_the_file_and_the_name(blob: Blob) -> None:
    """Removed means gone from disk and list; the second time it says that nothing was there."""
    assert f"{NAME}: removed" in run("rm", NAME).output
    assert not blob.folder.exists()
    assert NAME not in run("list").output
    assert "was not here" in run("rm", NAME).output


def test_rm_leaves_a_download_under_way_alone(blob: Blob) -> None:
    """While another process holds the blob, it is not pulled from under it."""
    with store.exclusive(blob.sha256, lambda: None):
        assert "is fetching" in str(run("rm", NAME).exception)
    assert blob.path.exists()


def test_progress_in_a_pipe_is_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line at the start and one where the count starts again, not one per chunk."""
    with download_progress("m") as progress:
        for done in range(0, 1000, 10):
            progress(done * 10**6, 10**9, "hub")
        progress(0, 10**9, "checking SHA-256")
    assert capsys.readouterr().err.splitlines() == [
        "m: hub, 0 of 1,000 MB (0 %)",
        "m: checking SHA-256, 0 of 1,000 MB (0 %)",
    ]


@pytest.mark.real
def test_smollm2_is_fetched_the_way_users_do() -> None:
    """The real file comes from whatever source this machine reaches, and its hash is right."""
    assert "smollm2-135m: " in run("fetch", "smollm2-135m").output
    assert run("verify", "smollm2-135m").output.strip().endswith("smollm2-135m: ok")
