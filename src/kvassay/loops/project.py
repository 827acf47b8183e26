"""A small Python project read from its texts: what its modules define, import and use. Nothing is executed."""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kvassay.loops.evaluate import Failed, Function, Namespace, Unsupported, Value, call

_BUILT_IN = frozenset(dir(builtins)) | {"__file__"}
_OWN_SCOPE = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Project:
    """The readable modules by path, and what is wrong with the others."""

    modules: Mapping[str, ast.Module]
    unreadable: tuple[str, ...]

    def constant(self, path: str, name: str) -> Value | None:
        """The literal that a module gives a name last; None where it gives none, or one that can't be written out."""
        values = [value for node in self._body(path) for target, value in _assigned(node) if target == name]
        return _literal(values[-1]) if values else None

    def result(self, path: str, name: str, arguments: Sequence[Value]) -> str:
        """What a function returns for these arguments, as ``repr`` writes it. Raises Failed, Unsupported."""
        namespace = self._namespace(path, {})
        if name not in namespace.functions:
            if name in namespace.others:
                raise Unsupported(f"what {name} stands for")
            raise Failed(f"ImportError: cannot import name '{name}' from '{dotted(path)}'")
        found = call(namespace.functions[name], arguments)
        try:
            return repr(found)
        except RecursionError:
            raise Unsupported("values nested that deeply") from None

    def defines(self, path: str, name: str) -> bool:
        """Whether a module has a function of this name."""
        return any(isinstance(node, ast.FunctionDef) and node.name == name for node in self._body(path))

    def uses(self, name: str) -> tuple[str, ...]:
        """The modules in which an identifier occurs, in whatever part."""
        return tuple(path for path, tree in self.modules.items() if name in _identifiers(tree))

    def faults(self) -> tuple[str, ...]:
        """Each error that running the project's modules would begin with, one a line."""
        found = [fault for path in self.modules for fault in (*self._imports(path), *self._unknown(path))]
        return (*self.unreadable, *found)

    def _imports(self, path: str) -> Iterator[str]:
        for node in ast.walk(self.modules[path]):
            match node:
                case ast.Import(names=names):
                    wrong = [self._missing(alias.name) for alias in names]
                case ast.ImportFrom():
                    wrong = [*self._wrong_names(path, node)]
                case _:
                    continue
            yield from (f"{path}:{node.lineno}: {fault}" for fault in wrong if fault)

    def _wrong_names(self, path: str, node: ast.ImportFrom) -> Iterator[str | None]:
        module = _absolute(path, node)
        if module is None:
            yield "ImportError: attempted relative import with no known parent package"
        elif (missing := self._missing(module)) or module.partition(".")[0] not in self._packages():
            yield missing
        elif (target := self._path_of(module)) in self.modules or target is None:
            known = _bound(_top(self._body(target or ""))) | {"*"}
            for alias in node.names:
                if alias.name not in known and self._missing(f"{module}.{alias.name}"):
                    yield f"ImportError: cannot import name '{alias.name}' from '{module}'"

    def _missing(self, module: str) -> str | None:
        """What importing a module of the project's own would say, were it not there."""
        if module.partition(".")[0] not in self._packages() or self._path_of(module):
            return None
        folder = f"{module.replace('.', '/')}/"
        is_folder = any(path.startswith(folder) for path in self._paths())
        return None if is_folder else f"ModuleNotFoundError: No module named '{module}'"

    def _unknown(self, path: str) -> Iterator[str]:
        tree = self.modules[path]
        known = _BUILT_IN | _bound(ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                target = self._path_of(_absolute(path, node) or "")
                if target not in self.modules:
                    return  # whatever that module has is known
                known |= _bound(_top(self._body(target or "")))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
                yield f"{path}:{node.lineno}: NameError: name '{node.id}' is not defined"

    def _namespace(self, path: str, known: dict[str, Namespace]) -> Namespace:
        """What a module's names stand for, read once for all that import it. In a circle of imports a module is as far
        as it has come, as it is in Python.
        """
        if path in known:
            return known[path]
        if path not in self.modules:
            raise Failed(next((line for line in self.unreadable if line.startswith(path)), f"no module {path}"))
        names = known[path] = Namespace(others=_bound(_top(self._body(path))))
        for node in self._body(path):
            if isinstance(node, ast.FunctionDef):
                names.functions[node.name] = Function(node, names)
            elif isinstance(node, ast.ImportFrom):
                target = self._path_of(_absolute(path, node) or "")
                if target:
                    self._import(node, self._namespace(target, known), names)
            for name, expression in _assigned(node):
                if (value := _literal(expression)) is not None:
                    names.values[name] = value
                else:
                    names.values.pop(name, None)
        return names

    def _import(self, node: ast.ImportFrom, other: Namespace, names: Namespace) -> None:
        for alias in node.names:
            if alias.name == "*":
                names.functions |= {name: one for name, one in other.functions.items() if not name.startswith("_")}
                names.values |= {name: one for name, one in other.values.items() if not name.startswith("_")}
                names.others |= other.others
                continue
            own = alias.asname or alias.name
            if alias.name in other.functions:
                names.functions[own] = other.functions[alias.name]
            elif alias.name in other.values:
                names.values[own] = other.values[alias.name]
            elif alias.name not in other.others:
                raise Failed(f"ImportError: cannot import name '{alias.name}' from '{node.module}'")

    def _body(self, path: str) -> Sequence[ast.stmt]:
        tree = self.modules.get(path)
        return tree.body if tree else ()

    def _path_of(self, module: str) -> str | None:
        place = module.replace(".", "/")
        return next((path for path in (f"{place}/__init__.py", f"{place}.py") if path in self._paths()), None)

    def _paths(self) -> frozenset[str]:
        return frozenset(self.modules) | {line.partition(":")[0] for line in self.unreadable}

    def _packages(self) -> frozenset[str]:
        return frozenset(path.partition("/")[0].removesuffix(".py") for path in self._paths())


def read_project(files: Mapping[str, str]) -> Project:
    """Read every module. Total: what is no Python is told in ``unreadable``."""
    modules: dict[str, ast.Module] = {}
    unreadable: list[str] = []
    for path, text in files.items():
        if path.endswith(".py"):
            try:
                modules[path] = _parsed(text)
            except SyntaxError as error:
                unreadable.append(f"{path}:{error.lineno}: SyntaxError: {error.msg}")
            except (ValueError, RecursionError, MemoryError):
                unreadable.append(f"{path}:1: SyntaxError: it can't be parsed")
    return Project(modules, tuple(unreadable))


def _parsed(text: str) -> ast.Module:
    """The syntax tree of what Python would compile: some errors, as a `return` outside a function, show only there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        compile(tree, "<module>", "exec", dont_inherit=True)
    return tree


def dotted(path: str) -> str:
    """A module's name: ``shop/rates.py`` is ``shop.rates``."""
    return path.removesuffix(".py").replace("/", ".")


def _absolute(path: str, node: ast.ImportFrom) -> str | None:
    """The module that is imported from, by its full name; None where the dots lead out of every package."""
    if not node.level:
        return node.module or ""
    folders = path.split("/")[: -node.level]
    return ".".join([*folders, *([node.module] if node.module else [])]) if folders else None


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value


def _literal(node: ast.expr) -> Value | None:
    """A literal's value; None for what is no literal, can't be written out, or is of a kind that is not worked out."""
    try:
        found: object = ast.literal_eval(node)
        repr(found)  # a number of thousands of digits fails here
    except (ValueError, TypeError):  # TypeError: a list as a key
        return None
    return found if isinstance(found, int | float | str | list | tuple) else None


def _top(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """These statements and what they hold, but for what has a scope of its own."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _OWN_SCOPE):
            waiting += ast.iter_child_nodes(node)


def _bound(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """The names that these statements bind: definitions, imports, targets, parameters."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in names}
            case ast.Assign(targets=targets):
                found |= {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.arg(arg=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.ExceptHandler(name=str() as name):
                found.add(name)
    return frozenset(found)


def _identifiers(tree: ast.Module) -> frozenset[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    aliases = (alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names)
    return frozenset(names) | {alias.name for alias in aliases} | _bound(ast.walk(tree))


def outcome(project: Project, path: str, name: str, arguments: Sequence[Value]) -> str:
    """What calling a function shows: its result, or in words why there is none. Total."""
    try:
        return project.result(path, name, arguments)
    except Failed as failure:
        return str(failure)
    except Unsupported as reason:
        return f"not worked out here: {reason}"
