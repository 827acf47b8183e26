"""What a report reads of a run: the store's StoredRun, or anything else that offers the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from kvassay.assay.records import ProbeRecord, RunRecord, SessionRecord
from kvassay.types import BootRecord, Trial, TrialKey


class RunSource(Protocol):
    """One run, readable as often as needed. Trials and probes are streamed: a report never holds them all.

    Every trial's ``(depth, probe)`` has its ProbeRecord; trials come without ``positions``.
    """

    @property
    def record(self) -> RunRecord: ...

    def boots(self) -> Sequence[BootRecord]: ...

    def session(self) -> SessionRecord: ...

    def probes(self) -> Iterable[ProbeRecord]: ...

    def trials(self) -> Iterator[Trial]: ...

    def evidence(self) -> Iterable[tuple[TrialKey, bytes]]:
        """The packed rows of assay/evidence.py by candidate trial."""
        ...

    def readings(self) -> Sequence[tuple[str, str]]:
        """Each boot's arm with its reading (assay/witness.py) as JSON."""
        ...
