"""What a program calls its values: the names that assignments give to the results of the expressions that ran.

What a function returns without a name of its own is called by the function, `objective()`; what `backward()` is called on, by the
expression, if that is short. An element of a list is called by the list.
"""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
from collections.abc import Iterator, Sequence
from typing import Any

from retrograd.autograd.function import FunctionCtx
from retrograd.seeing.record import Call, Place, Record, Step, Value

Span = tuple[int, int, int, int]
MODULES = ("forward", "__call__")  # functions whose results have their module's path for a name
ASIDE = ("max_pool", "adaptive_max_pool", "normalize")  # operations of whose results programs see the first alone, as a rule
SHORT = 24  # characters of an expression that serves as a name
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


@functools.lru_cache(maxsize=64)
def parsed(source: tuple[str, ...]) -> dict[Span, tuple[str, ...]]:
    """The names of expressions, by where they stand; of an expression that is taken apart, a name for each part, "" where it has none."""
    try:
        tree = ast.parse("".join(source))
    except (SyntaxError, ValueError):  # such as a notebook's cell with magic in it
        return {}
    found: dict[Span, tuple[str, ...]] = {}
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, function = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = "" if node.name in MODULES else f"{node.name}()"
        elif isinstance(node, ast.Lambda):
            function = ""
        for names, value in namings(node, function):
            if any(names) and value.end_lineno is not None and value.end_col_offset is not None:
                found[value.lineno, value.end_lineno, value.col_offset, value.end_col_offset] = names
        waiting += ((child, function) for child in ast.iter_child_nodes(node))
    return found


def namings(node: ast.AST, function: str) -> Iterator[tuple[tuple[str, ...], ast.expr]]:
    """(names, expression) of a statement or a walrus in a function; `x += y` gives `x` to the statement's own result."""
    if isinstance(node, ast.Assign):
        yield from given(node.targets[0], node.value)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield from given(node.target, node.value)
    elif isinstance(node, ast.AugAssign):
        yield (name_of(node.target),), ast.copy_location(ast.Constant(None), node)
    elif isinstance(node, ast.Return) and node.value is not None and function:
        yield from called(function, node.value)
    elif isinstance(node, ast.Attribute) and node.attr == "backward" and len(shown := ast.unparse(node.value)) <= SHORT:
        simple = isinstance(node.value, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))
        yield (shown if simple else f"({shown})",), node.value


def given(target: ast.expr, value: ast.expr) -> Iterator[tuple[tuple[str, ...], ast.expr]]:
    """The names that an assignment gives."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield from called(name_of(target), value)
    elif isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
        for part, of in zip(target.elts, value.elts, strict=True):
            yield from given(part, of)
    else:
        yield tuple(map(name_of, target.elts)), value


def called(name: str, value: ast.expr) -> Iterator[tuple[tuple[str, ...], ast.expr]]:
    """What is called so, when an expression is: either branch of a choice, the elements of a list, what a function makes."""
    if isinstance(value, ast.IfExp):
        yield from called(name, value.body)
        yield from called(name, value.orelse)
    elif isinstance(value, COMPREHENSIONS):
        yield from called(f"{name}[…]", value.elt)
    elif isinstance(value, (ast.Tuple, ast.List)):
        for i, part in enumerate(value.elts):
            yield from called(f"{name}[{i}]", part)
    elif isinstance(value, ast.Lambda):
        yield from called(f"{name}()", value.body)
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "requires_grad_":
        yield from called(name, value.func.value)  # it gives back what it is called on
    elif name:
        yield (name,), value


def name_of(target: ast.expr) -> str:
    """A variable's or an attribute's name, or that of an entry of a dictionary; "" of anything else."""
    entry = isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant)
    return ast.unparse(target) if entry or isinstance(target, (ast.Name, ast.Attribute)) else ""


def named(step: Step) -> dict[tuple[int, int], str]:
    """The names of results, by (number of the call, which result).

    Several operations may run for one expression, `out = net(x)`: the last of them has the name.
    """
    found: dict[tuple[int, int], str] = {}
    known: dict[Place, tuple[str, ...]] = {}
    for run in runs(step.calls):
        place = run[0].place
        if place is None:
            continue
        if place not in known:
            span = place.span
            known[place] = () if span is None else parsed(tuple(linecache.getlines(place.file))).get(span, ())
        names = known[place]
        every = period(run) if names else 1
        for call in run[every - 1 :: every]:
            own = names
            if len(names) == 1 and len(call.results) > 1:
                alone = call.name in ASIDE
                own = tuple(f"{names[0]}[{i}]" if not alone else "" if i else names[0] for i in range(len(call.results)))
            if len(own) == len(call.results) and ran(call):
                found.update({(call.number, i): n for i, n in enumerate(own) if n})
    return found


def ran(call: Call) -> bool:
    """Whether it was seen running: an operation, or a custom Function, not what only the tape knows of."""
    return call.op is not None or isinstance(call.node, FunctionCtx)


def runs(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Calls in a row that ran for one expression, be it once or, in a loop, several times."""
    for _, group in itertools.groupby(calls, lambda call: None if call.place is None else (id(call.place.code), call.place.instruction)):
        yield list(group)


def period(run: list[Call]) -> int:
    """How many calls one run of the expression takes: as many as repeat themselves."""
    kinds = [(call.name, call.modules) for call in run]
    return next(n for n in range(1, len(run) + 1) if len(run) % n == 0 and kinds == kinds[:n] * (len(run) // n))


def find(record: Record, what: Any, step: int) -> Value:
    """A value of a step, as `record.find` finds it, or by the program's name for a result: the last of that name.

    Raises:
        KeyError: as `record.find`.
    """
    try:
        return record.find(what, step)
    except KeyError:
        steps = record.step(step)
        calls: Sequence[Call] = steps.calls
        numbers = [key for key, name in named(steps).items() if name == what] if isinstance(what, str) else []
        if not numbers:
            raise
        number, output = numbers[-1]
        return next(call for call in calls if call.number == number).results[output]


__all__ = ["find", "named", "ran"]
