"""What the tests of the Ray executor send to workers: a scripted back end, pickled by value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kvassay.backend.base import Backend, Listener, Progress
from kvassay.backend.scripted import Scripted
from kvassay.errors import BootFailed
from kvassay.types import Arm


@dataclass(frozen=True, slots=True)
class Script:
    """A recipe of a scripted back end. Every answer adds a line ``pid arm`` to ``asked``; the worker whose answer
    makes the file ``doomed_after`` lines long dies by SIGKILL in the middle of it, once. ``refuses`` starts no server.
    """

    asked: Path
    doomed_after: int = 0
    refuses: bool = False
    name: str = "scripted"

    def there(self, listener: Listener) -> Backend:
        listener(Progress("loading", 1, 2))
        no_memory = {"f16/f16": BootFailed("no memory", hint="Use less.")}
        return Scripted(self._answer, refused=no_memory if self.refuses else {})

    def here(self) -> Backend:
        return Scripted(self._answer)

    def _answer(self, prompt: str, arm: Arm) -> str:
        with self.asked.open("a") as file:
            file.write(f"{os.getpid()} {arm.label}\n")
        if self.doomed_after and len(self.asked.read_text().splitlines()) == self.doomed_after:
            os.kill(os.getpid(), 9)
        return f"{arm.kv.k} {sum(map(ord, prompt))}"
