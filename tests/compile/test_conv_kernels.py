"""Kernels of convolutions and of max pooling against the library's own operations, in float64 for convolutions."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

import retrograd
from retrograd.compile.native import objects
from retrograd.compile.native.conv import (
    Convolution,
    block_of,
    forward_stages,
    grain_of,
    input_gradient_stages,
    weight_gradient_stages,
)
from retrograd.compile.native.gemm import Store
from retrograd.compile.native.host import host
from retrograd.compile.native.microkernels import at
from retrograd.compile.native.objects import Stage
from retrograd.compile.native.pooling import Pooling, max_pool_gradient_stages, max_pool_stages
from retrograd.ops.conv import conv_op, conv_transpose_op, conv_weight_op
from retrograd.ops.pool import from_places, max_pool_op, pooled_size

TOLERANCE = {"f4": 1e-5, "f8": 1e-13}
GUARD = 64  # bytes on both sides of what a kernel may write


class Guarded:
    """An array between bytes that must not change, filled with nan or a number that is no result."""

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.bytes = np.full(size + 2 * GUARD, 0xA5, np.uint8)
        self.array = self.bytes[GUARD : GUARD + size].view(dtype).reshape(shape)
        self.array[...] = np.nan if self.array.dtype.kind == "f" else 77

    def check(self) -> ndarray:
        """The array, after a look at the bytes around it."""
        around = np.concatenate([self.bytes[:GUARD], self.bytes[-GUARD:]])
        assert (around == 0xA5).all(), "a kernel wrote outside of its result"
        return self.array


class Rooms:
    """Gives workspaces, filled with bytes that make nan and guarded too."""

    def __init__(self) -> None:
        self.given: list[Guarded] = []

    def __call__(self, size: int) -> ndarray:
        self.given.append(Guarded((size,), np.uint8))
        self.given[-1].array[...] = 0xFF
        return self.given[-1].array


def run(stages: list[Stage] | None, pieces: bool = False) -> None:
    """Runs stages on this thread: each over all of its extent at once, or unit by unit from the last to the first."""
    assert stages is not None
    for stage in stages:
        kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(objects.load(stage.key, stage.symbol, stage.build))
        table = np.array([operand.ctypes.data for operand in stage.operands], np.uint64)
        ranges = [(i, i + 1) for i in reversed(range(stage.extent))] if pieces else [(0, stage.extent)]
        for begin, end in ranges:
            kernel(table.ctypes.data, begin, end)


def strides(array: ndarray) -> Any:
    """Strides in elements."""
    return tuple(s // array.itemsize for s in array.strides)


@dataclass(frozen=True)
class Case:
    """A convolution of random numbers."""

    n: int
    c: int
    h: int
    w: int
    o: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    layout: tuple[int, ...] = (0, 1, 2, 3)  # of the input in memory

    def operands(self, dtype: str) -> tuple[Convolution, ndarray, ndarray, ndarray]:
        """The convolution, its input and weight, and a gradient of its result."""
        rng = np.random.default_rng(0)
        shape = (self.n, self.c, self.h, self.w)
        x = rng.normal(size=[shape[d] for d in self.layout]).astype(dtype).transpose(np.argsort(self.layout))
        w = rng.normal(size=(self.o, self.c // self.groups, *self.kernel)).astype(dtype)
        spec = Convolution(
            np.dtype(dtype), *shape, self.o, *self.kernel, self.stride, self.padding, self.dilation, self.groups, strides(x), strides(w), (0, 0, 0, 0)
        )  # fmt: skip
        g = rng.normal(size=(self.n, self.o, *spec.out)).astype(dtype)
        return replace(spec, output_strides=strides(g)), x, w, g

    @property
    def params(self) -> dict[str, Any]:
        """What the operations are called with."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


def exact(array: ndarray) -> Any:
    """As a tensor of float64."""
    return retrograd.from_numpy(np.ascontiguousarray(array, np.float64))


def check_all(case: Case, dtype: str, pieces: bool = False) -> None:
    """The three products of a case."""
    spec, x, w, g = case.operands(dtype)
    wanted = {
        "forward": conv_op(exact(x), exact(w), **case.params),
        "input": conv_transpose_op(exact(g), exact(w), size=x.shape[2:], **case.params),
        "weight": conv_weight_op(exact(x), exact(g), kernel=case.kernel, **case.params),
    }
    assert tuple(wanted["forward"].shape) == g.shape
    for product, tensor in wanted.items():
        result, rooms = Guarded(tensor.shape, dtype), Rooms()
        run(stages_of(product, spec, x, w, g, result.array, rooms), pieces)
        reference = tensor.numpy()
        error = np.abs(result.check() - reference).max() / max(np.abs(reference).max(), 1e-30)
        assert error < TOLERANCE[dtype], f"{product} of {case}"
        for room in rooms.given:
            room.check()


def stages_of(product: str, spec: Convolution, x: ndarray, w: ndarray, g: ndarray, out: ndarray, rooms: Rooms) -> list[Stage] | None:
    """The stages of one product that stores its results."""
    size = out[0, 0].size
    if product == "forward":
        return forward_stages(spec, host(), x, w, Store(size, (out[0].size,)), [out], product, rooms)
    if product == "input":
        return input_gradient_stages(spec, host(), g, w, Store(size, (out[0].size,)), [out], product, rooms)
    return weight_gradient_stages(spec, host(), g, x, Store(out[0].size), [out], product, rooms)


CASES = {
    "plain": Case(2, 3, 8, 9, 5, (3, 3), padding=(1, 1)),
    "one element": Case(1, 1, 1, 1, 1, (1, 1)),
    "pointwise": Case(2, 20, 5, 7, 33, (1, 1)),
    "first layer of LeNet": Case(3, 1, 28, 28, 16, (5, 5), padding=(2, 2)),
    "second layer of LeNet": Case(2, 16, 14, 14, 32, (5, 5)),
    "residual": Case(2, 64, 8, 32, 64, (3, 3), padding=(1, 1)),
    "many channels on a small map": Case(2, 96, 7, 7, 80, (3, 3), padding=(1, 1)),
    "odd maps with fewer products": Case(3, 20, 13, 11, 40, (3, 3), padding=(1, 1)),
    "many terms with fewer products": Case(1, 300, 9, 32, 24, (3, 3), padding=(1, 1)),
    "wide maps with fewer products": Case(1, 17, 5, 150, 70, (3, 3), padding=(0, 2)),
    "groups with fewer products": Case(2, 40, 16, 16, 48, (3, 3), padding=(2, 0), groups=2),
    "small maps with fewer products": Case(16, 32, 4, 4, 160, (3, 3), padding=(1, 1)),
    "channels last with fewer products": Case(2, 32, 16, 16, 32, (3, 3), padding=(1, 1), layout=(0, 2, 3, 1)),
    "strides": Case(2, 4, 9, 13, 6, (3, 2), (2, 3), (1, 1), (1, 2), 2),
    "steps over elements": Case(1, 3, 11, 10, 4, (1, 2), (3, 4)),
    "phases without taps": Case(2, 3, 9, 9, 8, (3, 3), (2, 2), (1, 1), (2, 2)),
    "padding beyond the kernel": Case(1, 2, 4, 5, 17, (2, 2), padding=(4, 3)),
    "depthwise": Case(2, 9, 10, 10, 9, (3, 3), padding=(1, 1), groups=9),
    "depthwise on narrow maps": Case(3, 5, 9, 7, 5, (5, 5), padding=(2, 2), groups=5),
    "depthwise on large maps": Case(1, 3, 190, 170, 3, (3, 3), padding=(1, 0), dilation=(2, 1), groups=3),
    "depthwise lines": Case(2, 4, 1, 100, 4, (1, 9), padding=(0, 4), groups=4),
    "depthwise with strides": Case(2, 6, 14, 15, 6, (3, 3), (2, 2), (1, 1), groups=6),
    "depthwise on channels last": Case(2, 6, 14, 15, 6, (3, 3), padding=(1, 1), groups=6, layout=(0, 2, 3, 1)),
    "groups": Case(2, 12, 6, 21, 40, (3, 3), padding=(1, 1), groups=4),
    "one dim": Case(2, 3, 1, 50, 20, (1, 9), (1, 2), (0, 4)),
    "a long line": Case(1, 2, 1, 2500, 20, (1, 9), padding=(0, 4)),
    "a long line with strides": Case(1, 2, 1, 3001, 3, (1, 5), (1, 3), (0, 2), (1, 2)),
    "a long kernel": Case(1, 2, 1, 300, 20, (1, 150), padding=(0, 75)),
    "a prime number of rows": Case(1, 3, 131, 40, 24, (3, 3), padding=(1, 1)),
    "channels last": Case(2, 5, 9, 8, 6, (3, 3), padding=(1, 1), layout=(0, 2, 3, 1)),
    "columns first": Case(2, 5, 9, 8, 6, (3, 3), padding=(1, 1), layout=(0, 1, 3, 2)),
    "a long line of channels": Case(1, 2, 1, 2500, 20, (1, 3), padding=(0, 1), layout=(0, 2, 3, 1)),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", CASES)
def test_convolutions_are_the_librarys(name, dtype):
    check_all(CASES[name], dtype)


@pytest.mark.parametrize("seed", range(12))
def test_random_convolutions(seed):
    draw = random.Random(seed)
    groups = draw.choice([1, 1, 2, 3])
    kernel, dilation = (draw.randint(1, 5), draw.randint(1, 5)), (draw.randint(1, 3), draw.randint(1, 3))
    h, w = (draw.randint(1, 30) + d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    case = Case(
        draw.randint(1, 3), groups * draw.choice([1, 2, 3, 8, 17]), h, w, groups * draw.choice([1, 2, 5, 8, 33]), kernel,
        (draw.randint(1, 3), draw.randint(1, 3)), (draw.randint(0, 4), draw.randint(0, 4)), dilation, groups,
    )  # fmt: skip
    check_all(case, draw.choice(["f4", "f8"]))


@pytest.mark.parametrize("product", ["forward", "input", "weight"])
def test_the_cut_into_pieces_does_not_change_a_bit(product):
    case = Case(5, 6, 40, 33, 20, (3, 3), padding=(1, 1))
    spec, x, w, g = case.operands("f4")
    shape = {"forward": g.shape, "input": x.shape, "weight": w.shape}[product]
    results = []
    for pieces in (False, True):
        out = Guarded(shape, "f4")
        run(stages_of(product, spec, x, w, g, out.array, Rooms()), pieces)
        results.append(out.check().copy())
    assert results[0].tobytes() == results[1].tobytes()


class BiasAndRelu:
    """An epilogue that adds a bias and cuts off below zero: its operands are the result and the bias."""

    def __init__(self, store: Store) -> None:
        self.store, self.key = store, f"bias relu {store.key}"

    def emit(self, k, pointers, value, batch, i, j, lanes_mask):
        element = value.type.element if k.lanes > 1 else value.type
        bias = k.b.load(at(k.b, pointers[1], element, (i, 1)), typ=element)
        self.store.emit(k, pointers, k.max(k.add(value, bias), 0.0), batch, i, j, lanes_mask)


def test_an_epilogue_takes_the_results_as_they_come():
    case = CASES["plain"]
    spec, x, w, g = case.operands("f4")
    bias = np.linspace(-1, 1, case.o, dtype="f4")
    out = Guarded(g.shape, "f4")
    run(forward_stages(spec, host(), x, w, BiasAndRelu(Store(g[0, 0].size, (g[0].size,))), [out.array, bias], "", Rooms()))
    wanted = conv_op(exact(x), exact(w), exact(bias), **case.params).relu().numpy()
    np.testing.assert_allclose(out.check(), wanted, rtol=1e-5, atol=1e-5)
    assert (out.array == 0).any()


def test_the_gradients_of_fewer_windows_than_there_are():
    """A transposed convolution whose result is larger than its windows need."""
    case = Case(2, 3, 10, 10, 4, (3, 3), (2, 2), (1, 1))
    spec, x, w, g = case.operands("f8")
    fewer = np.ascontiguousarray(g[:, :, :4, :3])
    spec = replace(spec, counts=(4, 3), output_strides=strides(fewer))
    wanted = conv_transpose_op(exact(fewer), exact(w), size=(10, 10), **case.params).numpy()
    out = Guarded(x.shape, "f8")
    run(stages_of("input", spec, x, w, fewer, out.array, Rooms()))
    np.testing.assert_allclose(out.check(), wanted, rtol=1e-12, atol=1e-12)
    weights = conv_weight_op(exact(x), exact(fewer), kernel=(3, 3), **case.params).numpy()
    out = Guarded(w.shape, "f8")
    run(stages_of("weight", spec, x, w, fewer, out.array, Rooms()))
    np.testing.assert_allclose(out.check(), weights, rtol=1e-12, atol=1e-12)


def test_gradients_and_weights_with_gaps_in_memory():
    case = CASES["strides"]
    spec, x, w, g = case.operands("f8")
    wide_g, wide_w = np.full((*g.shape[:3], 2 * g.shape[3]), np.nan), np.full((*w.shape[:3], 3 * w.shape[3]), np.nan)
    wide_g[..., ::2], wide_w[..., ::3] = g, w
    spec = replace(spec, output_strides=strides(wide_g[..., ::2]), weight_strides=strides(wide_w[..., ::3]))
    wanted = conv_transpose_op(exact(g), exact(w), size=x.shape[2:], **case.params).numpy()
    out = Guarded(x.shape, "f8")
    run(stages_of("input", spec, x, wide_w, wide_g, out.array, Rooms()))
    np.testing.assert_allclose(out.check(), wanted, rtol=1e-12, atol=1e-12)


def test_no_kernel_for_what_is_no_real_number_or_empty():
    spec, x, w, g = CASES["plain"].operands("f4")
    for other in (replace(spec, dtype=np.dtype("i8")), replace(spec, dtype=np.dtype("c8")), replace(spec, n=0)):
        for product in ("forward", "input", "weight"):
            assert stages_of(product, other, x, w, g, g, Rooms()) is None


def test_channels_that_groups_do_not_divide_are_refused():
    spec, *_ = CASES["plain"].operands("f4")
    with pytest.raises(ValueError, match="expected channels that 2 groups divide, got 3 and 5"):
        replace(spec, groups=2)


def test_grains_depend_on_the_work():
    assert grain_of(64, 10.0) == 64
    assert grain_of(64, 1e9) == 1
    assert [block_of(length, 10) for length in (3, 28, 7, 31)] == [3, 7, 7, 8]


# ---------------------------------------------------------------- pooling


def check_pool(
    shape: tuple[int, int, int, int], kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, dtype="f4", special=False,
    layout=(0, 1, 2, 3),
) -> None:  # fmt: skip
    """Values, places and gradient of a pooling of random numbers, of which some are equal; `special` ones are among them if asked for."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=[shape[d] for d in layout]).astype(dtype).round(1).transpose(np.argsort(layout))
    if special:
        x[rng.random(x.shape) < 0.1] = np.nan
        x[rng.random(x.shape) < 0.3] = -np.inf
    counts = tuple(pooled_size(*one, ceil_mode) for one in zip(shape[2:], kernel, stride, padding, dilation, strict=True))
    params = {"counts": counts, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    values, places = (t.numpy() for t in max_pool_op(retrograd.from_numpy(np.ascontiguousarray(x)), **params))
    spec = Pooling(np.dtype(dtype), *shape, **params, input_strides=strides(x))
    found, where = Guarded(values.shape, dtype), Guarded(values.shape, "i8")
    run(max_pool_stages(spec, host(), x, found.array, where.array, ""))
    np.testing.assert_array_equal(found.check(), values)
    np.testing.assert_array_equal(where.check(), places)
    inside = (places >= 0) & (places < shape[2] * shape[3])
    g = rng.normal(size=values.shape).astype(dtype)
    wanted = from_places(exact(np.where(inside, g, 0)), retrograd.from_numpy(np.where(inside, places, 0)), shape[2:]).numpy()
    out = Guarded(shape, dtype)
    run(max_pool_gradient_stages(spec, host(), g, where.array, out.array, ""))
    np.testing.assert_allclose(out.check(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "dilation", "ceil_mode"),
    [
        ((2, 3, 28, 28), (2, 2), (2, 2), (0, 0), (1, 1), False),
        ((2, 3, 10, 10), (2, 2), (2, 2), (0, 0), (1, 1), False),
        ((2, 3, 7, 71), (2, 2), (2, 2), (0, 0), (1, 1), True),
        ((1, 2, 13, 70), (3, 2), (3, 2), (0, 0), (1, 1), False),
        ((1, 2, 13, 71), (3, 3), (3, 3), (0, 0), (1, 1), False),
        ((1, 2, 9, 90), (2, 4), (2, 4), (0, 0), (1, 1), False),
        ((1, 2, 30, 31), (3, 3), (2, 2), (1, 1), (1, 1), True),
        ((1, 2, 12, 40), (3, 3), (1, 1), (1, 1), (1, 1), False),
        ((1, 2, 20, 40), (2, 3), (1, 2), (1, 1), (2, 3), False),
        ((1, 2, 20, 80), (2, 2), (5, 6), (0, 0), (1, 1), False),
        ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), False),
        ((1, 1, 150, 200), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ],
)
def test_max_pooling_is_the_librarys(shape, kernel, stride, padding, dilation, ceil_mode, dtype):
    check_pool(shape, kernel, stride, padding, dilation, ceil_mode, dtype)
    check_pool(shape, kernel, stride, padding, dilation, ceil_mode, dtype, special=True)


@pytest.mark.parametrize("seed", range(10))
def test_random_max_pooling(seed):
    draw = random.Random(seed)
    kernel, dilation = (draw.randint(1, 5), draw.randint(1, 5)), (draw.randint(1, 3), draw.randint(1, 3))
    padding = tuple(draw.randint(0, (d * (k - 1) + 1) // 2) for k, d in zip(kernel, dilation, strict=True))
    h, w = (draw.randint(1, 40) + d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    stride = draw.choice([kernel, (draw.randint(1, 6), draw.randint(1, 6))])
    special = draw.random() < 0.5
    check_pool((2, 3, h, w), kernel, stride, padding, dilation, draw.random() < 0.4, draw.choice(["f4", "f8"]), special)


def test_max_pooling_of_another_layout():
    check_pool((2, 5, 12, 14), (2, 2), (2, 2), layout=(0, 2, 3, 1))


def test_no_pooling_kernel_for_integers_or_empty_maps():
    spec = Pooling(np.dtype("i8"), 1, 1, 4, 4, (2, 2), (2, 2), (2, 2), (0, 0), (1, 1), (16, 16, 4, 1))
    for other in (spec, replace(spec, dtype=np.dtype("f4"), n=0)):
        assert max_pool_stages(other, host(), None, None, None, "") is None
        assert max_pool_gradient_stages(other, host(), None, None, None, "") is None
