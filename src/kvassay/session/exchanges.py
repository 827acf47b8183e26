"""The kinds of work in a session: each function makes one exchange, from the user's request to the closing remark."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kvassay.session import phrases
from kvassay.session.acts import Values, say
from kvassay.session.excerpts import Definition, Excerpt, Reader
from kvassay.session.scene import Fact
from kvassay.types import Message, Tool, ToolCall

_OPENING_ROWS = 6
_CHANGEABLE = re.compile(r"[=(\[,] ?-?\d+\b")
_MIN_HITS, _MAX_HITS = 3, 6


@dataclass(frozen=True, slots=True)
class Exchange:
    """User request, calls with their results, assistant remark; and what it establishes: facts, and the files it shows
    or changes. Message indices count from the exchange's first message.
    """

    messages: tuple[Message, ...]
    facts: tuple[Fact, ...] = ()
    touched: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Desk:
    """What the agent works with: its tools, the sources, its own dice, and what it already used."""

    tools: Sequence[Tool]
    reader: Reader
    rng: random.Random
    used: set[str] = field(default_factory=set)
    facts: list[Fact] = field(default_factory=list)
    open_files: list[str] = field(default_factory=list)
    calls: int = 0

    def call(self, act: str, values: Values, result: str) -> tuple[Message, Message]:
        """A call and its result."""
        said = say(act, values, self.tools)
        self.calls += 1
        call_id = f"call{self.calls:05d}"
        call = ToolCall(call_id, said.tool.name, said.arguments)
        return Message("assistant", tool_calls=(call,)), Message("tool", result, tool_call_id=call_id)

    def phrase(self, options: Sequence[str], **values: str | int) -> str:
        return self.rng.choice(options).format_map(values)

    def unused(self, options: Sequence[str]) -> list[str]:
        return [option for option in options if option not in self.used]

    def new_id(self, prefix: str, alphabet: str, length: int) -> str:
        """An id that no other fact of the session has."""
        while True:
            made = prefix + "".join(self.rng.choices(alphabet, k=length))
            if made not in self.used and any(c.isdigit() for c in made):
                self.used.add(made)
                return made


def opening(desk: Desk) -> Exchange:
    """Tickets and jobs: the ids of the early session. Some titles and names come in near-identical pairs."""
    modules = list(dict.fromkeys(map(_stem, desk.reader.paths())))
    tickets = _tickets(desk, desk.rng.sample(modules, min(_OPENING_ROWS - 2, len(modules))))
    jobs = _jobs(desk, desk.rng.sample(modules, min(_OPENING_ROWS - 2, len(modules))))
    folder = desk.reader.paths()[0].rpartition("/")[0] or "."
    rows = [f"{fact.key}: {fact.value} ({desk.rng.choice(phrases.TICKET_STATES)})" for fact in tickets]
    lines = [f"{fact.key}: {fact.value} ({desk.rng.choice(phrases.JOB_STATES)})" for fact in jobs]
    desk.facts += [*tickets, *jobs]
    return Exchange(
        (
            Message("user", phrases.OPENING.format(folder=folder)),
            *desk.call("open", {"what": "tickets"}, "\n".join(rows)),
            *desk.call("open", {"what": "jobs"}, "\n".join(lines)),
            Message("assistant", phrases.OPENING_REMARK.format(tickets=len(tickets), jobs=len(jobs))),
        ),
        facts=(*tickets, *jobs),
    )


def reading(desk: Desk, excerpt: Excerpt) -> Exchange:
    """A stretch of a file."""
    values = _excerpt_values(excerpt)
    return Exchange(
        (
            Message("user", desk.phrase(phrases.READ_REQUESTS, **values)),
            *_read(desk, excerpt),
            Message("assistant", desk.phrase(phrases.READ_REMARKS, **values)),
        ),
        touched={excerpt.path: 2},
    )


def wrong_path(desk: Desk, excerpt: Excerpt) -> Exchange:
    """A misspelt path, the error, the recovery."""
    values = _excerpt_values(excerpt)
    at = desk.rng.randrange(1, len(name := PurePosixPath(excerpt.path).name) - 1)
    wrong = excerpt.path[: -len(name)] + name[:at] + name[at + 1 :]
    lines = {"start": excerpt.first_line, "end": excerpt.last_line}
    return Exchange(
        (
            Message("user", desk.phrase(phrases.READ_REQUESTS, **{**values, "path": wrong})),
            *desk.call(
                "read", {"path": wrong, **lines}, f"error: no such file: {wrong} (did you mean {excerpt.path}?)"
            ),
            *_read(desk, excerpt),
            Message("assistant", desk.phrase(phrases.WRONG_PATH_REMARKS, **values)),
        ),
        touched={excerpt.path: 4},
    )


def definitions(desk: Desk) -> Exchange | None:
    """Where a folder's symbols are defined: paths and line numbers that can be asked back."""
    found = _fresh_definitions(desk)
    if not found:
        return None
    folder, keyword = found[0].path.rpartition("/")[0] or ".", found[0].keyword
    facts = tuple(Fact("hit", d.symbol, d.path, 2, d.line) for d in found)
    desk.facts += facts
    values: dict[str, str | int] = {
        "folder": folder, "keyword": keyword, "count": len(found), "word": found[0].symbol,
    }  # fmt: skip
    return Exchange(
        (
            Message("user", desk.phrase(phrases.DEFINITION_REQUESTS, **values)),
            *desk.call(
                "search",
                {"pattern": f"{keyword} ", "path": folder, "count": len(found)},
                "\n".join(f"{d.path}:{d.line}: {d.text}" for d in found),
            ),
            Message("assistant", desk.phrase(phrases.DEFINITION_REMARKS, **values)),
        ),
        facts=facts,
    )


def searching(desk: Desk) -> Exchange | None:
    """Where a symbol seen lately is used."""
    for path in reversed(desk.open_files):
        folder = path.rpartition("/")[0] or "."
        words = desk.unused([d.symbol for d in desk.reader.definitions(path)])
        if words:
            word = desk.rng.choice(words)
            desk.used.add(word)
            hits = desk.reader.search(word, folder, _MAX_HITS)
            values: dict[str, str | int] = {"folder": folder, "word": word, "count": len(hits)}
            shown = "\n".join(f"{path}:{line}: {text.strip()}" for path, line, text in hits)
            return Exchange(
                (
                    Message("user", desk.phrase(phrases.SEARCH_REQUESTS, **values)),
                    *desk.call("search", {"pattern": word, "path": folder, "count": _MAX_HITS}, shown),
                    Message("assistant", desk.phrase(phrases.SEARCH_REMARKS, **values)),
                )
            )
    return None


def listing(desk: Desk) -> Exchange | None:
    """The files of a directory not yet listed."""
    folders = desk.unused([path.rpartition("/")[0] for path in reversed(desk.open_files)])
    if not folders or not folders[0]:
        return None
    folder = folders[0]
    desk.used.add(folder)
    paths = desk.reader.folder(folder)[:40]
    values: dict[str, str | int] = {
        "folder": folder, "count": len(paths), "name": PurePosixPath(desk.rng.choice(paths)).name,
    }  # fmt: skip
    shown = "\n".join(f"{desk.reader.size(path):>7} {PurePosixPath(path).name}" for path in paths)
    return Exchange(
        (
            Message("user", desk.phrase(phrases.LIST_REQUESTS, **values)),
            *desk.call("list", {"path": folder}, shown),
            Message("assistant", desk.phrase(phrases.LIST_REMARKS, **values)),
        )
    )


def editing(desk: Desk) -> Exchange | None:
    """A change of one line in a file shown lately, then its tests: they pass, or fail and the change is corrected."""
    path = desk.rng.choice(desk.open_files[-4:])
    change = _change(desk, path)
    if change is None:
        return None
    old, new = change
    desk.reader.edit(path, old, new)
    name = _stem(path)
    request = desk.phrase(phrases.EDIT_REQUESTS, path=path, old=old.strip(), new=new.strip())
    shown, remark = _test_result(desk, path)
    remark = desk.phrase(phrases.EDIT_REMARKS, name=name, new=new.strip()) + " " + remark
    return Exchange(
        (
            Message("user", f"{request} {desk.phrase(phrases.TEST_REQUESTS, name=name)}"),
            *desk.call("edit", {"path": path, "old": old, "new": new}, f"{path}: 1 replacement made"),
            *desk.call("test", {"target": path}, shown),
            Message("assistant", remark),
        ),
        touched={path: 2},
    )


def ticket(desk: Desk) -> Exchange | None:
    """The text of a ticket listed earlier."""
    return _lookup(desk, "ticket", "ticket", phrases.TICKET_REQUESTS, phrases.TICKET_REMARKS)


def job(desk: Desk) -> Exchange | None:
    """The log of a job listed earlier."""
    return _lookup(desk, "job", "logs", phrases.LOG_REQUESTS, phrases.LOG_REMARKS)


def _lookup(desk: Desk, kind: str, act: str, requests: Sequence[str], remarks: Sequence[str]) -> Exchange | None:
    ids = desk.unused([f"seen {fact.value}" for fact in desk.facts if fact.kind == kind])
    if not ids or not desk.open_files:
        return None
    desk.used.add(ids[0])
    known = next(fact for fact in desk.facts if fact.value == ids[0].removeprefix("seen "))
    path = desk.rng.choice(desk.open_files[-6:])
    line, code = _code_line(desk, path)
    values: dict[str, str | int] = {"id": known.value, "name": PurePosixPath(path).name, "line": line, "code": code}
    note = desk.phrase(phrases.TICKET_NOTES, **values) if kind == "ticket" else _trace(desk, path, line, code)
    return Exchange(
        (
            Message("user", desk.phrase(requests, **values)),
            *desk.call(act, {kind: known.value, "stream": "stderr", "count": 4}, f"{known.value}  {known.key}\n{note}"),
            Message("assistant", desk.phrase(remarks, **values)),
        )
    )


def _trace(desk: Desk, path: str, line: int, code: str) -> str:
    a, b = sorted(desk.rng.sample(range(2, 4096), 2))
    failure = desk.phrase(phrases.TEST_FAILURES, a=a, b=b)
    return f"step {a % 7 + 2} of 9: {path}\n  line {line}: {code}\nerror: {failure}"


def _test_result(desk: Desk, path: str) -> tuple[str, str]:
    """What the tests of a file print, and the remark on it."""
    name, count = _stem(path), desk.rng.randrange(4, 80)
    seconds = desk.rng.randrange(20, 900) / 100
    if desk.rng.random() < 0.5:  # noqa: PLR2004  # half of the runs fail
        remark = desk.phrase(phrases.TEST_REMARKS_PASS, count=count, name=name)
        return f"tests of {path}: {count} passed in {seconds:.2f} s", remark
    line, code = _code_line(desk, path)
    words = [d.symbol for d in desk.reader.definitions(path)] or [name]
    case = f"test_{desk.rng.choice(words).strip('_').lower()}_{desk.rng.randrange(2, 40)}"
    a, b = sorted(desk.rng.sample(range(2, 4096), 2))
    failure = desk.phrase(phrases.TEST_FAILURES, a=a, b=b)
    shown = (
        f"FAIL {case}\n  {path}:{line}: {code}\n  AssertionError: {failure}\n"
        f"{count - 1} passed, 1 failed in {seconds:.2f} s"
    )
    return shown, desk.phrase(phrases.TEST_REMARKS_FAIL, name=name, line=line, count=count - 1, case=case)


def _read(desk: Desk, excerpt: Excerpt) -> tuple[Message, Message]:
    values: Values = {
        "path": excerpt.path, "start": excerpt.first_line, "end": excerpt.last_line, "count": len(excerpt.lines),
    }  # fmt: skip
    return desk.call("read", values, "\n".join(excerpt.lines))


def _excerpt_values(excerpt: Excerpt) -> dict[str, str | int]:
    return {
        "path": excerpt.path, "name": PurePosixPath(excerpt.path).name, "first": excerpt.first_line,
        "last": excerpt.last_line, "total": excerpt.total, "count": len(excerpt.lines),
    }  # fmt: skip


def _stem(path: str) -> str:
    return PurePosixPath(path).stem.strip("_").replace("_", "-")


def _tickets(desk: Desk, modules: Sequence[str]) -> list[Fact]:
    """One ticket per module, and two that differ from an earlier one in the symptom only."""
    symptoms = desk.rng.sample(phrases.SYMPTOMS, len(modules) + 2)
    titles = [f"{s} in {m}" for m, s in zip((*modules, *modules[:2]), symptoms, strict=True)]
    desk.rng.shuffle(titles)
    return [Fact("ticket", title, desk.new_id("TCK-", "0123456789", 4), 2) for title in titles]


def _jobs(desk: Desk, modules: Sequence[str]) -> list[Fact]:
    """One job per module, and two that differ from an earlier one in the kind only."""
    kinds = desk.rng.sample(phrases.JOB_KINDS, len(modules) + 2)
    names = [f"{k} of {m}" for m, k in zip((*modules, *modules[:2]), kinds, strict=True)]
    desk.rng.shuffle(names)
    return [Fact("job", name, desk.new_id("", "0123456789abcdef", 8), 4) for name in names]


def _fresh_definitions(desk: Desk) -> list[Definition]:
    """Definitions with one keyword in up to six files of a directory, one each, never asked before."""
    folders = list(dict.fromkeys(path.rpartition("/")[0] for path in desk.reader.paths()))
    for folder in folders:
        paths = desk.unused([path for path in desk.reader.paths() if path.rpartition("/")[0] == folder])
        found = [d for path in paths[: 2 * _MAX_HITS] for d in _plain_definitions(desk, path)]
        for keyword in sorted({d.keyword for d in found}):
            one_each = {d.path: d for d in found if d.keyword == keyword}
            if len(one_each) >= _MIN_HITS:
                chosen = sorted(one_each.values(), key=lambda d: d.path)[:_MAX_HITS]
                desk.used |= {d.path for d in chosen} | {d.symbol for d in chosen}
                return chosen
    return []


def _plain_definitions(desk: Desk, path: str) -> list[Definition]:
    """The definitions of a file whose names nothing else in the sources has."""
    found = desk.reader.definitions(path)
    return [d for d in found if desk.reader.defined_once(d.symbol) and d.symbol not in desk.used]


def _code_line(desk: Desk, path: str) -> tuple[int, str]:
    first_line, lines = desk.reader.shown(path)
    said = [(i, line.strip()) for i, line in enumerate(lines, first_line) if len(line.strip()) > 3]  # noqa: PLR2004
    return desk.rng.choice(said)


def _change(desk: Desk, path: str) -> tuple[str, str] | None:
    """A line of the shown stretch that occurs once in the file's shown text, and the same with another number."""
    _, lines = desk.reader.shown(path)
    text = "\n".join(lines)
    options = [line for line in lines if _CHANGEABLE.search(line) and text.count(line) == 1 and "`" not in line]
    if not options:
        return None
    old = desk.rng.choice(options)
    new = re.sub(r"\b\d+\b", lambda m: str(int(m[0]) + desk.rng.randrange(1, 9)), old, count=1)
    return old, new
