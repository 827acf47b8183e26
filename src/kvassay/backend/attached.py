"""Servers of any engine that the user runs, or has started by a command of theirs: one boot is one of them."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from kvassay.backend.attach import SomebodysServer, api_key, base_url
from kvassay.backend.base import Boot, Listener, Progress, silent
from kvassay.backend.engine import Engine, Met, Pen, without_pen
from kvassay.backend.llama_http import connect
from kvassay.backend.openai_http import Line, OpenAIBoot
from kvassay.backend.pen import open_pen
from kvassay.backend.serve import log_facts, started
from kvassay.errors import BootFailed, ContextExceeded, NotEngaged
from kvassay.types import Arm, BootFacts, KVConfig

_CHECK_S = 30.0


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Shelf:
    """The pen of a run, opened when the first boot needs it, shared by all, closed with the back end."""

    pen: Pen | None = None

    def lend(self, path: Path) -> Pen:
        if self.pen is None:
            self.pen = open_pen(path)
            weakref.finalize(self, self.pen.close)
        return self.pen


@dataclass(frozen=True, slots=True)
class Attached:
    """Each boot is a connection to the arm's ``endpoint``, or to ``url``; with ``serve`` it is a process of that
    command at ``url``, started for the arm and ended after it.

    ``model`` is the model's name at the server, ``tokenizer`` where template and tokenizer are found for engines that
    don't lend theirs.
    """

    engine: Engine
    url: str | None = None
    serve: str | None = None
    model: str | None = None
    tokenizer: Path | None = None
    log_dir: Path | None = None
    _shelf: _Shelf = field(default_factory=_Shelf, repr=False)

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def cache_types(self) -> tuple[str, ...]:
        return self.engine.cache_types

    def open(self, arm: Arm, *, context_tokens: int, listener: Listener = silent) -> Boot:
        """Raises ConfigError without a URL or a tokenizer, BootFailed where nothing answers or the command fails,
        BackendError where it is another engine, ContextExceeded where its context is too small, NotEngaged where it
        says that it runs another pair.
        """
        url = base_url(arm.endpoint or self.url)
        listener(Progress("starting", note=f"reaching {url}"))
        client = connect(url, api_key=api_key())
        try:
            line = self._line(arm.kv, client, url, listener)
        except BaseException:
            client.close()
            raise
        try:
            met = self._meet(line, arm.kv, context_tokens)
            pen = self._pen(line, met)
        except BaseException:
            line.host.close()
            client.close()
            raise
        listener(Progress("ready"))
        return OpenAIBoot(line, self.engine, replace(met, facts=replace(met.facts, chat_template=pen.template)), pen)

    def _line(self, kv: KVConfig, client: httpx.Client, url: str, listener: Listener) -> Line:
        if self.serve is not None:
            process = started(self.serve, self.engine, kv, client, log_dir=self.log_dir, listener=listener)
            return Line(client, process, process.pulse)
        _check_health(client, url, self.engine.health)
        return Line(client, SomebodysServer(url))

    def _meet(self, line: Line, kv: KVConfig, context_tokens: int) -> Met:
        met = self.engine.meet(line, self.model)
        told = log_facts(line.host.log(), met.facts)
        _check_pair(kv, told, self.engine)
        room = told.context_tokens
        if room is not None and room < context_tokens:
            raise ContextExceeded(
                f"the run needs a context of {context_tokens:,} tokens, the server has {room:,}",
                hint="Ask for smaller depths, or start the server with a larger context.",
            )
        stated = told.k_type is None
        facts = replace(
            told,
            backend=self.name,
            k_type=told.k_type or kv.k,
            v_type=told.v_type or kv.v,
            stated_by_user=stated,
        )
        return replace(met, facts=facts)

    def _pen(self, line: Line, met: Met) -> Pen:
        """The user's files before what the server lends: who names them means them."""
        if self.tokenizer is not None:
            return self._shelf.lend(self.tokenizer)
        if lent := self.engine.pen(line, met):
            return lent
        raise without_pen(self.name)


def _check_pair(kv: KVConfig, told: BootFacts, engine: Engine) -> None:
    """What a server tells of its pair has to be what the arm says."""
    asked = {"K": (kv.k, told.k_type), "V": (kv.v, told.v_type)}
    wrong = [f"{side} is {found}" for side, (want, found) in asked.items() if found not in (None, want)]
    if wrong:
        raise NotEngaged(
            f"asked for {kv}, but {engine.name} says that {' and '.join(wrong)}",
            hint="Name the server's own pair in --attach K/V=URL, or start it with this one.",
        )


def _check_health(client: httpx.Client, url: str, path: str) -> None:
    try:
        status = client.get(path, timeout=_CHECK_S).status_code
    except httpx.HTTPError as error:
        raise BootFailed(f"nothing answers at {url} ({error})", hint="Is the server running there?") from error
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        raise BootFailed(f"the server at {url} is still loading its model", hint="Try again when it is ready.")
