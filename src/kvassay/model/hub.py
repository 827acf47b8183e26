"""The hub as a source: names ``hf:owner/repo/path/file.gguf@revision``, and resumable HTTP downloads."""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from kvassay.errors import ModelFileError
from kvassay.model.store import Progress

DEFAULT_ENDPOINT = "https://huggingface.co"
FIND_S = 8.0  # an unreachable hub must fall through to the mirror in seconds
_TIMEOUT = httpx.Timeout(30.0, connect=4.0)
_ATTEMPTS = 4
_CHUNK_BYTES = 1 << 18
_MAX_HOPS = 5
_SEGMENT = r"(?!\.{1,2}(?:[/@]|$))[\w.+-]+"
_NAME = re.compile(rf"hf:({_SEGMENT}/{_SEGMENT})/((?:{_SEGMENT}/)*{_SEGMENT}\.gguf)(?:@([\w.+/-]+))?", re.ASCII)
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


class SourceError(Exception):
    """A source did not deliver; another one may."""


@dataclass(frozen=True, slots=True)
class HubName:
    """A file on the hub: ``repo`` is owner/name, ``path`` the file's path inside it."""

    repo: str
    path: str
    revision: str = "main"

    @property
    def url(self) -> str:
        return f"{endpoint()}/{self.repo}/resolve/{self.revision}/{self.path}"

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HubFile:
    """What the hub says of a file before it is downloaded; None where it doesn't say."""

    url: str
    size_bytes: int | None
    sha256: str | None


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT``, as in the hub's own tools."""
    return os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT).rstrip("/")


def parse_name(name: str) -> HubName:
    """Read an ``hf:`` name. Raises ModelFileError with the form that is right."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ModelFileError(
            f"{name!r} does not name a GGUF file on the hub.",
            hint="The form is hf:owner/repo/path/file.gguf, with @revision behind it if wanted.",
        )
    found = HubName(match[1], match[2], match[3] or "main")
    if split := _SPLIT.search(found.file):
        raise ModelFileError(
            f"{name!r} is one of {int(split[1])} files of a split model; kvassay fetches single files only.",
            hint="Download all of them into one folder and name the first one by its path.",
        )
    return found


def find(name: HubName) -> HubFile:
    """Ask the hub for a file's size and SHA-256 (its LFS metadata). Raises SourceError."""
    response = _within(FIND_S, lambda: _head(name.url))
    _check(response)
    own_size = "" if response.is_redirect else response.headers.get("content-length", "")
    size = response.headers.get("x-linked-size", own_size)
    digest = response.headers.get("x-linked-etag", "").strip('"')
    return HubFile(
        url=name.url,
        size_bytes=int(size) if size.isdecimal() else None,
        sha256=digest if re.fullmatch("[0-9a-f]{64}", digest) else None,
    )


def download(file: HubFile, part: Path, progress: Progress) -> None:
    """Download into ``part``, going on after the bytes already there. Raises SourceError; what came is kept."""
    failure, in_vain = "", 0
    with _client(follow_redirects=True) as client:
        while in_vain < _ATTEMPTS:
            before = _size(part)
            try:
                _stream(client, file, part, progress)
            except httpx.HTTPError as error:
                failure = _say(error)
            else:
                return
            in_vain = 1 if _size(part) > before else in_vain + 1
            time.sleep(in_vain)
    raise SourceError(f"the download broke off and {_ATTEMPTS - 1} retries brought nothing: {failure}")


def _stream(client: httpx.Client, file: HubFile, part: Path, progress: Progress) -> None:
    have = _size(part)
    total = file.size_bytes or 0
    if total and have == total:
        return
    if have > total:
        part.unlink()  # no prefix of this file, or of unknown size and so not to be trusted
        have = 0
    with client.stream("GET", file.url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        _check(response)
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT and have
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            for chunk in response.iter_raw(_CHUNK_BYTES):
                out.write(chunk)
                done += len(chunk)
                if total and done > total:
                    raise SourceError(f"it sends more than the {total:,} bytes it should")
                progress(done, total, "hub")
    if total and done < total:
        raise httpx.ReadError(f"{done} of {total} bytes came")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _head(url: str) -> httpx.Response:
    """Follow redirects within the hub (renamed repositories), not those to its storage, which may refuse HEAD."""
    with _client(follow_redirects=False) as client:
        response = client.head(url)
        for _ in range(_MAX_HOPS):
            onward = response.next_request
            if onward is None or "x-linked-etag" in response.headers or onward.url.host != response.url.host:
                break
            response = client.send(onward)
        return response


def _client(*, follow_redirects: bool) -> httpx.Client:
    token = os.environ.get("HF_TOKEN")
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=follow_redirects)


def _check(response: httpx.Response) -> None:
    """Raise SourceError for an answer that no retry would change, an httpx error for one that it might."""
    if response.status_code < httpx.codes.BAD_REQUEST:
        return
    if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR and response.request.method == "GET":
        response.raise_for_status()
    reasons = {
        401: "it wants a token, or there is no such file (set HF_TOKEN)",
        403: "it refuses access (accept the model's terms there, set HF_TOKEN)",
        404: "it has no such file",
    }
    reason = reasons.get(response.status_code, response.reason_phrase)
    raise SourceError(f"HTTP {response.status_code}: {reason}")


def _within(limit_s: float, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Bound the whole request: name look-ups and long lists of dead addresses know no time-out of httpx's."""
    answers: queue.SimpleQueue[httpx.Response | httpx.HTTPError | httpx.InvalidURL] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=limit_s)
    except queue.Empty:
        raise SourceError(f"no answer within {limit_s:g} s") from None
    if isinstance(answer, httpx.Response):
        return answer
    raise SourceError(_say(answer)) from answer


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__
