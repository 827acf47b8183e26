"""The one exception tree. A model's failure is a value (Outcome); only infrastructure and user errors raise.

KvassayError                 one clear message: what happened, the value, what to do next
├── UsageError               the user's input is wrong                              exit code 2
│   ├── ConfigError          settings, cache types, depths
│   ├── SuiteError           a suite file's line
│   └── ModelFileError       missing, corrupt or not a GGUF
├── FetchError               a model could not be downloaded                        exit code 3
├── BackendError             a server did not do its part                           exit code 4
│   ├── BootFailed           it did not start; carries the log's decisive lines
│   │   ├── OutOfMemory
│   │   ├── PairRefused      the back end refuses this K/V pair
│   │   └── PortTaken
│   ├── NotEngaged           it runs, but not with what was asked for
│   ├── ServerDied
│   ├── ServerHung
│   ├── ContextExceeded
│   └── WorkerLost           the machine or process that ran it is gone
└── StoreError               the store can't be read or written                     exit code 5
    ├── StoreBusy            another process writes to it
    ├── StoreMismatch        manifests differ; names the fields
    └── StoreFormat          older or newer format
"""

from __future__ import annotations


class KvassayError(Exception):
    """Base of all errors meant for the user's eyes. ``hint`` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def __str__(self) -> str:
        parts = [self.message, *(f"  | {line}" for line in self.log)]
        return "\n".join([*parts, self.hint] if self.hint else parts)


class UsageError(KvassayError):
    """The user's input is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting, cache type or depth can't be used."""


class SuiteError(UsageError):
    """A line of a suite file is not a case."""


class ModelFileError(UsageError):
    """A model file is missing, corrupt or no GGUF."""


class FetchError(KvassayError):
    """A model could not be downloaded from any source."""

    exit_code = 3


class BackendError(KvassayError):
    """A server did not do its part. ``log`` holds the decisive lines."""

    exit_code = 4


class BootFailed(BackendError):
    """The server did not start."""


class OutOfMemory(BootFailed):
    """The server could not allocate what the arm needs."""


class PairRefused(BootFailed):
    """The back end refuses this K/V pair on this model."""


class PortTaken(BootFailed):
    """The requested port is in use."""


class NotEngaged(BackendError):
    """The server runs, but the requested cache types did not engage."""


class ServerDied(BackendError):
    """The server ended while a request was under way."""


class ServerHung(BackendError):
    """The server made no progress for the time allowed."""


class ContextExceeded(BackendError):
    """The prompt is longer than the server's context."""


class WorkerLost(BackendError):
    """The process or the machine that ran a server elsewhere is gone: the boot can be started again."""


class StoreError(KvassayError):
    """The store can't be read or written."""

    exit_code = 5


class StoreBusy(StoreError):
    """Another process is writing to the store."""


class StoreMismatch(StoreError):
    """The stored run was made under another manifest."""


class StoreFormat(StoreError):
    """The store has a format this version can't read."""


class Interrupted(Exception):
    """The user stopped the run between two trials: no error, and nobody is told of one."""


def first_line(error: BaseException) -> str:
    """The first line of what a library said; its error's name where it said nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def last_lines(error: BaseException, count: int = 3) -> tuple[str, ...]:
    """What a library said, as ``log`` of an error: its last lines that aren't blank."""
    return tuple(line for line in str(error).splitlines() if line.strip())[-count:]
