"""The structures of Jacobians of operations that are known by name: products, convolutions, pools, decompositions, selections."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.ops.conv import columns as windows_of
from retrograd.ops.pool import parts
from retrograd.ops.windows import padded
from retrograd.seeing.cases import Case, linear, numbers, run
from retrograd.seeing.record import Value
from retrograd.seeing.structures import Jacobian, Windows


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
        return case.entries("repeated", np.ones(case.m), columns=np.broadcast_to(case.positions(), case.result), times=case.m // case.n)
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


def of_convolution_transpose(case: Case) -> Jacobian | None:
    """The convolution's, transposed: for the input Toeplitz, for the weight I ⊗ the input's channels; the bias is repeated."""
    x, w = case.call.operands[:2]
    p = case.params
    kernel, counts, groups, n = w.shape[2:], x.shape[2:], p["groups"], x.shape[0]
    into, taps, spots = w.shape[0] // groups, math.prod(w.shape[1:]), n * math.prod(counts)
    if case.at == 2:
        columns = np.broadcast_to(np.arange(case.n).reshape(-1, *[1] * len(kernel)), case.result)
        return case.entries("repeated", np.ones(case.m), columns=columns, times=case.m // case.n)

    def windows() -> ndarray:
        """Where the results are to which each number of the input is added: (groups, taps, spots), -1 where they are cropped."""
        return windows_of(padded(case.rows() + 1, p["padding"]), kernel, counts, p["stride"], p["dilation"], groups) - 1

    def by_channel(images: ndarray) -> ndarray:
        return np.moveaxis(images, 1, 0).reshape(groups, into, spots)

    places = n * w.shape[0] * w.shape[1]
    for c, s, q, k, d, size in zip(counts, p["stride"], p["padding"], kernel, p["dilation"], case.result[2:], strict=True):
        touched = np.arange(c)[:, None] * s - q + np.arange(k) * d
        places *= int(((touched >= 0) & (touched < size)).sum())
    if case.at == 1:
        columns = case.positions().reshape(groups, into, taps).swapaxes(1, 2)
        kind = "toeplitz" if any(p["padding"]) else "grouped" if groups > 1 else "kronecker sorted"
        return case.blocks(
            kind, (groups, taps, spots, into), lambda: (windows(), columns), lambda: by_channel(case.array(0)).swapaxes(1, 2), case.label(0), places
        )  # fmt: skip
    return case.blocks(
        "toeplitz", (groups, spots, taps, into),
        lambda: (windows().swapaxes(1, 2), by_channel(case.positions()).swapaxes(1, 2)),
        lambda: case.array(1).reshape(groups, into, taps).swapaxes(1, 2), case.label(1), places,
    )  # fmt: skip


Spans = tuple[ndarray, ndarray]  # where windows begin and end, along one dim


def means(spans: Callable[[Case], list[Spans]]) -> Callable[[Case], Jacobian | None]:
    """Means of windows that may overlap."""

    def known(case: Case) -> Jacobian | None:
        simple, op, size = linear(case), case.call.op, case.shape[2:]
        if simple is not None or op is None:
            return simple
        dims, planes = spans(case), math.prod(case.shape[:2])

        def layout() -> tuple[ndarray, ndarray]:
            columns = np.zeros((1, 1), np.int64)
            for n, (begin, end) in zip(size, dims, strict=True):
                at = begin[:, None] + np.arange(int((end - begin).max()))
                at = np.where(at < end[:, None], at, -1)[None, :, None, :]
                before = columns[:, None, :, None]
                joined = np.where((before < 0) | (at < 0), -1, before * n + at)
                columns = joined.reshape(joined.shape[0] * joined.shape[1], -1)
            sums = run(op, [np.ones((1, 1, *size))], case.params).reshape(-1)
            values = sums / (columns >= 0).sum(1)
            first = np.arange(planes)[:, None, None] * math.prod(size)
            return np.where(columns < 0, -1, columns + first).reshape(case.m, -1), np.tile(values, planes)[:, None]

        taps = math.prod(int((end - begin).max()) for begin, end in dims)
        places = planes * math.prod(int((end - begin).sum()) for begin, end in dims)
        return Windows((case.result, case.shape), case.pull, "windows", case.dtype, layout, taps, places)

    return known


def of_pool(case: Case) -> list[Spans]:
    """The windows of a pool along each dim, without padding."""
    p = case.params
    found = []
    for n, c, k, s, q in zip(p["size"], p["counts"], p["kernel"], p["stride"], p["padding"], strict=True):
        begin = np.arange(c) * s - q
        found.append((np.maximum(begin, 0), np.minimum(begin + k, n)))
    return found


def of_parts(case: Case) -> list[Spans]:
    """The parts of an adaptive pool along each dim."""
    found = [parts(n, c) for n, c in zip(case.params["size"], case.params["counts"], strict=True)]
    return [(np.asarray(begin), np.asarray(end)) for begin, end in found]


def of_solve(case: Case) -> Jacobian | None:
    """Of AX = B: for B the inverse of A, for each column; for A a block for each of a batch."""
    if case.at == 0 or case.shape != case.result or len(case.shape) < 2:
        return of_batches(2)(case) if case.at == 0 else None
    return blocks_of(case, [len(case.shape) - 2], [len(case.shape) - 2])


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
    "convolution_transpose": of_convolution_transpose,
    "avg_pool": means(of_pool),
    "adaptive_avg_pool": means(of_parts),
    **dict.fromkeys(("softmax", "log_softmax", "softmax_grad", "log_softmax_grad", "cumprod", "logcumsumexp", "recurrence", "cumsum"), along("dim")),
    "linalg_cross": along("dim"),
    "normalize": of_normalize,
    **dict.fromkeys(("linalg_inv", "linalg_cholesky", "linalg_matrix_exp", "linalg_det", "linalg_eigvalsh", "linalg_svdvals", "linalg_cofactor"), of_batches(2)),
    **dict.fromkeys(("linalg_eigh", "linalg_svd", "linalg_qr", "linalg_lu_factor", "linalg_pinv", "linalg_slogdet"), of_batches(2)),
    **dict.fromkeys(("linalg_solve", "linalg_solve_triangular"), of_solve),
    "frexp": lambda case: case.diagonal(case.ones()) if case.shape == case.result else None,
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
