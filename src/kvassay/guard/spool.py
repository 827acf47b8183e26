"""Records on their way from one process to another, in memory that outlives the one that writes them."""

from __future__ import annotations

import os
import struct
import tempfile
from dataclasses import dataclass, field
from multiprocessing import reduction
from typing import BinaryIO, Protocol, cast

_WORD = struct.Struct("<Q")
_WRITTEN_AT, _TAKEN_AT, _RING_AT = 0, 8, 4096
_KEPT_BYTES = 4 * 1024 * 1024  # of memory once touched, before it is given back


def _nameless() -> BinaryIO:
    """A file without a name: in memory on Linux, among the temporary files elsewhere."""
    if hasattr(os, "memfd_create"):
        return _unbuffered(os.memfd_create("kvassay-spool"))
    return cast("BinaryIO", tempfile.TemporaryFile(buffering=0))


def _unbuffered(fd: int) -> BinaryIO:
    return cast("BinaryIO", os.fdopen(fd, "r+b", buffering=0))


@dataclass(slots=True)
class Spool:
    """A ring of ``size_bytes`` with one writer and one reader, each a process that has the file open. A record is the
    reader's once `put` has returned, whatever becomes of the writer.

    Pickled for a process that is being spawned, it is the same ring there. Positions only grow; the file holds how far
    each side has come, in a word that only this side writes.
    """

    size_bytes: int
    file: BinaryIO = field(default_factory=_nameless)
    _touched_bytes: int = 0

    def __reduce__(self) -> tuple[object, ...]:
        return _inherited, (self.size_bytes, reduction.DupFd(self.file.fileno()))

    def put(self, record: bytes) -> int | None:
        """Append a record; the position behind it, None where there is no room."""
        written, taken = self._word(_WRITTEN_AT), self._word(_TAKEN_AT)
        end = written + _WORD.size + len(record)
        if end - taken > self.size_bytes:
            return None
        try:
            if written == taken and self._touched_bytes > _KEPT_BYTES:
                self.file.truncate(_RING_AT)
                self._touched_bytes = 0
            self._write(written, _WORD.pack(len(record)))
            self._write(written + _WORD.size, record)
            self._set(_WRITTEN_AT, end)  # from here on it is the reader's
        except OSError:  # no memory, no disk
            return None
        self._touched_bytes += end - written
        return end

    def take(self) -> bytes | None:
        """The oldest record, which is gone from here; None where there is none."""
        taken = self._word(_TAKEN_AT)
        if taken == self._word(_WRITTEN_AT):
            return None
        (length,) = _WORD.unpack(self._read(taken, _WORD.size))
        record = self._read(taken + _WORD.size, length)
        self._set(_TAKEN_AT, taken + _WORD.size + length)
        return record

    def skip_to(self, position: int) -> None:
        """Leave out what stands in front of a position. For the writer, once there is no reader any more."""
        if self._word(_TAKEN_AT) < position:
            self._set(_TAKEN_AT, position)

    def close(self) -> None:
        """Let go of the file, which lasts as long as one process has it open."""
        self.file.close()

    def _word(self, place: int) -> int:
        found = os.pread(self.file.fileno(), _WORD.size, place)
        return _WORD.unpack(found)[0] if found else 0

    def _set(self, place: int, value: int) -> None:
        os.pwrite(self.file.fileno(), _WORD.pack(value), place)

    def _write(self, position: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            place = position % self.size_bytes
            done = os.pwrite(self.file.fileno(), view[: self.size_bytes - place], _RING_AT + place)
            view, position = view[done:], position + done

    def _read(self, position: int, number: int) -> bytes:
        parts = []
        while number:
            place = position % self.size_bytes
            part = os.pread(self.file.fileno(), min(number, self.size_bytes - place), _RING_AT + place)
            if not part:
                raise EOFError(f"the spool ends at {place} of {self.size_bytes}")
            parts.append(part)
            number, position = number - len(part), position + len(part)
        return b"".join(parts)


class _Inherited(Protocol):
    """A file descriptor that `reduction.DupFd` has brought into this process."""

    def detach(self) -> int: ...


def _inherited(size_bytes: int, fd: _Inherited) -> Spool:
    return Spool(size_bytes, _unbuffered(fd.detach()))
