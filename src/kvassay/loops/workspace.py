"""The sandbox: a temporary directory of small text files that no path leads out of, however it is written."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

MAX_FILE_BYTES = 64 * 1024
MAX_FILES = 200
MAX_PARTS = 8
MAX_NAME_CHARS = 100

_DRIVE = re.compile(r"[A-Za-z]:")
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_PLAIN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | _NO_FOLLOW
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0) | _NO_FOLLOW
_BY_FOLDER = {os.open, os.mkdir} <= os.supports_dir_fd and bool(_NO_FOLLOW)


class Why(StrEnum):
    """Why a path was refused."""

    OUTSIDE = "outside"
    MISSING = "missing"
    DIRECTORY = "directory"
    LINK = "link"
    BINARY = "binary"
    TOO_LARGE = "too large"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Refused:
    """What the sandbox does not do: a value, since a model's wrong path is an answer like any other."""

    why: Why
    path: str


class Workspace:
    """The files of one episode. Use as a context manager: leaving it removes the directory.

    Each part of a path is opened from its parent's descriptor without following links, so that a link put there
    between a check and its use is refused like any other (where the system has no ``openat``, each part is checked
    just before). Paths are relative to the root, written with ``/``; ``..`` may not lead above it.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="kvassay-loops-", ignore_cleanup_errors=True)
        self.root = Path(self._home.name).resolve()
        for path, text in files.items():
            refused = self.write(path, text)
            assert refused is None, refused  # noqa: S101  tasks are ours, and small

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._home.cleanup()

    def read(self, path: str) -> str | Refused:
        """A file's text, UTF-8 only."""
        parts = parts_of(path)
        if parts is None:
            return Refused(Why.OUTSIDE, path)
        try:
            with self._opened(parts, os.O_RDONLY | _PLAIN) as handle:
                return _text(handle, path)
        except OSError as error:
            return Refused(_why(error), path)

    def write(self, path: str, text: str) -> Refused | None:
        """Put a file there, its folders made if need be; None where it was done."""
        parts = parts_of(path)
        if not parts:
            return Refused(Why.OUTSIDE if parts is None else Why.DIRECTORY, path)
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return Refused(Why.BINARY, path)
        if len(data) > MAX_FILE_BYTES:
            return Refused(Why.TOO_LARGE, path)
        if "/".join(parts) not in (known := list(self._paths())) and len(known) >= MAX_FILES:
            return Refused(Why.FULL, path)
        return self._put(parts, data, path)

    def files(self) -> dict[str, str]:
        """Every text file by its path, sorted; what can't be read as text is left out."""
        texts = ((path, self.read(path)) for path in sorted(self._paths()))
        return {path: text for path, text in texts if isinstance(text, str)}

    def _put(self, parts: Sequence[str], data: bytes, path: str) -> Refused | None:
        try:
            with self._opened(parts, os.O_WRONLY | os.O_CREAT | _PLAIN, make=True) as handle:
                found = os.fstat(handle)
                if not stat.S_ISREG(found.st_mode):
                    return Refused(Why.DIRECTORY, path)
                if found.st_nlink > 1:
                    return Refused(Why.LINK, path)
                os.ftruncate(handle, 0)
                while data:
                    data = data[os.write(handle, data) :]
        except OSError as error:
            return Refused(_why(error), path)
        return None

    def _paths(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self.root, followlinks=False):
            folders.sort()
            inside = Path(folder).relative_to(self.root).as_posix()
            yield from (posixpath.normpath(f"{inside}/{name}") for name in names)

    @contextmanager
    def _opened(self, parts: Sequence[str], flags: int, *, make: bool = False) -> Iterator[int]:
        """The descriptor of a file, reached part by part from the root. Raises OSError, ELOOP for a link."""
        if not _BY_FOLDER:
            handle = os.open(_checked(self.root, parts, make=make), flags, 0o600)
        else:
            folder = os.open(self.root, _FOLDER)
            try:
                for part in parts[:-1]:
                    inner = _entered(folder, part, make=make)
                    os.close(folder)
                    folder = inner
                handle = os.open(parts[-1] if parts else ".", flags, 0o600, dir_fd=folder)
            finally:
                os.close(folder)
        try:
            yield handle
        finally:
            os.close(handle)


def parts_of(path: str) -> tuple[str, ...] | None:
    """The parts of a path below the root, () for the root itself; None where it leads out of it or is no path."""
    text = path.replace("\\", "/").strip()
    if text.startswith(("/", "~")) or _DRIVE.match(text) or not text.isprintable():
        return None
    normal = posixpath.normpath(text or ".")
    parts = () if normal == "." else tuple(normal.split("/"))
    fits = len(parts) <= MAX_PARTS and all(len(part) <= MAX_NAME_CHARS for part in parts)
    return parts if fits and ".." not in parts else None


def _entered(folder: int, part: str, *, make: bool) -> int:
    """The descriptor of a folder within a folder. Raises OSError, ELOOP for a link."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=folder)
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), part) from None
        raise


def _checked(root: Path, parts: Sequence[str], *, make: bool) -> Path:
    """The same for systems without ``openat``: each part is looked at, then the whole is opened by its name."""
    place = root
    for at, part in enumerate(parts):
        place /= part
        if place.is_symlink() or os.path.realpath(place) != str(place):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
        if make and at < len(parts) - 1:
            place.mkdir(exist_ok=True)
    return place


def _text(handle: int, path: str) -> str | Refused:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        return Refused(Why.DIRECTORY if stat.S_ISDIR(found.st_mode) else Why.BINARY, path)
    if found.st_nlink > 1:  # the same file has a name elsewhere
        return Refused(Why.LINK, path)
    with os.fdopen(os.dup(handle), "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        return Refused(Why.TOO_LARGE, path)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Refused(Why.BINARY, path)
    return Refused(Why.BINARY, path) if "\0" in text else text


def _why(error: OSError) -> Why:
    if error.errno == errno.ELOOP:
        return Why.LINK
    if isinstance(error, IsADirectoryError | PermissionError):
        return Why.DIRECTORY  # Windows says of a folder that it may not be opened
    if isinstance(error, FileExistsError | FileNotFoundError | NotADirectoryError):
        return Why.MISSING
    return Why.BINARY if error.errno == errno.ENXIO else Why.FULL
