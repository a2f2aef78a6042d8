"""Einstein summation and what is made from it: sums of products of elements, by the names of the dims.

Two operands at a time are brought into the form of one batch of matrix products; the rest is reshaping. Composites only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.ops.basis import add_op, mul, permute_op, reshape_op, slice_op, sum_op
from retrograd.ops.contract import bmm, check_same_dtype, check_tensors, finish, mm
from retrograd.shapes import wrap_dim

# ---------------------------------------------------------------- einsum

ELLIPSIS = 52  # the label of the first of the ellipsis' dims; A-Z are 0-25, a-z 26-51


def einsum(*args: Any) -> Tensor:
    """Sums of products of elements, by the names of the dims: `einsum("ij,jk->ik", a, b)` is `a @ b`.

    A name that is repeated in one operand takes its diagonal; one that is missing in the result is summed over; `...` stands
    for any dims, which broadcast. Without `->`, the result has the names that come up once, in alphabetical order. Names may
    also be lists of numbers: `einsum(a, [0, 1], b, [1, 2], [0, 2])`. Operands are multiplied from left to right.

    Raises:
        RuntimeError: if the equation is malformed, or does not fit the operands.
        ValueError: if there are no operands.

    >>> from retrograd import ones
    >>> einsum("bij,bjk->bik", ones(2, 3, 4), ones(2, 4, 5)).shape
    torch.Size([2, 3, 5])
    """
    operands, inputs, output = read_einsum(args)
    named = [take_diagonals(x, labels, i) for i, (x, labels) in enumerate(zip(operands, inputs, strict=True))]
    check_sizes(named)
    result, labels = named[0]
    for i in range(1, len(named)):
        kept = set(output).union(*(following for _, following in named[i + 1 :]))
        result, labels = contract_pair(result, labels, *named[i], kept)
    result, labels = sum_labels(result, labels, set(output))
    order = tuple(labels.index(n) for n in output)
    return result if order == tuple(range(len(order))) else permute_op(result, dims=order)


def read_einsum(args: tuple[Any, ...]) -> tuple[list[Tensor], list[list[int]], list[int]]:
    """The operands, the labels of their dims, and those of the result."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts list"
        )
    if isinstance(args[0], Tensor):
        operands = list(args[: len(args) - len(args) % 2 : 2])
        lists = [[Ellipsis if n is Ellipsis else sublist_label(n) for n in names] for names in args[1::2]]
        target = [Ellipsis if n is Ellipsis else sublist_label(n) for n in args[-1]] if len(args) % 2 else None
    else:
        equation, *rest = args
        operands = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
        left, arrow, right = equation.partition("->")
        terms = left.split(",")
        if len(terms) != len(operands):
            fewer = "fewer" if len(operands) < len(terms) else "more"
            raise RuntimeError(f"einsum(): {fewer} operands were provided than specified in the equation")
        lists = [read_term(term, f"operand {i}", equation) for i, term in enumerate(terms)]
        target = read_term(right, "the output", equation) if arrow else None
    for x in operands:
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum(): argument 'operands' must be tuple of Tensors, not {type(x).__name__}")
    return operands, *expand_ellipses(operands, lists, target)


def sublist_label(n: Any) -> int:
    """A number that names a dim."""
    if not 0 <= n < ELLIPSIS:
        raise ValueError(f"einsum(): subscript in subscript list is not within the valid range [0, {ELLIPSIS})")
    return int(n)


def read_term(term: str, where: str, equation: str) -> list[Any]:
    """The labels of one term: numbers, and Ellipsis."""
    labels: list[Any] = []
    for part in term.replace("...", "\0"):
        if part == "\0":
            if Ellipsis in labels:
                raise RuntimeError(f"einsum(): found '.' for {where} for which an ellipsis was already found")
            labels.append(Ellipsis)
        elif part == ".":
            raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any ellipsis")
        elif part.isascii() and part.isalpha():
            labels.append(ord(part) - 65 if part.isupper() else ord(part) - 71)
        elif part != " ":
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {equation.index(part)} in the equation string, subscripts must be in [a-zA-Z]"
            )
    return labels


def expand_ellipses(operands: Sequence[Tensor], lists: Sequence[list[Any]], target: list[Any] | None) -> tuple[list[list[int]], list[int]]:
    """Labels with each ellipsis replaced by those of its dims, which line up from the right; and the result's."""
    widths = []
    for i, (x, labels) in enumerate(zip(operands, lists, strict=True)):
        n = len([a for a in labels if a is not Ellipsis])
        if n > x.ndim or (n < x.ndim and Ellipsis not in labels):
            reason = "is more than" if Ellipsis in labels else "does not match"
            given = "" if Ellipsis in labels else " and no ellipsis was given"
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({n}) {reason} the number of dimensions ({x.ndim}) for operand {i}{given}"
            )
        widths.append(x.ndim - n)
    most = max((w for w, labels in zip(widths, lists, strict=True) if Ellipsis in labels), default=0)

    def spelled(labels: list[Any], width: int) -> list[int]:
        span = range(ELLIPSIS + most - width, ELLIPSIS + most)
        return [n for a in labels for n in (span if a is Ellipsis else (a,))]

    inputs = [spelled(labels, w) for labels, w in zip(lists, widths, strict=True)]
    every = [n for labels in inputs for n in labels]
    if target is None:
        once = sorted(n for n in set(every) if n < ELLIPSIS and every.count(n) == 1)
        return inputs, [*range(ELLIPSIS, ELLIPSIS + most), *once]
    output = spelled(target, most)
    for n in output:
        name = chr(n + 65 if n < 26 else n + 71) if n < ELLIPSIS else "..."
        if output.count(n) > 1:
            raise RuntimeError(f"einsum(): output subscript {name} appears more than once in the output")
        if n not in every:
            raise RuntimeError(f"einsum(): output subscript {name} does not appear in the equation for any input operand")
    return inputs, output


def take_diagonals(x: Tensor, labels: list[int], place: int) -> tuple[Tensor, list[int]]:
    """The diagonal along every label that is repeated."""
    for n in dict.fromkeys(labels):
        while labels.count(n) > 1:
            i = labels.index(n)
            j = labels.index(n, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(
                    f"einsum(): subscript {chr(n + 65 if n < 26 else n + 71)} is repeated for operand {place} but the sizes don't match, "
                    f"{x.shape[j]} != {x.shape[i]}"
                )
            x = diagonal_last(permute_op(x, dims=(*(d for d in range(x.ndim) if d not in (i, j)), i, j)))
            labels = [*(a for a in labels if a != n), *labels[:0], n, *[n] * (labels.count(n) - 2)]
    return x, labels


def diagonal_last(x: Any) -> Any:
    """The diagonal of square matrices in the last two dims."""
    *lead, n, _ = x.shape
    return slice_op(reshape_op(x, shape=(*lead, n * n)), dim=len(lead), start=0, end=n * n, step=n + 1)


def check_sizes(named: Sequence[tuple[Tensor, list[int]]]) -> None:
    """Raises if a label stands for two sizes, neither of them 1."""
    seen: dict[int, int] = {}
    for i, (x, labels) in enumerate(named):
        for n, size in zip(labels, x.shape, strict=True):
            if size != 1 and seen.setdefault(n, size) != size:
                name = chr(n + 65 if n < 26 else n + 71) if n < ELLIPSIS else "..."
                raise RuntimeError(
                    f"einsum(): subscript {name} has size {size} for operand {i} which does not broadcast with previously seen size {seen[n]}"
                )


def sum_labels(x: Tensor, labels: list[int], kept: set[int]) -> tuple[Tensor, list[int]]:
    """The sum over all dims whose labels are not kept."""
    dims = tuple(d for d, n in enumerate(labels) if n not in kept)
    return (sum_op(x, dims=dims, keepdim=False), [n for n in labels if n in kept]) if dims else (x, labels)


def contract_pair(a: Tensor, la: list[int], b: Tensor, lb: list[int], kept: set[int]) -> tuple[Tensor, list[int]]:
    """The product of two operands, summed over the labels that are not kept: one batch of matrix products."""
    a, la = drop_broadcast(a, la, b, lb)
    b, lb = drop_broadcast(b, lb, a, la)
    a, la = sum_labels(a, la, kept.union(lb))
    b, lb = sum_labels(b, lb, kept.union(la))
    shared = [n for n in la if n in lb]
    batch, summed = [n for n in shared if n in kept], [n for n in shared if n not in kept]
    rows, columns = [n for n in la if n not in shared], [n for n in lb if n not in shared]
    sizes = dict(zip(la, a.shape, strict=True)) | dict(zip(lb, b.shape, strict=True))
    result = [*batch, *rows, *columns]
    if not summed:
        x = arrange(a, la, [batch, rows], sizes, [*(sizes[n] for n in [*batch, *rows]), *(1 for _ in columns)])
        y = arrange(b, lb, [batch, columns], sizes, [*(sizes[n] for n in batch), *(1 for _ in rows), *(sizes[n] for n in columns)])
        return mul(x, y), result
    check_same_dtype(a, b)
    groups = [batch] if batch else []
    x, y = arrange(a, la, [*groups, rows, summed], sizes), arrange(b, lb, [*groups, summed, columns], sizes)
    z = bmm(x, y) if batch else mm(x, y)
    shape = tuple(sizes[n] for n in result)
    return (z if z.shape == shape else reshape_op(z, shape=shape)), result


def drop_broadcast(a: Tensor, la: list[int], b: Tensor, lb: list[int]) -> tuple[Tensor, list[int]]:
    """`a` without the dims of size 1 for which `b` has more."""
    keep = [not (size == 1 and n in lb and b.shape[lb.index(n)] != 1) for n, size in zip(la, a.shape, strict=True)]
    if all(keep):
        return a, la
    shape = tuple(size for size, k in zip(a.shape, keep, strict=True) if k)
    return reshape_op(a, shape=shape), [n for n, k in zip(la, keep, strict=True) if k]


def arrange(x: Tensor, labels: list[int], groups: Sequence[list[int]], sizes: dict[int, int], shape: Sequence[int] | None = None) -> Tensor:
    """`x` with its dims in the order of the groups, one dim a group (or of the given shape)."""
    order = tuple(labels.index(n) for group in groups for n in group)
    if order != tuple(range(len(order))):
        x = permute_op(x, dims=order)
    target = tuple(math.prod(sizes[n] for n in group) for group in groups) if shape is None else tuple(shape)
    return x if x.shape == target else reshape_op(x, shape=target)


# ---------------------------------------------------------------- its kin


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    """The sums of products over the last `dims` dims of `a` and the first of `b`, or over two given lists of dims.

    Raises:
        RuntimeError: if the contracted dims differ in size or number.

    >>> from retrograd import ones
    >>> tensordot(ones(2, 3, 4), ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    torch.Size([2, 5])
    """
    check_tensors("tensordot", a=a, b=b)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        first, second = list(range(-dims, 0)), list(range(dims))
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    la, lb = list(range(a.ndim)), list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(first, second, strict=True):
        m, n = a.shape[wrap_dim(i, a.ndim)], b.shape[wrap_dim(j, b.ndim)]
        if m != n and 1 not in (m, n):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {m} in dim {i} and second has size {n} in dim {j}")
        lb[wrap_dim(j, b.ndim)] = la[wrap_dim(i, a.ndim)]
    kept = set(la).symmetric_difference(lb)
    a, la = sum_labels(*drop_broadcast(a, la, b, lb), kept.union(lb))
    b, lb = sum_labels(*drop_broadcast(b, lb, a, la), kept.union(la))
    return finish(contract_pair(a, la, b, lb, kept)[0], out)


def kron(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The Kronecker product: every element of `input` times all of `other`, in blocks.

    >>> from retrograd import eye, ones
    >>> kron(eye(2), ones(1, 2))
    tensor([[1., 1., 0., 0.],
            [0., 0., 1., 1.]])
    """
    check_tensors("kron", input=input, other=other)
    rank = max(input.ndim, other.ndim)
    a, b = (1,) * (rank - input.ndim) + tuple(input.shape), (1,) * (rank - other.ndim) + tuple(other.shape)
    x = reshape_op(input, shape=tuple(n for m in a for n in (m, 1)))
    y = reshape_op(other, shape=tuple(n for m in b for n in (1, m)))
    return finish(reshape_op(mul(x, y), shape=tuple(m * n for m, n in zip(a, b, strict=True))), out)


def inner(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The sums of products along the last dims: shape (*input's others, *other's others).

    Raises:
        RuntimeError: if the last dims differ in size.
    """
    check_tensors("inner", input=input, other=other)
    if not input.ndim or not other.ndim:
        return finish(mul(input, other), out)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and {list(other.shape)}"
        )
    return finish(tensordot(input, other, dims=([-1], [-1])), out)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input1ᵀ weight[o] input2` for every output o, plus `bias`.

    Args:
        input1, input2: of shapes (..., in1) and (..., in2).
        weight: of shape (out, in1, in2).

    Raises:
        RuntimeError: if the shapes do not fit.
    """
    if input1.ndim != input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim} and {input2.ndim}")
    for d in range(input1.ndim - 1):
        if input1.shape[d] != input2.shape[d]:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {d}: got {input1.shape[d]} and {input2.shape[d]}")
    for i, x in enumerate((input1, input2)):
        if x.shape[-1] != weight.shape[i + 1]:
            raise RuntimeError(
                f"bilinear(): input{i + 1} size does not match weight size: got {x.shape[-1]} but expected {weight.shape[i + 1]}"
            )
    y = einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else add_op(y, bias)


__all__ = ["bilinear", "einsum", "inner", "kron", "tensordot"]
