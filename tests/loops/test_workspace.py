"""The sandbox: what a path can't do, however it is written."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvassay.loops.workspace import MAX_FILE_BYTES, MAX_FILES, Refused, Why, Workspace, parts_of

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")


@pytest.fixture
def space() -> Iterator[Workspace]:
    with Workspace({"a.py": "x = 1\n", "pkg/b.py": "y = 2\n"}) as made:
        yield made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text("the secret")
    return path


@pytest.mark.parametrize(
    "path",
    ["../x", "pkg/../../x", "..", "pkg/..\\..\\x", "/etc/passwd", "\\etc\\passwd", "~/x", "C:\\x", "c:x", "a\0b",
     "a\nb", "\ud800", "x" * 101, "/".join("a" * 9), "\x1b[2J"],
)  # fmt: skip
def test_a_path_that_leads_out_or_is_none_is_refused_for_reading_and_writing(space: Workspace, path: str) -> None:
    assert space.read(path) == Refused(Why.OUTSIDE, path)
    assert space.write(path, "z") == Refused(Why.OUTSIDE, path)
    assert space.files() == {"a.py": "x = 1\n", "pkg/b.py": "y = 2\n"}


@pytest.mark.parametrize("path", ["a.py", "./a.py", "pkg/../a.py", "pkg\\..\\a.py", " a.py "])
def test_a_path_that_stays_inside_is_read_however_it_is_written(space: Workspace, path: str) -> None:
    assert space.read(path) == "x = 1\n"


@given(st.text(max_size=40))
def test_no_path_leads_above_the_root(path: str) -> None:
    parts = parts_of(path)
    assert parts is None or not any(part in {"..", ".", ""} or "/" in part or "\\" in part for part in parts)


def test_folders_missing_files_and_files_used_as_folders_are_told_apart(space: Workspace) -> None:
    assert space.read("pkg") == Refused(Why.DIRECTORY, "pkg")
    assert space.read(".") == Refused(Why.DIRECTORY, ".")
    assert space.read("no.py") == Refused(Why.MISSING, "no.py")
    assert space.read("a.py/b.py") == Refused(Why.MISSING, "a.py/b.py")
    assert space.write("pkg", "z") == Refused(Why.DIRECTORY, "pkg")
    assert space.write("a.py/b.py", "z") == Refused(Why.MISSING, "a.py/b.py")


@needs_links
@pytest.mark.parametrize("path", ["link.txt", "away/secret.txt"])
def test_links_are_followed_neither_for_reading_nor_for_writing(space: Workspace, secret: Path, path: str) -> None:
    (space.root / "link.txt").symlink_to(secret)
    (space.root / "away").symlink_to(secret.parent)
    assert space.read(path) == Refused(Why.LINK, path)
    assert space.write(path, "overwritten") == Refused(Why.LINK, path)
    assert secret.read_text() == "the secret"
    assert "the secret" not in space.files().values()


@needs_links
def test_a_link_swapped_in_while_files_are_read_is_never_followed(space: Workspace, secret: Path) -> None:
    """A folder becomes a link to another folder and back, as fast as it can, while it is read."""
    folder, aside = space.root / "pkg", space.root / "aside"
    (secret.parent / "b.py").write_text("the secret")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            folder.rename(aside)
            folder.symlink_to(secret.parent)
            folder.unlink()
            aside.rename(folder)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {repr(space.read("pkg/b.py")) for _ in range(3000)}
    finally:
        stop.set()
        swapper.join()
    assert repr("the secret") not in seen
    assert repr("y = 2\n") in seen


def test_a_file_that_has_a_name_elsewhere_is_a_link(space: Workspace, tmp_path: Path) -> None:
    """No tool can make one, and none reads or writes one."""
    outside = tmp_path / "outside.txt"
    outside.write_text("theirs")
    os.link(outside, space.root / "hard.txt")
    assert space.read("hard.txt") == Refused(Why.LINK, "hard.txt")
    assert space.write("hard.txt", "mine") == Refused(Why.LINK, "hard.txt")
    assert "hard.txt" not in space.files()
    assert outside.read_text() == "theirs"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(space: Workspace) -> None:
    os.mkfifo(space.root / "pipe")
    assert space.read("pipe") == Refused(Why.BINARY, "pipe")
    assert space.write("pipe", "z") == Refused(Why.BINARY, "pipe")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b", b"\xed\xa0\x80"])
def test_what_is_no_text_is_refused(space: Workspace, data: bytes) -> None:
    (space.root / "bin").write_bytes(data)
    assert space.read("bin") == Refused(Why.BINARY, "bin")
    assert "bin" not in space.files()


def test_text_that_no_utf8_can_hold_is_not_written(space: Workspace) -> None:
    assert space.write("a.py", "\ud800") == Refused(Why.BINARY, "a.py")
    assert space.read("a.py") == "x = 1\n"


def test_files_have_a_greatest_size_both_ways(space: Workspace) -> None:
    assert space.write("a.py", "x" * MAX_FILE_BYTES) is None
    assert space.write("a.py", "x" * (MAX_FILE_BYTES + 1)) == Refused(Why.TOO_LARGE, "a.py")
    (space.root / "big").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert space.read("big") == Refused(Why.TOO_LARGE, "big")


def test_there_is_an_end_to_the_number_of_files(space: Workspace) -> None:
    for number in range(MAX_FILES - 2):
        assert space.write(f"f{number}", "") is None
    assert space.write("one/more", "") == Refused(Why.FULL, "one/more")
    assert space.write("a.py", "still") is None


def test_writing_replaces_the_whole_file_and_makes_folders(space: Workspace) -> None:
    assert space.write("new/deep/c.py", "z = 3\n") is None
    assert space.write("a.py", "s") is None
    assert space.files() == {"a.py": "s", "new/deep/c.py": "z = 3\n", "pkg/b.py": "y = 2\n"}


def test_nothing_is_left_behind() -> None:
    with Workspace({"a/b.py": ""}) as space:
        assert space.root.is_dir()
    assert not space.root.exists()
