"""The header of a GGUF file on the web, by range reads that grow until it is whole: megabytes instead of gigabytes."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import httpx

from kvassay.errors import FetchError, ModelFileError
from kvassay.model import hub
from kvassay.model.gguf import MAX_HEADER_BYTES, GGUFHeader, HeaderTruncatedError, parse_header

FIRST_BYTES = 1 << 20
GROWTH = 4
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_CHUNK_BYTES = 1 << 16


def is_remote(name: str) -> bool:
    """Whether a model's name is an address to read a header from."""
    return name.startswith(("http://", "https://", "hf:"))


def read_remote_header(name: str) -> GGUFHeader:
    """Read the header of an http(s) address or an ``hf:`` name; of the tensor data at most a few megabytes.

    Raises ModelFileError for a name of the wrong form or a file that is no GGUF, FetchError where nothing answers.
    """
    url = hub.parse_name(name).url if name.startswith("hf:") else _checked(name)
    data = bytearray()
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True, headers=_headers(url)) as client:
        wanted = FIRST_BYTES
        while True:
            whole = _extend(client, url, data, min(wanted, MAX_HEADER_BYTES))
            try:
                return parse_header(bytes(data), source=name)
            except HeaderTruncatedError:
                if whole or wanted >= MAX_HEADER_BYTES:
                    raise
            wanted *= GROWTH


def _checked(name: str) -> str:
    try:
        host = urlsplit(name).hostname
    except ValueError:
        host = None
    if not host:
        raise ModelFileError(f"{name!r} is no web address.", hint="The form is https://host/path/file.gguf.")
    return name


def _headers(url: str) -> dict[str, str]:
    token = os.environ.get("HF_TOKEN") if url.startswith(hub.endpoint() + "/") else None
    return {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})


def _extend(client: httpx.Client, url: str, data: bytearray, wanted: int) -> bool:
    """Read on until ``data`` holds ``wanted`` bytes; True where the file has no more."""
    have = len(data)
    try:
        with client.stream("GET", url, headers={"Range": f"bytes={have}-{wanted - 1}"}) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return True
            if response.is_error:
                raise FetchError(
                    f"{url!r} answers HTTP {response.status_code} {response.reason_phrase}.",
                    hint="Check the address; for a gated model set HF_TOKEN.",
                )
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                data.clear()  # it knows no ranges and starts from the beginning
            for chunk in response.iter_raw(_CHUNK_BYTES):
                data += chunk
                if len(data) >= wanted:
                    return False
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(
            f"{url!r} could not be read: {str(error) or type(error).__name__}.",
            hint="Check the network and the address.",
        ) from error
    return True
