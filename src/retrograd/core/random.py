"""Random numbers: for one seed, those of PyTorch on a CPU.

PyTorch's generator is MT19937 (Matsumoto & Nishimura 1998), seeded with `init_genrand`, as NumPy's legacy generator is. How
each distribution uses its 32-bit numbers is stated at each function. Knows arrays and no tensors.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

DEFAULT_SEED = 67280421310721
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
        self._seed = seed % 2**64
        self.bits = np.random.MT19937()
        self.bits.state = np.random.RandomState(self._seed & 0xFFFFFFFF).get_state(legacy=False)
        self.spare: float | None = None  # the second normal number of a pair
        return self

    def initial_seed(self) -> int:
        """The seed of this stream."""
        return self._seed

    def seed(self) -> int:
        """Takes a seed from the operating system, and returns it."""
        self.manual_seed(secrets.randbits(64))
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """All that decides what comes next."""
        return {"seed": self._seed, "bits": self.bits.state, "spare": self.spare}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from where `get_state` was called. Raises RuntimeError if it is no such state."""
        if not isinstance(state, dict) or set(state) != {"seed", "bits", "spare"}:
            raise RuntimeError("RNG state must be what get_state() returned")
        self.bits.state, self._seed, self.spare = state["bits"], state["seed"], state["spare"]

    def draw32(self, n: int) -> ndarray:
        """The next `n` numbers of 32 bits, as uint64."""
        with self.lock:
            return self.bits.random_raw(n)  # type: ignore[no-any-return]

    def draw64(self, n: int) -> ndarray:
        """The next `n` numbers of 64 bits: each is two of 32, the high half first."""
        pairs = self.draw32(2 * n)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]


default_generator = Generator()


def size_of(shape: Sequence[int]) -> int:
    """The number of elements."""
    return int(np.prod(shape, dtype=np.int64))


def uniform(gen: Generator, shape: Sequence[int], dtype: Any, low: float = 0.0, high: float = 1.0) -> ndarray:
    """Uniform numbers from `low` to below `high`: the low bits of a draw, as many as the dtype's significand has, scaled.

    >>> uniform(Generator().manual_seed(0), (1,), np.dtype(np.float32)).round(4)
    array([0.4963], dtype=float32)
    """
    n, dtype = size_of(shape), np.dtype(dtype)
    if dtype.kind == "c":
        return uniform(gen, (*shape, 2), real_of(dtype), low, high).view(dtype)[..., 0]
    bits = {np.dtype(np.float64): 53, np.dtype(np.float32): 24, np.dtype(np.float16): 11}.get(dtype, 8)
    raw = gen.draw64(n) if bits == 53 else gen.draw32(n)
    compute = np.float64 if bits == 53 else np.float32
    x = (raw & np.uint64((1 << bits) - 1)).astype(compute)
    x *= compute(2.0**-bits)
    if (low, high) != (0.0, 1.0):  # in one rounding, as a fused multiply-add
        span, low = (float(np.asarray(v, dtype)) for v in (high - low, low))
        x = x.astype(dtype).astype(np.float64) * span + low
    return x.astype(dtype, copy=False).reshape(tuple(shape))


def real_of(dtype: Any) -> Any:
    """The dtype of a complex dtype's parts."""
    return np.dtype(np.float32) if dtype == np.complex64 else np.dtype(np.float64)


def doubles(gen: Generator, n: int) -> ndarray:
    """Uniform float64 numbers of 53 bits."""
    return (gen.draw64(n) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53


def normal(gen: Generator, shape: Sequence[int], dtype: Any, mean: float = 0.0, std: float = 1.0) -> ndarray:
    """Normal numbers by Box & Muller (1958): in blocks of 16 where there are 16 or more, else one by one in float64.

    >>> normal(Generator().manual_seed(0), (2,), np.dtype(np.float32)).round(4)
    array([ 1.541 , -0.2934], dtype=float32)
    """
    n, dtype = size_of(shape), np.dtype(dtype)
    if dtype.kind == "c":
        parts = normal(gen, (*shape, 2), real_of(dtype), 0.0, std * np.sqrt(0.5))
        return parts.view(dtype)[..., 0] + mean
    if n < BLOCK:
        return (np.array([single_normal(gen) for _ in range(n)]) * std + mean).astype(dtype).reshape(tuple(shape))
    compute = np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)
    source = dtype if dtype.itemsize > 2 else dtype
    u = uniform(gen, (n,), source).astype(compute)
    whole = n - n % BLOCK
    out = np.empty(n, compute)
    out[:whole] = box_muller(u[:whole], compute, mean, std)
    if n % BLOCK:  # the last 16 are drawn afresh
        out[-BLOCK:] = box_muller(uniform(gen, (BLOCK,), source).astype(compute), compute, mean, std)
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


__all__ = [
    "Generator", "bernoulli", "default_generator", "exponential", "normal", "permutation", "random_int", "uniform",
]  # fmt: skip
