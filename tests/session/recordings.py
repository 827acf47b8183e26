"""A small recorded session on disk, in pi's format: files read and edited, one call that failed."""

from __future__ import annotations

import json
from pathlib import Path

from kvassay.types import JsonObject, JsonValue

HOME = "/home/astrid/shop"
SECRET = "sk-ant-REDACTME0123456789abcdefXYZ"  # noqa: S105  no real one
HEAD: JsonObject = {
    "type": "session", "version": 3, "id": "s-shop-1", "timestamp": "2026-01-02T03:04:05.000Z", "cwd": HOME,
}  # fmt: skip


def source(number: int, lines: int = 12) -> str:
    """The text of one file."""
    return "\n".join(f"def price_{number}_{line}(order):\n    return order.total * {line}" for line in range(lines))


def recording(folder: Path, *, files: int = 6, lines: int = 12, name: str = "shop.jsonl") -> Path:
    """Write the session: for each file a turn that reads it, one that edits it; then a test run that fails. Turn 2n+1
    reads file n, turn 2n+2 edits it; the edit of file 1 failed.
    """
    entries: list[JsonObject] = [_message("user", f"Round all prices in {HOME}. The key is {SECRET}")]
    for n in range(files):
        path = f"src/price_{n}.py"
        entries += _exchange(f"r{n}", "read", {"path": path}, source(n, lines))
        edit: JsonObject = {"path": path, "oldText": f"order.total * {n}", "newText": f"round(order.total * {n}, 2)"}
        entries += _exchange(f"e{n}", "edit", edit, "no match" if n == 1 else "done", failed=n == 1)
    entries += _exchange("t", "bash", {"command": "pytest -q"}, "2 failed", failed=True)
    path = folder / name
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in [HEAD, *_chained(entries)]), encoding="utf-8")
    return path


def _exchange(id_: str, tool: str, arguments: JsonObject, result: str, *, failed: bool = False) -> list[JsonObject]:
    call: JsonObject = {"type": "toolCall", "id": id_, "name": tool, "arguments": arguments}
    answer: list[JsonValue] = [{"type": "text", "text": result}]
    return [
        _message("assistant", [call], stopReason="toolUse", model="m"),
        _message("toolResult", answer, toolCallId=id_, isError=failed),
    ]


def _message(role: str, content: JsonValue, **more: JsonValue) -> JsonObject:
    return {
        "type": "message",
        "timestamp": "2026-01-02T03:05:00Z",
        "message": {"role": role, "content": content, **more},
    }


def _chained(entries: list[JsonObject]) -> list[JsonObject]:
    return [{**entry, "id": f"e{at}", "parentId": f"e{at - 1}" if at else None} for at, entry in enumerate(entries)]
