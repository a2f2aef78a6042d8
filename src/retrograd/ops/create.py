"""Tensors made from numbers: from data, filled with a value, ranges, grids. Nothing here has a derivative."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.levels import lifted, local, refuse_record, switch
from retrograd.core.random import in_memory_order
from retrograd.core.tensor import LEAF, Box, Tensor, constant, wrap
from retrograd.device import check_device
from retrograd.dtypes import dtype
from retrograd.shapes import flatten_ints


def finish(array: Any, requires_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """A leaf around a fresh array (or the array stored in `out`)."""
    if out is not None:
        refuse_record("a tensor was made in another's memory (out=)")
        out._data = array.astype(out._data.dtype, copy=False) if out.shape != array.shape else out._data
        np.copyto(out._data, array, casting="unsafe")
        out._version[0] += 1
        return out
    result = constant(array)
    if requires_grad:
        if array.dtype.kind not in "fcV":
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        result._node = LEAF
    elif local.stack:
        return lifted(result)
    if local.inference:
        result.extra().inference = True
    return result


def sizes_of(size: tuple[Any, ...], function: str) -> tuple[int, ...]:
    """The sizes given to a factory, as `f(2, 3)` or `f((2, 3))`."""
    sizes = flatten_ints(size)
    for n in sizes:
        if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
            raise TypeError(f"{function}(): argument 'size' must be tuple of ints, but found element of type {type(n).__name__}")
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {int(n)}: {[int(m) for m in sizes]}")
    return tuple(int(n) for n in sizes)


def numpy_dtype(d: dtype | None, default: dtype | None = None) -> Any:
    """The NumPy dtype asked for, or the default one."""
    if d is not None and not isinstance(d, dtype):
        raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(d).__name__}")
    return (d or default or settings.default_dtype).numpy


# ---------------------------------------------------------------- from data


def tensor(data: Any, *, dtype: dtype | None = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences, an array or a tensor.

    The dtype is inferred: bool, int64 and the default dtype for Python's bools, ints and floats.

    Raises:
        ValueError: if nested sequences are ragged.
        TypeError: if an element is not a number.
        RuntimeError: if `requires_grad` and the dtype is an integer one.

    >>> tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> tensor([1.0, 2.0], requires_grad=True)
    tensor([1., 2.], requires_grad=True)
    """
    check_device(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        if isinstance(data, Box):
            return data.detach().clone() if dtype is None else data.detach().clone().to(dtype)
        made = finish(data._data.astype(numpy_dtype(dtype, data.dtype)), requires_grad)
        if switch.special and local.observer is not None:
            local.observer.copied(data, made)
        return made
    return finish(array_from(data, dtype), requires_grad)


def array_from(data: Any, wanted: dtype | None) -> Any:
    """A fresh array holding `data`, of the dtype wanted or inferred as PyTorch does."""
    if isinstance(data, (np.ndarray, np.generic)):
        refuse_record("the numbers of a NumPy array were copied: use from_numpy, or make the tensor outside")
        found = dtypes.from_numpy(data.dtype)
        return np.array(data, dtype=(wanted or found).numpy, order="C")
    if isinstance(data, str) or data is None:
        raise TypeError(
            f"new(): invalid data type '{type(data).__name__}'" if isinstance(data, str) else "Could not infer dtype of NoneType"
        )
    leaves: list[Any] = []
    shape = measure(data, leaves, [])
    inferred = wanted or infer(leaves)
    if wanted is not None and wanted.category < dtypes.COMPLEX and any(isinstance(v, complex) for v in leaves):
        raise RuntimeError("value cannot be converted to type without overflow")
    try:
        if inferred.category == dtypes.INTEGER:
            return as_integers(leaves, inferred).reshape(shape)
        return np.array(leaves, dtype=inferred.numpy if inferred.category != dtypes.BOOL else bool).reshape(shape)
    except (OverflowError, ValueError, TypeError) as error:
        raise type(error)(f"{error} (making a {inferred} tensor)") from None


def as_integers(leaves: list[Any], wanted: dtype) -> Any:
    """An integer array; floats are cut, and a number that does not fit raises RuntimeError."""
    info = np.iinfo(wanted.numpy)
    numbers = []
    for v in leaves:
        if isinstance(v, (float, np.floating)) and not math.isfinite(v):
            n = info.min
        else:
            n = int(v)
        if not info.min <= n <= info.max:
            if wanted.itemsize == 8:
                raise RuntimeError("Overflow when unpacking long long")
            raise RuntimeError(f"value cannot be converted to type {wanted.name} without overflow")
        numbers.append(n)
    return np.array(numbers, dtype=wanted.numpy)


def measure(data: Any, leaves: list[Any], path: list[int]) -> tuple[int, ...]:
    """The shape of nested sequences, whose numbers are appended to `leaves`."""
    if isinstance(data, Tensor):
        refuse_record()
        leaves.extend(data._data.ravel().tolist() if data.ndim else [data._data.item()])
        return data.shape
    if isinstance(data, (np.ndarray, np.generic)):
        refuse_record("the numbers of a NumPy array were copied: use from_numpy, or make the tensor outside")
        leaves.extend(data.ravel().tolist())
        return data.shape
    if isinstance(data, (list, tuple, range)) or (
        hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, (str, dict))
    ):
        if not len(data):
            return (0,)
        first: tuple[int, ...] | None = None
        for i, item in enumerate(data):
            shape = measure(item, leaves, [*path, i])
            if first is None:
                first = shape
            elif shape != first:
                if len(shape) == 0 or len(first) == 0:
                    raise (
                        TypeError(f"not a sequence: element {[*path, i]} differs in depth from those before it")
                        if len(shape) == 0
                        else ValueError("only one element tensors can be converted to Python scalars")
                    )
                raise ValueError(f"expected sequence of length {first[0]} at dim {len(path) + 1} (got {shape[0]})")
        assert first is not None
        return (len(data), *first)
    if isinstance(data, (bool, int, float, complex)) or hasattr(data, "__index__") or hasattr(data, "__float__"):
        leaves.append(data)
        return ()
    raise (TypeError if isinstance(data, str) else RuntimeError)(
        f"new(): invalid data type '{type(data).__name__}'" if isinstance(data, str) else f"Could not infer dtype of {type(data).__name__}"
    )


def infer(leaves: list[Any]) -> dtype:
    """The dtype of Python numbers."""
    found = dtypes.bool if leaves else settings.default_dtype
    for v in leaves:
        d = dtypes.of_number(v, settings.default_dtype)
        if d.category > found.category:  # type: ignore[operator]
            found = d
    return found


def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory with a tensor or array of the right dtype.

    >>> import numpy as np
    >>> a = np.zeros(2); t = as_tensor(a); a[0] = 1; t
    tensor([1., 0.], dtype=torch.float64)
    """
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype is dtype else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or dtypes.from_numpy(data.dtype) is dtype):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


asarray = as_tensor


def from_numpy(ndarray: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on an array's memory: what is written to one shows in the other.

    Raises:
        TypeError: if it is not an array, or of a dtype that PyTorch lacks.
        ValueError: if a stride is negative.

    >>> import numpy as np
    >>> from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently "
            "supported. (You can probably work around this by making a copy of your array with array.copy().)"
        )
    ours = dtypes.from_numpy(ndarray.dtype).numpy
    if ndarray.dtype is not ours:
        ndarray = ndarray.view(ours) if ndarray.dtype.isnative else ndarray.astype(ours)
    return wrap(ndarray)


# ---------------------------------------------------------------- filled


def zeros(
    *size: Any,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of zeros. Raises RuntimeError for a negative size.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    check_device(device)
    return finish(np.zeros(sizes_of(size, "zeros"), numpy_dtype(dtype)), requires_grad, out)


def ones(
    *size: Any,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of ones. Raises RuntimeError for a negative size."""
    check_device(device)
    return finish(np.ones(sizes_of(size, "ones"), numpy_dtype(dtype)), requires_grad, out)


def empty(
    *size: Any,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor whose elements are whatever the memory held. Raises RuntimeError for a negative size."""
    check_device(device)
    return finish(np.empty(sizes_of(size, "empty"), numpy_dtype(dtype)), requires_grad, out)


def full(
    size: Sequence[int],
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor filled with one number, whose type decides the dtype.

    >>> full((2,), 7), full((2,), 0.5)
    (tensor([7, 7]), tensor([0.5000, 0.5000]))
    """
    check_device(device)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    inferred = dtype or dtypes.of_number(value, settings.default_dtype)
    return finish(np.full(sizes_of((tuple(size),), "full"), value, numpy_dtype(inferred)), requires_grad, out)


def like(input: Tensor, dtype: dtype | None, device: Any) -> tuple[tuple[int, ...], Any]:
    """Shape and NumPy dtype for a `..._like` function."""
    check_device(device)
    if not isinstance(input, Tensor):
        raise TypeError(f"argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input.shape, numpy_dtype(dtype, input.dtype)


def zeros_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Zeros of the shape and dtype of `input`."""
    return finish(np.zeros(*like(input, dtype, device)), requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Ones of the shape and dtype of `input`."""
    return finish(np.ones(*like(input, dtype, device)), requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Uninitialised elements, of the shape and dtype of `input`."""
    shape, kind = like(input, dtype, device)
    if isinstance(input, Box) or str(memory_format).endswith("contiguous_format"):
        return finish(np.empty(shape, kind), requires_grad)
    return finish(in_memory_order(lambda shape: np.empty(shape, kind), shape, input._data.strides), requires_grad)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """One number in the shape and dtype of `input`."""
    shape, d = like(input, dtype, device)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return finish(np.full(shape, value, d), requires_grad)


def scalar_tensor(value: Any, *, dtype: dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A number as a tensor without dims, of the default dtype."""
    check_device(device)
    return finish(np.array(value, numpy_dtype(dtype)), requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The identity matrix, of n rows and m (default n) columns.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_device(device)
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"n must be greater or equal to 0, got {n if n < 0 else m}")
    return finish(np.eye(n, m, dtype=numpy_dtype(dtype)), requires_grad, out)


# ---------------------------------------------------------------- ranges


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`start`, `start + step`, ... up to but without `end`; int64 if all three are ints.

    Raises:
        RuntimeError: if `step` is zero or leads away from `end`.

    >>> arange(3), arange(1, 2, 0.5)
    (tensor([0, 1, 2]), tensor([1.0000, 1.5000]))
    """
    check_device(device)
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    integral = not any(isinstance(v, float) for v in (start, end, step))
    wanted = dtype or (out.dtype if out is not None else dtypes.int64 if integral else settings.default_dtype)
    if wanted is dtypes.bool:
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'")
    if wanted.category == dtypes.INTEGER:
        start, end, step, integral = int(start), int(end), int(step), True
        if step == 0:
            raise ValueError("step must be nonzero")
    n = -((start - end) // step) if integral else math.ceil((end - start) / step)
    if wanted.category == dtypes.INTEGER:
        array = int(start) + np.arange(int(n), dtype=np.int64) * int(step)
    else:
        array = start + np.arange(int(n), dtype=np.float64) * step
    return finish(array.astype(wanted.numpy), requires_grad, out)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included; computed from both ends, as PyTorch does.

    >>> linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    check_device(device)
    if isinstance(steps, float):
        raise TypeError(
            "linspace() received an invalid combination of arguments - got (int, int, float), but expected (Number start, Number end, int steps, ...)".replace(
                "(int, int, float)", f"({type(start).__name__}, {type(end).__name__}, float)"
            )
        )
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    complex_ends = isinstance(start, complex) or isinstance(end, complex)
    wanted = dtype or (settings.default_dtype.to_complex() if complex_ends else settings.default_dtype)
    number = wanted.numpy.type if wanted.category >= dtypes.FLOATING and wanted.itemsize >= 4 else np.float64
    if wanted.category < dtypes.FLOATING:
        start, end = int(start), int(end)
        number = np.float64 if wanted.itemsize == 8 else np.float32
    first, last = number(start), number(end)
    if steps == 1:
        return finish(np.full((1,), start, wanted.numpy), requires_grad, out)
    step = (last - first) / number(max(steps - 1, 1))
    i = np.arange(steps)
    rising = first + step * i.astype(number)
    falling = last - step * (steps - 1 - i).astype(number)
    return finish(np.where(i < steps // 2, rising, falling).astype(wanted.numpy), requires_grad, out)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the power of `linspace(start, end, steps)`.

    >>> logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    wanted = dtype or settings.default_dtype
    if wanted.category < dtypes.FLOATING and steps > 1:  # exponents between whole numbers
        start, end = (int(v.item() if isinstance(v, Tensor) else v) for v in (start, end))
    exponents = linspace(start, end, steps, dtype=dtypes.float64 if wanted.category <= dtypes.FLOATING else wanted, device=device)._data
    return finish(np.power(base, exponents).astype(wanted.numpy), requires_grad, out)


def refuse_floating(function: str, wanted: dtype) -> None:
    """Raises NotImplementedError for a dtype that is not of integers."""
    if wanted.category != dtypes.INTEGER:
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.scalar_name(wanted)}'")


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: dtype = dtypes.int64, device: Any = None, layout: Any = None) -> Tensor:
    """Row and column numbers, shape (2, n), of the lower triangle of a `row` by `col` matrix."""
    check_device(device)
    refuse_floating("tril_indices", dtype)
    return finish(np.array(np.tril_indices(row, offset, col), dtype.numpy).reshape(2, -1))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: dtype = dtypes.int64, device: Any = None, layout: Any = None) -> Tensor:
    """Row and column numbers, shape (2, n), of the upper triangle of a `row` by `col` matrix."""
    check_device(device)
    refuse_floating("triu_indices", dtype)
    return finish(np.array(np.triu_indices(row, offset, col), dtype.numpy).reshape(2, -1))
