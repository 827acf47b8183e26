"""What is kept of one exchange while it goes through: for the monitor, and only as much as that may hold."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kvassay.guard.contract import SECOND_TRIES
from kvassay.guard.heads import RawHeaders
from kvassay.guard.packing import unpacked

# X-Api-Key and Api-Key, but gateways' too: X-Litellm-Api-Key, Ocp-Apim-Subscription-Key, Cf-Access-Client-Secret …
_KEY_HEADER = re.compile(rb"(?:.*[-_])?(?:api)?(?:key|token|secret|auth|authorization|cookie)", re.IGNORECASE)
_SHORTEST_KEY = 8  # what is shorter is a word such as "none" or "ollama", which local servers take for a key
_MASK = b"[key]"


class AskedAs(NamedTuple):
    """What names a question as the client asked it (`Asked.session`, `Asked.digest`), where we asked it otherwise."""

    session: str
    digest: str


class Body(NamedTuple):
    """A body and the content encoding that it is still in."""

    data: bytes
    encoding: str


class Fault(NamedTuple):
    """Why an exchange failed on our side: an HTTP status and a sentence for the client."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its reply as they went over the wire; bodies still in their content encoding.

    ``headers`` are the request's without keys and cookies; a key that a body repeats, as servers do in errors, is
    masked: the packed reply to a client with a key is unpacked for that. ``status`` is 0 where no reply came.
    ``complete`` says that the reply ended as it should; ``cancelled`` that the client went away; ``too_large`` that
    bytes are missing here, though not to the client. ``ttft_s`` runs to the reply's first body byte. ``actions`` are
    the interventions that acted; ``asked_as`` names the question as the client asked it, None where ``request`` tells
    it. ``counted_tokens`` is the prompt's length where the server's tokenizer was asked for it.
    """

    id: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    request: bytes = field(repr=False)
    status: int
    reply_encoding: str
    reply: bytes = field(repr=False)
    at_s: float
    ttft_s: float | None
    wall_s: float
    complete: bool
    cancelled: bool
    too_large: bool
    actions: tuple[str, ...] = ()
    asked_as: AskedAs | None = None
    counted_tokens: int | None = None

    @property
    def second_try(self) -> bool:
        """Whether this was the guard's own request, made after the client's had failed."""
        return not SECOND_TRIES.isdisjoint(self.actions)


@dataclass(slots=True)
class Recording:
    """An exchange under way. ``room_bytes`` is what is left for both bodies; ``watch`` off keeps none."""

    id: int
    method: str
    path: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    room_bytes: int
    watch: bool = True
    at_s: float = field(default_factory=time.time)
    began: float = field(default_factory=time.perf_counter)
    request_bytes: int = 0
    reply_bytes: int = 0
    status: int = 0
    reply_encoding: str = ""
    first_byte_at: float | None = None
    complete: bool = False
    cancelled: bool = False
    fault: Fault | None = None
    actions: tuple[str, ...] = ()
    asked_as: AskedAs | None = None
    _request: list[bytes] = field(default_factory=list)
    _reply: list[bytes] = field(default_factory=list)

    def asked(self, chunk: bytes) -> None:
        """Take note of a part of the request's body."""
        self.request_bytes += len(chunk)
        self._keep(self._request, chunk)

    def answered(self, chunk: bytes) -> None:
        """Take note of a part of the reply's body, just passed on."""
        if self.first_byte_at is None:
            self.first_byte_at = time.perf_counter()
        self.reply_bytes += len(chunk)
        self._keep(self._reply, chunk)

    def _keep(self, into: list[bytes], chunk: bytes) -> None:
        if not self.watch or self.room_bytes < 0:
            return
        self.room_bytes -= len(chunk)
        if self.room_bytes < 0:
            self._request.clear()
            self._reply.clear()
        else:
            into.append(chunk)

    def ended(self) -> Exchange:
        """The exchange as a value."""
        first, keys = self.first_byte_at, _keys(self.raw_headers)
        reply = _masked(Body(b"".join(self._reply), self.reply_encoding), keys)
        return Exchange(
            id=self.id,
            method=self.method,
            path=self.path,
            headers=tuple(
                (name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
                for name, value in self.raw_headers
                if not _KEY_HEADER.fullmatch(name)
            ),
            request=_masked(Body(b"".join(self._request), ""), keys).data,
            status=self.status,
            reply_encoding=reply.encoding,
            reply=reply.data,
            at_s=self.at_s,
            ttft_s=None if first is None else first - self.began,
            wall_s=time.perf_counter() - self.began,
            complete=self.complete,
            cancelled=self.cancelled,
            too_large=self.room_bytes < 0,
            actions=self.actions,
            asked_as=self.asked_as,
        )


def key_headers(headers: RawHeaders) -> frozenset[bytes]:
    """The names (lower case) of those headers that hold a key, by what they are called."""
    return frozenset(name.lower() for name, _ in headers if _KEY_HEADER.fullmatch(name))


def _keys(headers: RawHeaders) -> list[bytes]:
    """The secrets in headers: each value, and what stands behind a scheme such as ``Bearer``."""
    values = [value for name, value in headers if _KEY_HEADER.fullmatch(name)]
    return [key for value in values for key in (value, value.split(b" ")[-1]) if len(key) >= _SHORTEST_KEY]


def _masked(body: Body, keys: Sequence[bytes]) -> Body:
    """The body without these keys; a packed one, which has to be unpacked for that, stays so."""
    data = unpacked(body.data, body.encoding) if keys else None
    if data is None:
        return body
    for key in keys:
        data = data.replace(key, _MASK)
    return Body(data, "")
