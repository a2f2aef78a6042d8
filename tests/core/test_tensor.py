"""Tensors: indexing, views, dtypes, conversion and arithmetic with numbers are PyTorch's, also for cases drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograd as torch
from tests.oracle import needs_torch, same_in_both
from tests.oracle import torch as theirs

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"]
budget = settings(max_examples=150, deadline=None, derandomize=True)

# ---------------------------------------------------------------- indexing


@st.composite
def keys(draw: Any) -> tuple[tuple[int, ...], Any]:
    """A shape, and a key for it described by plain values: ints, slices, None, ..., lists of ints (tensors), masks."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    parts: list[Any] = []
    dim = 0
    while dim < len(shape) and draw(st.integers(0, 5)):
        n, kind = shape[dim], draw(st.sampled_from(["int", "slice", "none", "tensor", "mask", "all"]))
        if kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            parts.append(
                slice(draw(st.none() | st.integers(-n, n)), draw(st.none() | st.integers(-n, n)), draw(st.none() | st.integers(1, 3)))
            )
        elif kind == "none":
            parts.append(None)
            continue
        elif kind == "tensor":
            parts.append(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=2, max_size=2))))
        elif kind == "mask":
            mask = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
            if sum(mask) != 2 and any(isinstance(p, np.ndarray) for p in parts):
                mask = np.arange(n) < min(2, n)
            if mask.sum() != 2:
                parts.append(slice(None))
            else:
                parts.append(mask)
        else:
            parts.append(slice(None))
        dim += 1
    if draw(st.booleans()) and dim < len(shape):
        parts.append(Ellipsis)
    return shape, parts


def built(library: Any, parts: list[Any]) -> Any:
    """The key for a library."""
    key = tuple(library.from_numpy(p) if isinstance(p, np.ndarray) else p for p in parts)
    return key[0] if len(key) == 1 else key


@needs_torch
@budget
@given(keys())
def test_indexing(case: tuple[tuple[int, ...], list[Any]]):
    """x[key], its gradient, whether it shares memory, and assignment to it."""
    shape, parts = case
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    found = []
    for library in (torch, theirs):
        x = library.from_numpy(values.copy()).requires_grad_()
        y = x[built(library, parts)]
        v = library.from_numpy(np.cos(np.arange(y.numel(), dtype=np.float64)).reshape(tuple(y.shape)))
        (g,) = library.autograd.grad(y, x, v)
        z = library.from_numpy(values.copy())
        z[built(library, parts)] = -1.5
        z[built(library, parts)] += 0.25
        found.append(
            (
                tuple(y.shape),
                y.detach().numpy(),
                g.numpy(),
                z.numpy(),
                y.data_ptr() == x.data_ptr() if y.numel() else None,
                tuple(y.stride()) if y.numel() else None,
            )
        )
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1:4], found[1][1:4], strict=True):
        np.testing.assert_array_equal(a, b)
    if not any(isinstance(p, np.ndarray) for p in parts):
        assert found[0][4:] == found[1][4:]


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (5, IndexError, "out of bounds"),
        ((0, 0, 0), IndexError, "too many indices"),
        (1.5, IndexError, "valid indices"),
        ("a", (IndexError, TypeError), ""),
    ],
)
def test_wrong_keys(key: Any, error: Any, match: str):
    """Of PyTorch's type, and nothing is changed."""
    x = torch.zeros(2, 2)
    with pytest.raises(error, match=match or None):
        x[key]
    with pytest.raises(error):
        x[key] = 1.0
    assert not x.any()


# ---------------------------------------------------------------- promotion


@needs_torch
@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", [*DTYPES, 2, 2.5, True, 1j])
@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_promotion(first: str, second: Any):
    """The dtype of sums and products, with tensors of one and of no dim, and with numbers."""

    if {first, str(second)} & {"float16"} and (second == 1j or "complex64" in (first, second)):
        return  # PyTorch's complex numbers of half precision can hardly be computed with

    def program(t: Any) -> Any:
        x = t.ones(2).to(getattr(t, first))
        others = [t.ones(2).to(getattr(t, second)), t.ones(()).to(getattr(t, second))] if isinstance(second, str) else [second]
        found = []
        for y in others:
            for f in (
                lambda a, b: a + b,
                lambda a, b: a * b,
                lambda a, b: a / b,
                lambda a, b: b - a if first != "bool" and second is not True and second != "bool" else a + b,
            ):
                found.append(str(f(x, y).dtype))
        return found

    same_in_both(program)


# ---------------------------------------------------------------- views, layout, conversion


@needs_torch
def test_layout():
    """Strides, contiguity, offsets and shared memory of views."""

    def program(t: Any) -> Any:
        x = t.arange(24.0).reshape(2, 3, 4)
        views = [
            x.t() if x.ndim < 3 else x.transpose(0, 2),
            x.permute(2, 0, 1),
            x[:, 1:, ::2],
            x.expand(5, 2, 3, 4),
            x.view(6, 4),
            x.unfold(2, 2, 1),
            x.diagonal(0, 1, 2),
            x.flatten(1),
            x.squeeze(),
            x[None],
            x.mT,
            x.narrow(2, 1, 2),
        ]
        return [(tuple(v.shape), tuple(v.stride()), v.is_contiguous(), v.storage_offset()) for v in views] + [
            v.contiguous().stride() for v in views
        ]

    same_in_both(program)


@needs_torch
def test_views_of_another_dtype():
    """The same bytes read differently."""

    def program(t: Any) -> Any:
        x = t.tensor([[1.0, -2.0], [3.5, 0.25]])
        return [
            x.view(t.int32),
            x.view(t.uint8),
            x.view(t.int16).shape,
            x.view(t.int32).view(t.float32),
            x.view(t.float64).shape,
            x.view(t.complex64),
        ]

    same_in_both(program)


@needs_torch
def test_conversion():
    """To numbers, lists, arrays and other dtypes, and back."""

    def program(t: Any) -> Any:
        x = t.tensor([[1.7, -2.2], [3.0, 0.0]])
        return [
            x.tolist(), x[0, 0].item(), int(t.tensor(3.9)), float(t.tensor(2)), bool(t.tensor(0.1)), x.long(), x.bool(), x.half(), x.to(t.int8), x.double().dtype.itemsize, x.numpy().dtype.name,
            len(x), [row.tolist() for row in x], 1.7 in x, x.type(), x.element_size(), x.nelement(), str(x.to(t.bfloat16)), t.tensor([True, False]).long(), t.tensor([[1, 2]]).float(), (x == x).all(), x.new_zeros(2).dtype == x.dtype,
        ]  # fmt: skip

    same_in_both(program, rtol=1e-3)


def test_from_numpy_shares_memory_and_tensor_copies():
    """Writes to one are seen in the other, or not."""
    array = np.zeros(3)
    shared, copy = torch.from_numpy(array), torch.tensor(array)
    array[0] = 1
    assert shared.tolist() == [1, 0, 0]
    assert copy.tolist() == [0, 0, 0]
    assert shared.numpy() is not None
    shared[1] = 2
    assert array.tolist() == [1, 2, 0]


@needs_torch
@budget
@given(
    st.lists(st.integers(0, 3), max_size=3), st.lists(st.integers(0, 3), max_size=3), st.sampled_from(["add", "mul", "maximum", "atan2"])
)
def test_broadcasting(first: list[int], second: list[int], name: str):
    """Shapes that broadcast give PyTorch's result and gradients; others raise what PyTorch raises."""
    outcomes = []
    for library in (torch, theirs):
        a = library.linspace(1, 2, int(np.prod(first)), dtype=library.float64).reshape(first).requires_grad_()
        b = library.linspace(3, 4, int(np.prod(second)), dtype=library.float64).reshape(second).requires_grad_()
        try:
            y = getattr(library, name)(a, b)
        except RuntimeError:
            outcomes.append("RuntimeError")
            continue
        grads = library.autograd.grad(y.sum(), (a, b))
        outcomes.append([tuple(y.shape), y.detach().numpy().tolist(), *(g.numpy().tolist() for g in grads)])
    if isinstance(outcomes[1], str):
        assert outcomes[0] == outcomes[1]
    else:
        assert outcomes[0][0] == outcomes[1][0]
        for ours, torchs in zip(outcomes[0][1:], outcomes[1][1:], strict=True):
            np.testing.assert_allclose(ours, torchs, rtol=1e-12)


@needs_torch
def test_default_dtype():
    """It decides what floats and mixed arithmetic become."""

    def program(t: Any) -> Any:
        t.set_default_dtype(t.float64)
        try:
            return [
                str(t.tensor(1.5).dtype),
                str((t.tensor([1]) / 2).dtype),
                str(t.zeros(1).dtype),
                str(t.get_default_dtype()),
                repr(t.tensor([1.5])),
            ]
        finally:
            t.set_default_dtype(t.float32)

    same_in_both(program)


def test_names_of_old_programs():
    """A class for each dtype, the device that programs ask for, constants."""
    assert torch.FloatTensor([1, 2]).tolist() == [1, 2]
    assert torch.LongTensor(2, 3).shape == (2, 3)
    assert isinstance(torch.ones(1), torch.FloatTensor)
    assert not isinstance(torch.ones(1), torch.LongTensor)
    assert torch.Tensor([1, 2]).dtype is torch.float32
    assert str(torch.device("cuda" if torch.cuda.is_available() else "cpu")) == "cpu"
    x = torch.ones(2)
    assert (x.is_cuda, x.is_xpu, x.is_mps) == (False, False, False)
    assert x[torch.newaxis].shape == (1, 2)
    assert torch.pi == np.pi


def test_switches_of_other_libraries_are_accepted():
    """As programs for PyTorch set them, by import or by attribute."""
    from retrograd.backends import cudnn

    before = cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    assert cudnn.benchmark
    cudnn.benchmark = before
    assert not cudnn.is_available()
    assert cudnn.version() is None


def test_out_may_not_overlap_with_operands():
    """A result is never written over what it is computed from, nor into memory that would have to grow over it."""
    x, places = torch.arange(5.0), torch.tensor([2, 1, 0])
    with pytest.raises(RuntimeError, match="unsupported operation"):
        torch.kthvalue(x, 2, out=(x, torch.tensor(0)))
    with pytest.raises(RuntimeError, match="unsupported operation"):
        torch.gather(places.clone(), 0, places[1:], out=places[:1])
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert places.tolist() == [2, 1, 0]
