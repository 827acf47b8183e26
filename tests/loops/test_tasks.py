"""Tasks: distinct, undone at first, done by the right change, not done by near misses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvassay.loops.families import FAMILIES, draw, make
from kvassay.loops.tasks import Task, from_probe, opening, to_probe
from kvassay.session.scene import Scene

Files = dict[str, str]
SEEDS = range(9)
EVERY = [(family, seed) for family in FAMILIES for seed in SEEDS]


def solved(task: Task) -> Files:
    """The files as a person would leave them, from what the request says."""
    return SOLVERS[task.family](task, dict(task.files))


def _constant(task: Task, files: Files) -> Files:
    for want in task.wants:
        if want.kind == "constant":
            lines = files[want.path].splitlines()
            files[want.path] = "\n".join(
                f"{want.name} = {want.value}" if line.startswith(f"{want.name} = ") else line for line in lines
            ) + "\n"  # fmt: skip
    return files


def _rename(task: Task, files: Files) -> Files:
    new, old = task.wants[0].name, task.wants[1].name
    keep = {path: text.replace(f"{old}_all", "@") for path, text in files.items()}
    return {path: text.replace(old, new).replace("@", f"{old}_all") for path, text in keep.items()}


def _bug(task: Task, files: Files) -> Files:
    for path in task.free:
        lines = files[path].splitlines()
        for at, line in enumerate(lines):
            if '"""Return ' in line:
                meaning = line.partition("Return ")[2].removesuffix('."""')
                lines[at + 1] = f"    return {RIGHT[meaning]}"
        files[path] = "\n".join(lines) + "\n"
    return files


RIGHT = {
    "the sum of a and b": "b + a",
    "the product of a and b": "a * b",
    "the larger of a and b": "a if a > b else b",
    "the sum of the items": "sum(items)",
    "the last of the items": "items[len(items) - 1]",
    "the number of items": "len(items)",
    "a less b": "-b + a",
    "whether a is even": "a % 2 == 0",
}


def _imports(task: Task, files: Files) -> Files:
    moved = next(path for path, text in task.files.items() if text.startswith("def "))
    module, name = moved.removesuffix(".py").replace("/", "."), task.files[moved].split("(")[0].removeprefix("def ")
    for path in task.free:
        old = files[path].splitlines()[0]
        kept = old.replace(f", {name}", "") + "\n" if "," in old else ""
        files[path] = files[path].replace(old + "\n", f"{kept}from {module} import {name}\n")
    return files


def _create(task: Task, files: Files) -> Files:
    want, *_ = task.wants
    rest = [other for other in task.wants if other.path != want.path]
    known_path = next(iter(files))
    known = files[known_path].split("(")[0].removeprefix("def ")
    times = task.request.split(" times ")[1].split(",")[0].split(".")[0]
    body = f"n * {times}" if task.level == 1 else f"{known}(n) * {times}"
    head = "" if task.level == 1 else f"from {known_path.removesuffix('.py').replace('/', '.')} import {known}\n\n\n"
    files[want.path] = f"{head}def {want.name}(n):\n    return {body}\n"
    for other in rest:
        module = want.path.removesuffix(".py").replace("/", ".")
        files[other.path] = f"from {module} import {want.name}\n\n\ndef {other.name}(n):\n    return {want.name}(n)\n"
    return files


SOLVERS: dict[str, Callable[[Task, Files], Files]] = {
    "constant": _constant, "rename": _rename, "bug": _bug, "imports": _imports, "create": _create,
}  # fmt: skip


@pytest.mark.parametrize(("family", "seed"), EVERY)
def test_the_right_end_state_is_accepted_and_only_it(family: str, seed: int) -> None:
    """Undone at first; done when solved; undone again with any other file changed, a file gone, or a syntax error."""
    task = make(family, seed)
    files = solved(task)
    assert task.missing(task.files)
    assert task.missing(files) == ()
    assert task.missing({**files, "extra.py": "x = 1\n"}) == ("extra.py was added",)
    for path in files:
        assert task.missing({**files, path: "def (:\n"})
        assert task.missing({name: text for name, text in files.items() if name != path})
    for path in set(task.files) - task.free:
        assert f"{path} was changed" in task.missing({**files, path: files[path] + "# noted\n"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_half_done_is_not_done(family: str) -> None:
    """At level 3 several files must change: with any one of them as it was, the task is open."""
    for seed in (2, 5, 8):
        task = make(family, seed)
        files = solved(task)
        changed = [path for path in files if files[path] != task.files.get(path)]
        assert task.level == 3
        assert len(changed) > 1 or family == "bug"
        for path in changed:
            undone = (
                {**files, path: task.files[path]} if path in task.files else {k: files[k] for k in files if k != path}
            )
            assert task.missing(undone)


def _everywhere(old: str, new: str) -> Callable[[Task, Files], Files]:
    """Replace a text in the files that may change; ``@0`` and ``@1`` are the names of the task's first two wants."""

    def spoil(task: Task, files: Files) -> Files:
        names = {f"@{at}": want.name for at, want in enumerate(task.wants[:2])} | {"@value": task.wants[0].value}
        before, after = old, new
        for mark, name in names.items():
            before, after = before.replace(mark, name), after.replace(mark, name)
        return {path: text.replace(before, after) if path in task.free else text for path, text in files.items()}

    return spoil


@pytest.mark.parametrize(
    ("family", "seed", "near_miss"),
    [
        ("constant", 0, _everywhere(" = @value", ' = "@value"')),  # a string, not the number
        ("constant", 1, _everywhere("@0_MAX", "OTHER")),  # the constant of a similar name is gone
        ("rename", 1, _everywhere("@1_all", "@0_all")),  # the function of a similar name was renamed too
        ("rename", 0, _everywhere("def @0(", "@1 = None\n\n\ndef @0(")),  # the old name is kept
        ("rename", 1, _everywhere("import @0", "import @0 as @1")),  # the new function under the old name
        ("bug", 1, _everywhere("return", "return 0 *")),  # nothing, for every argument
        ("create", 0, _everywhere("return n *", "return 1 + n *")),  # off by one
    ],
)
def test_near_misses_are_refused(family: str, seed: int, near_miss: Callable[[Task, Files], Files]) -> None:
    task = make(family, seed)
    spoilt = near_miss(task, solved(task))
    assert spoilt != solved(task)
    assert task.missing(spoilt)


@pytest.mark.parametrize(("family", "seed"), EVERY)
def test_the_tests_say_what_is_wrong_and_then_that_nothing_is(family: str, seed: int) -> None:
    task = make(family, seed)
    report, after = task.report(task.files), task.report(solved(task))
    assert "failed" in report or family == "rename"  # a rename breaks nothing while it has not begun
    assert "FAIL" not in after
    assert "ERROR" not in after
    assert after.endswith(" passed")


@pytest.mark.parametrize(("family", "seed"), EVERY)
def test_a_constant_answer_is_none(family: str, seed: int) -> None:
    """A function that returns what is right for one input is wrong for others."""
    task = make(family, seed)
    files = solved(task)
    for want in task.wants:
        if want.kind == "result":
            constant = f"\n\ndef {want.name}(a, b=0):\n    return {want.value}\n"
            assert task.missing({**files, want.path: files[want.path] + constant})


def test_several_inputs_of_one_function_are_one_test() -> None:
    """A report counts and shows a test once, by its first fault; so does what is missing at the end."""
    task = make("create", 0)
    path, name = task.wants[0].path, task.wants[0].name
    wrong = {**task.files, path: f"def {name}(n):\n    return -1\n"}
    assert len(task.wants) > 1
    assert len(task.missing(wrong)) == 1
    assert task.report(wrong).splitlines()[0] == f"FAIL test_{name}"
    assert task.report(wrong).endswith("\n0 passed, 1 failed")


def test_a_rename_that_forgets_a_module_shows_in_the_tests() -> None:
    task = make("rename", 1)
    files = solved(task)
    other = min(set(files) - {task.wants[0].path})
    report = task.report({**files, other: task.files[other]})
    assert "ImportError: cannot import name" in report
    assert "1 errors" in report


def _user(task: Task) -> tuple[str, str, str]:
    """Of a level 1 import task: the importing module, the right import's module and name."""
    path = next(iter(task.free))
    _, module, _, name = solved(task)[path].splitlines()[0].split()
    return path, module, name


@pytest.mark.parametrize(
    "line",
    [
        "from .{own} import {name}",
        "from {module} import *",
        "from {module} import (\n    {name},\n)",
        "from {module} import {name}\nfrom {package} import {own}",
        "import {module}\nfrom {module} import {name}",
        "from {module} import {name}\nHERE = __file__",
    ],
)
def test_an_import_counts_however_python_lets_it_be_written(line: str) -> None:
    task = make("imports", 0)
    path, module, name = _user(task)
    package, own = module.split(".")
    head, rest = solved(task)[path].split("\n", 1)
    assert name in head
    written = line.format(module=module, name=name, package=package, own=own)
    assert task.missing({**solved(task), path: f"{written}\n{rest}"}) == ()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("import {package}.nowhere", "ModuleNotFoundError: No module named '{package}.nowhere'"),
        ("from .nowhere import x", "ModuleNotFoundError: No module named '{package}.nowhere'"),
        ("from {package} import nowhere", "ImportError: cannot import name 'nowhere' from '{package}'"),
        ("from ... import x", "ImportError: attempted relative import with no known parent package"),
        ("return 5", "SyntaxError: 'return' outside function"),
        ("def twice(a, a):\n    return a", "SyntaxError: duplicate argument 'a' in function definition"),
        ("break", "SyntaxError: 'break' outside loop"),
    ],
)
def test_a_module_that_python_would_not_load_is_not_done(line: str, fault: str) -> None:
    task = make("imports", 0)
    path, module, _ = _user(task)
    package = module.split(".")[0]
    written = solved(task)[path] + line.format(package=package) + "\n"
    assert any(fault.format(package=package) in one for one in task.missing({**solved(task), path: written}))


def test_a_module_with_a_syntax_error_is_not_said_to_be_missing() -> None:
    task = make("imports", 0)
    _, module, _ = _user(task)
    faults = task.missing({**solved(task), f"{module.replace('.', '/')}.py": "def (:\n"})
    assert any("SyntaxError" in fault for fault in faults)
    assert not any("No module named" in fault for fault in faults)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("T = 2 + 3", "what T stands for"),
        ("T = {3: 9}", "what T stands for"),
        ("try:\n    from math import T\nexcept ImportError:\n    T = 3", "what T stands for"),
    ],
)
def test_what_is_not_worked_out_is_not_called_undefined(head: str, words: str) -> None:
    task = make("create", 0)
    path, name = task.wants[0].path, task.wants[0].name
    (fault,) = task.missing({**task.files, path: f"{head}\n\n\ndef {name}(n):\n    return n * T\n"})
    assert fault.endswith(f"not worked out here: {words}")


@pytest.mark.parametrize("value", ["7 + 1", "int(8)"])
def test_a_constant_that_is_worked_out_is_not_said_to_be_none(value: str) -> None:
    task = make("constant", 0)
    want = task.wants[0]
    text = "\n".join(
        f"{want.name} = {value}" if line.startswith(f"{want.name} =") else line
        for line in task.files[want.path].splitlines()
    )
    assert f"{want.name} is no plain value, not {want.value}" in task.missing({**task.files, want.path: text})[0]


def test_modules_that_import_each_other_are_read_once_each() -> None:
    """Twelve that all import all others would be read millions of times along every way."""
    many = {
        f"m{at}.py": "".join(f"from m{other} import f{other}\n" for other in range(12) if other != at)
        + f"def f{at}(n):\n    return n\n"
        for at in range(12)
    }
    task = make("create", 0)
    files = solved(task)
    path = task.wants[0].path
    assert "m0.py was added" in task.missing({**files, **many, path: f"from m0 import f0\n{files[path]}"})


@pytest.mark.parametrize("depth", [900, 990, 1500, 2900])
def test_code_however_deep_ends_no_run(depth: int) -> None:
    task = make("create", 0)
    path, name = task.wants[0].path, task.wants[0].name
    nested = f"def {name}(n):\n    a = []\n    for i in range({depth}):\n        a = [a]\n    return a\n"
    assert task.missing({**task.files, path: nested})
    assert task.missing({**task.files, path: f"Z = {'-' * depth}1\n"})


def test_warnings_of_python_about_a_models_code_reach_no_terminal(recwarn: pytest.WarningsRecorder) -> None:
    task = make("create", 0)
    files = solved(task)
    path = task.wants[0].path
    assert task.missing({**files, path: files[path] + 'Z = "\\d" is 3\n'}) == ()
    assert not recwarn.list


def test_a_level_3_bug_is_not_mended_where_it_shows() -> None:
    """The tested function may be changed too: what counts is what it returns."""
    task = make("bug", 2)
    home = task.wants[0].path
    assert len(task.free) == 2
    assert task.missing({**task.files, home: task.files[home] + "\n"})


@pytest.mark.parametrize("value", ["{[1]: 2}", "{{1}: 2}", f"0x{'f' * 6000}", f"[0x{'f' * 6000}]", "1e999", "b'\\xff'"])
def test_a_constant_that_is_no_plain_value_is_a_wrong_one(value: str) -> None:
    """Whatever a model writes there, the end state can be told."""
    task = make("constant", 0)
    want = task.wants[0]
    text = "\n".join(
        f"{want.name} = {value}" if line.startswith(want.name) else line for line in task.files[want.path].splitlines()
    )
    assert any(want.name in fault for fault in task.missing({**task.files, want.path: text}))


def test_tasks_are_distinct_and_fixed_by_family_and_seed() -> None:
    tasks = [make(family, seed) for family, seed in EVERY]
    assert len({opening(task) for task in tasks}) == len(tasks) >= 20
    assert tasks == [make(family, seed) for family, seed in EVERY]


@pytest.mark.parametrize(("family", "seed"), EVERY)
def test_a_task_survives_the_store(family: str, seed: int) -> None:
    task = make(family, seed)
    assert from_probe(to_probe(task, form="<call>")) == task


def test_a_run_draws_as_many_of_each_family_and_only_its_levels() -> None:
    scene = Scene((), (), (), ())
    probes = draw(scene, families=tuple(FAMILIES), per_family=4, seed=3, levels=(1, 2))
    assert [sum(probe.family == family for probe in probes) for family in FAMILIES] == [4] * len(FAMILIES)
    assert {probe.level for probe in probes} == {1, 2}
    assert (
        draw(scene, families=("bug",), per_family=2, seed=3, levels=(1, 2))
        == tuple(probe for probe in probes if probe.family == "bug")[:2]
    )


def test_model_code_is_never_executed(tmp_path: object) -> None:
    """A module that would leave a trace when run leaves none, and the task is judged all the same."""
    task = make("bug", 0)
    files = solved(task)
    path = next(iter(task.free))
    trace = f"{tmp_path}/trace"
    files[path] += f"\n\nopen({trace!r}, 'w').write('run')\n"
    task.missing(files)
    task.report(files)
    with pytest.raises(FileNotFoundError):
        open(trace)  # noqa: PTH123, SIM115
