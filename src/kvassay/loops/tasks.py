"""A task: a small project, a request, and the end state that can be checked without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from kvassay.loops.evaluate import Value
from kvassay.loops.project import Project, dotted, outcome, read_project
from kvassay.types import JsonObject, JsonValue, Message, Probe

WantKind: TypeAlias = Literal["constant", "result", "defined", "gone"]


@dataclass(frozen=True, slots=True)
class Want:
    """One thing that must be true at the end.

    ``constant``: the module at ``path`` gives ``name`` the value whose ``repr`` is ``value``. ``result``: its function
    ``name`` returns that value for ``arguments``. ``defined``: it has a function ``name``. ``gone``: no module has the
    identifier ``name`` any more. ``test`` is the name under which a test report tells it; "" for what no test sees.
    """

    kind: WantKind
    path: str
    name: str
    value: str = ""
    arguments: tuple[Value, ...] = ()
    test: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """``(family, seed)`` fixes it for ever. ``free`` are the paths that may change, or come into being; every other
    file must stay as it was, and every module must remain importable.
    """

    id: str
    family: str
    seed: int
    level: int
    request: str
    files: dict[str, str]
    wants: tuple[Want, ...]
    free: frozenset[str]

    def missing(self, files: Mapping[str, str]) -> tuple[str, ...]:
        """What is not as it must be at the end, in words; empty where the task is done."""
        project = read_project(files)
        unmet = (fault for _, fault in _checked(self.wants, project) if fault)
        return (*project.faults(), *unmet, *self._touched(files))

    def report(self, files: Mapping[str, str]) -> str:
        """What running the project's tests prints, in the form that the session in front shows."""
        project = read_project(files)
        tests = list(_checked([want for want in self.wants if want.test], project))
        faults = project.faults()
        failed = [(test, fault) for test, fault in tests if fault]
        lines = [*(f"ERROR {fault}" for fault in faults), *(f"FAIL {test}\n  {fault}" for test, fault in failed)]
        passed = 0 if faults else len(tests) - len(failed)
        counts = [f"{passed} passed", *([f"{len(failed)} failed"] if failed else []),
                  *([f"{len(faults)} errors"] if faults else [])]  # fmt: skip
        return "\n".join([*lines, ", ".join(counts)])

    def _touched(self, files: Mapping[str, str]) -> Iterator[str]:
        for path in sorted({*self.files, *files} - self.free):
            if path not in files:
                yield f"{path} is gone"
            elif files[path] != self.files.get(path):
                yield f"{path} was {'changed' if path in self.files else 'added'}"


def _checked(wants: Sequence[Want], project: Project) -> Iterator[tuple[str, str | None]]:
    """Each thing that is wanted, by its test's name, and its first fault: what is asked of one function is one test."""
    for _, same in groupby(wants, key=lambda want: (want.kind, want.path, want.name)):
        asked = list(same)
        yield asked[0].test, next((fault for want in asked if (fault := _unmet(want, project))), None)


def _unmet(want: Want, project: Project) -> str | None:
    match want.kind:
        case "constant":
            value = project.constant(want.path, want.name)
            found = "no plain value" if value is None else repr(value)
            return None if found == want.value else f"{dotted(want.path)}.{want.name} is {found}, not {want.value}"
        case "result":
            found = outcome(project, want.path, want.name, want.arguments)
            asked = f"{want.name}({', '.join(map(repr, want.arguments))})"
            return None if found == want.value else f"AssertionError: {asked} == {want.value}, got {found}"
        case "defined":
            return None if project.defines(want.path, want.name) else f"{want.path} does not define {want.name}"
        case "gone":
            places = project.uses(want.name)
            return f"{want.name} still stands in {', '.join(places)}" if places else None


# --------------------------------------------------------------------------- as a probe, for prompts and the store


def to_probe(task: Task, *, form: str = "") -> Probe:
    """The task as the store and the prompts take it. ``form`` shows how a call is written, as the probes do."""
    shown = f"\nThe form of a call:\n{form}" if form else ""
    key: JsonObject = {
        "request": task.request,
        "files": dict(task.files),
        "wants": [_want_json(want) for want in task.wants],
        "free": list[JsonValue](sorted(task.free)),
    }
    message = Message("user", opening(task) + shown)
    return Probe(task.id, task.family, task.seed, (message,), (), level=task.level, key=key)


def opening(task: Task) -> str:
    """What the user says."""
    return (
        "Now something else: a small project of its own, with a working directory of its own. Its files:\n"
        + "\n".join(task.files)
        + f"\n{task.request}\n"
        "Paths are relative to that directory. Use the tools, one call at a time, until it is done."
    )


def from_probe(probe: Probe) -> Task:
    """The inverse of to_probe."""
    files, wants, free = probe.key["files"], probe.key["wants"], probe.key["free"]
    assert isinstance(files, dict)  # noqa: S101  written by to_probe
    assert isinstance(wants, list)  # noqa: S101
    assert isinstance(free, list)  # noqa: S101
    return Task(
        id=probe.id,
        family=probe.family,
        seed=probe.seed,
        level=probe.level,
        request=str(probe.key["request"]),
        files={path: str(text) for path, text in files.items()},
        wants=tuple(_want(item) for item in wants if isinstance(item, dict)),
        free=frozenset(map(str, free)),
    )


def _want_json(want: Want) -> JsonObject:
    return {
        "kind": want.kind, "path": want.path, "name": want.name, "value": want.value,
        "arguments": _plain(want.arguments), "test": want.test,
    }  # fmt: skip


def _plain(values: Sequence[Value]) -> list[JsonValue]:
    return [_plain(value) if isinstance(value, list | tuple) else value for value in values]


def _want(item: JsonObject) -> Want:
    arguments = item["arguments"]
    return Want(**{**item, "arguments": tuple(arguments if isinstance(arguments, list) else ())})  # type: ignore[arg-type]
