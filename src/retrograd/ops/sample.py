"""Random tensors: for one seed, the numbers that PyTorch draws. How is in `core/random.py`."""

from __future__ import annotations

from typing import Any

from retrograd.core import random
from retrograd.core.random import Generator
from retrograd.core.tape import check_writable, rebase, written
from retrograd.core.levels import local
from retrograd.core.tensor import Tensor, wrap
from retrograd.device import check_device
from retrograd.dtypes import dtype
from retrograd.errors import user_location
from retrograd.ops.create import finish, numpy_dtype, sizes_of


def manual_seed(seed: int) -> Generator:
    """Begins the stream of a seed, for all that draws from the default generator; returns that generator."""
    return random.default_generator.manual_seed(seed)


def rand(*size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Uniform numbers from 0 to below 1."""
    check_device(device)
    return finish(random.uniform(generator or random.default_generator, sizes_of(size, "rand"), numpy_dtype(dtype)), requires_grad, out)


def randn(*size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: dtype | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Normal numbers of mean 0 and standard deviation 1."""
    check_device(device)
    return finish(random.normal(generator or random.default_generator, sizes_of(size, "randn"), numpy_dtype(dtype)), requires_grad, out)


def overwrite(self: Tensor, array: Any) -> Tensor:
    """Writes drawn numbers over a tensor: what it was before counts for nothing."""
    check_writable(self, False)
    self._data[...] = array
    written(self, user_location())
    if local.grad and (self._node is not None or self._base is not None):
        rebase(self, None)
    return self


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Uniform numbers from `from_` to below `to`."""
    return overwrite(self, random.uniform(generator or random.default_generator, self.shape, self._data.dtype, from_, to))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Normal numbers. Raises RuntimeError for a negative `std`."""
    return overwrite(self, random.normal(generator or random.default_generator, self.shape, self._data.dtype, mean, std))
