"""Where model files live on this machine: addressed by SHA-256, verified once, locked while they are written.

``$KVASSAY_HOME`` (default: the user's cache folder) holds::

    models/sha256/<hash>/<file>.gguf      a verified file, beside it verified.json (size and mtime at that moment)
    models/sha256/<hash>/<file>.gguf.part a download under way
    models/refs/*.json                    hf: names and the blobs they led to
    models/digests/*.json                 hashes of the user's own files by path, size and mtime
    models/locks/*.lock                   one writer per blob or name
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import filelock
import platformdirs

from kvassay.types import JsonObject

Progress = Callable[[int, int, str], None]
"""Told how far a download or a hash is: bytes done, bytes in all (0: unknown), and what is going on."""

_CHUNK_BYTES = 1 << 20
_WAIT_S = 0.5


def silent(_done: int, _total: int, _note: str) -> None:
    """The progress listener that ignores everything."""


class CorruptDownloadError(Exception):
    """What was downloaded is not what was asked for; it has been deleted."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file known by its content. ``name`` is what the user calls it."""

    name: str
    file: str
    sha256: str
    size_bytes: int

    @property
    def folder(self) -> Path:
        return home() / "models" / "sha256" / self.sha256

    @property
    def path(self) -> Path:
        return self.folder / self.file

    @property
    def part(self) -> Path:
        """The download under way. Content is addressed, so whoever wrote its bytes, they are a prefix of the file."""
        return self.folder / f"{self.file}.part"

    @property
    def marker(self) -> Path:
        return self.folder / "verified.json"


def home() -> Path:
    """The folder of everything kvassay keeps: ``KVASSAY_HOME``, else the user's cache folder."""
    configured = os.environ.get("KVASSAY_HOME")
    return Path(configured).expanduser().absolute() if configured else Path(platformdirs.user_cache_dir("kvassay"))


def is_ready(blob: Blob, progress: Progress = silent) -> bool:
    """Whether the file is here and verified. One changed since, or never marked, is hashed again and deleted if bad."""
    try:
        stamp = _stamp(blob.path)
    except FileNotFoundError:
        return False
    return read_json(blob.marker) == stamp or verify(blob, progress)


def verify(blob: Blob, progress: Progress = silent) -> bool:
    """Hash the file in any case. A file with another content is deleted, so that it is never used."""
    stamp = _stamp(blob.path)
    if sha256_of(blob.path, progress) == blob.sha256:
        write_json(blob.marker, stamp)
        return True
    remove(blob)
    return False


def commit(blob: Blob, progress: Progress = silent) -> None:
    """Turn the finished download into the file. Raises CorruptDownloadError, and deletes it, if the hash differs."""
    found_bytes, found = blob.part.stat().st_size, sha256_of(blob.part, progress)
    if found != blob.sha256:
        blob.part.unlink()
        raise CorruptDownloadError(f"{found_bytes:,} bytes with SHA-256 {found[:12]}… came, not {blob.sha256[:12]}…")
    with blob.part.open("rb+") as file:
        os.fsync(file.fileno())
    blob.part.replace(blob.path)
    _sync_folder(blob.folder)
    write_json(blob.marker, _stamp(blob.path))


def remove(blob: Blob) -> bool:
    """Delete the blob, its partial download and marker; False where there was nothing."""
    existed = blob.path.exists() or blob.part.exists()
    shutil.rmtree(blob.folder, ignore_errors=True)
    return existed


@contextmanager
def exclusive(key: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a blob or name across processes; ``waiting`` is called twice a second until it is ours."""
    folder = home() / "models" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{key}.lock")
    while True:
        try:
            lock.acquire(timeout=_WAIT_S)
            break
        except filelock.Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def sha256_of(path: Path, progress: Progress = silent) -> str:
    """The SHA-256 of a file's content, in hex."""
    total, done, digest = path.stat().st_size, 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress(done, total, "checking SHA-256")
    return digest.hexdigest()


def digest_of_users_file(path: Path, progress: Progress = silent) -> str:
    """The SHA-256 of a file outside the store, remembered for as long as its size and mtime stay."""
    note = home() / "models" / "digests" / f"{key_of(str(path))}.json"
    stamp, known = _stamp(path), read_json(note)
    digest = known.get("sha256")
    if isinstance(digest, str) and known == {**stamp, "path": str(path), "sha256": digest}:
        return digest
    digest = sha256_of(path, progress)
    with suppress(OSError):  # a home that can't be written costs time, not the run
        write_json(note, {**stamp, "path": str(path), "sha256": digest})
    return digest


def digests_of_users_files(paths: Sequence[Path], progress: Progress = silent) -> list[str]:
    """The SHA-256 of each of the files that a model is made of, in order; progress counts them as one."""
    *starts, total = accumulate((path.stat().st_size for path in paths), initial=0)

    def digest(path: Path, before: int) -> str:
        return digest_of_users_file(path, lambda done, _, note: progress(before + done, total, note))

    return [digest(path, before) for path, before in zip(paths, starts, strict=True)]


# --------------------------------------------------------------------------- hf: names


def save_ref(blob: Blob) -> None:
    """Remember which blob an ``hf:`` name led to."""
    record: JsonObject = {"name": blob.name, "file": blob.file, "sha256": blob.sha256, "size_bytes": blob.size_bytes}
    write_json(_ref_path(blob.name), record)


def load_ref(name: str) -> Blob | None:
    """The blob an ``hf:`` name led to when it was last fetched."""
    return _ref(_ref_path(name))


def refs() -> tuple[Blob, ...]:
    """All ``hf:`` names fetched so far, by name."""
    found = (_ref(path) for path in (home() / "models" / "refs").glob("*.json"))
    return tuple(sorted((blob for blob in found if blob), key=lambda blob: blob.name))


def forget_ref(name: str) -> None:
    """Forget where an ``hf:`` name led."""
    _ref_path(name).unlink(missing_ok=True)


def _ref_path(name: str) -> Path:
    return home() / "models" / "refs" / f"{key_of(name)}.json"


def _ref(path: Path) -> Blob | None:
    match read_json(path):
        case {"name": str(name), "file": str(file), "sha256": str(sha256), "size_bytes": int(size_bytes)}:
            return Blob(name, file, sha256, size_bytes)
        case _:
            return None


# --------------------------------------------------------------------------- small files


def sha256_of_text(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(text: str) -> str:
    """A file name for any text."""
    return sha256_of_text(text)[:32]


def read_json(path: Path) -> JsonObject:
    """A small JSON object; {} where it is missing or damaged, since all of them can be made again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: JsonObject) -> None:
    """Write a small JSON object so that readers see the old or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(path)


def _stamp(path: Path) -> JsonObject:
    status = path.stat()
    return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows neither needs nor allows it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
