"""Random numbers: for one seed, those of PyTorch on a CPU.

PyTorch's generator is MT19937 (Matsumoto & Nishimura 1998), seeded with `init_genrand`, as NumPy's legacy generator is. How
each distribution uses its 32-bit numbers is stated at each function, on arrays; `ops/sample.py` makes tensors of them.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.core.levels import local, refuse_record, switch
from retrograd.core.tensor import Tensor, wrap

DEFAULT_SEED = 67280421310721
MT_SIZE = 624  # words of the Mersenne twister's state
STATE = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "key", "spare", "has_spare"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", (MT_SIZE,)), "<f8", "<i4"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040],
        "itemsize": 5056,
    }
)  # how PyTorch lays out a generator's state
BLOCK = 16  # normal numbers come in blocks of 16: eight cosines, then eight sines


class Generator:
    """A stream of random numbers.

    >>> Generator().manual_seed(0).initial_seed()
    0
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = device
        self.lock = threading.Lock()
        self.manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Begins the stream of a seed, and returns the generator.

        Raises:
            RuntimeError: if the seed is not within -2⁶³ .. 2⁶⁴ - 1.
        """
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise RuntimeError(f"Overflow when unpacking long: a seed is a number of 64 bits, and got {seed}")
        self.move("manual_seed", partial(self.begin, seed % 2**64))
        return self

    def begin(self, seed: int) -> None:
        """Begins the stream of a seed from 0 on."""
        self._seed = seed
        self._bits: Any = None
        self.spare: float | None = None  # the second normal number of a pair

    @property
    def bits(self) -> Any:
        """NumPy's MT19937, made at the first draw: importing `numpy.random` takes a tenth of the time of importing this library."""
        if self._bits is None:
            self._bits = np.random.MT19937()
            self._bits.state = np.random.RandomState(self._seed & 0xFFFFFFFF).get_state(legacy=False)
        return self._bits

    def initial_seed(self) -> int:
        """The seed of this stream."""
        return self._seed

    def seed(self) -> int:
        """Takes a seed from the operating system, and returns it."""
        refuse_record("a seed was taken from the operating system")
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def get_state(self) -> Tensor:
        """All that decides what comes next, in PyTorch's form: a uint8 tensor of shape (5056,)."""
        refuse_record("the state of a generator was looked at")
        mt = self.bits.state["state"]
        record = np.zeros((), STATE)
        record["seed"], record["seeded"], record["key"] = self._seed, 1, mt["key"]
        fresh = mt["pos"] == MT_SIZE
        record["left"], record["next"] = (1, 0) if fresh else (MT_SIZE + 1 - mt["pos"], mt["pos"])
        if self.spare is not None:
            record["spare"], record["has_spare"] = self.spare, 1
        return wrap(np.frombuffer(record.tobytes(), np.uint8).copy())

    def set_state(self, new_state: Tensor) -> Generator:
        """Goes on from where `get_state` was called.

        Raises:
            TypeError: if `new_state` is no uint8 tensor.
            RuntimeError: if it has another size, or holds no state.
        """
        if not isinstance(new_state, Tensor) or new_state._data.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        refuse_record("the state of a generator was set")
        if new_state._data.size != STATE.itemsize:
            raise RuntimeError(f"RNG state is wrong size: expected {STATE.itemsize} bytes and got {new_state._data.size}")
        record = np.frombuffer(new_state._data.tobytes(), STATE)[0]
        if not record["seeded"] or not 1 <= record["left"] <= MT_SIZE or record["next"] > MT_SIZE:
            raise RuntimeError("Invalid mt19937 state")
        pos = MT_SIZE if record["left"] == 1 else int(record["next"])
        self.bits.state = {"bit_generator": "MT19937", "state": {"key": record["key"].copy(), "pos": pos}}
        self._seed = int(record["seed"])
        self.spare = float(record["spare"]) if record["has_spare"] else None
        return self

    def clone_state(self) -> Generator:
        """Another generator that draws the same numbers from here on."""
        return Generator().set_state(self.get_state())

    def place(self) -> Any:
        """All that decides what comes next, for `go_to`."""
        return self._seed, None if self._bits is None else self._bits.state, self.spare

    def go_to(self, place: Any) -> None:
        """Goes on from where `place()` was called."""
        self._seed, state, self.spare = place
        if state is None:
            self._bits = None
        else:
            self.bits.state = state

    def mark(self) -> Callable[[], None]:
        """Notes a place; what is returned takes the generator back there. A recorded program does both anew."""
        places: list[Any] = []

        def note(generator: Generator) -> None:
            places[:] = [generator.place()]

        def back(generator: Generator) -> None:
            generator.go_to(places[0])

        self.move("mark", partial(note, self))
        return partial(self.move, "back", partial(back, self))

    def move(self, name: str, function: Callable[[], None]) -> None:
        """Does something to the generator that gives no numbers; whoever watches is told."""
        function()
        if switch.special and local.observer is not None:
            local.observer.drew(name, function, (), None)

    def draw32(self, n: int) -> ndarray:
        """The next `n` numbers of 32 bits, as uint64."""
        with self.lock:
            return self.bits.random_raw(n)

    def draw64(self, n: int) -> ndarray:
        """The next `n` numbers of 64 bits: each is two of 32, the high half first."""
        pairs = self.draw32(2 * n)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]


default_generator = Generator()


def memory_order(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The dims from the outermost in memory to the innermost, as PyTorch goes through a tensor: its numbers are drawn in this order.

    >>> memory_order((2, 3), (4, 8))
    (1, 0)
    """
    order = list(range(len(shape)))[::-1]
    for i in range(1, len(order)):  # an insertion sort: dims without an order of their own (stride 0) let the others pass
        at = i
        for j in range(i - 1, -1, -1):
            a, b = order[j], order[at]
            if not strides[a] or not strides[b] or (strides[a] == strides[b] and shape[a] == shape[b]):
                continue
            if (strides[a], shape[a]) < (strides[b], shape[b]):
                break
            order[j], order[at], at = b, a, j
    return tuple(order[::-1])


def in_memory_order(drawn: Callable[..., ndarray], shape: Sequence[int], strides: Sequence[int], *operands: ndarray) -> ndarray:
    """What `drawn(shape, *operands)` draws, for a tensor that lies in memory with these strides: dense, in the same order of dims."""
    order = memory_order(shape, strides)
    if order == tuple(range(len(order))):
        return drawn(tuple(shape), *operands)
    array = drawn(tuple(shape[d] for d in order), *[x.transpose(order) for x in operands])
    return array.transpose(np.argsort(order))


def size_of(shape: Sequence[int]) -> int:
    """The number of elements."""
    return int(np.prod(shape, dtype=np.int64))


def uniform(gen: Generator, shape: Sequence[int], dtype: Any, low: float = 0.0, high: float = 1.0) -> ndarray:
    """Uniform numbers from `low` to below `high`: the low bits of a draw, as many as a significand has (24, or 53), scaled.

    >>> uniform(Generator().manual_seed(0), (1,), np.dtype(np.float32)).round(4)
    array([0.4963], dtype=float32)
    """
    n, dtype = size_of(shape), np.dtype(dtype)
    if dtype.kind == "c":
        return uniform(gen, (*shape, 2), real_of(dtype), low, high).view(dtype)[..., 0]
    bits = 53 if dtype == np.float64 else 24
    raw = gen.draw64(n) if bits == 53 else gen.draw32(n)
    compute = np.float64 if bits == 53 else np.float32
    x = (raw & np.uint64((1 << bits) - 1)).astype(compute)
    x *= compute(2.0**-bits)  # type: ignore[misc]
    if (low, high) != (0.0, 1.0):  # in one rounding, as a fused multiply-add
        low, high = compute(low), compute(high)  # type: ignore[assignment]
        x = x.astype(np.float64) * float(high - low) + float(low)
    if x.dtype != dtype or high != 1.0:
        x = x.astype(compute).astype(dtype)
        x[x == np.asarray(high, dtype)] = low  # what rounds to `high` becomes `low`
    return x.reshape(tuple(shape))


def real_of(dtype: Any) -> Any:
    """The dtype of a complex dtype's parts."""
    return np.dtype(np.float32) if dtype == np.complex64 else np.dtype(np.float64)


def doubles(gen: Generator, n: int) -> ndarray:
    """Uniform float64 numbers of 53 bits."""
    return (gen.draw64(n) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53


def normal(gen: Generator, shape: Sequence[int], dtype: Any, mean: float = 0.0, std: float = 1.0, *, blocks: bool = True) -> ndarray:
    """Normal numbers by Box & Muller (1958): in blocks of 16 where there are 16 or more (and `blocks`), else one by one in float64.

    >>> normal(Generator().manual_seed(0), (2,), np.dtype(np.float32)).round(4)
    array([ 1.541 , -0.2934], dtype=float32)
    """
    n, dtype = size_of(shape), np.dtype(dtype)
    if dtype.kind == "c":
        parts = normal(gen, (*shape, 2), real_of(dtype), 0.0, std * np.sqrt(0.5), blocks=blocks)
        return parts.view(dtype)[..., 0] + mean
    if n < BLOCK or not blocks:
        return (np.array([single_normal(gen) for _ in range(n)]) * std + mean).astype(dtype).reshape(tuple(shape))
    compute = np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)
    whole = n - n % BLOCK
    out = np.empty(n, compute)
    u = uniform(gen, (n if dtype == compute else whole,), compute)
    out[:whole] = box_muller(u[:whole], compute, mean, std)
    if n % BLOCK:  # the last 16 are drawn afresh
        out[-BLOCK:] = box_muller(uniform(gen, (BLOCK,), compute), compute, mean, std)
    return out.astype(dtype, copy=False).reshape(tuple(shape))


def box_muller(u: ndarray, compute: Any, mean: float, std: float) -> ndarray:
    """Blocks of 16 uniform numbers as blocks of 16 normal ones."""
    pairs = u.reshape(-1, 2, BLOCK // 2)
    radius = np.sqrt(compute.type(-2) * np.log(compute.type(1) - pairs[:, 0]))
    angle = compute.type(2 * np.pi) * pairs[:, 1]
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    both *= compute.type(std)
    both += compute.type(mean)
    return both.reshape(-1)


def single_normal(gen: Generator) -> float:
    """One normal number; they come in pairs, and the second waits for the next call."""
    if gen.spare is not None:
        value, gen.spare = gen.spare, None
        return value
    u1, u2 = doubles(gen, 2)
    radius, angle = np.sqrt(-2.0 * np.log1p(-u2)), 2.0 * np.pi * u1
    gen.spare = float(radius * np.sin(angle))
    return float(radius * np.cos(angle))


def random_int(gen: Generator, shape: Sequence[int], dtype: Any, low: int, high: int) -> ndarray:
    """Whole numbers from `low` to below `high`: a draw of 32 bits (64 where the range is 2³² or more) modulo the range."""
    span = high - low
    raw = gen.draw64(size_of(shape)) if span >= 2**32 else gen.draw32(size_of(shape))
    if span < 2**64:
        raw = raw % np.uint64(span)
    return (raw.astype(np.int64) + np.int64(low)).astype(dtype).reshape(tuple(shape))


def permutation(gen: Generator, n: int) -> ndarray:
    """0 .. n-1 in random order (Fisher & Yates, from the front)."""
    order = list(range(n))
    if n > 1:
        left = np.arange(n, 1, -1, dtype=np.uint64)
        for i, jump in enumerate((gen.draw32(n - 1) % left).tolist()):
            j = i + jump
            order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)


def bernoulli(gen: Generator, p: Any, shape: Sequence[int], dtype: Any) -> ndarray:
    """1 with probability `p`, else 0: a number `p` is compared with float64 draws, an array with draws of its own dtype."""
    if isinstance(p, ndarray):
        kind = p.dtype if p.dtype.kind == "f" and p.dtype.itemsize >= 4 else np.dtype(np.float32)
        return (uniform(gen, shape, kind) < p).astype(dtype)
    return (doubles(gen, size_of(shape)).reshape(tuple(shape)) < p).astype(dtype)


def exponential(gen: Generator, shape: Sequence[int], dtype: Any, lambd: float = 1.0) -> ndarray:
    """Exponential numbers of rate `lambd`, by inversion: -log(1 - u)/lambd."""
    u = doubles(gen, size_of(shape)).reshape(tuple(shape))
    return (-np.log1p(-u) / lambd).astype(dtype)


def cauchy(gen: Generator, shape: Sequence[int], dtype: Any, median: float, sigma: float) -> ndarray:
    """Cauchy numbers, by inversion: median + sigma tan(π(u - 1/2))."""
    u = doubles(gen, size_of(shape)).reshape(tuple(shape))
    return np.asarray(median + sigma * np.tan(np.pi * (u - 0.5))).astype(dtype)


def log_normal(gen: Generator, shape: Sequence[int], dtype: Any, mean: float, std: float) -> ndarray:
    """The exponentials of normal numbers, drawn one by one."""
    z = np.array([single_normal(gen) for _ in range(size_of(shape))]).reshape(tuple(shape))
    return np.exp(z * std + mean).astype(dtype)


def geometric(gen: Generator, shape: Sequence[int], dtype: Any, p: float) -> ndarray:
    """The number of trials until one of probability `p` succeeds, by inversion: ⌈log u / log(1 - p)⌉."""
    u = doubles(gen, size_of(shape)).reshape(tuple(shape))
    with np.errstate(divide="ignore"):
        return np.ceil(np.log(u) / np.log1p(-p)).astype(dtype)


def poisson(gen: Generator, rates: ndarray) -> ndarray:
    """Poisson numbers of the given rates, each drawn on its own."""
    return np.array([single_poisson(gen, float(r)) for r in rates.reshape(-1)]).astype(rates.dtype).reshape(rates.shape)


def single_poisson(gen: Generator, rate: float) -> int:
    """One Poisson number: transformed rejection (PTRS, Hörmann 1993) for rates from 10, else by products of uniform numbers."""
    if rate == 0:
        return 0
    if rate < 10:
        limit, product, count = math.exp(-rate), 1.0, -1
        while product > limit:
            product *= float(doubles(gen, 1)[0])
            count += 1
        return count
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = doubles(gen, 2).tolist()
        u -= 0.5
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inverse_alpha / (a / (us * us) + b)) <= k * math.log(rate) - rate - math.lgamma(k + 1):
            return k


def choices(gen: Generator, weights: ndarray, n: int) -> ndarray:
    """`n` places of each row of weights (shape (rows, places)), drawn with replacement: uniform draws sought in the running sum."""
    out = np.empty((len(weights), n), np.int64)
    for row, w in zip(out, weights, strict=True):
        sums = np.cumsum(w)
        sums /= sums[-1]
        row[:] = np.searchsorted(sums, doubles(gen, n))
    return np.minimum(out, weights.shape[1] - 1)


def distinct_choices(gen: Generator, weights: ndarray, n: int) -> ndarray:
    """The same without replacement: the first of exponential waiting times whose rates are the weights."""
    waits = in_memory_order(lambda shape: exponential(gen, shape, weights.dtype), weights.shape, weights.strides)
    return np.argsort(-(weights / waits), axis=-1, kind="stable")[..., :n]


def slopes_below_zero(gen: Generator, x: ndarray, lower: float, upper: float) -> ndarray:
    """1 where an element is above 0, else a slope from `lower` to below `upper`: a draw of float64 for each of these."""
    slopes = np.ones(x.shape, x.dtype)
    below = x <= 0
    slopes[below] = doubles(gen, int(np.count_nonzero(below))) * (upper - lower) + lower
    return slopes


__all__ = [
    "Generator",
    "bernoulli",
    "cauchy",
    "choices",
    "default_generator",
    "distinct_choices",
    "exponential",
    "geometric",
    "log_normal",
    "normal",
    "permutation",
    "poisson",
    "random_int",
    "uniform",
]
