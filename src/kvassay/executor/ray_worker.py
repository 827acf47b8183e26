"""What runs on a worker: one actor a boot. It finds the model, starts the server, and passes on what it is asked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Protocol

from kvassay.backend.base import Backend, Boot, Listener, Progress
from kvassay.errors import KvassayError
from kvassay.host import Machine, machine
from kvassay.types import Arm, BootFacts

_LOOK_S = 1.0


class Travelling(Protocol):
    """What makes a back end on a worker: executor/recipe.py's Recipe, which pickles."""

    @property
    def name(self) -> str: ...

    def there(self, listener: Listener) -> Backend: ...


@dataclass(frozen=True, slots=True)
class Order:
    """One boot, as it is ordered from a worker."""

    recipe: Travelling
    arm: Arm
    context_tokens: int


def introduce() -> tuple[Machine, str]:
    """This machine with all its GPUs, and the kvassay that is installed on it."""
    return machine(), version("kvassay")


class Server:
    """One boot. Errors of ours are returned, not raised: they are the driver's to raise, without the worker's
    traceback around them.

    Its methods run in threads of one process: ``doing`` answers while ``open`` or ``prefill`` works.
    """

    def __init__(self, order: Order, gpu_ids: Sequence[str] | None = None) -> None:
        self._order = order
        self._machine = machine(_own_gpus() if gpu_ids is None else gpu_ids)
        self._boot: Boot | None = None
        self._doing = Progress("starting", note="finding the model")
        self._closed = threading.Event()
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def open(self) -> BootFacts | KvassayError:
        """Start the server; its facts, the machine's name among them."""
        try:
            backend = self._order.recipe.there(self._listen)
            arm, context_tokens = self._order.arm, self._order.context_tokens
            self._boot = backend.open(arm, context_tokens=context_tokens, listener=self._listen)
        except KvassayError as error:
            return self._named(error)
        if self._closed.is_set():  # nobody waits any longer
            self._boot.close()
        facts = self._boot.facts
        return replace(facts, devices=(self._machine.entry, *facts.devices))

    def doing(self) -> Progress:
        """What the boot is doing right now."""
        return self._doing

    def prefill(self, tokens: Sequence[int]) -> object:
        """As in backend/base.py, its progress told by ``doing``."""
        return self.ask("prefill", tokens, self._listen)

    def ask(self, method: str, *values: object, **named: object) -> object:
        """Call a method of the boot."""
        try:
            return getattr(self._boot, method)(*values, **named)
        except KvassayError as error:
            return self._named(error)

    def close(self) -> None:
        """End the server and wait for it."""
        self._closed.set()
        if self._boot is not None:
            self._boot.close()

    def _listen(self, progress: Progress) -> None:
        self._doing = progress

    def _named(self, error: KvassayError) -> KvassayError:
        error.message = f"{self._machine.node}: {error.message}"
        return error


def _end_with(raylet: int) -> None:
    """End this process, and with it the server on its leash, when Ray's daemon of this machine is gone: Ray lets a
    worker live on that nobody can reach any more.
    """
    while os.getppid() == raylet:
        time.sleep(_LOOK_S)
    os._exit(1)


def _own_gpus() -> list[str]:
    import ray  # noqa: PLC0415  an extra; a worker has it

    return [str(gpu) for gpu in ray.get_runtime_context().get_accelerator_ids().get("GPU", ())]
