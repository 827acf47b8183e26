"""A boot on a worker, seen from the driver: the same Protocol as a boot here, each request one message."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import ray
from ray import exceptions

from kvassay import backend as backends
from kvassay.backend.base import Boot, Listener, Progress, Sampling, silent
from kvassay.errors import Interrupted, KvassayError, WorkerLost, first_line
from kvassay.executor.baton import Baton
from kvassay.executor.nodes import Share
from kvassay.executor.ray_worker import Order, Server, Travelling
from kvassay.types import Arm, BootFacts, ChatReply, Completion, Message, Tool

_POLL_S = 0.25
_CLOSE_S = 20.0  # a server gets 15 s to end by itself
_LEASH_S = 6.0  # what a lost worker's server may go on for, at most: 5 s and a little
_THREADS = 3  # a request, its progress, and the end

Halted = Callable[[], bool]


class Line:
    """The connection to one boot's actor. Whoever waits here has given the baton away."""

    def __init__(self, order: Order, share: Share, baton: Baton, halted: Halted) -> None:
        named = {share.node_resource: 0.001} if share.node_resource else {}
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "resources": named, "max_restarts": 0,
                   "max_task_retries": 0, "max_concurrency": _THREADS}  # fmt: skip
        self._actor = ray.remote(Server).options(**options).remote(order)
        self._arm, self._baton, self._halted = order.arm, baton, halted
        self._placed = self._lost = False

    def open(self, listener: Listener) -> BootFacts:
        """Start the server; its facts."""
        facts = self._answer(self._actor.open.remote(), listener)
        assert isinstance(facts, BootFacts)  # noqa: S101  what Server.open returns
        return facts

    def prefill(self, tokens: Sequence[int], listener: Listener) -> object:
        """Process a prompt, telling how far it is."""
        return self._answer(self._actor.prefill.remote(tokens), listener)

    def ask(self, method: str, *values: object, **named: object) -> object:
        """Call a method of the boot. Raises what it raised, WorkerLost, or Interrupted where the run is to end."""
        return self._answer(self._actor.ask.remote(method, *values, **named), None)

    def hang_up(self) -> None:
        """End the server, then its worker, so that the next boot there finds the GPU's memory free. Where the worker
        is lost, its server's leash does that.
        """
        with self._baton.released():
            if self._lost:
                self._rest()
            elif self._placed:
                ray.wait([self._actor.close.remote()], timeout=_CLOSE_S)
            ray.kill(self._actor)

    def _rest(self) -> None:
        until = time.monotonic() + _LEASH_S
        while time.monotonic() < until and not self._halted():
            time.sleep(_POLL_S)

    def _answer(self, reference: Any, listener: Listener | None) -> object:  # noqa: ANN401  Ray's own
        doing: Any = None
        while not self._came(reference):
            if self._halted():
                raise Interrupted
            if listener:
                doing = doing or self._actor.doing.remote()
                if self._came(doing):
                    listener(self._value(doing))  # type: ignore[arg-type]  # what Server.doing returns
                    doing = None
                else:
                    listener(Progress("starting", note="waiting for a place in the cluster"))
        value = self._value(reference)
        if isinstance(value, KvassayError):
            raise value
        return value

    def _came(self, reference: Any) -> bool:  # noqa: ANN401  Ray's own
        with self._baton.released():
            return bool(ray.wait([reference], timeout=_POLL_S)[0])

    def _value(self, reference: Any) -> object:  # noqa: ANN401  Ray's own
        try:
            value: object = ray.get(reference)
        except exceptions.RayTaskError:
            raise  # a fault of ours in the worker, with its traceback
        except exceptions.RayError as error:
            self._lost = True
            raise WorkerLost(f"the worker of {self._arm.label} was lost", log=(first_line(error),)) from None
        self._placed = True
        return value


class RemoteBoot:
    """backend/base.py's Boot over a Line."""

    def __init__(self, line: Line, facts: BootFacts) -> None:
        self._line: Line | None = line
        self._ask = line.ask
        self._prefill = line.prefill
        self._facts = facts

    @property
    def facts(self) -> BootFacts:
        return self._facts

    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        return self._ask("render", messages, tools)  # type: ignore[return-value]  # the Protocol's

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self._ask("tokenize", text)  # type: ignore[return-value]  # the Protocol's

    def prefill(self, tokens: Sequence[int], listener: Listener = silent) -> Completion:
        return self._prefill(tokens, listener)  # type: ignore[return-value]  # the Protocol's

    def complete(self, tokens: Sequence[int], sampling: Sampling) -> Completion:
        return self._ask("complete", tokens, sampling)  # type: ignore[return-value]  # the Protocol's

    def chat(
        self, messages: Sequence[Message], tools: Sequence[Tool], sampling: Sampling, *, stream: bool
    ) -> ChatReply:
        return self._ask("chat", messages, tools, sampling, stream=stream)  # type: ignore[return-value]  # as above

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(slots=True)
class RemoteBackend:
    """A back end whose boots are actors, each with its share of a machine."""

    recipe: Travelling
    share: Share
    baton: Baton
    halted: Halted

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def cache_types(self) -> tuple[str, ...]:
        return backends.cache_types(self.name)

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        """Place the boot and wait until its server answers. Raises as backend/base.py says, and WorkerLost."""
        if self.halted():
            raise Interrupted
        line = Line(Order(self.recipe, arm, context_tokens), self.share, self.baton, self.halted)
        try:
            return RemoteBoot(line, line.open(listener))
        except BaseException:
            line.hang_up()
            raise
