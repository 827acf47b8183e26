"""What a small Python function returns, worked out from its syntax tree: a model's code is never executed.

Numbers, strings, lists and tuples; assignments, `if`, `for`, `return`; calls of the project's own functions and of a
few harmless built-ins. Everything else, and everything that takes long or grows large, is refused.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

Value: TypeAlias = "int | float | str | bool | list[Value] | tuple[Value, ...] | None"

MAX_STEPS = 5_000
MAX_ITEMS = 1_000
MAX_NUMBER = 1e15
MAX_DIGITS = 30
MAX_CALLS = 30

_BINARY: Mapping[type[ast.operator], Callable[..., Value]] = MappingProxyType({
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
})  # fmt: skip
_COMPARED: Mapping[type[ast.cmpop], Callable[..., bool]] = MappingProxyType({
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_, ast.IsNot: operator.is_not,
})  # fmt: skip
_UNARY: Mapping[type[ast.unaryop], Callable[..., Value]] = MappingProxyType(
    {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
)


def _range(*bounds: int) -> Value:
    found = range(*bounds)
    if len(found) > MAX_ITEMS:
        raise Unsupported("a range that long")
    return [*found]


def _round(number: float, digits: int | None = None) -> Value:
    if digits is not None and abs(digits) > MAX_DIGITS:  # Python would work out ten to that power
        raise Unsupported("that many digits")
    return round(number) if digits is None else round(number, digits)


_BUILT_IN: Mapping[str, Callable[..., Value]] = MappingProxyType({
    "len": len, "min": min, "max": max, "sum": sum, "abs": abs, "round": _round, "int": int, "float": float,
    "sorted": sorted, "list": list, "tuple": tuple, "range": _range, "bool": bool,
})  # fmt: skip


_KNOWN = frozenset(dir(builtins))


class Unsupported(Exception):
    """The code holds something that is not worked out here, or that takes too long."""


class Failed(Exception):
    """The code itself fails, as Python would: the message is what a test report would say."""


class _Returned(Exception):
    def __init__(self, value: Value) -> None:
        self.value = value


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the project and the names that its module knows: ``namespace`` grows as modules are read."""

    definition: ast.FunctionDef
    namespace: Namespace


@dataclass(slots=True)
class Namespace:
    """What a module's names stand for: constants as values, functions. ``others`` are bound to what is not worked out
    here; those in ``values`` or ``functions`` may be among them.
    """

    values: dict[str, Value] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    others: frozenset[str] = frozenset()


def call(function: Function, arguments: Sequence[Value]) -> Value:
    """What the function returns for these arguments. Raises Unsupported, Failed."""
    try:
        return _Run().call(function, arguments)
    except RecursionError:
        raise Unsupported("code nested that deeply") from None
    except (TypeError, ValueError, ZeroDivisionError, IndexError, OverflowError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from None


@dataclass(slots=True)
class _Run:
    steps: int = 0
    depth: int = 0

    def call(self, function: Function, arguments: Sequence[Value]) -> Value:
        self.depth += 1
        if self.depth > MAX_CALLS:
            raise Failed("RecursionError: maximum recursion depth exceeded")
        scope = dict(self._bound(function, arguments))
        try:
            self.block(function.definition.body, scope, function.namespace)
        except _Returned as returned:
            return returned.value
        finally:
            self.depth -= 1
        return None

    def _bound(self, function: Function, arguments: Sequence[Value]) -> Iterator[tuple[str, Value]]:
        spec, name = function.definition.args, function.definition.name
        if spec.vararg or spec.kwarg or spec.kwonlyargs:
            raise Unsupported("variable arguments")
        names = [argument.arg for argument in (*spec.posonlyargs, *spec.args)]
        defaults = [self.value(node, {}, function.namespace) for node in spec.defaults]
        missing = len(names) - len(arguments)
        if not 0 <= missing <= len(defaults):
            raise Failed(f"TypeError: {name}() takes {len(names)} arguments but {len(arguments)} were given")
        yield from zip(names, [*arguments, *(defaults[-missing:] if missing else [])], strict=True)

    def block(self, body: Sequence[ast.stmt], scope: dict[str, Value], names: Namespace) -> None:
        for statement in body:
            self._step()
            self._statement(statement, scope, names)

    def _statement(self, node: ast.stmt, scope: dict[str, Value], names: Namespace) -> None:
        match node:
            case ast.Return(value=value):
                raise _Returned(self.value(value, scope, names) if value else None)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                scope[name] = self.value(value, scope, names)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                scope[name] = self.value(value, scope, names)
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                before = self._name(target, scope, names)
                scope[name] = self._binary(op, before, self.value(value, scope, names))
            case ast.If(test=test, body=body, orelse=other):
                self.block(body if self.value(test, scope, names) else other, scope, names)
            case ast.For(target=ast.Name(id=name), iter=items, body=body, orelse=[]):
                for item in self._items(self.value(items, scope, names)):
                    self._step()
                    scope[name] = item
                    self.block(body, scope, names)
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise Unsupported(f"a statement of the kind {type(node).__name__}")

    def value(self, node: ast.expr, scope: Mapping[str, Value], names: Namespace) -> Value:
        """The value of an expression."""
        self._step()
        match node:
            case ast.Constant(value=int() | float() | str() | None as value):
                return self._small(value)
            case ast.Name():
                return self._name(node, scope, names)
            case ast.IfExp(test=test, body=body, orelse=other):
                return self.value(body if self.value(test, scope, names) else other, scope, names)
            case ast.Call(func=ast.Name(id=name), args=given, keywords=[]):
                return self._called(name, [self.value(one, scope, names) for one in given], names)
            case ast.List() | ast.Tuple() | ast.Subscript():
                return self._held(node, scope, names)
            case _:
                return self._operation(node, scope, names)

    def _operation(self, node: ast.expr, scope: Mapping[str, Value], names: Namespace) -> Value:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(op, self.value(left, scope, names), self.value(right, scope, names))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self.value(operand, scope, names))
            case ast.BoolOp(op=op, values=values):
                return self._either(op, values, scope, names)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(left, ops, others, scope, names)
            case _:
                raise Unsupported(f"an expression of the kind {type(node).__name__}")

    def _held(self, node: ast.List | ast.Tuple | ast.Subscript, scope: Mapping[str, Value], names: Namespace) -> Value:
        if isinstance(node, ast.Subscript):
            return self._item(self.value(node.value, scope, names), node.slice, scope, names)
        elements = [self.value(element, scope, names) for element in node.elts]
        return self._small(elements if isinstance(node, ast.List) else tuple(elements))

    def _name(self, node: ast.Name, scope: Mapping[str, Value], names: Namespace) -> Value:
        for known in (scope, names.values):
            if node.id in known:
                return known[node.id]
        if node.id in names.others:
            raise Unsupported(f"what {node.id} stands for")
        raise Failed(f"NameError: name '{node.id}' is not defined")

    def _called(self, name: str, given: list[Value], names: Namespace) -> Value:
        if name in names.functions:
            return self.call(names.functions[name], given)
        if name in names.others or (name in _KNOWN and name not in _BUILT_IN):
            raise Unsupported(f"a call of {name}")
        if name not in _BUILT_IN:
            raise Failed(f"NameError: name '{name}' is not defined")
        return self._small(_BUILT_IN[name](*given))

    def _either(
        self, op: ast.boolop, values: Sequence[ast.expr], scope: Mapping[str, Value], names: Namespace
    ) -> Value:
        found: Value = None
        for value in values:
            found = self.value(value, scope, names)
            if bool(found) is isinstance(op, ast.Or):
                break
        return found

    def _compared(
        self,
        left: ast.expr,
        ops: Sequence[ast.cmpop],
        others: Sequence[ast.expr],
        scope: Mapping[str, Value],
        names: Namespace,
    ) -> bool:
        before = self.value(left, scope, names)
        for op, other in zip(ops, others, strict=True):
            after = self.value(other, scope, names)
            if not _COMPARED[type(op)](before, after):
                return False
            before = after
        return True

    def _item(self, held: Value, index: ast.expr, scope: Mapping[str, Value], names: Namespace) -> Value:
        if not isinstance(held, list | tuple | str):
            raise Failed(f"TypeError: '{type(held).__name__}' object is not subscriptable")
        if isinstance(index, ast.Slice):
            low, high, step = (
                self.value(end, scope, names) if end else None for end in (index.lower, index.upper, index.step)
            )
            return held[slice(low, high, step)]  # type: ignore[arg-type]  # a wrong end raises TypeError, as in Python
        at = self.value(index, scope, names)
        if not isinstance(at, int):
            raise Failed("TypeError: indices must be integers")
        return held[at]

    def _binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        if type(op) not in _BINARY:
            raise Unsupported(f"an operator of the kind {type(op).__name__}")
        counts = isinstance(op, ast.Mult | ast.Mod) and not all(isinstance(one, int | float) for one in (left, right))
        if counts:
            raise Unsupported("repetition and formatting")
        return self._small(_BINARY[type(op)](left, right))

    def _items(self, held: Value) -> Sequence[Value]:
        if not isinstance(held, list | tuple | str):
            raise Failed(f"TypeError: '{type(held).__name__}' object is not iterable")
        return list(held)

    def _small(self, value: Value) -> Value:
        large = abs(value) > MAX_NUMBER if isinstance(value, int | float) else _items_in(value) > MAX_ITEMS
        if large:
            raise Unsupported("values that large")
        return value

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Failed("the test did not end")


def _items_in(value: Value) -> int:
    """How many items and characters a value has, as often as each is shown: a list held twice counts twice. Counting
    ends where it is too many.
    """
    count, held = 0, [value]
    while held and count <= MAX_ITEMS:
        one = held.pop()
        if isinstance(one, list | tuple | str):
            count += len(one)
            held += one if isinstance(one, list | tuple) and count <= MAX_ITEMS else ()
    return count
