"""A small Python project read from its texts: what its modules define, import and use. Nothing is executed."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kvassay.loops.evaluate import Failed, Function, Namespace, Unsupported, Value, call

_BUILT_IN = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Project:
    """The readable modules by path, and what is wrong with the others."""

    modules: Mapping[str, ast.Module]
    unreadable: tuple[str, ...]

    def constant(self, path: str, name: str) -> Value | None:
        """The literal that a module gives a name last; None where it gives none, or one that can't be written out."""
        values = [value for target, value in _assigned(self.modules.get(path)) if target == name]
        try:
            found: Value = ast.literal_eval(values[-1]) if values else None
            repr(found)  # a number of thousands of digits fails here
        except (ValueError, TypeError):  # TypeError: a list as a key
            return None
        return found

    def result(self, path: str, name: str, arguments: Sequence[Value]) -> str:
        """What a function returns for these arguments, as ``repr`` writes it. Raises Failed, Unsupported."""
        namespace = self._namespace(path, ())
        if name not in namespace.functions:
            raise Failed(f"ImportError: cannot import name '{name}' from '{dotted(path)}'")
        return repr(call(namespace.functions[name], arguments))

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
            if not isinstance(node, ast.ImportFrom) or node.level or node.module is None:
                continue
            target = self._path_of(node.module)
            if target is None and node.module.partition(".")[0] in self._packages():
                yield f"{path}:{node.lineno}: ModuleNotFoundError: No module named '{node.module}'"
            elif target is not None:
                known = _bound(self._body(target))
                for alias in node.names:
                    if alias.name not in known:
                        what = f"ImportError: cannot import name '{alias.name}' from '{node.module}'"
                        yield f"{path}:{node.lineno}: {what}"

    def _unknown(self, path: str) -> Iterator[str]:
        tree = self.modules[path]
        known = _BUILT_IN | _bound(ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in known:
                yield f"{path}:{node.lineno}: NameError: name '{node.id}' is not defined"

    def _namespace(self, path: str, seen: tuple[str, ...]) -> Namespace:
        """What a module's names stand for. A circle of imports ends where it began, as it does in Python."""
        if path not in self.modules:
            raise Failed(next((line for line in self.unreadable if line.startswith(path)), f"no module {path}"))
        names = Namespace()
        for node in self._body(path):
            if isinstance(node, ast.FunctionDef):
                names.functions[node.name] = Function(node, names)
            elif isinstance(node, ast.ImportFrom):
                target = self._path_of(node.module or "")
                if target and target not in seen:
                    self._import(node, target, names, (*seen, path))
        names.values |= {name: value for name, _ in _assigned(self.modules[path])
                         if (value := self.constant(path, name)) is not None}  # fmt: skip
        return names

    def _import(self, node: ast.ImportFrom, target: str, names: Namespace, seen: tuple[str, ...]) -> None:
        other = self._namespace(target, seen)
        for alias in node.names:
            own = alias.asname or alias.name
            if alias.name in other.functions:
                names.functions[own] = other.functions[alias.name]
            elif alias.name in other.values:
                names.values[own] = other.values[alias.name]
            else:
                raise Failed(f"ImportError: cannot import name '{alias.name}' from '{node.module}'")

    def _body(self, path: str) -> Sequence[ast.stmt]:
        tree = self.modules.get(path)
        return tree.body if tree else ()

    def _path_of(self, module: str) -> str | None:
        path = f"{module.replace('.', '/')}.py"
        return path if path in self.modules else None

    def _packages(self) -> frozenset[str]:
        return frozenset(path.partition("/")[0].removesuffix(".py") for path in self.modules)


def read_project(files: Mapping[str, str]) -> Project:
    """Read every module. Total: what is no Python is told in ``unreadable``."""
    modules: dict[str, ast.Module] = {}
    unreadable: list[str] = []
    for path, text in files.items():
        if path.endswith(".py"):
            try:
                modules[path] = ast.parse(text)
            except SyntaxError as error:
                unreadable.append(f"{path}:{error.lineno}: SyntaxError: {error.msg}")
            except (ValueError, RecursionError, MemoryError):
                unreadable.append(f"{path}:1: SyntaxError: it can't be parsed")
    return Project(modules, tuple(unreadable))


def dotted(path: str) -> str:
    """A module's name: ``shop/rates.py`` is ``shop.rates``."""
    return path.removesuffix(".py").replace("/", ".")


def _assigned(tree: ast.Module | None) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body if tree else ():
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _bound(nodes: Sequence[ast.stmt] | Iterator[ast.AST]) -> frozenset[str]:
    """The names that these statements bind: definitions, imports, targets, parameters."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
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
