"""Samples put together into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core.tensor import Tensor
from retrograd.ops.create import as_tensor, tensor
from retrograd.ops.join import stack

MESSAGE = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch of samples as tensors with one more dim: tensors and arrays are stacked, numbers become a vector, and what is in
    dicts, tuples and lists is put together place by place.

    Raises:
        TypeError: for other types.
        RuntimeError: if sequences differ in length, or tensors in shape.

    >>> default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ('a', 'b')]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(list(batch))
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "USO":
            raise TypeError(MESSAGE.format(first.dtype))
        return stack([as_tensor(x) for x in batch])
    if isinstance(first, np.generic) and not isinstance(first, (str, bytes)):
        return as_tensor(np.array(batch))
    if isinstance(first, float):
        return tensor(batch, dtype=dtypes.float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return rebuilt_mapping(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(column) for column in zip(*batch, strict=True)]
    raise TypeError(MESSAGE.format(type(first)))


def default_convert(data: Any) -> Any:
    """A single sample with its arrays as tensors."""
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "USO":
        return as_tensor(data)
    if isinstance(data, Mapping):
        return rebuilt_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(x) for x in data))
    if isinstance(data, (tuple, list)):
        return [default_convert(x) for x in data]
    return data


def rebuilt_mapping(like: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    """A mapping of the same type, where that can be made from a dict."""
    try:
        return type(like)(items)  # type: ignore[call-arg]
    except TypeError:
        return items
