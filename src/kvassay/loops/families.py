"""The families of tasks, drawn by seed: each makes a small Python project and what is to become of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from kvassay.loops.evaluate import Value
from kvassay.loops.tasks import Task, Want, to_probe
from kvassay.probe.base import numbers_of
from kvassay.session.scene import Scene
from kvassay.types import Probe

LEVELS = (1, 2, 3)

_PACKAGES = ("shop", "ledger", "fleet", "depot", "kiosk", "garden", "harbour", "atlas", "foundry", "clinic")
_TOPICS = ("rates", "stock", "routes", "orders", "billing", "slots", "quotas", "weights", "labels", "timing")
_NOUNS = ("limit", "retries", "window", "batch", "margin", "timeout", "depth", "budget", "offset", "quota")
_VERBS = ("compute", "collect", "resolve", "merge", "scale", "split", "check", "pick", "count", "adjust")
_THINGS = ("total", "share", "price", "route", "load", "index", "delay", "score", "range", "level")

_ASKED = range(3, 100)
_INPUTS = 3


class _Names(NamedTuple):
    """A project's own words. ``functions`` are four distinct names."""

    package: str
    modules: tuple[str, ...]
    functions: tuple[str, ...]
    constants: tuple[str, ...]

    def path(self, index: int) -> str:
        return f"{self.package}/{self.modules[index]}.py"

    def test(self, index: int) -> str:
        return f"tests/test_{self.modules[index]}.py"

    def imported(self, index: int) -> str:
        return f"{self.package}.{self.modules[index]}"


Maker = Callable[[random.Random, _Names, int], tuple[str, dict[str, str], tuple[Want, ...], set[str]]]


class _Formula(NamedTuple):
    """A right body and a broken one, with arguments that tell them apart."""

    parameters: str
    right: str
    wrong: str
    meaning: str
    examples: tuple[tuple[tuple[Value, ...], Value], ...]


_FORMULAS = (
    _Formula("a, b", "a + b", "a - b", "the sum of a and b", (((2, 3), 5), ((7, 1), 8))),
    _Formula("a, b", "a * b", "a + b", "the product of a and b", (((2, 3), 6), ((7, 1), 7))),
    _Formula("a, b", "max(a, b)", "min(a, b)", "the larger of a and b", (((2, 3), 3), ((7, 1), 7))),
    _Formula("items", "sum(items)", "len(items)", "the sum of the items", ((([3, 4],), 7), (([5],), 5))),
    _Formula("items", "items[-1]", "items[0]", "the last of the items", ((([3, 4],), 4), (([5, 6, 9],), 9))),
    _Formula("items", "len(items)", "len(items) - 1", "the number of items", ((([3, 4],), 2), (([5],), 1))),
    _Formula("a, b", "a - b", "b - a", "a less b", (((9, 4), 5), ((2, 6), -4))),
    _Formula("a", "a % 2 == 0", "a % 2 == 1", "whether a is even", (((4,), True), ((7,), False))),
)  # fmt: skip


def _returns(
    dice: random.Random, path: str, name: str, rule: Callable[[int], int], *, test: str = "", listed: bool = False
) -> list[Want]:
    """The function must follow ``rule`` for several numbers, drawn: one answer for all of them is none. ``listed``: it
    takes a list of the number and 2.
    """
    numbers = dice.sample(_ASKED, _INPUTS)
    return [Want("result", path, name, repr(rule(n)), ([n, 2] if listed else n,), test=test) for n in numbers]


def _constant(dice: random.Random, names: _Names, level: int) -> tuple[str, dict[str, str], tuple[Want, ...], set[str]]:
    """A constant has another value. From level 2 on its place must be found; at level 3 two of them change, and a
    constant of a similar name stays.
    """
    first, second = names.constants[:2]
    old, new = dice.sample(range(3, 90), 2)
    other_old, other_new = dice.sample(range(100, 400), 2)
    files = {
        names.path(0): f'"""Settings."""\n\n{first} = {old}\n{first}_MAX = {old + 90}\nNAME = "{names.package}"\n',
        names.path(1): f"from {names.imported(0)} import {first}\n\n{second} = {other_old}\n\n\n"
        f"def {names.functions[0]}(n):\n    return n * {first}\n",
    }  # fmt: skip
    wants = [
        Want("constant", names.path(0), first, repr(new), test=f"test_{first.lower()}"),
        Want("constant", names.path(0), f"{first}_MAX", repr(old + 90), test=f"test_{first.lower()}_max"),
        Want("constant", names.path(1), second, repr(other_new if level == 3 else other_old)),  # noqa: PLR2004
    ]
    if level == 3:  # noqa: PLR2004
        wants += _returns(dice, names.path(1), names.functions[0], lambda n: n * new)
    free = {names.path(0), *({names.path(1)} if level == 3 else ())}  # noqa: PLR2004
    request = {
        1: f"In {names.path(0)}, change the line `{first} = {old}` to `{first} = {new}`.",
        2: f"Set the constant {first} to {new}, wherever it is defined.",
        3: f"Set the constant {first} to {new} and the constant {second} to {other_new}, wherever they are defined.",
    }[level]
    return request, files, tuple(wants), free


def _rename(dice: random.Random, names: _Names, level: int) -> tuple[str, dict[str, str], tuple[Want, ...], set[str]]:
    """A function has another name, everywhere: in one, two or three modules; at level 3 one of a similar name stays."""
    old, new = names.functions[:2]
    more = dice.randrange(2, 20)
    own = f"def {old}(n):\n    return n + {more}\n\n\ndef {old}_all(items):\n    return sum(items) + {old}(1)\n"
    files = {names.path(0): own}
    if level > 1:
        files[names.path(1)] = (
            f"from {names.imported(0)} import {old}\n\n\ndef {names.functions[2]}(n):\n    return {old}(n) * 2\n"
        )
    if level == 3:  # noqa: PLR2004
        files[names.path(2)] = (
            f"from {names.imported(0)} import {old}, {old}_all\n\n\n"
            f"def {names.functions[3]}(items):\n    return {old}(items[0]) + {old}_all(items)\n"
        )
    where = f" in {names.path(0)}" if level == 1 else ""
    request = (
        f"Rename the function {old}{where} to {new}, everywhere it is used. {old}_all is another function: it keeps "
        "its name."
    )
    wants = [
        Want("defined", names.path(0), new),
        Want("gone", names.path(0), old),
        *_returns(dice, names.path(0), new, lambda n: n + more),
        *_returns(dice, names.path(0), f"{old}_all", lambda n: n + 3 + more, test=f"test_{old}_all", listed=True),
    ]
    if level > 1:
        user = names.functions[2]
        wants += _returns(dice, names.path(1), user, lambda n: (n + more) * 2, test=f"test_{user}")
    if level == 3:  # noqa: PLR2004
        user = names.functions[3]
        wants += _returns(dice, names.path(2), user, lambda n: (n + more) * 2 + 3, test=f"test_{user}", listed=True)
    return request, files, tuple(wants), set(files)


def _bug(dice: random.Random, names: _Names, level: int) -> tuple[str, dict[str, str], tuple[Want, ...], set[str]]:
    """A test fails. Level 1 says where and why; level 2 only that it does; at level 3 the fault is in a function that
    the tested one calls, in another module.
    """
    tested, helper, other = names.functions[:3]
    formula = dice.choice(_FORMULAS)
    given = formula.parameters
    faulty = helper if level == 3 else tested  # noqa: PLR2004
    source = f'def {faulty}({given}):\n    """Return {formula.meaning}."""\n    return {formula.wrong}\n'
    more = dice.randrange(2, 9)
    spare = f"\n\ndef {other}(n):\n    return n + {more}\n"
    test_lines = "".join(
        f"    assert {tested}({', '.join(map(repr, given_values))}) == {value!r}\n"
        for given_values, value in formula.examples
    )
    files = {names.path(0): source + spare}
    home = 0
    if level == 3:  # noqa: PLR2004
        home = 1
        files[names.path(1)] = (
            f"from {names.imported(0)} import {helper}\n\n\ndef {tested}({given}):\n    return {helper}({given})\n"
        )
    test = names.test(home)
    files[test] = f"from {names.imported(home)} import {tested}\n\n\ndef test_{tested}():\n{test_lines}"
    request = {
        1: f"{test} fails: {tested} in {names.path(0)} must return {formula.meaning}. Correct that function; leave the "
        "test as it is.",
        2: f"The test {test} fails. Make it pass; leave the test as it is.",
        3: f"The test {test} fails. Make it pass; leave the test as it is.",
    }[level]
    wants = [
        Want("result", names.path(home), tested, repr(value), values, test=f"test_{tested}")
        for values, value in formula.examples
    ]
    wants += _returns(dice, names.path(0), other, lambda n: n + more)
    return request, files, tuple(wants), set(files) - {test}


def _imports(dice: random.Random, names: _Names, level: int) -> tuple[str, dict[str, str], tuple[Want, ...], set[str]]:
    """A module imports a function from where it no longer is. From level 2 on the right place must be found; at level 3
    two modules are wrong.
    """
    moved, user, second_user = names.functions[:3]
    more = dice.randrange(2, 20)
    old, new, using, also = (names.imported(0), names.imported(1), names.path(2), names.path(3))
    files = {
        names.path(0): f"LIMIT = {more * 3}\n",
        names.path(1): f"def {moved}(n):\n    return n + {more}\n",
        using: f"from {old} import {moved}\n\n\ndef {user}(n):\n    return {moved}(n) * 2\n",
    }
    wants = _returns(dice, using, user, lambda n: (n + more) * 2, test=f"test_{user}")
    if level == 3:  # noqa: PLR2004
        files[also] = f"from {old} import LIMIT, {moved}\n\n\ndef {second_user}(n):\n    return {moved}(n) - LIMIT\n"
        wants += _returns(dice, also, second_user, lambda n: n + more - more * 3, test=f"test_{second_user}")
    request = {
        1: f"{using} fails with \"ImportError: cannot import name '{moved}' from '{old}'\": the function now lives in "
        f"{new}. Correct the import in {using}.",
        2: f"The function {moved} has moved to another module, and {using} still imports it from {old}. Correct that "
        "import.",
        3: f"The function {moved} has moved to another module, and some modules still import it from {old}. Correct "
        "those imports; change nothing else.",
    }[level]
    return request, files, tuple(wants), {using, *({also} if level == 3 else ())}  # noqa: PLR2004


def _create(dice: random.Random, names: _Names, level: int) -> tuple[str, dict[str, str], tuple[Want, ...], set[str]]:
    """A new module with one function. From level 2 on it builds on a function that must be looked up; at level 3 an
    existing module has to use it.
    """
    wanted, known, user = names.functions[:3]
    more, times = dice.randrange(2, 20), dice.randrange(2, 9)
    target, old = names.path(1), names.path(0)
    files = {old: f"def {known}(n):\n    return n + {more}\n"}
    body = f"n times {times}" if level == 1 else f"{known}(n) times {times}, where {known} is the function in {old}"
    request = f"Create the file {target} with a function {wanted}(n) that returns {body}."
    rule = (lambda n: n * times) if level == 1 else (lambda n: (n + more) * times)
    wants = _returns(dice, target, wanted, rule, test=f"test_{wanted}")
    free = {target}
    if level == 3:  # noqa: PLR2004
        using = names.path(2)
        files[using] = f"def {user}(n):\n    return n\n"
        request += f" Then let {user}(n) in {using} return {wanted}(n)."
        wants += _returns(dice, using, user, rule, test=f"test_{user}")
        free.add(using)
    return request, files, tuple(wants), free


FAMILIES: dict[str, Maker] = {
    "constant": _constant,
    "rename": _rename,
    "bug": _bug,
    "imports": _imports,
    "create": _create,
}
"""Name → what makes (request, files, wants, files that may change) from dice, names and a level of ``LEVELS``."""


def make(family: str, seed: int) -> Task:
    """The task that ``(family, seed)`` fixes; the seed fixes its level too: runs with other levels share tasks."""
    dice = random.Random(f"loops/{family}/{seed}")  # noqa: S311  reproducible, not secret
    level = LEVELS[seed % len(LEVELS)]
    request, files, wants, free = FAMILIES[family](dice, _names(dice), level)
    return Task(f"{family}/{seed}", family, seed, level, request, files, wants, frozenset(free))


def draw(
    scene: Scene,
    *,
    families: Sequence[str],
    per_family: int,
    seed: int,
    rung: int = 0,
    levels: Sequence[int],
    form: str = "",
) -> tuple[Probe, ...]:
    """Distinct tasks, ``per_family`` of each family: what `kvassay.probe.draw` is for probes. The session in front does
    not matter to them.
    """
    del scene
    numbers = [number for number in numbers_of(seed, rung)[: 60 * per_family] if LEVELS[number % len(LEVELS)] in levels]
    tasks = (make(family, number) for family in families for number in islice(numbers, per_family))
    return tuple(to_probe(task, form=form) for task in tasks)


def _names(dice: random.Random) -> _Names:
    functions = dice.sample([f"{verb}_{thing}" for verb in _VERBS for thing in _THINGS], 4)
    constants = dice.sample([noun.upper() for noun in _NOUNS], 3)
    return _Names(dice.choice(_PACKAGES), tuple(dice.sample(_TOPICS, 4)), tuple(functions), tuple(constants))
