"""Random tensors: for one seed, the numbers that PyTorch draws. How is in `core/random.py`.

Three kinds: factories (`rand`), draws whose parameters are tensors (`bernoulli`), and methods that write draws over a tensor
(`uniform_`). No gradient passes through a draw.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.core import random
from retrograd.core.families import write_out
from retrograd.core.levels import local, switch
from retrograd.core.random import Generator
from retrograd.core.tape import check_writable, rebase, written
from retrograd.core.tensor import Box, Tensor, constant, wrap
from retrograd.device import check_device
from retrograd.dtypes import dtype
from retrograd.errors import user_location
from retrograd.ops.create import finish, like, numpy_dtype, sizes_of
from retrograd.ops.inplace import store

# ---------------------------------------------------------------- the generator


def manual_seed(seed: int) -> Generator:
    """Begins the stream of a seed, for all that draws from the default generator; returns that generator.

    Raises:
        RuntimeError: if the seed is not within -2⁶³ .. 2⁶⁴ - 1.

    >>> from retrograd import manual_seed, rand
    >>> _ = manual_seed(0)
    >>> rand(2)
    tensor([0.4963, 0.7682])
    """
    return random.default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the operating system, and returns the seed."""
    return random.default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator's stream."""
    return random.default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state: a uint8 tensor of shape (5056,), laid out as PyTorch's."""
    return random.default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Goes on from where `get_rng_state` was called.

    Raises:
        TypeError: if it is no uint8 tensor.
        RuntimeError: if it holds no state.
    """
    random.default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """What is drawn within leaves no trace in the default generator, if `enabled`."""
    back = random.default_generator.mark() if enabled else None
    try:
        yield
    finally:
        if back is not None:
            back()


def source(generator: Generator | None) -> Generator:
    """The generator to draw from."""
    if generator is None:
        return random.default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be torch.Generator, not {type(generator).__name__}")
    return generator


def draw(function: Callable[..., Any], *operands: Any, spread: bool = False) -> Any:
    """The fresh array `function(*operands)`, which takes numbers from a generator. `operands` are the arrays of tensors.

    Whoever watches is told, so that the same can be drawn anew: everything that is random goes through here.

    Args:
        spread: whether the array has the dims of `examples()` before its own.
    """
    if examples() and not spread:
        raise RuntimeError(
            "vmap: this random operation cannot draw different numbers for each example: draw outside, and pass the numbers in, or take "
            "randomness='same'"
        )
    array = np.asarray(function(*operands))  # one number comes as a scalar
    if switch.special and local.observer is not None:
        local.observer.drew(user_name(function), function, operands, array)
    return array


def examples() -> tuple[int, ...]:
    """The sizes of the running batches of `vmap` whose examples have random numbers of their own, the outermost first.

    Raises:
        RuntimeError: where one of them wants none drawn.
    """
    if any(interpreter.randomness == "error" for interpreter in local.stack):
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness flags "
            "on vmap or perform the randomness operation out of vmap"
        )
    return tuple(interpreter.size for interpreter in local.stack if interpreter.randomness == "different")  # type: ignore[attr-defined]


def sampled(function: Callable[..., Any], requires_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """The tensor that `function()` draws, which begins with the dims of `examples()`: a row for each example."""
    array = draw(function, spread=True)
    if not examples():
        return finish(array, requires_grad, out)
    result = constant(array)
    for interpreter in local.stack:
        result = interpreter.spread(result) if interpreter.randomness == "different" else interpreter.lift(result)
    return result


def user_name(function: Callable[..., Any]) -> str:
    """What a draw is called in a record."""
    while isinstance(function, partial):
        function = function.args[0] if function.func is random.in_memory_order else function.func
    name: str = function.__name__
    return "numbers" if name == "<lambda>" else name


def laid_out(drawn: Callable[..., Any], input: Tensor, memory_format: Any = None) -> partial[Any]:
    """A draw by `drawn(shape)` for a tensor of the shape of another and its order in memory (row by row, if a format says so)."""
    if isinstance(input, Box) or examples() or str(memory_format).endswith("contiguous_format"):
        return partial(drawn, (*examples(), *input.shape))
    return partial(random.in_memory_order, drawn, tuple(input.shape), input._data.strides)


def in_rows(input: Tensor) -> bool:
    """Whether a dense tensor with a tensor's order in memory lies there row by row. Normal numbers of any other do not come in blocks."""
    if isinstance(input, Box):
        return True
    wide = [d for d in random.memory_order(input.shape, input._data.strides) if input.shape[d] != 1]
    return wide == sorted(wide)


# ---------------------------------------------------------------- factories


def floating_dtype(function: str, wanted: dtype | None) -> Any:
    """The NumPy dtype of a draw that must be floating. Raises RuntimeError otherwise."""
    found = numpy_dtype(wanted)
    if wanted is not None and wanted.category < dtypes.FLOATING:
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.scalar_name(wanted)}'")
    return found


def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers from 0 to below 1.

    >>> from retrograd import manual_seed, rand
    >>> _ = manual_seed(0)
    >>> rand(2, 2)
    tensor([[0.4963, 0.7682],
            [0.0885, 0.1320]])
    """
    check_device(device)
    if out is not None and dtype is None:
        dtype = out.dtype
    drawn = partial(
        random.uniform, source(generator), (*examples(), *sizes_of(size, "rand")), floating_dtype("check_uniform_bounds", dtype)
    )
    return sampled(drawn, requires_grad, out)


def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers of mean 0 and standard deviation 1 (Box & Muller 1958).

    >>> from retrograd import manual_seed, randn
    >>> _ = manual_seed(0)
    >>> randn(2)
    tensor([ 1.5410, -0.2934])
    """
    check_device(device)
    if out is not None and dtype is None:
        dtype = out.dtype
    drawn = partial(random.normal, source(generator), (*examples(), *sizes_of(size, "randn")), floating_dtype("normal_kernel_cpu", dtype))
    return sampled(drawn, requires_grad, out)


def randint(
    *bounds_and_size: Any,
    low: int | None = None,
    high: int | None = None,
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`randint(low=0, high, size)`: whole numbers from `low` to below `high`, int64 by default.

    Raises:
        RuntimeError: if there is no number in that range, or the dtype cannot hold it.

    >>> from retrograd import manual_seed, randint
    >>> _ = manual_seed(0)
    >>> randint(10, (4,))
    tensor([4, 9, 3, 0])
    """
    check_device(device)
    given = list(bounds_and_size)
    if size is None:
        if not given or not isinstance(given[-1], (tuple, list)):
            raise TypeError("randint(): expects (int high, tuple of ints size) or (int low, int high, tuple of ints size)")
        size = given.pop()
    if high is None:
        if not given:
            raise TypeError("randint(): missing the argument 'high'")
        high = given.pop()
    if given:
        low = given.pop()
    kind = dtype or (out.dtype if out is not None else dtypes.int64)
    drawn = partial(whole_numbers, source(generator), (*examples(), *sizes_of((size,), "randint")), kind, low or 0, high)
    return sampled(drawn, requires_grad, out)


def whole_numbers(gen: Generator, shape: Sequence[int], kind: dtype, low: Any, high: Any) -> Any:
    """Whole numbers in an array, for those bounds that its dtype can hold."""
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, float) and not value.is_integer():
            raise TypeError(f"random_ expects whole numbers as bounds, but got {name}={value}")
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    bottom, top = whole_range(kind)
    if not bottom <= low <= top:
        raise RuntimeError(f"from is out of bounds for {dtypes.scalar_name(kind)}: {low}")
    if not bottom <= high - 1 <= top:
        raise RuntimeError(f"to - 1 is out of bounds for {dtypes.scalar_name(kind)}: {high - 1}")
    return random.random_int(gen, shape, kind.numpy, low, high)


def whole_range(kind: dtype) -> tuple[int, int]:
    """The smallest and largest whole number of a dtype; of a floating one, those up to which it holds all."""
    if kind is dtypes.bool:
        return 0, 1
    if kind.category >= dtypes.FLOATING:
        bits = {dtypes.float64: 53, dtypes.float32: 24, dtypes.float16: 11}.get(kind, 8)
        return -(2**bits), 2**bits
    info = np.iinfo(kind.numpy)
    return int(info.min), int(info.max)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype = dtypes.int64,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """0 .. n-1 in random order.

    Raises:
        RuntimeError: if `n` is negative, or the dtype cannot hold it.

    >>> from retrograd import manual_seed, randperm
    >>> _ = manual_seed(0)
    >>> randperm(4)
    tensor([0, 1, 3, 2])
    """
    check_device(device)
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    kind = dtype if out is None else out.dtype
    if n > whole_range(kind)[1] + 1:
        raise RuntimeError(f"n is too large for result tensor type: '{dtypes.scalar_name(kind)}'")
    gen = source(generator)
    own = examples()

    def permutations() -> Any:
        rows = [random.permutation(gen, n) for _ in range(math.prod(own))]
        return np.stack(rows).astype(kind.numpy).reshape(*own, n) if rows else np.empty((*own, n), kind.numpy)

    return sampled(permutations, requires_grad, out)


def rand_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`rand` of the shape and dtype of `input`."""
    like(input, dtype, device)
    kind = floating_dtype("check_uniform_bounds", dtype or input.dtype)
    drawn = partial(random.uniform, random.default_generator, dtype=kind)
    return sampled(laid_out(drawn, input, memory_format), requires_grad)


def randn_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`randn` of the shape and dtype of `input`."""
    like(input, dtype, device)
    kind = floating_dtype("normal_kernel_cpu", dtype or input.dtype)
    drawn = partial(random.normal, random.default_generator, dtype=kind)
    if not in_rows(input) and not str(memory_format).endswith("contiguous_format"):
        drawn = partial(drawn, blocks=False)
    return sampled(laid_out(drawn, input, memory_format), requires_grad)


def randint_like(
    input: Tensor,
    *bounds: int,
    low: int = 0,
    high: int | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`randint_like(input, low=0, high)`: whole numbers in the shape and dtype of `input`."""
    like(input, dtype, device)
    low, high = bounds if len(bounds) == 2 else (low, bounds[0] if bounds else high)
    if high is None:
        raise TypeError("randint_like(): missing the argument 'high'")
    drawn = partial(whole_numbers, random.default_generator, kind=dtype or input.dtype, low=low, high=high)
    return sampled(laid_out(drawn, input, memory_format), requires_grad)


# ---------------------------------------------------------------- draws whose parameters are tensors


def numbers_of(function: str, x: Tensor) -> Any:
    """The array of a parameter. Raises inside `vmap`, where one draw would have to be many."""
    if isinstance(x, Box):
        raise RuntimeError(
            f"{function}: a random operation cannot depend on a tensor inside a function transform; draw outside, and pass the numbers in"
        )
    return x._data


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers; mean and standard deviation may be tensors, whose shapes broadcast.

    Raises:
        RuntimeError: if a standard deviation is negative.

    >>> from retrograd import manual_seed, normal, tensor
    >>> _ = manual_seed(0)
    >>> normal(tensor([0., 100.]), 1.0)
    tensor([ 1.5410, 99.7066])
    """
    check_device(device)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal(): mean and std are numbers, and so it needs the argument 'size'")
        check_std(std)
        drawn = partial(
            random.normal,
            source(generator),
            (*examples(), *sizes_of((size,), "normal")),
            floating_dtype("normal_kernel_cpu", dtype),
            mean,
            std,
        )
        return sampled(drawn, requires_grad, out)
    gen = source(generator)
    means, stds = (numbers_of("normal", x) if isinstance(x, Tensor) else x for x in (mean, std))
    kind = means.dtype if isinstance(mean, Tensor) else stds.dtype
    floating_dtype("normal_kernel_cpu", mean.dtype if isinstance(mean, Tensor) else std.dtype)
    try:
        shape = np.broadcast_shapes(np.shape(means), np.shape(stds))
    except ValueError:
        raise RuntimeError(
            f"normal(): the shapes of mean {list(np.shape(means))} and std {list(np.shape(stds))} do not broadcast"
        ) from None

    given_mean, given_std = isinstance(mean, Tensor), isinstance(std, Tensor)
    centres, spreads = None if given_mean else mean, None if given_std else std

    def normal_around(*arrays: Any) -> Any:
        given = list(arrays)
        centre: Any = given.pop(0) if given_mean else centres
        spread: Any = given.pop(0) if given_std else spreads
        if np.size(spread):
            check_std(float(np.min(spread)))
        if given_std:
            return np.asarray(random.normal(gen, shape, kind) * spread + centre, kind)
        return np.asarray(random.normal(gen, shape, kind, 0.0, spread) + centre, kind)

    result = wrap(draw(normal_around, *[x for x, t in ((means, mean), (stds, std)) if isinstance(t, Tensor)]))
    return result if out is None else write_out(out, result)


def check_std(std: float) -> None:
    """Raises RuntimeError for a negative standard deviation."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")


def check_probability(function: str, p: float) -> None:
    """Raises RuntimeError for what is no probability."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"{function} expects p to be in [0, 1], but got p={p}")


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """1 with the probability that `input` (or `p`) says, else 0.

    Raises:
        RuntimeError: if one is no probability.

    >>> from retrograd import bernoulli, tensor
    >>> bernoulli(tensor([0., 1.]))
    tensor([0., 1.])
    """
    chances, gen = numbers_of("bernoulli", input), source(generator)
    if p is not None:
        check_probability("bernoulli_", p)
        result = wrap(draw(partial(random.bernoulli, gen, p, input.shape, chances.dtype)))
    else:
        if input.dtype.category < dtypes.FLOATING:
            raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{dtypes.scalar_name(input.dtype)}'")
        result = wrap(draw(partial(coins, gen, tuple(input.shape), dtype=chances.dtype), chances))
    return result if out is None else write_out(out, result)


def coins(gen: Generator, shape: Sequence[int], chances: Any, *, dtype: Any) -> Any:
    """1 with the probabilities in an array of a shape, else 0. Raises RuntimeError if one is no probability."""
    if chances.size and not (np.min(chances) >= 0 and np.max(chances) <= 1):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli draws with the probabilities in its input")
    return random.bernoulli(gen, chances, shape, dtype)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers of the rates in `input`.

    Raises:
        RuntimeError: if a rate is negative.
    """
    rates, gen = numbers_of("poisson", input), source(generator)
    if input.dtype.category != dtypes.FLOATING:
        raise NotImplementedError(f"\"poisson_cpu\" not implemented for '{dtypes.scalar_name(input.dtype)}'")

    def poisson_numbers(rates: Any) -> Any:
        if rates.size and not np.min(rates) >= 0:
            raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
        return random.poisson(gen, rates)

    return wrap(draw(poisson_numbers, rates))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Places drawn with the weights in a vector, or in each row of a matrix: int64, shape (num_samples,) or (rows, num_samples).

    Raises:
        RuntimeError: if a weight is negative, infinite or nan, or all are zero, or more places are asked for than there are.

    >>> from retrograd import multinomial, tensor
    >>> multinomial(tensor([0., 1., 0.]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = numbers_of("multinomial", input)
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if input.dtype.category != dtypes.FLOATING:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {dtypes.scalar_name(input.dtype)}")
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {dtypes.scalar_name(out.dtype)}")
    if weights.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: {num_samples} > {weights.shape[-1]}")
    result = wrap(draw(partial(places, source(generator), num_samples, replacement), weights))
    return result if out is None else write_out(out, result)


def places(gen: Generator, n: int, replacement: bool, weights: Any) -> Any:
    """`n` places drawn with the weights in a vector, or in each row of a matrix. Raises RuntimeError if they are no weights."""
    rows = np.atleast_2d(weights)
    if not np.isfinite(rows).all() or (rows < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (rows.sum(-1) == 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    # PyTorch takes one draw, too, as a draw without replacement
    choose = random.choices if replacement and n > 1 else random.distinct_choices
    return choose(gen, rows, n).reshape(*weights.shape[:-1], n)


# ---------------------------------------------------------------- over a tensor


def overwrite(self: Tensor, drawn: Callable[..., Any], *chances: Any) -> Tensor:
    """Writes what `drawn(shape, *chances)` draws over a tensor, in its order in memory: what it was before counts for nothing."""
    if isinstance(self, Box) and not chances:
        return store(self, sampled(laid_out(drawn, self)))
    check_outside_transforms(self)
    check_writable(self, False)
    numbers = draw(laid_out(drawn, self), *chances)
    if switch.special and local.observer is not None:
        local.observer.wrote(self, wrap(numbers))
    self._data[...] = numbers
    written(self, user_location())
    if local.grad and (self._node is not None or self._base is not None):
        rebase(self, None)
    return self


def check_outside_transforms(self: Tensor) -> None:
    """Raises RuntimeError for a value of a transform."""
    if isinstance(self, Box):
        raise RuntimeError(
            "a random operation wrote over a tensor inside a function transform: the draw would be one for all of a batch; draw outside, and pass the numbers in"
        )


def check_floating(function: str, self: Tensor) -> None:
    """Raises where only floating numbers can be drawn: real ones, but for uniform and normal draws."""
    if self.dtype.category < dtypes.FLOATING or (self.dtype.is_complex and function not in ("check_uniform_bounds", "normal_kernel_cpu")):
        raise NotImplementedError(f"\"{function}\" not implemented for '{dtypes.scalar_name(self.dtype)}'")


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None, **named: float) -> Tensor:
    """Writes uniform numbers from `from` to below `to`. Raises RuntimeError if the bounds are the wrong way round."""
    low = named.pop("from", from_)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument '{next(iter(named))}'")
    check_floating("check_uniform_bounds", self)
    if not low <= to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    return overwrite(self, partial(random.uniform, source(generator), dtype=self.dtype.numpy, low=low, high=to))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Writes normal numbers. Raises RuntimeError for a negative `std`."""
    check_floating("normal_kernel_cpu", self)
    check_std(std)
    drawn = partial(
        random.normal,
        source(generator),
        dtype=self.dtype.numpy,
        mean=mean,
        std=std,
        blocks=isinstance(self, Box) or bool(self._data.flags.c_contiguous),
    )
    return overwrite(self, drawn)


def random_(self: Tensor, *bounds: int | None, generator: Generator | None = None, **named: int | None) -> Tensor:
    """`random_(from=0, to)`: writes whole numbers from `from` to below `to`, or all that the dtype holds from 0 on."""
    low, to = named.pop("from", None), named.pop("to", None)
    if named:
        raise TypeError(f"random_() got an unexpected keyword argument '{next(iter(named))}'")
    if len(bounds) == 2:
        low, to = bounds
    elif bounds:
        to = bounds[0]
    top = whole_range(self.dtype)[1]
    start, end = low or 0, top + 1 if to is None else to
    return overwrite(self, partial(whole_numbers, source(generator), kind=self.dtype, low=start, high=end))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Writes 1 with probability `p` (a number, or a tensor that broadcasts), else 0."""
    gen, kind = source(generator), self.dtype.numpy
    if isinstance(p, Tensor):
        return overwrite(self, partial(coins, gen, dtype=kind), numbers_of("bernoulli_", p.detach().expand(self.shape)))
    check_probability("bernoulli_", p)
    return overwrite(self, partial(random.bernoulli, gen, p, dtype=kind))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Writes exponential numbers of rate `lambd`. Raises RuntimeError if it is not positive."""
    check_floating("exponential_", self)
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return overwrite(self, partial(random.exponential, source(generator), dtype=self.dtype.numpy, lambd=lambd))


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Writes Cauchy numbers. Raises RuntimeError if `sigma` is not positive."""
    check_floating("cauchy_", self)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return overwrite(self, partial(random.cauchy, source(generator), dtype=self.dtype.numpy, median=median, sigma=sigma))


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Writes numbers whose logarithms are normal. Raises RuntimeError if `std` is not positive."""
    check_floating("log_normal_", self)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return overwrite(self, partial(random.log_normal, source(generator), dtype=self.dtype.numpy, mean=mean, std=std))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Writes how many trials it takes until one of probability `p` succeeds. Raises RuntimeError unless 0 < p < 1."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return overwrite(self, partial(random.geometric, source(generator), dtype=self.dtype.numpy, p=p))


# ---------------------------------------------------------------- dropout


def check_dropout(p: float) -> None:
    """Raises ValueError for what is no probability."""
    if not (isinstance(p, (int, float)) and math.isfinite(p) and 0 <= p <= 1):
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def channels(input: Tensor) -> tuple[int, ...]:
    """The shape of one number for each channel of each example."""
    return (*input.shape[:2], *(1 for _ in input.shape[2:]))


def fates(input: Tensor, p: float, by_channel: bool, divisor: float = 1.0) -> Tensor:
    """1 / `divisor` where an element stays, 0 where it falls; `by_channel`: one number for each channel of each example."""
    kind = input.dtype.numpy

    def dropout_noise(shape: Sequence[int]) -> Any:
        noise = random.bernoulli(random.default_generator, 1 - p, shape, kind)
        noise /= kind.type(divisor)
        return noise

    return sampled(partial(dropout_noise, (*examples(), *channels(input))) if by_channel else laid_out(dropout_noise, input))


def dropped(input: Tensor, p: float, training: bool, by_channel: bool) -> Tensor:
    """The input with elements (or channels) set to 0, the others divided by 1 - p."""
    check_dropout(p)
    if not training or p == 0 or not input.shape.numel():
        return input
    if p == 1:
        return input * constant(np.zeros((), input.dtype.numpy))
    return input * fates(input, p, by_channel, 1 - p)


def alpha_dropped(input: Tensor, p: float, training: bool, by_channel: bool) -> Tensor:
    """Dropout that keeps mean and variance of what SELU gives (Klambauer et al. 2017): elements become SELU's lowest value."""
    check_dropout(p)
    if not training or p == 0 or not input.shape.numel():
        return input
    if p == 1:
        return input * constant(np.zeros((), input.dtype.numpy))
    alpha = 1.7580993408473766
    scale = 1 / math.sqrt((alpha**2 * p + 1) * (1 - p))
    noise = fates(input, p, by_channel)
    shift = (noise - 1) * (alpha * scale) + alpha * scale * p
    return input * (noise * scale) + shift


def rrelu_slopes(input: Tensor, lower: float, upper: float) -> Tensor:
    """1 where an element is above 0, else a slope drawn from `lower` to below `upper`."""

    def slopes(x: Any) -> Any:
        return random.slopes_below_zero(random.default_generator, x, lower, upper)

    return wrap(draw(slopes, numbers_of("rrelu", input)))


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Sets each element to 0 with probability `p` while training, and divides the others by 1 - p (Srivastava et al. 2014).

    Raises:
        ValueError: if `p` is no probability.

    >>> from retrograd import dropout, ones
    >>> dropout(ones(2), 0.5, False)
    tensor([1., 1.])
    """
    return dropped(input, p, train, by_channel=False)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout of whole channels: the fate is one for all that follows the first two dims.

    Raises:
        ValueError: if `p` is no probability.
        RuntimeError: if there are fewer than two dims.
    """
    check_dropout(p)
    if train and input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return dropped(input, p, train, by_channel=True)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout for networks of SELU (Klambauer et al. 2017). Raises ValueError if `p` is no probability."""
    return alpha_dropped(input, p, train, by_channel=False)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` of whole channels.

    Raises:
        ValueError: if `p` is no probability.
        RuntimeError: if there are fewer than two dims.
    """
    check_dropout(p)
    if train and input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return alpha_dropped(input, p, train, by_channel=True)
