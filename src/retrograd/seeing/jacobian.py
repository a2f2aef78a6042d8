"""The Jacobian of one call with respect to one operand: written out where it is small, by its structure where it is large.

The structure follows from the operation's family, for some from a small table by name (`KNOWN`). Its entries come of the rules that
backward uses and of the numbers that were recorded. Before it is believed, its product with a random vector is held against the rule's;
where they differ, nothing is claimed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.core.op import Op
from retrograd.core.tape import rules_on_arrays
from retrograd.ops.conv import columns as windows_of
from retrograd.ops.windows import padded
from retrograd.seeing.record import Call, Value
from retrograd.seeing.structures import STORED, Blocks, Entries, Jacobian

TOLERANCE = {2: 3e-2, 4: 1e-4, 8: 1e-9}  # by bytes of an element: how far rounding may take two sums from each other


class Case:
    """One call, one of its operands, one of its results: what structures are worked out from."""

    def __init__(self, call: Call, at: int, output: int) -> None:
        self.call, self.at, self.output = call, at, output
        self.value, self.out = call.operands[at], call.results[output]
        self.shape, self.result = self.value.shape, self.out.shape
        self.m, self.n = math.prod(self.result), math.prod(self.shape)
        self.params, self.dtype = call.params, self.out.dtype

    @property
    def operand(self) -> str:
        """Its name in the operation's signature."""
        assert self.call.op is not None
        names = self.call.op.operands
        return names[min(self.at, len(names) - 1)]

    def array(self, i: int) -> ndarray:
        """The numbers of an operand. Raises ValueError if they were not kept."""
        return numbers(self.call.operands[i])

    def label(self, i: int) -> str:
        """What an operand is called, with its shape."""
        x = self.call.operands[i]
        return f"{x.label} [{'×'.join(map(str, x.shape))}]"

    def pull(self, v: ndarray, call: Call | None = None) -> ndarray:
        """Jᵀv by the operation's rule."""
        v = np.asarray(v, self.dtype).reshape(self.result)
        results = self.call.results
        with np.errstate(all="ignore"):
            given: Any = [v if i == self.output else None for i in range(len(results))] if self.several else v
            found = (call or self.call).pull(given)[self.at]
        return np.zeros(self.shape, self.dtype) if found is None else found

    @property
    def several(self) -> bool:
        """Whether the rules take a list of cotangents."""
        return len(self.call.results) > 1 or bool(self.call.op is not None and self.call.op.outputs)

    def ones(self) -> ndarray:
        """Jᵀ1, flattened: the sum of each column."""
        return self.pull(np.ones(self.result, self.dtype)).reshape(-1)

    def positions(self) -> ndarray:
        """0 .. n-1 in the operand's shape."""
        return np.arange(self.n).reshape(self.shape)

    def rows(self) -> ndarray:
        """0 .. m-1 in the result's shape."""
        return np.arange(self.m).reshape(self.result)

    def entries(self, kind: str, values: ndarray, rows: ndarray | None = None, columns: ndarray | None = None, **about: Any) -> Entries:
        """Entries at places."""
        flat = [None if x is None else np.asarray(x).reshape(-1) for x in (rows, columns)]
        return Entries((self.result, self.shape), self.pull, kind, np.asarray(values, self.dtype), flat[0], flat[1], **about)

    def picked(self, columns: ndarray, values: ndarray | None = None) -> Entries:
        """Rows that each have one entry, a 1 if no values are given."""
        columns = columns.reshape(-1)
        if values is not None:
            return self.entries("weighted selection", values, columns=columns)
        if self.m == self.n and (columns >= 0).all() and (np.bincount(columns, minlength=self.n) == 1).all():
            in_order = bool((columns == np.arange(self.n)).all())
            return self.diagonal(np.ones(self.m)) if in_order else self.entries("permutation", np.ones(self.m), columns=columns)
        return self.entries("selection", np.ones(self.m), columns=columns)

    def diagonal(self, values: ndarray) -> Entries:
        """A diagonal."""
        return self.entries("identity" if values.size and (values == 1).all() else "diagonal", values)

    def blocks(
        self, kind: str, block: tuple[int, int, int, int], layout: Callable[[], tuple[ndarray, ndarray]],
        matrices: Callable[[], ndarray] | None = None, name: str = "", places: int | None = None,
    ) -> Blocks:  # fmt: skip
        """Matrices at places."""
        return Blocks((self.result, self.shape), self.pull, kind, self.dtype, layout, block, matrices, places, name=name)


def numbers(value: Any) -> ndarray:
    """The numbers of a value. Raises ValueError if they were not kept."""
    if not isinstance(value, Value):
        return np.asarray(value)
    if value.snapshot.array is None:
        raise ValueError(f"the numbers of {value.label}, a tensor of shape {list(value.shape)}, were not kept: see limit= of see()")
    return value.snapshot.array


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
        raise ValueError(f"operand {operand} of {call.name} is no tensor")
    if not call.results:
        raise ValueError(f"the results of {call.name} were not recorded")
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
    made = Jacobian((case.result, case.shape), case.pull, "dense", dtype)
    if made.small:
        made.kind = "small"
    return made


def agrees(found: Jacobian, case: Case) -> bool:
    """Whether a structure multiplies a random vector as the rule does; one too large to try is believed for its operation's sake."""
    if not found.known:
        return isinstance(found, Blocks)
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


# ---------------------------------------------------------------- families


def elementwise(case: Case) -> Jacobian | None:
    """A diagonal; where the operand was broadcast, times a repetition."""
    if case.shape == case.result:
        return case.diagonal(case.ones())
    call, plan = case.call, case.call.node.plan  # type: ignore[union-attr]
    assert call.facts is not None
    # a rule adds up what was repeated as the operand's shape tells it: told nothing, it leaves every factor
    facts = tuple(None if name == f"{case.operand}_shape" else fact for name, fact in zip(plan.names, call.facts, strict=True))
    values = np.asarray(case.pull(np.ones(case.result), dataclasses.replace(call, facts=facts)))
    if values.size != case.m:
        return None
    columns = np.broadcast_to(case.positions(), case.result)
    return case.entries("repeated" if values.any() else "zero", values, columns=columns, times=case.m // case.n)


def reduction(case: Case) -> Jacobian:
    """Each number goes into one result."""
    dims = case.params.get("dims") or range(len(case.shape))
    gone = {d % len(case.shape) for d in dims}
    kept = tuple(1 if d in gone else n for d, n in enumerate(case.shape))
    values = case.ones()
    constant = bool((values == values[0]).all())
    rows = np.broadcast_to(np.arange(case.m).reshape(kept), case.shape)
    return case.entries("constant sum" if constant else "sum", values, rows=rows, times=case.n // case.m, value=float(values[0]))


def view(case: Case) -> Jacobian | None:
    """Each element of the result is one of the operand's."""
    return linear(case)


def linear(case: Case) -> Jacobian | None:
    """A linear operation shows where its entries are by what it makes of the numbers 1 to n."""
    op = case.call.op
    assert op is not None

    def forward(x: ndarray) -> ndarray:
        y = run(op, [x], case.params)
        return np.asarray(y[case.output] if op.outputs else y, np.float64).reshape(-1)

    values, columns = one_each(forward, case.shape)
    if columns is not None:
        return case.picked(columns) if (values[columns >= 0] == 1).all() else case.picked(columns, values)
    if op.outputs:
        return None
    values, rows = one_each(lambda v: np.asarray(case.pull(v), np.float64).reshape(-1), case.result)
    if rows is None:
        return None
    ones = bool((values[rows >= 0] == 1).all())
    return case.entries("scattered" if ones else "sum", values, rows=rows, times=case.n // case.m or 1)


def run(op: Op, args: list[Any], params: dict[str, Any]) -> Any:
    """An operation's forward function on arrays."""
    with rules_on_arrays():
        return op.forward(*args, **params)


def one_each(f: Callable[[ndarray], ndarray], shape: tuple[int, ...]) -> tuple[ndarray, ndarray | None]:
    """Of a linear function: the sum of each row, and, if no row has more than one entry, where that is (-1: nowhere)."""
    n = math.prod(shape)
    random = np.random.default_rng(n).uniform(1, 2, n)
    sums = f(np.ones(shape))
    with np.errstate(all="ignore"):
        places = np.where(sums == 0, 0, np.rint(f(np.arange(1.0, n + 1).reshape(shape)) / sums)).astype(np.int64) - 1
    good = (places >= -1).all() and (places < n).all()
    if not good or not np.allclose(f(random.reshape(shape)), np.where(places < 0, 0, sums * random[places]), 1e-6, 0):
        return sums, None
    return sums, places


# ---------------------------------------------------------------- operations that are known by name


def along(dims: str) -> Callable[[Case], Jacobian | None]:
    """Blocks of what stands along the dims that the parameter of that name tells."""

    def known(case: Case) -> Jacobian | None:
        if case.shape != case.result or not case.shape:
            return None
        given = case.params[dims]
        inner = sorted(d % len(case.shape) for d in ((given,) if isinstance(given, int) else given))
        return blocks_of(case, inner, inner)

    return known


def blocks_of(case: Case, inner: list[int], inner_result: list[int]) -> Jacobian:
    """A block for each place in the dims that are not `inner`."""

    def places(x: ndarray, dims: list[int]) -> ndarray:
        outer = [d for d in range(x.ndim) if d not in dims]
        return x.transpose(*outer, *dims).reshape(count, 1, -1)

    count = math.prod(n for d, n in enumerate(case.shape) if d not in inner)
    block = (count, 1, case.m // count, case.n // count)
    kind = "blocks" if count > 1 else "dense"
    made = case.blocks(kind, block, lambda: (places(case.rows(), inner_result), places(case.positions(), inner)))
    if kind == "dense" and made.small:
        made.kind = "small"
    return made


def of_batches(core: int) -> Callable[[Case], Jacobian | None]:
    """Blocks for matrices (or vectors) in the last dims, of which each gives its own result."""

    def known(case: Case) -> Jacobian | None:
        lead = len(case.shape) - core
        if case.result[:lead] != case.shape[:lead]:
            return None
        return blocks_of(case, list(range(lead, len(case.shape))), list(range(lead, len(case.result))))

    return known


def kron(case: Case, name: int, matrices: Callable[[], ndarray], rows: ndarray, columns: ndarray, sort: bool = False) -> Jacobian:
    """Matrices at the places `rows` (G, r, p) and `columns` (G, r, q)."""
    groups, repeats, p = rows.shape
    kind = "grouped" if groups > 1 else "matrix" if repeats == 1 else "kronecker sorted" if sort else "kronecker"
    return case.blocks(kind, (groups, repeats, p, columns.shape[2]), lambda: (rows, columns), matrices, case.label(name))


def of_linear(case: Case) -> Jacobian:
    """I ⊗ W for the input; for the weight I ⊗ X, where the rows of X are the inputs."""
    w = case.call.operands[1]
    out, size = w.shape
    count = case.m // out
    if case.at == 0:
        return kron(case, 1, lambda: case.array(1)[None], case.rows().reshape(1, count, out), case.positions().reshape(1, count, size))
    if case.at == 2:
        return case.entries("repeated", np.ones(case.m), columns=np.broadcast_to(np.arange(out), (count, out)), times=count)
    rows = case.rows().reshape(count, out).T[None]
    return kron(case, 0, lambda: case.array(0).reshape(1, count, size), rows, case.positions().reshape(1, out, size), sort=True)


def of_matmul(case: Case) -> Jacobian:
    """For each product, I ⊗ Bᵀ for the first matrix and, by columns, I ⊗ A for the second."""
    a, b = (case.call.operands[i] for i in (0, 1))
    vector = len(b.shape) == 1
    first, second = a.shape, (*b.shape, 1) if vector else b.shape
    result = (*case.result, 1) if vector else case.result
    batch = result[:-2]
    other, other_shape = (1, second) if case.at == 0 else (0, first)
    groups = 1 if math.prod(other_shape[:-2]) == 1 else math.prod(batch)
    places = np.broadcast_to(
        case.positions().reshape(first if case.at == 0 else second), (*batch, *(first if case.at == 0 else second)[-2:])
    )
    rows = case.rows().reshape(result)

    def matrices() -> ndarray:
        x = case.array(other).reshape(other_shape)
        x = np.broadcast_to(x, (*(batch if groups > 1 else x.shape[:-2]), *other_shape[-2:])).reshape(groups, *other_shape[-2:])
        return x.swapaxes(1, 2) if case.at == 0 else x

    if case.at == 1:
        places, rows = places.swapaxes(-1, -2), rows.swapaxes(-1, -2)
    shapes = [(groups, -1, x.shape[-1]) for x in (rows, places)]
    return kron(case, other, matrices, rows.reshape(shapes[0]), places.reshape(shapes[1]), sort=case.at == 1)


def of_convolution(case: Case) -> Jacobian | None:
    """Toeplitz for the input; for the weight I ⊗ the windows; the bias is repeated."""
    x, w = case.call.operands[:2]
    p = case.params
    kernel, counts, groups, n = w.shape[2:], case.result[2:], p["groups"], x.shape[0]
    out, taps, spots = w.shape[0] // groups, math.prod(w.shape[1:]), n * math.prod(counts)
    if case.at == 2:
        return case.entries(
            "repeated",
            np.ones(case.m),
            columns=np.broadcast_to(np.arange(case.n).reshape(-1, *[1] * len(kernel)), case.result),
            times=case.m // case.n,
        )

    def windows(images: ndarray) -> ndarray:
        return windows_of(padded(images, p["padding"]), kernel, counts, p["stride"], p["dilation"], groups)

    by_channel = np.moveaxis(case.rows(), 1, 0).reshape(groups, out, spots)
    if case.at == 1:
        columns = case.positions().reshape(groups, out, taps)
        return case.blocks(
            "grouped" if groups > 1 else "kronecker sorted", (groups, out, spots, taps), lambda: (by_channel, columns),
            lambda: windows(case.array(0)).swapaxes(1, 2), case.label(0),
        )  # fmt: skip
    places = n * w.shape[0] * w.shape[1]
    for c, s, q, k, d, size in zip(counts, p["stride"], p["padding"], kernel, p["dilation"], x.shape[2:], strict=True):
        touched = np.arange(c)[:, None] * s - q + np.arange(k) * d
        places *= int(((touched >= 0) & (touched < size)).sum())
    return case.blocks(
        "toeplitz", (groups, spots, out, taps),
        lambda: (by_channel.swapaxes(1, 2), windows(case.positions() + 1).swapaxes(1, 2) - 1),
        lambda: case.array(1).reshape(groups, out, taps), case.label(1), places,
    )  # fmt: skip


def of_normalize(case: Case) -> Jacobian | None:
    """Blocks of what is normalised together; weight and bias are repeated."""
    if case.output:
        return None
    if case.at == 0:
        return along("dims")(case)
    shape = case.call.operands[0].shape
    columns = np.broadcast_to(case.positions(), shape)
    if case.at == 2:
        return case.entries("repeated", np.ones(case.m), columns=columns, times=case.m // case.n)
    x, mean, rstd = case.array(0), numbers(case.call.results[1]), numbers(case.call.results[2])
    return case.entries("repeated", (x - mean) * rstd, columns=columns, times=case.m // case.n)


def by_forward(case: Case) -> Jacobian | None:
    """What moves numbers shows where to by what it does with 1 to n, in place of one operand, and zeros in place of the others."""
    op = case.call.op
    assert op is not None
    params = {**case.params, "value": 0} if "value" in case.params else case.params
    args: list[Any] = []
    for i, x in enumerate(case.call.operands):
        moved = isinstance(x, Value) and x.dtype.kind == "f"
        args.append(case.positions() + 1 if i == case.at else np.zeros(x.shape, np.int64) if moved else numbers(x))
    return case.picked(np.asarray(run(op, args, params)) - 1)


def of_embedding(case: Case) -> Jacobian | None:
    """A selection of rows; that of the padding gets no gradient."""
    index = case.array(1)
    columns = case.positions()[index]
    padding = case.params["padding"]
    return case.picked(np.where((index == padding)[..., None], -1, columns) if padding is not None else columns)


def at_indices(dim: str) -> Callable[[Case], Jacobian | None]:
    """The elements at the indices that are the second result."""

    def known(case: Case) -> Jacobian | None:
        if case.output or not case.shape:
            return None
        index = numbers(case.call.results[1])
        d = case.params[dim] % len(case.shape)
        index = np.expand_dims(index, d) if index.ndim < len(case.shape) else index
        return case.picked(np.take_along_axis(case.positions(), index, d))

    return known


def of_max_pool(case: Case) -> Jacobian | None:
    """The largest of each window."""
    if case.output:
        return None
    index = numbers(case.call.results[1]).reshape(*case.shape[:2], -1)
    return case.picked(np.take_along_axis(case.positions().reshape(*case.shape[:2], -1), index, 2))


def of_nll(case: Case) -> Jacobian | None:
    """One entry in each row, at the class."""
    if case.at:
        return None
    target = case.array(1)
    columns = np.take_along_axis(case.positions(), np.expand_dims(np.maximum(target, 0), 1), 1).reshape(-1)
    return case.picked(np.where(target.reshape(-1) < 0, -1, columns), case.ones()[columns])


def scattered_to(places: Callable[[Case], ndarray]) -> Callable[[Case], Jacobian | None]:
    """Each number is added at one place, which `places` finds among the rows."""

    def known(case: Case) -> Jacobian | None:
        if case.at == 0 and case.call.op is not None and case.call.op.name == "scatter_add":
            return case.diagonal(np.ones(case.m))
        rows = np.full(case.shape, -1)
        found = places(case)
        rows[tuple(slice(n) for n in found.shape)] = found
        return case.entries("scattered", np.ones(case.n), rows=rows)

    return known


def along_index(case: Case) -> ndarray:
    """Where `scatter_sum` and `scatter_add` put each number."""
    index, d = case.array(1), case.params["dim"]
    window = case.rows()[tuple(slice(None) if i == d else slice(n) for i, n in enumerate(index.shape))]
    return np.take_along_axis(window, index, d)


def at_keys(case: Case, first: int = 1) -> ndarray:
    """Where `index_sum`, whose indices are the operands from `first` on, puts each number."""
    key: list[Any] = [slice(None)] * len(case.result)
    for i, d in enumerate(case.params["dims"]):
        key[d] = case.array(i + first)
    return case.rows()[tuple(key)]


def of_index_put(case: Case) -> Jacobian | None:
    """The numbers written stand for those that were there, or are added to them."""
    if not case.params["accumulate"]:
        return by_forward(case)
    if case.at == 0:
        return case.diagonal(np.ones(case.m))
    rows = at_keys(case, 2)
    return case.entries("scattered", np.ones(case.n), rows=rows) if rows.shape == case.shape else None


KNOWN: dict[str, Callable[[Case], Jacobian | None]] = {
    "linear": of_linear,
    **dict.fromkeys(("mm", "bmm", "mv"), of_matmul),
    "convolution": of_convolution,
    **dict.fromkeys(("softmax", "log_softmax", "softmax_grad", "log_softmax_grad", "cumprod", "logcumsumexp", "recurrence", "cumsum"), along("dim")),
    "linalg_cross": along("dim"),
    "normalize": of_normalize,
    **dict.fromkeys(("linalg_inv", "linalg_cholesky", "linalg_matrix_exp", "linalg_det", "linalg_eigvalsh", "linalg_svdvals", "linalg_cofactor"), of_batches(2)),
    **dict.fromkeys(("gather", "index", "cat", "stack", "constant_pad_nd", "scatter"), by_forward),
    "embedding": of_embedding,
    **dict.fromkeys(("max", "min", "sort", "topk", "kthvalue", "median", "nanmedian", "mode", "cummax", "cummin"), at_indices("dim")),
    **dict.fromkeys(("max_pool", "adaptive_max_pool"), of_max_pool),
    "nll_loss": of_nll,
    **dict.fromkeys(("scatter_sum", "scatter_add"), scattered_to(along_index)),
    "index_put": of_index_put,
    "index_sum": scattered_to(at_keys),
    **dict.fromkeys(("clone", "_to_copy"), lambda case: case.diagonal(np.ones(case.m))),
    "copy": lambda case: case.diagonal(np.ones(case.m) if case.at else np.zeros(case.m)),
    "fill": lambda case: case.diagonal(np.zeros(case.m)),
}  # fmt: skip

__all__ = ["STORED", "Case", "Jacobian", "jacobian", "numbers"]
