"""Turns with interventions: the request mended before it goes, calls held back until they are graded, a second try."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import aiohttp
from aiohttp import web

from kvassay.guard import answers
from kvassay.guard.asking import read_request
from kvassay.guard.coercion import coerced
from kvassay.guard.contract import Action, Asked, Piece, PieceKind, Replied
from kvassay.guard.interventions import (
    nudged,
    sanitised,
    should_fall_back,
    should_retry,
    stop_loop,
    stop_text,
    warned,
)
from kvassay.guard.patience import Patience
from kvassay.guard.proxy import Proxy, begun, explained, noticing_loss
from kvassay.guard.recording import AskedAs, Exchange, Recording, key_headers
from kvassay.guard.refusals import refusal
from kvassay.guard.replies import ReplyReader
from kvassay.guard.watch import Watch
from kvassay.types import Outcome

T = TypeVar("T")

_ON_THE_REPLY = frozenset({Action.REGENERATE, Action.COERCE, Action.FALL_BACK})
_CHANGED_LENGTH = frozenset({b"content-length"})
_UNPACKED = frozenset({b"accept-encoding"})  # a reply that is to be read must come unpacked


class Question(NamedTuple):
    """A request that is held here: as the client sent it, as it goes on, and the headers that stay behind."""

    request: web.Request
    asked: Asked
    spent: frozenset[bytes]


@dataclass(slots=True)
class Held:
    """A reply under way to the client: what it is sent as, and the bytes that wait for the grade. ``let_go`` says that
    they had become too many to wait.
    """

    response: web.StreamResponse
    reader: ReplyReader
    waiting: list[bytes] = field(default_factory=list)
    size: int = 0
    let_go: bool = False

    @property
    def raw(self) -> bytes:
        return b"".join((*self.waiting, self.reader.rest))

    @property
    def open(self) -> bool:
        """Whether something of the reply can still be changed."""
        return not self.let_go and bool(self.waiting or not self.response.prepared)

    def holds(self, piece: Piece) -> bool:
        """Whether a piece has to wait."""
        if self.let_go or piece.kind is PieceKind.PING:
            return False
        return bool(self.waiting) or piece.kind in (PieceKind.TOOL, PieceKind.PLAIN)

    def wait(self, raw: bytes) -> None:
        """Let it wait."""
        self.waiting.append(raw)
        self.size += len(raw)

    def give_up(self) -> bytes:
        """All that waits; what comes after it waits no more."""
        held, self.waiting, self.let_go = b"".join(self.waiting), [], True
        return held


@dataclass(frozen=True, slots=True)
class Second:
    """A second reply to a question, read to its end."""

    replied: Replied
    raw: bytes
    content_type: str


@dataclass(slots=True)
class Intervener:
    """Stands in front of a proxy and does what the user turned on. Everything else passes through the proxy untouched.

    ``counted`` hears of the exchanges that are held here; ``acted`` of an action that is no turn of its own and of what
    became of it: ``done`` or ``in vain``.
    """

    proxy: Proxy
    watch: Watch
    actions: frozenset[Action]
    fallback: str | None
    counted: Callable[[Exchange], None]
    acted: Callable[[str, str], None]

    async def pass_on(self, request: web.Request, *, spent: frozenset[bytes]) -> web.StreamResponse:
        """Answer a request, stepping in where that was asked for."""
        bounds = self.proxy.bounds
        unread = "Content-Encoding" in request.headers or (request.content_length or 0) > bounds.watched_bytes
        if unread or not self.proxy.watches(request.method, request.path):
            return await self.proxy.pass_on(request, spent=spent)
        try:
            async with asyncio.timeout(bounds.request_s):
                body = await _beginning(request, bounds.watched_bytes)
        except TimeoutError:
            return refusal(request.raw_path, 408, "the request's body stopped arriving", close=True)
        if not request.content.is_eof():
            return await self.proxy.pass_on(request, spent=spent, beginning=body)
        asked = read_request(request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body)
        if asked is None:
            return await self.proxy.pass_on(request, spent=spent, body=body)
        return await self._turn(request, asked, spent)

    async def _turn(self, request: web.Request, asked: Asked, spent: frozenset[bytes]) -> web.StreamResponse:
        asked, did, said = await self._before(asked)
        if said is not None:
            return said
        if self.actions & _ON_THE_REPLY and asked.choices == 1:
            return await self._reply(Question(request, asked, spent), did)
        return await self.proxy.pass_on(request, spent=spent, body=asked.body, actions=did, asked_as=_named(asked))

    # ----------------------------------------------------------------------- before the request goes on

    async def _before(self, asked: Asked) -> tuple[Asked, tuple[str, ...], web.StreamResponse | None]:
        did: list[str] = []
        if Action.SANITISE in self.actions and (edited := sanitised(asked)) is not None:
            asked = replace(asked, body=edited.body)
            did.append(Action.SANITISE.value)
        if not self.actions & {Action.WARN, Action.STOP}:
            return asked, tuple(did), None
        expected = await self._patiently(self.watch.expect(asked))
        loop = None if expected is None else stop_loop(expected.loops)
        if loop is not None and Action.STOP in self.actions:
            self.acted(Action.STOP.value, "done")
            answer = answers.said(asked, stop_text(loop), at_s=time.time())
            headers = {"Content-Type": answer.content_type}
            return asked, tuple(did), web.Response(status=answer.status, body=answer.body, headers=headers)
        if expected is not None and expected.loops and Action.WARN in self.actions:
            edited = warned(asked, expected.loops[0])
            if edited is not None:
                asked = replace(asked, body=edited.body)
                did.append(Action.WARN.value)
        return asked, tuple(did), None

    # ----------------------------------------------------------------------- the reply

    async def _reply(self, question: Question, did: tuple[str, ...]) -> web.StreamResponse:
        request, asked, spent = question
        recording = self._recording(question, asked.body, did)
        held: Held | None = None
        try:
            async with self.proxy.sent(request, self.proxy.upstream, asked.body, without=spent | _UNPACKED) as upstream:
                recording.status = upstream.status
                held = Held(begun(upstream, without=_CHANGED_LENGTH), ReplyReader(asked))
                await self._relay(request, upstream, held, recording)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            recording.fault = explained(error, self.proxy.upstream)
        except asyncio.CancelledError:
            recording.cancelled = True
            self.proxy.done(recording.ended())
            raise
        self.counted(recording.ended())
        if held is None:
            await self._patiently(self.watch.now(recording.ended()))
            return await self._unanswered(question, recording)
        return await self._end(question, held, recording)

    async def _relay(
        self, request: web.Request, upstream: aiohttp.ClientResponse, held: Held, recording: Recording
    ) -> None:
        with noticing_loss(upstream):
            async with Patience(self.proxy.bounds.idle_s) as patience:
                async for chunk in upstream.content.iter_any():
                    for piece in held.reader.feed(chunk):
                        if held.holds(piece):
                            held.wait(piece.raw)
                        else:
                            await _write(request, held, piece.raw)
                    if held.size > self.proxy.bounds.watched_bytes and not held.let_go:
                        await _write(request, held, held.give_up())
                    recording.answered(chunk)
                    patience.moved()
        recording.complete = True

    async def _unanswered(self, question: Question, recording: Recording) -> web.StreamResponse:
        """The upstream did not answer at all: the second server may."""
        fault = recording.fault
        assert fault is not None  # noqa: S101  else there would be a reply
        second = await self._from_fallback(question)
        if second is None:
            return refusal(question.request.raw_path, fault.status, fault.message)
        return web.Response(body=second.raw, headers={"Content-Type": second.content_type})

    async def _end(self, question: Question, held: Held, recording: Recording) -> web.StreamResponse:
        request = question.request
        replied = held.reader.finish(recording.status, complete=recording.complete)
        observed = await self._patiently(self.watch.now(recording.ended()))
        outcome = None if observed is None or observed.observed is None else observed.observed.outcome
        changed = await self._changed(question, held, replied, outcome) if held.open else None
        raw = held.raw if changed is None else changed
        cut = changed is None and not recording.complete
        if not held.response.prepared and not cut:
            held.response.content_length = len(raw)
        await _write(request, held, raw)
        if cut and request.transport is not None:
            request.transport.close()  # by the upstream, and so for the client
        else:
            await held.response.write_eof()
        return held.response

    async def _changed(
        self,
        question: Question,
        held: Held,
        replied: Replied,
        outcome: Outcome | None,
    ) -> bytes | None:
        """What the client gets in place of what was held; None if that goes on as it is."""
        asked = question.asked
        if Action.REGENERATE in self.actions and outcome is not None and should_retry(outcome):
            second = await self._regenerated(question, outcome)
            if second is not None:
                return _instead(question.asked, held, second)
        if Action.COERCE in self.actions and recoverable(replied) and (change := coerced(asked, replied)) is not None:
            self.acted(Action.COERCE.value, "done")
            if held.response.prepared or asked.stream:
                return answers.tail(asked, held.reader.begun, replied, change.calls, at_s=time.time())
            return answers.recalled(asked, held.raw, replied, change.calls)
        if should_fall_back(outcome, replied):
            second = await self._from_fallback(question)
            return None if second is None else _instead(question.asked, held, second)
        return None

    # ----------------------------------------------------------------------- a second try

    async def _regenerated(self, question: Question, outcome: Outcome) -> Second | None:
        asked = question.asked
        edited = nudged(asked, outcome, seed=int(asked.digest[:6], 16) + 1)
        if edited is None:
            return None
        return await self._second(question, edited.body, self.proxy.upstream, question.spent, Action.REGENERATE)

    async def _from_fallback(self, question: Question) -> Second | None:
        if Action.FALL_BACK not in self.actions or self.fallback is None:
            return None
        without = question.spent | key_headers(question.request.raw_headers)  # not the second server's business
        return await self._second(question, question.asked.body, self.fallback, without, Action.FALL_BACK)

    async def _second(
        self, question: Question, body: bytes, server: str, without: frozenset[bytes], action: Action
    ) -> Second | None:
        recording = self._recording(question, body, (action.value,))
        reader, raw, kind = ReplyReader(question.asked), [], ""
        try:
            async with self.proxy.sent(question.request, server, body, without=without | _UNPACKED) as reply:
                recording.status, kind = reply.status, reply.headers.get("Content-Type", "")
                async with Patience(self.proxy.bounds.idle_s) as patience:
                    with noticing_loss(reply):
                        async for chunk in reply.content.iter_any():
                            reader.feed(chunk)
                            raw.append(chunk)
                            recording.answered(chunk)
                            patience.moved()
                            if recording.reply_bytes > self.proxy.bounds.watched_bytes:
                                break
            recording.complete = reply.content.is_eof()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self.acted(action.value, "in vain")
            return None
        watched = await self._patiently(self.watch.now(recording.ended()))
        observed = None if watched is None else watched.observed
        if observed is None or observed.outcome is None or not observed.outcome.correct:
            return None
        return Second(reader.finish(recording.status, complete=True), b"".join(raw), kind)

    def _recording(self, question: Question, body: bytes, actions: tuple[str, ...]) -> Recording:
        recording = self.proxy.recording(question.request)
        recording.actions, recording.asked_as = actions, _named(question.asked)
        recording.asked(body)
        return recording

    async def _patiently(self, answer: Awaitable[T]) -> T | None:
        """What the watching process says, None if it takes too long; it goes on with its work."""
        task = asyncio.ensure_future(answer)
        try:
            async with asyncio.timeout(self.proxy.bounds.patience_s):
                return await asyncio.shield(task)
        except TimeoutError:
            return None


def recoverable(replied: Replied) -> bool:
    """Whether a reply is whole, so that its calls may be touched at all."""
    return replied.status == web.HTTPOk.status_code and not replied.cut and not replied.unread


def _named(asked: Asked) -> AskedAs:
    return AskedAs(asked.session, asked.digest)


def _instead(asked: Asked, held: Held, second: Second) -> bytes:
    """A second reply in place of what was held: as it came, where the client has nothing yet."""
    if held.response.prepared:
        return answers.tail(asked, held.reader.begun, second.replied, second.replied.calls, at_s=time.time())
    held.response = web.StreamResponse(headers={"Content-Type": second.content_type})
    return second.raw


async def _write(request: web.Request, held: Held, raw: bytes) -> None:
    if not held.response.prepared:
        await held.response.prepare(request)
    if raw:
        await held.response.write(raw)


async def _beginning(request: web.Request, most: int) -> bytes:
    """A request's body, or somewhat more than the first so many bytes of it."""
    body = bytearray()
    while len(body) <= most and (part := await request.content.readany()):
        body += part
    return bytes(body)
