"""What each tool does in the sandbox: pure Python on small files, no shell, no network, nothing executed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kvassay.grade.schema import schema_fault
from kvassay.loops.replies import Voice, Wrong
from kvassay.loops.tasks import Task
from kvassay.loops.workspace import Refused, Why, Workspace, parts_of
from kvassay.types import Call, JsonObject, OutcomeClass, Tool

MAX_RESULT_CHARS = 2_000
MAX_HITS = 20
_MAX_SHOWN_CHARS = 300

_REFUSALS: Mapping[Why, str] = MappingProxyType(
    {
        Why.OUTSIDE: "the path leads out of the working directory",
        Why.DIRECTORY: "this is a directory",
        Why.LINK: "links are not followed",
        Why.BINARY: "this is no text file",
        Why.TOO_LARGE: "the file is too large",
        Why.FULL: "the working directory is full",
    }
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a call brought: the text that the model is shown, and what was wrong, if anything."""

    text: str
    wrong: Wrong | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """Where calls are carried out: an episode's files, its task's tests, and the agent that answers."""

    workspace: Workspace
    task: Task
    voice: Voice
    tools: Mapping[str, Tool]


def carry_out(call: Call, bench: Bench) -> Result:
    """Carry one call out. Total: whatever is wrong with it becomes the agent's reply. A parameter that the schema does
    not know is passed over, as agents do.
    """
    tool = bench.tools.get(call.name)
    if tool is None:
        names = ", ".join(bench.tools)
        return _wrong(bench, Wrong.UNKNOWN_TOOL, tool=call.name, tools=names)
    fault = schema_fault(tool, call.arguments)
    if fault and fault.kind is not OutcomeClass.HALLUCINATED_PARAM:
        shown = json.dumps(call.arguments, indent=2, ensure_ascii=False)
        return _wrong(bench, Wrong.BAD_ARGUMENTS, tool=call.name, problem=fault.detail, arguments=shown)
    action = ACTIONS.get(call.name)
    if action is None:
        return _wrong(bench, Wrong.OFFLINE, tool=call.name)
    result = action(call.arguments, bench)
    return Result(cut(result.text), result.wrong)


def cut(text: str) -> str:
    """A result as long as it may get."""
    if len(text) <= MAX_RESULT_CHARS:
        return text
    return f"{text[:MAX_RESULT_CHARS]}\n… ({len(text) - MAX_RESULT_CHARS:,} more characters are not shown)"


def _wrong(bench: Bench, wrong: Wrong, **values: str | int) -> Result:
    return Result(cut(bench.voice.say(wrong, **values)), wrong)


def _refused(bench: Bench, refused: Refused) -> Result:
    path = _short(refused.path)
    if refused.why is Why.MISSING:
        return _wrong(bench, Wrong.NO_FILE, path=path)
    return _wrong(bench, Wrong.REFUSED, path=path, problem=_REFUSALS[refused.why])


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[: _MAX_SHOWN_CHARS - 1]}…"


def _read_file(arguments: JsonObject, bench: Bench) -> Result:
    text = bench.workspace.read(str(arguments["file_path"]))
    if isinstance(text, Refused):
        return _refused(bench, text)
    lines = text.splitlines()
    first, last = _whole(arguments.get("start_line"), 1), _whole(arguments.get("end_line"), len(lines))
    return Result("\n".join(lines[max(first, 1) - 1 : max(last, 0)]))


def _list_dir(arguments: JsonObject, bench: Bench) -> Result:
    path = str(arguments["path"])
    inside = _inside(path, bench)
    if isinstance(inside, Result):
        return inside
    rows = [f"{len(text.encode()):>7} {path}" for path, text in inside.items()]
    return Result("\n".join(rows))


def _search_text(arguments: JsonObject, bench: Bench) -> Result:
    """Search for the text as it stands: a pattern of the model's could take for ever."""
    inside = _inside(str(arguments.get("path", ".")), bench)
    if isinstance(inside, Result):
        return inside
    pattern = str(arguments["pattern"])
    found = [f"{path}:{number}: {line.strip()}" for path, number, line in _lines(inside) if pattern in line]
    limit = max(1, min(_whole(arguments.get("max_results"), MAX_HITS), MAX_HITS))
    return Result("\n".join(found[:limit]) or "no matches")


def _find_symbol(arguments: JsonObject, bench: Bench) -> Result:
    name = re.escape(str(arguments["query"]))
    defined = re.compile(rf"(?:def|class)\s+{name}\b|{name}\s*(?::[^=]+)?=[^=]")
    files = bench.workspace.files()
    found = [f"{path}:{number}: {line.strip()}" for path, number, line in _lines(files) if defined.match(line.strip())]
    return Result("\n".join(found[:MAX_HITS]) or "no matches")


def _edit_file(arguments: JsonObject, bench: Bench) -> Result:
    path, old, new = (str(arguments[name]) for name in ("file_path", "old_string", "new_string"))
    text = bench.workspace.read(path)
    if isinstance(text, Refused):
        return _refused(bench, text)
    count = text.count(old) if old else 0
    if count != 1 or old == new:
        wrong = Wrong.NO_MATCH if not count else Wrong.MANY_MATCHES if count > 1 else Wrong.NO_CHANGE
        return _wrong(bench, wrong, path=_short(path), count=count, text=old)
    refused = bench.workspace.write(path, text.replace(old, new))
    return _refused(bench, refused) if refused else Result(f"{path}: 1 replacement made")


def _write_file(arguments: JsonObject, bench: Bench) -> Result:
    path, content = str(arguments["target_file"]), str(arguments["content"])
    refused = bench.workspace.write(path, content)
    return _refused(bench, refused) if refused else Result(f"{path}: {len(content.splitlines())} lines written")


def _run_tests(arguments: JsonObject, bench: Bench) -> Result:
    """Report the project's tests, whichever of them were asked for: they are few."""
    del arguments
    return Result(bench.task.report(bench.workspace.files()))


Action = Callable[[JsonObject, Bench], Result]
ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "read_file": _read_file,
        "list_dir": _list_dir,
        "search_text": _search_text,
        "find_symbol": _find_symbol,
        "edit_file": _edit_file,
        "write_file": _write_file,
        "run_tests": _run_tests,
    }
)
"""What the sandbox can do, by the session's own tool names; the tracker's tools are declared, but offline."""


def _inside(path: str, bench: Bench) -> dict[str, str] | Result:
    """The files at or below a path."""
    parts = parts_of(path)
    if parts is None:
        return _refused(bench, Refused(Why.OUTSIDE, path))
    place = "/".join(parts)
    files = bench.workspace.files()
    found = {name: text for name, text in files.items() if not place or name == place or name.startswith(f"{place}/")}
    return found or _wrong(bench, Wrong.NO_FILE, path=_short(path))


def _lines(files: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    for path, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            yield path, number, line


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
