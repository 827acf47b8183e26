"""Ctrl-C once finishes the trial and keeps everything; twice stops at once."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Self


class StopOnRequest:
    """While entered, the first SIGINT only sets a flag (call the object to read it), the second interrupts."""

    def __init__(self) -> None:
        self._asked = False
        self._before: signal.Handlers | object = signal.SIG_DFL

    def __call__(self) -> bool:
        return self._asked

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]  # what signal.signal gave us

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  the signal module's signature
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        os.write(2, b"\nFinishing this trial; press Ctrl-C again to stop at once.\n")  # print isn't reentrant
