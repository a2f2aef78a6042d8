"""Sequences of several lengths in one tensor: padded to the longest, or packed without padding, as recurrent layers take them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from retrograd import dtypes
from retrograd.core.tensor import Tensor
from retrograd.ops.create import arange, as_tensor, empty_like, from_numpy, full
from retrograd.ops.index import index_put, index_select
from retrograd.ops.join import stack
from retrograd.ops.pad import pad
from retrograd.ops.sort import sort


class PackedFields(NamedTuple):
    """The fields of a `PackedSequence`."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedFields):
    """Sequences of several lengths without padding: the steps of the first time, then those of the second, and so on.

    Made by `pack_sequence` and `pack_padded_sequence`; recurrent layers take and return it.

    Attributes:
        data: the steps, shape (sum of the lengths, *).
        batch_sizes: how many sequences have a step at each time; integers, never growing.
        sorted_indices: the order in which the sequences, longest first, were given, or None if they were given so.
        unsorted_indices: the inverse of it.
    """

    def __new__(
        cls, data: Any, batch_sizes: Tensor | None = None, sorted_indices: Tensor | None = None, unsorted_indices: Tensor | None = None
    ) -> Self:
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def with_data(self, data: Tensor) -> Self:
        """The same sequences with other steps; itself, if they are its own."""
        return self if data is self.data else type(self)(data, *self[1:])

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """With `data.to(...)`."""
        return self.with_data(self.data.to(*args, **kwargs))

    def cpu(self) -> Self:
        """Itself: there is one device."""
        return self.with_data(self.data.cpu())

    def cuda(self, *args: Any, **kwargs: Any) -> Self:
        """Raises, as `Tensor.cuda` does."""
        return self.with_data(self.data.cuda(*args, **kwargs))

    def pin_memory(self) -> Self:
        """Itself: there is nothing to pin memory for."""
        return self.with_data(self.data.pin_memory())

    def double(self) -> Self:
        """With steps in float64."""
        return self.to(dtypes.float64)

    def float(self) -> Self:
        """With steps in float32."""
        return self.to(dtypes.float32)

    def half(self) -> Self:
        """With steps in float16."""
        return self.to(dtypes.float16)

    def long(self) -> Self:
        """With steps in int64."""
        return self.to(dtypes.int64)

    def int(self) -> Self:
        """With steps in int32."""
        return self.to(dtypes.int32)

    def short(self) -> Self:
        """With steps in int16."""
        return self.to(dtypes.int16)

    def char(self) -> Self:
        """With steps in int8."""
        return self.to(dtypes.int8)

    def byte(self) -> Self:
        """With steps in uint8."""
        return self.to(dtypes.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the steps are on a GPU: never."""
        return False

    def is_pinned(self) -> bool:
        """Whether the steps are in pinned memory: never."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The indices that undo a permutation.

    >>> import retrograd as torch
    >>> invert_permutation(torch.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    return empty_like(permutation).scatter_(0, permutation, arange(len(permutation)))


def places(batch_sizes: Sequence[int], batch: int) -> Tensor:
    """Where the steps of packed sequences are among those of padded ones, with time as the first dim and both dims as one."""
    return from_numpy(np.concatenate([time * batch + np.arange(n) for time, n in enumerate(batch_sizes)]))


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Packs padded sequences.

    Args:
        input: shape (time, batch, *), or (batch, time, *) with `batch_first`.
        lengths: of the sequences: a list, or a tensor of shape (batch).
        enforce_sorted: the sequences are given from the longest to the shortest; if false, they are sorted here.

    Raises:
        RuntimeError: if the lengths are not positive, not as many as sequences, or not sorted with `enforce_sorted`.

    >>> import retrograd as torch
    >>> pack_padded_sequence(torch.tensor([[1, 2], [3, 4], [5, 0]]), [3, 2])
    PackedSequence(data=tensor([1, 2, 3, 4, 5]), batch_sizes=tensor([2, 2, 1]), sorted_indices=None, unsorted_indices=None)
    """
    if input.ndim < 2:
        raise IndexError(f"pack_padded_sequence(): expected an input with dims for time and batch, but got one with {input.ndim} dims")
    lengths = as_tensor(lengths).to(dtypes.int64)
    if lengths.ndim != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.ndim}D cpu Long tensor")
    order = None
    if not enforce_sorted:
        lengths, order = sort(lengths, descending=True)
        input = index_select(input, 0 if batch_first else 1, order)
    steps = input.transpose(0, 1) if batch_first else input
    time, batch = steps.shape[:2]
    sizes = check_lengths(lengths.tolist(), time, batch)
    data = index_select(steps.reshape(time * batch, *steps.shape[2:]), 0, places(sizes, batch))
    return PackedSequence(data, as_tensor(sizes), order)


def check_lengths(lengths: Sequence[int], time: int, batch: int) -> list[int]:
    """How many sequences have a step at each time. Raises RuntimeError if the lengths do not fit the tensor."""
    if not time * batch:
        raise RuntimeError("Cannot pack empty tensors.")
    if len(lengths) != batch:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size={batch})")
    if min(lengths) <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if any(a < b for a, b in itertools.pairwise(lengths)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass `enforce_sorted=False` to "
            "pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not need ONNX exportability."
        )
    if lengths[0] > time:
        raise RuntimeError(f"Expected lengths of at most {time}, the size of the input's dim of time, but got {lengths[0]}")
    return [sum(n > t for n in lengths) for t in range(lengths[0])]


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`.

    Args:
        padding_value: what stands after the end of a sequence.
        total_length: the size of the dim of time; that of the longest sequence by default.

    Returns:
        the sequences, shape (time, batch, *), or (batch, time, *) with `batch_first`; and their lengths, shape (batch).

    Raises:
        ValueError: if `total_length` is less than the longest sequence.
    """
    data, batch_sizes, _, order = sequence
    sizes = batch_sizes.tolist()
    time, batch = len(sizes), sizes[0]
    if total_length is not None:
        if total_length < time:
            raise ValueError(
                f"Expected total_length to be at least the length of the longest sequence in input, but got total_length={total_length} "
                f"and max sequence length being {time}"
            )
        time = total_length
    padded = index_put(full((time * batch, *data.shape[1:]), padding_value, dtype=data.dtype), [places(sizes, batch)], data)
    padded = padded.reshape(time, batch, *data.shape[1:])
    padded = padded.transpose(0, 1) if batch_first else padded
    lengths = as_tensor([sum(n > i for n in sizes) for i in range(batch)])
    if order is None:
        return padded, lengths
    return index_select(padded, 0 if batch_first else 1, order), lengths[order]


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Tensors of shapes (length, *) as one, shape (longest, batch, *), or (batch, longest, *) with `batch_first`.

    Args:
        padding_side: "right": padding follows a sequence; "left": it comes before.

    Raises:
        RuntimeError: if there are none, or the dims other than the first differ.

    >>> import retrograd as torch
    >>> pad_sequence([torch.tensor([1, 2, 3]), torch.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    given = list(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if any(s.ndim == 0 for s in given):
        raise RuntimeError("pad_sequence: Expected sequences with at least one dim, but got a tensor with 0 dims")
    longest = max(len(s) for s in given)
    left = padding_side == "left"

    def padded(s: Tensor) -> Tensor:
        missing = longest - len(s)
        return pad(s, (0, 0) * (s.ndim - 1) + ((missing, 0) if left else (0, missing)), value=padding_value) if missing else s

    return stack([padded(s) for s in given], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The inverse of `pad_sequence`: a list of tensors of these lengths."""
    by_batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [s[:n].clone() for s, n in zip(by_batch, lengths.tolist(), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs tensors of shapes (length, *). See `pack_padded_sequence`.

    >>> import retrograd as torch
    >>> pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4, 5])]).data
    tensor([1, 4, 2, 5, 3])
    """
    return pack_padded_sequence(pad_sequence(sequences), [len(s) for s in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of `pack_sequence`."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences, batch_first=True), batch_first=True)
