"""`kvassay replay --redact` to its end: no file that it leaves holds a secret, or its recorder's name."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.scripted_runs import ATTACH, finish
from kvassay.assay.export import to_jsonl
from kvassay.assay.store import Store
from kvassay.types import JsonObject, JsonValue
from session.recordings import recording

KEY = "Zq8vT3mN5xR7yB2cD4fG6hJ9kL1pW0sE"
PLANTED = (
    f"sk-proj-{KEY}", f"ghp_{KEY[::-1]}", "hunter2hunter2", "opaque-value-1", "b3BlbnNzaC1rZXktdjEA",
    "xoxb-12345-abcdef", "jane.roe@example.com", "astrid",
)  # fmt: skip
ENV = f"OPENAI_API_KEY={PLANTED[0]}\nDB_PASSWORD='{PLANTED[2]}'\n# {PLANTED[6]}\n"
PEM = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{PLANTED[4]}\n-----END OPENSSH PRIVATE KEY-----\n"
FOLDER = "/home/astrid/shop"


def exchange(number: int, tool: str, arguments: JsonObject, result: str) -> Iterator[JsonObject]:
    """One call and its result, as pi records them."""
    call: JsonObject = {"type": "toolCall", "id": f"x{number}", "name": tool, "arguments": arguments}
    told: list[tuple[str, JsonValue, JsonObject]] = [
        ("assistant", [call], {"stopReason": "toolUse"}),
        ("toolResult", [{"type": "text", "text": result}], {"toolCallId": f"x{number}", "isError": False}),
    ]
    for at, (role, content, more) in enumerate(told):
        name = f"p{number}{at}"
        before = f"p{number}{at - 1}" if at else f"p{number - 1}1"
        yield {"type": "message", "id": name, "parentId": before, "timestamp": "2026-01-02T03:06:00Z",
               "message": {"role": role, "content": content, **more}}  # fmt: skip


def planted(folder: Path) -> Path:
    """The small session, with secrets in a file's view, in arguments, in results, and in JSON within JSON."""
    path = recording(folder, files=1)
    inner = json.dumps({"headers": {"Authorization": f"token {PLANTED[1]}"}, "env": ENV})
    calls: list[tuple[str, JsonObject, str]] = [
        ("read", {"path": f"{FOLDER}/.env"}, ENV),
        ("bash", {"command": f"curl -H 'X-Api-Key: {PLANTED[3]}' https://example.org"}, json.dumps({"body": inner})),
        ("bash", {"command": f"psql postgres://shop:{PLANTED[2]}@db/shop; cat {FOLDER}/.ssh/id"}, PEM),
        ("bash", {"command": f"echo {PLANTED[2]}"}, f"astrid {PLANTED[2]}\n{PLANTED[5]}"),
        ("edit", {"path": f"{FOLDER}/.env", "oldText": f"# {PLANTED[6]}", "newText": "# nobody"}, "done"),
    ]
    last = json.loads(path.read_text().splitlines()[-1])["id"]
    lines = [entry for at, call in enumerate(calls) for entry in exchange(at, *call)]
    lines[0] = {**lines[0], "parentId": last}
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
    return path


def stored(path: Path) -> Iterator[str]:
    """Every value of every table, packed ones unpacked."""
    with sqlite3.connect(path) as db:
        for (table,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in db.execute(f"select * from {table}"):  # noqa: S608  the names are the store's own
                yield from (value if isinstance(value, str) else _unpacked(value) for value in row)


def _unpacked(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return zlib.decompress(value).decode("latin-1")
    except zlib.error:
        return value.decode("latin-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished masked replay with its export; the session lies in its recorder's home folder."""
    out = tmp_path_factory.mktemp("run")
    home = out / "home" / "astrid"
    home.mkdir(parents=True)
    done = finish(out, "replay", planted(home), *ATTACH, "--channels", "raw", "--context", "8k", "--redact")
    assert done.returncode == 0, done.stderr
    with Store(out / "kvassay.sqlite") as store:
        to_jsonl(store.run(None), out / "trials.jsonl")
    return out


@pytest.mark.parametrize("secret", PLANTED)
def test_no_report_no_store_and_no_export_holds_it(folder: Path, secret: str) -> None:
    """Wherever in the session it stood, and whatever told that it is one."""
    texts = {name: (folder / name).read_text() for name in ("report.html", "report.json", "trials.jsonl")}
    texts["store"] = "\n".join(stored(folder / "kvassay.sqlite"))
    shown = json.dumps(secret)[1:-1]
    assert [name for name, text in texts.items() if secret in text or shown in text] == []
    assert "⟨secret:" in texts["store"]


def test_the_report_says_that_it_was_masked(folder: Path) -> None:
    """In the page, and in the terminal's notes."""
    assert "Secrets and names were masked before anything was asked" in (folder / "report.html").read_text()
