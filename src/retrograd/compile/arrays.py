"""Symbolic arrays: what kernel rules and lowering rules compute with when a program is lowered to loops.

An `Array` is a small tree: an operation of one element on other arrays, or a leaf (elements of a buffer, a number, an index).
`ArrayBuilder` is the `k` of both kinds of rule. A kernel rule (`k.tanh(input)`) states one element, and so it states whole
arrays as well: shapes broadcast as NumPy's do. A lowering rule has a few methods more: `reduce`, `keep`, `product`, and views.

What a rule writes down becomes statements: a `Map` gives a buffer the elements of an array, a `Reduce` combines them along some
dims, a `Product` multiplies matrices. This module knows nothing of loops, of the order in which statements run, or of LLVM.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from retrograd.compile.graph import Buffer, View, dense_strides

BOOL, INT64, FLOAT32, FLOAT64 = (np.dtype(t) for t in (np.bool_, np.int64, np.float32, np.float64))
NATIVE = frozenset(
    [BOOL, INT64, FLOAT32, FLOAT64, *(np.dtype(t) for t in (np.int8, np.int16, np.int32))]
)  # what machine code computes with


ROWS_BYTES = 128 << 10  # the rows that a row of windows may need
MOST_LANES = 16


class Unsupported(Exception):
    """An operation, or a form of it, has no loops: it runs by its forward function."""


class Array:
    """A symbolic array.

    op: "read" (elements of `data`, a View), "const" (`data`, a number), "scalar" (number `data` of the call's live numbers),
    "iota" (an index: `data` is (first, step along each dim)), "take" (elements of the View `data` moved along by the
    indices in `args`, of which `moves` tells step in bytes and size), or a method of the builder applied to `args`.
    """

    __slots__ = ("args", "data", "dtype", "moves", "op", "shape")

    def __init__(self, op: str, args: tuple[Array, ...], shape: tuple[int, ...], dtype: np.dtype[Any], data: Any = None, moves: Any = ()):
        self.op, self.args, self.shape, self.dtype, self.data, self.moves = op, args, shape, dtype, data, moves

    def __repr__(self) -> str:
        return f"{self.op}({', '.join(map(repr, self.args)) if self.args else self.data})"


# ---------------------------------------------------------------- statements


@dataclass(eq=False)
class Map:
    """The elements of a view become those of an array of the same shape."""

    target: View
    value: Array


@dataclass(eq=False)
class Reduce:
    """The elements of a view become the combinations ("sum", "prod", "max", "min") of an array's along `dims`; these have size 1 in the view."""

    target: View
    kind: str
    value: Array
    dims: tuple[int, ...]


@dataclass(eq=False)
class Product:
    """target[..., i, j] = sum over l of a[..., i, l] b[..., l, j]; all three have the same batch dims (strides of 0 repeat)."""

    target: View
    a: View
    b: View


@dataclass(eq=False)
class Convolution:
    """One of a convolution's three products, in two dims (see native/conv.py).

    kind: "forward": target (N, O, ...) of the input `a` and the weight `b`; "input": target (N, C, ...) of the result's gradient `a` and the
    weight `b`; "weight": target (O, C / groups, ...) of the result's gradient `a` and the input `b`.
    """

    target: View
    kind: str
    a: View
    b: View
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(eq=False)
class Native:
    """A kernel of a kind of its own (convolution, pooling, scattering).

    kind: names the emitter; `spec` is its parameters.
    """

    kind: str
    targets: list[View]
    operands: list[View]
    spec: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Check:
    """Raises IndexError, or `error`, unless the numbers `least` and `most` (int64) are in [low, high]."""

    least: View
    most: View
    low: int
    high: int
    error: Callable[[], Exception] | None = None

    def raise_for(self, least: int, most: int) -> None:
        """Raises if a number is out of range."""
        if least < self.low or most > self.high:
            if self.error is not None:
                raise self.error()
            wrong = least if least < self.low else most
            raise IndexError(f"index {wrong} is out of range: expected {self.low} <= index <= {self.high}")


@dataclass(eq=False)
class Callback:
    """A step of the recorded program that runs by its forward function."""

    step: Any


Statement = Map | Reduce | Product | Convolution | Native | Check | Callback


def identity(kind: str, dtype: np.dtype[Any]) -> Any:
    """What a reduction of nothing gives."""
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    if dtype.kind == "f":
        return -math.inf if kind == "max" else math.inf
    if dtype.kind == "b":
        return kind == "min"
    return np.iinfo(dtype).min if kind == "max" else np.iinfo(dtype).max


def reads_of(statement: Statement) -> list[View]:
    """The views that a statement reads."""
    if isinstance(statement, (Map, Reduce)):
        found, stack = [], [statement.value]
        while stack:
            array = stack.pop()
            stack += array.args
            found += [array.data] if array.op in ("read", "take") else []
        return found
    if isinstance(statement, (Product, Convolution)):
        return [statement.a, statement.b]
    if isinstance(statement, Check):
        return [statement.least, statement.most]
    return list(statement.operands if isinstance(statement, Native) else statement.step.reads())


def writes_of(statement: Statement) -> list[View]:
    """The views that a statement writes."""
    if isinstance(statement, Check):
        return []
    if isinstance(statement, (Native, Callback)):
        return list(statement.targets if isinstance(statement, Native) else statement.step.writes())
    return [statement.target]


# ---------------------------------------------------------------- views


def whole(buffer: Buffer, shape: Sequence[int], dtype: np.dtype[Any]) -> View:
    """All of a buffer in C order."""
    return View(buffer, 0, tuple(shape), dense_strides(shape, dtype.itemsize), dtype)


def is_dense(view: View) -> bool:
    """Whether a view is in C order without gaps."""
    return all(s == d or n == 1 for s, d, n in zip(view.strides, dense_strides(view.shape, view.dtype.itemsize), view.shape, strict=True))


def broadcast_view(view: View, shape: tuple[int, ...]) -> View:
    """A view repeated to a shape, as NumPy broadcasts."""
    if view.shape == shape:
        return view
    lead = len(shape) - len(view.shape)
    strides = [0] * lead + [0 if m == 1 and n != 1 else s for m, n, s in zip(view.shape, shape[lead:], view.strides, strict=True)]
    return View(view.buffer, view.offset, shape, tuple(strides), view.dtype)


def reshape_view(view: View, shape: tuple[int, ...]) -> View | None:
    """The same elements in another shape, if strides can tell where they are."""
    if math.prod(view.shape) == 0:
        return View(view.buffer, view.offset, shape, dense_strides(shape, view.dtype.itemsize), view.dtype)
    old = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
    strides: list[int] = []
    at, i = 0, 0
    while i < len(shape):
        if shape[i] == 1:
            strides.append(0)
            i += 1
            continue
        group_new, group_old = [shape[i]], [old[at]]
        i, at = i + 1, at + 1
        while math.prod(group_new) != math.prod(n for n, _ in group_old):
            if math.prod(group_new) < math.prod(n for n, _ in group_old):
                group_new.append(shape[i])
                i += 1
            else:
                group_old.append(old[at])
                at += 1
        for (n, s), (_, outer) in zip(group_old[1:], group_old, strict=False):
            if outer != n * s:
                return None
        step = group_old[-1][1]
        steps = []
        for n in reversed(group_new):
            steps.append(step)
            step *= n
        strides += reversed(steps)
    return View(view.buffer, view.offset, shape, tuple(strides), view.dtype)


# ---------------------------------------------------------------- the builder

REAL = (  # noqa: SIM905
    "sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc lgamma rsqrt "
    "div pow fmod copysign atan2 isinf fma"
).split()  # of floating numbers alone
SAME = "add sub mul min max and_ or_ xor shl shr abs neg not_ floor ceil trunc round".split()  # noqa: SIM905
NUMBERS = "sub neg shl shr".split()  # of anything but truths # noqa: SIM905
TRUTHS = "eq ne lt le gt ge isnan isinf logical_and logical_or logical_not".split()  # noqa: SIM905


class ArrayBuilder:
    """Writes statements down. Methods on elements are those of every kernel builder (`tests/numpy_kernel.py` lists them)."""

    if TYPE_CHECKING:  # the operations on elements, see below

        def __getattr__(self, name: str) -> Callable[..., Array]: ...

    def __init__(
        self, fresh: Callable[[int], Buffer], places: dict[Buffer, Native] | None = None, checked: dict[View, tuple[int, int]] | None = None
    ) -> None:
        self.fresh = fresh
        self.checked = {} if checked is None else checked  # indices that were checked already, with their bounds
        self.places = places or {}  # buffers that hold the places that a max pooling found
        self.statements: list[Statement] = []

    # ------------------------------------------------------------ leaves

    def read(self, view: View) -> Array:
        """The elements of a view."""
        if view.dtype not in NATIVE:
            raise Unsupported(f"{view.dtype} has no machine code")
        return Array("read", (), view.shape, view.dtype, view)

    def number(self, value: Any, dtype: np.dtype[Any]) -> Array:
        """A number of a dtype."""
        return Array("const", (), (), dtype, dtype.type(value).item())

    def const(self, value: Any, like: Array) -> Array:
        """A number of the dtype of `like`."""
        return self.number(value, like.dtype)

    def scalar(self, at: int, dtype: np.dtype[Any]) -> Array:
        """One of the numbers that are given anew at every call (a learning rate)."""
        return Array("scalar", (), (), dtype, at)

    def iota(self, shape: Sequence[int], dim: int) -> Array:
        """The index along `dim`, in an array of a shape."""
        steps = tuple(1 if d == dim % len(shape) else 0 for d in range(len(shape)))
        return Array("iota", (), tuple(shape), INT64, (0, steps))

    def take(self, view: View, indices: Sequence[tuple[int, Array]], shape: Sequence[int]) -> Array:
        """out[...] = view[...] moved along dim d of the view's memory by an index array, for each (d, index); shapes broadcast.

        `view` has size 1 where it is moved; negative indices count from the end; an index out of range is pulled to the nearest end
        (whoever calls checks).
        """
        moves = tuple((view.strides[d], view.shape[d]) for d, _ in indices)
        moved = {d for d, _ in indices}
        kept = [(1, 0) if d in moved else (n, s) for d, (n, s) in enumerate(zip(view.shape, view.strides, strict=True))]
        static = View(view.buffer, view.offset, tuple(n for n, _ in kept), tuple(s for _, s in kept), view.dtype)
        return Array("take", tuple(i for _, i in indices), tuple(shape), view.dtype, broadcast_view(static, tuple(shape)), moves)

    # ------------------------------------------------------------ one element

    def apply(self, op: str, dtype: np.dtype[Any], *args: Any) -> Array:
        """An operation on elements; numbers take the dtype of the arrays that they meet."""
        like = self.dtype_of(*args)
        if (like.kind != "f" and op in REAL) or (like.kind == "b" and op in NUMBERS):
            raise Unsupported(f"{op} of {like}")
        arrays = tuple(a if isinstance(a, Array) else self.number(a, like) for a in args)
        if len({a.dtype for a in (arrays[1:] if op == "select" else arrays)}) > 1:
            raise Unsupported(f"{op} of {' and '.join(str(a.dtype) for a in arrays)}")
        return Array(op, arrays, np.broadcast_shapes(*[a.shape for a in arrays]), dtype)

    def select(self, condition: Any, a: Any, b: Any) -> Array:
        """`a` where the condition holds, else `b`."""
        if not isinstance(a, Array):
            if not isinstance(b, Array):
                raise Unsupported("a choice between two numbers")
            a = self.number(a, b.dtype)
        b = b if isinstance(b, Array) else self.number(b, a.dtype)
        return self.apply("select", a.dtype, condition, a, b)

    def cast(self, a: Array, dtype: np.dtype[Any]) -> Array:
        """The elements in another dtype."""
        return a if a.dtype == dtype else Array("cast", (a,), a.shape, dtype)

    def mul(self, a: Any, b: Any, into: Any = None) -> Array:
        """The product; times 1 is nothing to do."""
        for x, y in ((a, b), (b, a)):
            if isinstance(x, Array) and x.op == "const" and x.data == 1 and isinstance(y, Array) and y.dtype == x.dtype:
                return y
        return self.apply("mul", self.dtype_of(a, b), a, b)

    @staticmethod
    def dtype_of(*args: Any) -> np.dtype[Any]:
        """The dtype of the first array."""
        return next(a.dtype for a in args if isinstance(a, Array))

    # ------------------------------------------------------------ whole arrays

    def new(self, shape: Sequence[int], dtype: np.dtype[Any]) -> View:
        """A new buffer."""
        return whole(self.fresh(math.prod(shape) * dtype.itemsize), shape, dtype)

    def keep(self, value: Array, shape: Sequence[int] | None = None) -> Array:
        """The array in a buffer of its own, so that what is asked of it twice is computed once."""
        target = self.new(value.shape if shape is None else shape, value.dtype)
        self.statements.append(Map(target, value))
        return self.read(target)

    def reduce(self, kind: str, value: Array, dims: Sequence[int], keepdim: bool = True) -> Array:
        """The elements combined along `dims`, which stay with size 1 (or go)."""
        rank = len(value.shape)
        dims = tuple(sorted(d % rank for d in dims)) if rank else ()
        target = self.new([1 if d in dims else n for d, n in enumerate(value.shape)], value.dtype)
        self.statements.append(Reduce(target, kind, value, dims))
        if keepdim:
            return self.read(target)
        return self.read(whole(target.buffer, [n for d, n in enumerate(value.shape) if d not in dims], value.dtype))

    def view_of(self, value: Array) -> View:
        """The array as elements of a buffer, kept if it is not yet."""
        return (value if value.op == "read" else self.keep(value)).data

    def reshape(self, value: Array, shape: Sequence[int]) -> Array:
        """The elements in another shape, in C order."""
        view = reshape_view(self.view_of(value), tuple(shape))
        if view is None:
            view = reshape_view(self.view_of(self.keep(value)), tuple(shape))
            assert view is not None
        return self.read(view)

    def permute(self, value: Array, dims: Sequence[int]) -> Array:
        """The dims in another order."""
        view = self.view_of(value)
        return self.read(
            View(view.buffer, view.offset, tuple(view.shape[d] for d in dims), tuple(view.strides[d] for d in dims), view.dtype)
        )

    def slice(self, value: Array, dim: int, start: int, stop: int, step: int = 1) -> Array:
        """The elements start, start + step, ... before stop along `dim`."""
        view = self.view_of(value)
        shape, strides = list(view.shape), list(view.strides)
        shape[dim], strides[dim] = len(range(start, stop, step)), strides[dim] * step
        return self.read(View(view.buffer, view.offset + start * view.strides[dim], tuple(shape), tuple(strides), view.dtype))

    def windows(self, value: Array, kernel: Sequence[int], counts: Sequence[int], stride: Sequence[int]) -> Array:
        """So many windows of (N, C, ...), as (N, C, *counts, *kernel), which share elements where they overlap."""
        view = self.view_of(value)
        shape, steps = (*view.shape[:2], *counts, *kernel), [s * t for s, t in zip(view.strides[2:], stride, strict=True)]
        return self.read(View(view.buffer, view.offset, shape, (*view.strides[:2], *steps, *view.strides[2:]), view.dtype))

    def fill(self, target: View, value: Any) -> None:
        """Gives a part of a buffer one number, or the elements of an array."""
        array = value if isinstance(value, Array) else self.number(value, target.dtype)
        self.statements.append(Map(target, self.cast(array, target.dtype)))

    def product(self, a: Array, b: Array) -> Array:
        """The matrix product of the last two dims; batch dims broadcast."""
        if a.dtype != b.dtype or a.dtype not in (FLOAT32, FLOAT64):
            raise Unsupported("a matrix product of other numbers than float32 and float64")
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        target = self.new((*batch, a.shape[-2], b.shape[-1]), a.dtype)
        views = [broadcast_view(self.view_of(x), (*batch, *x.shape[-2:])) for x in (a, b)]
        self.statements.append(Product(target, *views))
        return self.read(target)

    def convolve(
        self, kind: str, a: Array, b: Array, shape: Sequence[int], *, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
    ) -> Array:  # fmt: skip
        """One of a convolution's products, of a shape; see `Convolution`."""
        rank = len(shape) - 2
        if rank not in (1, 2) or 0 in (*a.shape, *b.shape, *shape):
            self.refuse("convolutions in more than two dims, or of nothing")
        if a.dtype != b.dtype or a.dtype not in (FLOAT32, FLOAT64):
            self.refuse("convolutions of other numbers than float32 and float64")
        target = self.new(shape, a.dtype)
        views = [self.view_of(x) for x in (a, b)]
        places = [
            v if rank == 2 else View(v.buffer, v.offset, (*v.shape[:2], 1, v.shape[2]), (*v.strides[:2], 0, v.strides[2]), v.dtype)
            for v in (target, *views)
        ]
        ones, zeros = (1,) * (2 - rank), (0,) * (2 - rank)
        window = ((*ones, *stride), (*zeros, *padding), (*ones, *dilation))
        self.statements.append(Convolution(places[0], kind, places[1], places[2], *window, groups))  # type: ignore[arg-type]
        return self.read(target)

    def refuse(self, why: str) -> NoReturn:
        """Says that the operation has no loops for these operands: it runs by its forward function."""
        raise Unsupported(why)

    def check_index(self, index: Array, size: int, negative: bool = True) -> None:
        """Has indices checked when the program runs, before anything is done with them."""
        if index.dtype.kind != "i":
            self.refuse("indices that are no signed integers")
        low, high, view = -size if negative else 0, size - 1, self.view_of(index)
        view = reshape_view(view, (math.prod(view.shape),)) or view  # in whatever shape they are looked at
        before = self.checked.get(view, (-math.inf, math.inf))
        if math.prod(index.shape) and (before[0] < low or before[1] > high):
            self.checked[view] = low, high
            wide = self.cast(index, INT64)
            dims = range(len(index.shape))
            least, most = (self.view_of(self.reduce(kind, wide, dims)) for kind in ("min", "max"))
            self.statements.append(Check(least, most, low, high))

    def check_none(self, truth: Array, error: Callable[[], Exception]) -> Array:
        """Has `error()` raised when the program runs, if an element is true, before anything else is done. Returns whether one is."""
        if not math.prod(truth.shape):
            return self.number(False, np.dtype(bool))
        found = self.reduce("max", self.cast(truth, INT64), range(len(truth.shape)), keepdim=False)
        most = self.view_of(found)
        self.statements.append(Check(most, most, 0, 0, error))
        return self.cast(found, np.dtype(bool))

    def scatter_sum(self, value: Array, index: Array, dim: int, shape: Sequence[int]) -> Array:
        """Zeros of a shape, to which each element of `value` is added at its index along `dim`; the index broadcasts to the value's shape."""
        pooling = self.pooling_of(value, index, dim, shape)
        target = self.new(shape, value.dtype)
        if pooling is not None:
            self.statements.append(Native("max_pool_gradient", [target], [self.dense_view(value), index.data], pooling.spec))
            return self.read(target)
        self.check_index(index, shape[dim])
        self.fill(target, 0)
        places = broadcast_view(self.view_of(self.cast(index, INT64)), value.shape)
        self.statements.append(Native("scatter_sum", [target], [self.view_of(value), places], {"dim": dim}))
        return self.read(target)

    def dense_view(self, value: Array) -> View:
        """The array as elements of a buffer in C order without gaps, kept if it is not yet."""
        return value.data if value.op == "read" and is_dense(value.data) else self.view_of(self.keep(value))

    def max_pool(
        self, input: Array, *, counts: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
    ) -> tuple[Array, Array]:  # fmt: skip
        """The greatest elements of windows of (N, C, ...) in one or two dims, and their places in the flattened map; see `native/pooling.py`."""
        rank = len(counts)
        if rank not in (1, 2) or 0 in (*input.shape, *counts):
            self.refuse("pooling in more than two dims, or of nothing")
        if input.dtype not in (FLOAT32, FLOAT64):
            self.refuse("pooling of other numbers than float32 and float64")
        spec = {"counts": counts, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        spec = {name: (0 if name == "padding" else 1, *v) if rank == 1 else tuple(v) for name, v in spec.items()}
        rows = (spec["kernel"][0] - 1) * spec["dilation"][0] + 1
        reach = (spec["counts"][1] + MOST_LANES) * spec["stride"][1] + spec["kernel"][1] * spec["dilation"][1]
        if rows * reach * input.dtype.itemsize > ROWS_BYTES:
            self.refuse("pooling of windows whose rows are too large for a core's cache")
        v = self.view_of(input)
        if rank == 1:
            v = View(v.buffer, v.offset, (*v.shape[:2], 1, v.shape[2]), (*v.strides[:2], 0, v.strides[2]), v.dtype)
        values, places = (self.new((*input.shape[:2], *counts), dtype) for dtype in (input.dtype, INT64))
        self.statements.append(Native("max_pool", [values, places], [v], {**spec, "shape": v.shape}))
        return self.read(values), self.read(places)

    def pooling_of(self, value: Array, index: Array, dim: int, shape: Sequence[int]) -> Native | None:
        """The max pooling whose gradient a sum at indices is: if these are all the places that it found, in flattened maps."""
        pooling = self.places.get(index.data.buffer) if index.op == "read" else None
        if pooling is None:
            return None
        n, c, h, w = pooling.spec["shape"]
        same = value.shape == index.shape == (n, c, math.prod(pooling.spec["counts"])) and tuple(shape) == (n, c, h * w)
        return pooling if same and dim == 2 and index.data.offset == 0 and is_dense(index.data) else None

    def native(self, kind: str, targets: Sequence[View], operands: Sequence[Array], **spec: Any) -> None:
        """A kernel of a kind of its own."""
        self.statements.append(Native(kind, list(targets), [self.view_of(x) for x in operands], spec))


def on_elements(name: str, dtype: np.dtype[Any] | None) -> Any:
    """A builder's method: an operation on elements, of a given dtype or of its first array's."""

    def method(self: ArrayBuilder, *args: Any, into: Any = None) -> Array:
        return self.apply(name, dtype or self.dtype_of(*args), *args)

    method.__name__ = name
    return method


for _name in [*REAL, *SAME]:
    if _name not in ArrayBuilder.__dict__:
        setattr(ArrayBuilder, _name, on_elements(_name, None))
for _name in TRUTHS:
    setattr(ArrayBuilder, _name, on_elements(_name, BOOL))
