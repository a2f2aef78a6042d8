"""Who runs a workload: Retrograd compiled and eager, PyTorch eager and compiled, JAX.

Each gives a function without arguments that makes one step and returns its result, which it waits for.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workloads.workload import Functional, Pure, Workload

Call = Callable[[], Any]


class Absent(Exception):
    """The library lacks what a workload needs; the text names it."""


def retrograd_can_compile() -> bool:
    """Whether this Retrograd has `compile`."""
    return hasattr(importlib.import_module("retrograd"), "compile")


def with_torch_api(lib: Any, workload: Workload, compiled: bool) -> Call:
    """An ordinary step; `lib.compile` of it, if asked for."""
    parameters, arrays = workload.numbers()
    data = tuple(lib.from_numpy(array.copy()) for array in arrays)
    try:
        step = workload.program(lib, parameters)
    except AttributeError as error:
        raise Absent(str(error)) from None
    step = lib.compile(step) if compiled else step
    return lambda: step(*data)


def retrograd(workload: Workload) -> Call:
    """Retrograd through `retrograd.compile`; eager where there is none, which the table says."""
    return with_torch_api(importlib.import_module("retrograd"), workload, retrograd_can_compile())


def retrograd_eager(workload: Workload) -> Call:
    """Retrograd without compiling."""
    return with_torch_api(importlib.import_module("retrograd"), workload, False)


def torch_eager(workload: Workload) -> Call:
    """PyTorch without compiling, on all cores."""
    return with_torch_api(torch_on_all_cores(), workload, False)


def torch_compiled(workload: Workload) -> Call:
    """torch.compile over the whole step, as one graph."""
    torch = torch_on_all_cores()
    torch._dynamo.config.trace_autograd_ops = True  # lets `autograd.grad` be part of the graph
    parameters, arrays = workload.numbers()
    data = tuple(torch.from_numpy(array.copy()) for array in arrays)
    functional = workload.in_torch(torch, parameters)
    return called(torch.compile(functional.step, fullgraph=True), functional, data, lambda result: result)


def jax_jitted(workload: Workload) -> Call:
    """One jitted step, the state's memory donated."""
    jax = importlib.import_module("jax")
    parameters, arrays = workload.numbers()
    data = tuple(jax.numpy.array(array) for array in arrays)
    functional = workload.in_jax(jax, parameters)
    donated = () if isinstance(functional, Pure) else (0,)
    return called(jax.jit(functional.step, donate_argnums=donated), functional, data, jax.block_until_ready)


def called(compiled: Callable[..., Any], functional: Functional, data: tuple[Any, ...], wait: Callable[[Any], Any]) -> Call:
    """One step after the other, each from the state that the last one left."""
    if isinstance(functional, Pure):
        arguments = (*functional.inputs, *data)
        return lambda: wait(compiled(*arguments))
    state = functional.state

    def call() -> Any:
        nonlocal state
        state, result = compiled(state, *data)
        return wait(result)

    return call


def torch_on_all_cores() -> Any:
    """PyTorch, its threads as many as the cores that this process may use."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


CONTENDERS: dict[str, Callable[[Workload], Call]] = {
    "retrograd": retrograd,
    "retrograd-eager": retrograd_eager,
    "torch": torch_eager,
    "torch.compile": torch_compiled,
    "jax": jax_jitted,
}
PEERS = {"torch": "torch", "torch.compile": "torch", "jax": "jax"}  # and the package that each needs


def installed_peers() -> list[str]:
    """Those whose package is there."""
    return [peer for peer, package in PEERS.items() if importlib.util.find_spec(package)]


def as_arrays(result: Any) -> list[np.ndarray]:
    """A step's result, a tensor or several, as NumPy's arrays."""
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in as_arrays(part)]
    return [np.array(result.detach().numpy() if hasattr(result, "detach") else result)]
