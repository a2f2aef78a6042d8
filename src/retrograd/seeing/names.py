"""What a program calls its values: the names that assignments give to the results of the expressions that ran."""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
from collections.abc import Iterator

from retrograd.autograd.function import FunctionCtx
from retrograd.seeing.record import Call, Step

Span = tuple[int, int, int, int]


@functools.lru_cache(maxsize=64)
def parsed(source: tuple[str, ...]) -> dict[Span, tuple[str, ...]]:
    """The names assigned, by where the assigned expression stands."""
    try:
        tree = ast.parse("".join(source))
    except (SyntaxError, ValueError):  # such as a notebook's cell with magic in it
        return {}
    found: dict[Span, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        for target, value in assignments(node):
            names = tuple(n for part in (target.elts if isinstance(target, ast.Tuple) else [target]) if (n := name_of(part)))
            if names and value.end_lineno is not None and value.end_col_offset is not None:
                found[value.lineno, value.end_lineno, value.col_offset, value.end_col_offset] = names
    return found


def assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(target, value) of a statement or a walrus; `x += y` gives `x` to the statement's own result."""
    if isinstance(node, ast.Assign):
        yield node.targets[-1], node.value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.AugAssign):
        whole = ast.copy_location(ast.Constant(None), node)
        yield node.target, whole


def name_of(target: ast.expr) -> str:
    """A variable's or an attribute's name; "" of anything else."""
    return ast.unparse(target) if isinstance(target, (ast.Name, ast.Attribute)) else ""


def named(step: Step) -> dict[tuple[int, int], str]:
    """The names of results, by (number of the call, which result).

    Several operations may run for one expression, `out = net(x)`: the last of them has the name.
    """
    found: dict[tuple[int, int], str] = {}
    for call, following in itertools.zip_longest(step.calls, step.calls[1:]):
        if call.place is None or call.place.span is None or not ran(call) or same_expression(call, following):
            continue
        names = parsed(tuple(linecache.getlines(call.place.file))).get(call.place.span, ())
        if len(names) == 1:
            found[call.number, 0] = names[0]
        elif len(names) == len(call.results):
            found.update({(call.number, i): n for i, n in enumerate(names)})
    return found


def ran(call: Call) -> bool:
    """Whether it was seen running: an operation, or a custom Function, not what only the tape knows of."""
    return call.op is not None or isinstance(call.node, FunctionCtx)


def same_expression(call: Call, following: Call | None) -> bool:
    """Whether the next call ran for the same expression, within the same run of it."""
    a, b = call.place, None if following is None else following.place
    return a is not None and b is not None and a.code is b.code and a.instruction == b.instruction


__all__ = ["named"]
