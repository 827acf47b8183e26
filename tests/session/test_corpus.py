"""What the session reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvassay.errors import ConfigError
from kvassay.session import corpus

CODE = "".join(f"def function_{i}():\n    return {i}\n" for i in range(20))


def test_the_installed_sources_are_used_under_project_like_paths() -> None:
    """Without a corpus of the user's, Python's own sources stand under src/."""
    found = corpus.stdlib()
    assert all(file.path.startswith("src/") and file.path.endswith(".py") for file in found.files)
    assert sum(len(file.lines) for file in found.files) > 50_000


def test_equal_sources_have_equal_hashes(tmp_path: Path) -> None:
    """The hash names the content: the same twice, another after one changed character."""
    (tmp_path / "a.py").write_text(CODE)
    first, second = corpus.directory(tmp_path), corpus.directory(tmp_path)
    (tmp_path / "a.py").write_text(CODE.replace("return 7", "return 8"))
    assert first == second
    assert corpus.directory(tmp_path).sha256 != first.sha256


def test_source_of_any_language_is_read_as_it_is(tmp_path: Path) -> None:
    """Lines keep tabs and trailing blanks; Windows line ends are no part of a line."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "main.go").write_bytes(b"\tx := 1  \r\n" * 30)
    (file,) = corpus.directory(tmp_path).files
    assert file.path == "deep/main.go"
    assert file.lines == ("\tx := 1  ",) * 30


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("binary.py", b"\0" * 400),
        ("latin1.py", "é\n".encode("latin-1") * 40),
        ("minified.js", b"var a=1;" * 100 + b"\n" * 40),
        ("huge.c", b"int x;\n" * 60_000),
        ("short.py", b"x = 1\n"),
        ("readme.txt", b"prose\n" * 40),
        ("node_modules/lib.js", b"let a = 1\n" * 40),
        (".git/hook.py", b"x = 1\n" * 40),
    ],
)
def test_what_no_agent_would_read_is_left_out(tmp_path: Path, name: str, content: bytes) -> None:
    """Binaries, other encodings, minified, huge and tiny files, prose, dependencies and dot directories."""
    (tmp_path / "kept.py").write_text(CODE)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert [file.path for file in corpus.directory(tmp_path).files] == ["kept.py"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link, to a file or a directory, leads nowhere: what it points at may lie outside the repository."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "keys.py").write_text(CODE)
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "kept.py").write_text(CODE)
    (repository / "link.py").symlink_to(tmp_path / "secret" / "keys.py")
    (repository / "folder").symlink_to(tmp_path / "secret")
    assert [file.path for file in corpus.directory(repository).files] == ["kept.py"]


@pytest.mark.parametrize("name", ["missing", "empty", "file.py"])
def test_a_corpus_without_source_is_refused(tmp_path: Path, name: str) -> None:
    """A missing or empty directory, or a file, is the user's mistake and named."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.py").write_text(CODE)
    with pytest.raises(ConfigError, match=name):
        corpus.directory(tmp_path / name)
