"""Rows of a table by index: embeddings, and the one-hot vectors whose product with the table they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.families import opaque
from retrograd.core.levels import refuse_record
from retrograd.core.tensor import Box, Tensor, constant, wrap
from retrograd.ops.basis import cast, expand_op, reshape_op, where_op
from retrograd.ops.index import index_op, index_sum_op
from retrograd.ops.logic import check_within


@opaque(name="embedding")
def embedding_op(weight, index, *, padding):
    """The rows of `weight` at `index`; the row `padding` (if not -1) gets no gradient"""
    if index.size and (index.min() < 0 or index.max() >= weight.shape[0]):
        raise IndexError("index out of range in self")
    return np.take(weight, index, 0)


@embedding_op.lowering
def _(k, weight, index, *, padding):
    if not index.shape:
        k.refuse("an index without dims")
    k.check_index(index, weight.shape[0], negative=False)
    rows = k.reshape(index, (*index.shape, 1))
    table = k.view_of(k.reshape(weight, (*(1,) * (len(index.shape) - 1), *weight.shape)))
    return k.take(table, [(len(index.shape) - 1, rows)], (*index.shape, weight.shape[1]))


@embedding_op.vjp("weight")
def _(g, index, weight_shape, padding):
    return index_sum_op(without_padding(g, index, padding), index, dims=(0,), shape=weight_shape)


@embedding_op.jvp("weight")
def _(t, index, padding):
    return without_padding(index_op(t, index, dims=(0,)), index, padding)


@embedding_op.batch
def _(args, mapped, *, padding):
    weight, index = args
    if not mapped[0]:
        return embedding_op(weight, index, padding=padding)
    n, rows = weight.shape[0], weight.shape[1]
    flat = reshape_op(weight, shape=(n * rows, weight.shape[2]))
    if not mapped[1]:
        index = expand_op(index, shape=(n, *index.shape))
    offset = constant((np.arange(n) * rows).reshape(n, *(1,) * (len(index.shape) - 1)))
    if padding >= 0:
        raise NotImplementedError("vmap: an embedding with padding_idx whose weights are mapped over")
    return embedding_op(flat, index + offset, padding=-1)


def without_padding(rows: Any, index: Any, padding: int) -> Any:
    """Rows with zeros where the index is `padding`."""
    if padding < 0:
        return rows
    return where_op(reshape_op(index, shape=(*index.shape, 1)) == padding, 0.0, rows)


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """The rows of `weight` (shape (n, d)) at the indices `input` (int64 or int32): shape (*input.shape, d).

    Args:
        padding_idx: a row that gets no gradient.
        max_norm: rows that are used and longer than this are scaled down to it, in place.
        norm_type: the p of that norm.
        scale_grad_by_freq: gradients are divided by how often the index occurs.
        sparse: accepted; gradients here are dense.

    Raises:
        IndexError: if an index is out of range.
        RuntimeError: if `input` is not of an integer dtype.

    >>> from retrograd import tensor
    >>> embedding(tensor([2, 0]), tensor([[1.], [2.], [3.]]))
    tensor([[3.],
            [1.]])
    """
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"torch.{dtypes.scalar_name(input.dtype)}Tensor instead (while checking arguments for embedding)"
        )
    padding = -1
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding = padding_idx % weight.shape[0]
    if max_norm is not None:
        renormalise(weight, input, max_norm, norm_type)
    index = cast(input, dtypes.int64)
    rows = embedding_op(weight, index, padding=padding)
    if scale_grad_by_freq and not isinstance(index, Box):
        refuse_record()
        counts = np.bincount(index._data.reshape(-1), minlength=weight.shape[0])[index._data]
        scale = wrap((1 / np.maximum(counts, 1))[..., None].astype(rows._data.dtype))
        rows = rows.detach() + (rows - rows.detach()) * scale
    return rows


def renormalise(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows that are used down to `max_norm`, in place and without history."""
    refuse_record()
    used = np.unique(index._data)
    rows = weight._data[used]
    norms = np.linalg.norm(rows, norm_type, 1, keepdims=True)
    weight._data[used] = np.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    weight._version[0] += 1


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False, padding_idx: int | None = None,
) -> Tensor:  # fmt: skip
    """Rows of `weight` by bags of indices, combined in each by "sum", "mean" or "max".

    Bags are the rows of a matrix `input`, or the pieces of a vector that begin at `offsets`.

    Raises:
        ValueError: if offsets are given for a matrix or missing for a vector, or for another mode.
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum or mean")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. However, found offsets of type Tensor"
            )
        lengths = np.full(input.shape[0], input.shape[1])
        input = input.reshape(-1)
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        refuse_record()
        starts = offsets._data if include_last_offset else np.append(offsets._data, input.shape[0])
        if starts[0] != 0:
            raise ValueError(
                f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got {starts[0]}"
            )
        lengths = np.diff(starts)
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got mode='{mode}')."
        )
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    bag = np.repeat(np.arange(len(lengths)), lengths)
    if padding_idx is not None:
        refuse_record()
        counted = np.flatnonzero(input._data != padding_idx % weight.shape[0])
        rows, bag = rows[wrap(counted)], bag[counted]
        per_sample_weights = None if per_sample_weights is None else per_sample_weights[wrap(counted)]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    shape = (len(lengths), weight.shape[1])
    if mode == "max":
        index = constant(np.repeat(bag[:, None], weight.shape[1], 1))
        zeros = constant(np.zeros(shape, weight.dtype.numpy))
        return zeros.scatter_reduce(0, index, rows, "amax", include_self=False) if len(bag) else zeros
    total = index_sum_op(rows, constant(bag), dims=(0,), shape=shape)
    if mode == "sum":
        return total
    n = np.maximum(np.bincount(bag, minlength=len(lengths)), 1)[:, None]
    return total / constant(n.astype(weight.dtype.numpy))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Vectors with a 1 at each index, 0 elsewhere: int64, shape (*tensor.shape, num_classes).

    Raises:
        RuntimeError: if an index is negative or not below `num_classes` (by default, the largest plus one).

    >>> import retrograd as torch
    >>> one_hot(torch.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type LongTensor, but got {dtypes.scalar_name(tensor.dtype)}.")
    if num_classes < 1 and tensor.numel() == 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    check_within(tensor, 0, np.iinfo(np.int64).max, "Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    check_within(tensor, 0, num_classes - 1, "Class values must be smaller than num_classes.")
    return cast(tensor.unsqueeze(-1) == constant(np.arange(num_classes)), dtypes.int64)
