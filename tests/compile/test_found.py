"""Programs that were once wrong, found by scripts/fuzz_compile.py and made small."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import retrograd as torch
from retrograd.compile.capture import record
from tests.compile.guarded import GuardedMachine
from tests.compile.programs import numbers
from tests.compile.trials import executed


def taken_from_a_product(a: Any, b: Any, i: Any) -> Any:
    """Indices along a dim of one element, into the results of a product while they are in registers."""
    return (a @ b).gather(1, i) * 2


def taken_from_a_row(a: Any, i: Any) -> Any:
    """The same, from sums of rows."""
    return a.sum(1, keepdim=True).gather(1, i) + 1


def two_kinds_of_numbers(a: Any, weight: Any) -> Any:
    """A normalization of doubles with weights that are none."""
    return torch.nn.functional.layer_norm(a, (33,), weight)


def a_sign_of_truths(a: Any, b: Any) -> Any:
    """Truths are not subtracted."""
    return torch.where(torch.sign(a) != a, b, b + 1)


def a_single_truth_at_the_end(a: Any) -> Any:
    """LLVM wrote four bytes for the one of a last, single lane: the three behind the buffer as well."""
    return torch.signbit(a)


FOUND: list[tuple[Callable[..., Any], list[Any]]] = [
    (taken_from_a_product, [numbers(0, (65, 64)), numbers(1, (64, 1)), numbers(2, (65, 1), "int64", 0, 1)]),
    (taken_from_a_row, [numbers(0, (5, 33)), numbers(2, (5, 1), "int64", 0, 1)]),
    (two_kinds_of_numbers, [numbers(0, (2, 33), "float64"), numbers(1, (33,))]),
    (a_single_truth_at_the_end, [numbers(0, (17,))]),
    (a_single_truth_at_the_end, [numbers(0, (17,), "float64")]),
    (a_sign_of_truths, [numbers(0, (5,), "bool"), numbers(1, (5,))]),
]


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected as Linux does it")
@pytest.mark.parametrize(("function", "arguments"), FOUND, ids=[f"{f.__name__}({a[0].dtype})" for f, a in FOUND])
def test_found(function: Callable[..., Any], arguments: list[Any]):
    """Machine code does what NumPy does, and leaves the bytes behind its buffers as they are."""

    def untaped(*args: Any) -> Any:
        with torch.no_grad():
            return function(*args)

    _, program, why = record(untaped, arguments, {})
    assert program is not None, why
    assert executed(program, arguments, lambda p: GuardedMachine(p, at_end=False)) is None
