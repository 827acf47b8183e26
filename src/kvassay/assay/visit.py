"""One boot at work for a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvassay.assay import events
from kvassay.assay.meter import Meter
from kvassay.assay.prompts import PromptBook
from kvassay.assay.store import Store
from kvassay.assay.stored import StoredRun
from kvassay.backend.base import Boot, Listener, Sampling
from kvassay.types import Arm


@dataclass(frozen=True, slots=True)
class Visit:
    """What a boot is asked with, and where what it says is kept."""

    boot: Boot
    arm: Arm
    run: StoredRun
    book: PromptBook
    native: str | None
    sampling: Sampling
    store: Store
    meter: Meter
    observe: events.Observer
    stop: Callable[[], bool]
    listener: Listener
