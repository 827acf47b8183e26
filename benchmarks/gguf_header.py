"""How long a GGUF header takes to read: a synthetic one with 250,000 tokens and as many merges, or the file given.

python benchmarks/gguf_header.py [MODEL.gguf]
"""

from __future__ import annotations

import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

from kvassay.model.gguf import read_header

WORDS = 250_000
RUNS = 9


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _synthetic(path: Path) -> Path:
    words = b"".join(_text(f"tok{n % 997}") for n in range(WORDS))
    array = struct.pack("<IIQ", 9, 8, WORDS) + words
    keys = [_text("general.architecture") + struct.pack("<I", 8) + _text("llama")]
    keys += [_text(f"tokenizer.ggml.{name}") + array for name in ("tokens", "merges")]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + b"".join(keys))
    return path


def main() -> None:
    """Print the median and the best time, on the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else _synthetic(Path(folder) / "big.gguf")
        clock_ms, processor_ms = [], []
        for _ in range(RUNS):
            clock, processor = time.perf_counter(), time.process_time()
            read_header(path)
            clock_ms.append(1000 * (time.perf_counter() - clock))
            processor_ms.append(1000 * (time.process_time() - processor))
        for name, took_ms in (("clock", clock_ms), ("processor", processor_ms)):
            print(f"{name}: median {statistics.median(took_ms):.0f} ms, best {min(took_ms):.0f} ms of {RUNS}")


if __name__ == "__main__":
    main()
