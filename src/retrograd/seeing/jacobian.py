"""The Jacobian of one call with respect to one operand: written out where it is small, by its structure where it is large.

The structure follows from the operation's family, for some from a table by name (`known.KNOWN`). Its entries come of the rules that
backward uses and of the numbers that were recorded. Before it is believed, its product with a random vector is held against the rule's;
where they differ, nothing is claimed.
"""

from __future__ import annotations

import numpy as np

from retrograd.seeing.cases import Case, elementwise, linear, reduction, view
from retrograd.seeing.known import KNOWN
from retrograd.seeing.record import Call, Value
from retrograd.seeing.structures import Blocks, Jacobian, Windows

TOLERANCE = {2: 3e-2, 4: 1e-4, 8: 1e-9}  # by bytes of an element: how far rounding may take two sums from each other


def jacobian(call: Call, operand: int, output: int = 0) -> Jacobian:
    """The Jacobian of a recorded call's result with respect to an operand.

    Args:
        operand: which of `call.operands`; a tensor.
        output: which of `call.results`.

    Raises:
        ValueError: if the operand is no tensor.

    >>> import retrograd as torch
    >>> x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     torch.relu(x).sum().backward()
    >>> relu, total = record.step().calls
    >>> print(jacobian(relu, 0).sentence("en"))
    diagonal: 2 of its 3 entries are not zero
    >>> jacobian(total, 0).explicit()
    array([[1., 1., 1.]], dtype=float32)
    """
    if not isinstance(call.operands[operand], Value):
        raise ValueError(f"operand {operand} of {call.title} is no tensor")
    if not call.results:
        raise ValueError(f"the results of {call.title} were not recorded")
    case = Case(call, operand, output)
    try:
        with np.errstate(all="ignore"):
            found = structure(case) if case.dtype.kind == "f" and case.value.dtype.kind == "f" else None
            if found is not None and agrees(found, case):
                return found
            return plain(case, bool(case.ones().size == case.n))
    except (ValueError, RuntimeError, AttributeError, NotImplementedError):
        return plain(case, False)


def plain(case: Case, runs: bool) -> Jacobian:
    """A Jacobian of which nothing is claimed."""
    if not runs:
        return Jacobian((case.result, case.shape), None, "products", case.dtype)
    dtype = case.dtype if case.value.dtype.kind == "f" else np.dtype(complex)
    made = Jacobian((case.result, case.shape), case.pull, "complex" if dtype.kind == "c" else "dense", dtype)
    if made.small:
        made.kind = "small"
    return made


def agrees(found: Jacobian, case: Case) -> bool:
    """Whether a structure multiplies a random vector as the rule does; one too large to try is believed for its operation's sake."""
    if not found.known:
        return isinstance(found, (Blocks, Windows))
    v = np.random.default_rng(case.m).standard_normal(case.m).astype(case.dtype)
    with np.errstate(all="ignore"):
        expected, got = case.pull(v).reshape(-1), found.transposed(v)
    if not np.isfinite(expected).all():
        return bool(np.array_equal(np.isfinite(expected), np.isfinite(got)))
    scale = float(np.abs(expected).max(initial=0)) + np.finfo(case.dtype).tiny
    return bool(np.isfinite(got).all()) and float(np.abs(expected - got).max(initial=0)) <= TOLERANCE[case.dtype.itemsize] * scale


def structure(case: Case) -> Jacobian | None:
    """What is known of a call's Jacobian; None: nothing."""
    op = case.call.op
    if not case.m or not case.n:
        return case.entries("zero", np.zeros(case.m), columns=np.full(case.m, -1))
    if op is None or case.call.node is None:
        return None
    if case.m == 1:
        values = case.ones()
        first = float(values[0])
        if case.n > 1 and (values == first).all():
            return case.entries("constant row" if first else "zero", values, rows=np.zeros(case.n, int), value=first)
        return case.entries("row", values, rows=np.zeros(case.n, int)) if case.n > 1 else case.diagonal(values)
    if op.name in KNOWN:
        return KNOWN[op.name](case)
    family = {"elementwise": elementwise, "reduction": reduction, "linear": linear, "view": view}.get(op.family)
    return None if family is None else family(case)


__all__ = ["Jacobian", "jacobian"]
