"""What one boot has cost so far, and how it comes up the ladder: shared by probes and closed loops."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from kvassay.assay.meter import Meter
from kvassay.assay.prompts import PromptBook
from kvassay.assay.store import Store, Usage
from kvassay.backend.base import Boot, Listener
from kvassay.types import Timings


@dataclass(slots=True)
class Rungs:
    """The ladder's prefixes as one boot processes them, and the counters of that boot."""

    boot: Boot
    book: PromptBook
    meter: Meter
    usage: Usage = field(default_factory=Usage)
    climbed: int = 0

    def reach(self, depth: int, listener: Listener) -> None:
        """Process the prefix of a depth, whatever is below it coming from the cache."""
        prefix = self.book.prefixes.get(depth, ())
        if prefix:
            self.process(prefix, listener, bound=len(prefix) - self.climbed)
            self.climbed = len(prefix)

    def process(self, tokens: Sequence[int], listener: Listener, *, bound: int) -> None:
        """Process a stretch of a prompt into the cache; ``bound`` is the least work it could be, in tokens."""
        started = time.perf_counter()
        answer = self.boot.prefill(tokens, listener)
        self.waited(time.perf_counter() - started)
        self.count(answer.timings, bound=bound)
        self.meter.prompt(answer.timings)

    @contextmanager
    def kept(self, store: Store, boot: int) -> Iterator[None]:
        """While work goes on under the boot's number; how it ended is stored, and so are the counters."""
        error: str | None = "interrupted"
        try:
            yield
            error = None
        except Exception as fault:
            error = str(fault) or type(fault).__name__
            raise
        finally:
            store.end_boot(boot, self.usage, error)

    def waited(self, seconds: float) -> None:
        """Seconds spent waiting for the server."""
        self.usage = replace(self.usage, server_s=self.usage.server_s + seconds)

    def count(self, timings: Timings | None, *, bound: int) -> None:
        """Prompt tokens that the server processed, and the least that it could have been."""
        processed = timings.processed_tokens if timings else 0
        self.usage = replace(
            self.usage,
            processed_tokens=self.usage.processed_tokens + processed,
            bound_tokens=self.usage.bound_tokens + bound,
        )
