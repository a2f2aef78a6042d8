"""Matrix products as kernels, against NumPy in double precision."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from llvmlite import ir

from retrograd.compile.native import gemm, objects
from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.host import Host, host
from retrograd.compile.native.microkernels import at

FORMS = ("outer", "packed", "dot")
KIND = {"outer": "NN", "packed": "NT", "dot": "NT"}  # how operands lie that suit a form
SENTINEL = 12345.0
HOSTS = {
    "this one": host(),
    "16 registers of 256 bits": replace(host(), vector_bits=256, vector_registers=16),
    "32 registers of 128 bits": replace(host(), vector_bits=128, vector_registers=32),
    "small caches": replace(host(), l1=8 << 10, l2=64 << 10),
}

# m, n, k
NOTE = [s for b in (1, 16, 64, 256) for s in ((b, 256, 784), (256, 784, b), (b, 10, 256), (10, 256, b), (b, 256, 10))]
MODELS = [
    (768, 384, 128), (768, 128, 512), (768, 65, 128), (128, 65, 768), (64, 96, 32), (128, 512, 784), (128, 10, 256), (32, 512, 128),
    (512, 128, 96), (1000, 50, 50), (50, 50, 1000), (1000, 50, 2), (64, 256, 64), (64, 64, 256),
]  # fmt: skip
EDGES = [
    (1, 1, 1), (1, 1, 300), (1, 300, 1), (300, 1, 1), (1, 300, 40), (300, 1, 40), (2, 2, 0), (5, 40, 0), (45, 45, 45), (46, 45, 46), (7, 7, 7),
    (3, 5, 2), (17, 33, 15), (16, 16, 16), (31, 15, 17), (8, 2, 3), (1, 9, 9), (9, 1, 9), (25, 100, 3), (129, 130, 131), (260, 70, 300),
]  # fmt: skip


def guarded(numbers: np.ndarray, order: Sequence[int], gap: int, guard: float) -> np.ndarray:
    """The same numbers as a strided view: dims lie in memory in the given order, lines `gap` elements apart, among guards."""
    shape = [numbers.shape[d] for d in order]
    room = np.full(math.prod(shape[:-1]) * (shape[-1] + gap) + 64, guard, numbers.dtype)
    lines = room[32 : room.size - 32].reshape(*shape[:-1], shape[-1] + gap)[..., : shape[-1]]
    view = lines.transpose(np.argsort(order))
    view[...] = numbers
    return view


def strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(s // array.itemsize for s in array.strides)


def product_of(a: np.ndarray, b: np.ndarray) -> gemm.Product:
    """The product of two arrays of equal batch dims."""
    return gemm.Product(
        a.dtype, a.shape[-2], b.shape[-1], a.shape[-1], strides(a)[-2:], strides(b)[-2:], a.shape[:-2], strides(a)[:-2], strides(b)[:-2]
    )


def run(stage: objects.Stage, chunk: int | None = None) -> None:
    """Runs a stage on arrays, in chunks of so many of its extent, the last first."""
    address = objects.load(stage.key, stage.symbol, stage.build)
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)
    table = (ctypes.c_void_p * len(stage.operands))(*[array.ctypes.data for array in stage.operands])
    step = chunk or max(1, stage.extent)
    for begin in reversed(range(0, stage.extent, step)):
        kernel(table, begin, min(begin + step, stage.extent))


def room_of(view: np.ndarray) -> np.ndarray:
    """The whole memory that a view lies in."""
    return view if view.base is None else room_of(view.base)


def check(a: np.ndarray, b: np.ndarray, form: str | None = None, machine: Host | None = None, start: float | None = None) -> bool:
    """Computes a product by one form and compares it; False if the form does not suit it.

    With `start`, the results are added to that number. Nothing outside of the result may be written.
    """
    batch, m, n = a.shape[:-2], a.shape[-2], b.shape[-1]
    c = guarded(np.full((*batch, m, n), SENTINEL if start is None else start, a.dtype), range(len(batch) + 2), 3, SENTINEL)
    epilogue = gemm.Store(strides(c)[-2], strides(c)[:-2], accumulate=start is not None)
    try:
        stage = gemm.stage(product_of(a, b), machine or host(), a, b, epilogue, [c], form=form)
    except ValueError:
        assert form is not None
        return False
    run(stage, 1 if stage.extent < 50 else 7)
    exact = a.astype("f8") @ b.astype("f8") + (start or 0)
    bound = (np.abs(a).astype("f8") @ np.abs(b).astype("f8") + abs(start or 0)) * (a.shape[-1] + 2) * np.finfo(a.dtype).eps
    assert (np.abs(c - exact) <= bound).all()
    room = room_of(c)
    assert (room == SENTINEL).sum() == room.size - c.size
    return True


def operands(m: int, n: int, k: int, kind: str, dtype: str, batch: tuple[int, ...] = (), gap: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices of random numbers; `kind` says of each whether it lies transposed. Around them is nan."""
    rng = np.random.default_rng([m, n, k])
    dims = list(range(len(batch)))
    plain, turned = [*dims, len(batch), len(batch) + 1], [*dims, len(batch) + 1, len(batch)]
    a, b = rng.normal(size=(*batch, m, k)).astype(dtype), rng.normal(size=(*batch, k, n)).astype(dtype)
    return tuple(guarded(x, turned if t == "T" else plain, gap, np.nan) for x, t in zip((a, b), kind, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize(("m", "n", "k"), [*NOTE, *MODELS])
def test_chosen(m: int, n: int, k: int, kind: str) -> None:
    assert check(*operands(m, n, k, kind, "f4"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("m", "n", "k"), EDGES)
def test_every_form_at_the_edges(m: int, n: int, k: int, dtype: str, form: str) -> None:
    suited = [check(*operands(m, n, k, kind, dtype, gap=gap), form) for kind, gap in (("NN", 0), ("NT", 0), ("TN", 5), ("NT", 1))]
    assert any(suited)


@pytest.mark.parametrize("machine", HOSTS)
@pytest.mark.parametrize(("m", "n", "k"), [(16, 256, 100), (37, 53, 41), (200, 300, 70), (1, 65, 20), (20, 3, 200)])
def test_other_processors(m: int, n: int, k: int, machine: str) -> None:
    for kind, dtype in (("NN", "f4"), ("NT", "f4"), ("TN", "f8")):
        assert check(*operands(m, n, k, kind, dtype), None, HOSTS[machine])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [(6,), (2, 3), (1,), (40,)])
@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (64, 32, 64), (5, 3, 7), (12, 20, 1)])
def test_batches(m: int, n: int, k: int, batch: tuple[int, ...], form: str) -> None:
    assert check(*operands(m, n, k, KIND[form], "f4", batch, gap=1), form)


def test_heads_of_attention() -> None:
    packed = np.random.default_rng(0).normal(size=(3, 64, 3, 4, 32)).astype("f4")  # batch, position, query key value, head, feature
    q, key, value = packed.transpose(2, 0, 3, 1, 4)
    assert check(q, key.swapaxes(-1, -2))
    assert check(np.ascontiguousarray(q @ key.swapaxes(-1, -2)), value)


def test_operands_that_are_repeated() -> None:
    a, b = operands(9, 20, 8, "NN", "f4")
    many = np.broadcast_to(b, (4, *b.shape))
    assert check(np.random.default_rng(0).normal(size=(4, 9, 8)).astype("f4"), many)
    assert check(np.broadcast_to(a[:, :1], a.shape), np.broadcast_to(b[:1], b.shape))
    assert check(a, np.broadcast_to(b[:, :1], b.shape), "packed")


def test_any_strides() -> None:
    a, b = operands(26, 44, 38, "NN", "f4")
    assert check(a[::2, ::-1], b[:, ::2])
    assert check(a[:, ::2], b[::2, ::3])
    assert check(a[::-1, ::2], b[::2, ::-1], "packed")


@pytest.mark.parametrize(("m", "n", "k"), [(20, 40, 30), (40, 2, 30), (30, 90, 0), (128, 300, 200)])
def test_adding_to_what_is_there(m: int, n: int, k: int) -> None:
    for form in FORMS:
        assert check(*operands(m, n, k, KIND[form], "f4"), form, start=3.0)
    assert check(*operands(m, n, k, "NN", "f8"), start=-1.5)
    assert check(*operands(m, 1, k, "NN", "f4"), start=2.0)


@dataclass(frozen=True)
class BiasRelu:
    """Stores max(value + bias[j], 0), and i * 1000 + j with the batch's number in another array."""

    n: int
    m: int
    key: str = "bias and relu in a test"

    @property
    def steps(self) -> float:
        return 3.0

    def emit(
        self,
        k: VectorBuilder,
        pointers: Sequence[ir.Value],
        value: ir.Value,
        batch: Sequence[ir.Value],
        i: ir.Value,
        j: ir.Value,
        lanes_mask: int | None,
    ) -> None:
        element = value.type.element if isinstance(value.type, ir.VectorType) else value.type
        bias = k.load(at(k.b, pointers[0], element, (j, 1)), element, lanes_mask)
        place = ((batch[0], self.m * self.n), (i, self.n), (j, 1))
        k.store(k.max(k.add(value, bias), k.const(0.0, value)), at(k.b, pointers[1], element, *place), lanes_mask)

    def prefetch(self, k: VectorBuilder, pointers: Sequence[ir.Value], batch: Sequence[ir.Value], i: ir.Value, j: ir.Value) -> None:
        element = ir.FloatType()
        k.prefetch(at(k.b, pointers[1], element, (batch[0], self.m * self.n), (i, self.n), (j, 1)), True)


@pytest.mark.parametrize("form", FORMS)
def test_an_epilogue_with_operands_of_its_own(form: str) -> None:
    a, b = operands(21, 37, 50, KIND[form], "f4", (3,))
    bias, out = np.linspace(-9, 9, 37).astype("f4"), np.full((3, 21, 37), np.nan, "f4")
    run(gemm.stage(product_of(a, b), host(), a, b, BiasRelu(37, 21), [bias, out], form=form))
    np.testing.assert_allclose(out, np.maximum(a @ b + bias, 0), rtol=1e-4, atol=1e-4)


def test_chunks_do_not_change_a_bit() -> None:
    a, b = operands(300, 400, 333, "NT", "f4")
    results = []
    for chunk in (1, 2, 5, None):
        c = np.empty((300, 400), "f4")
        stage = gemm.stage(product_of(a, b), host(), a, b, gemm.Store(400), [c])
        run(stage, chunk)
        results.append(c)
    assert stage.extent > 5
    assert all((c == results[0]).all() for c in results)


def test_small_products_stay_on_one_core() -> None:
    a, b = operands(16, 10, 256, "NT", "f4")
    stage = gemm.stage(product_of(a, b), host(), a, b, gemm.Store(10), [a])
    assert stage.extent <= stage.grain
    assert stage.flops == 2 * 16 * 10 * 256
    assert stage.bytes == 4 * (16 * 256 + 10 * 256 + 16 * 10)


@pytest.mark.parametrize(("m", "n", "batch"), [(0, 5, ()), (5, 0, ()), (3, 3, (0,))])
def test_nothing_to_do(m: int, n: int, batch: tuple[int, ...]) -> None:
    a, b = np.zeros((*batch, m, 4), "f4"), np.zeros((*batch, 4, n), "f4")
    assert gemm.stage(product_of(a, b), host(), a, b, gemm.Store(n, (0,) * len(batch)), [a]).extent == 0


def test_what_is_no_product() -> None:
    with pytest.raises(TypeError, match="int64 has no kernel"):
        gemm.Product(np.dtype("i8"), 2, 2, 2, (2, 1), (2, 1))
    with pytest.raises(ValueError, match="for each of 1 batch dims"):
        gemm.Product(np.dtype("f4"), 2, 2, 2, (2, 1), (2, 1), (3,))
    with pytest.raises(ValueError, match="no plan of the form dot"):
        gemm.stage(gemm.Product(np.dtype("f4"), 8, 8, 8, (8, 1), (8, 1)), host(), None, None, gemm.Store(8), [None], form="dot")
