"""A compiled module: the module itself, whose calls run as programs."""

from __future__ import annotations

import copy
from typing import Any

from retrograd.compile.compiled import Compiled
from retrograd.nn.module import Module


def compiled_module(module: Module, **options: Any) -> Module:
    """A module of the same class that shares everything with `module`, and whose calls run as programs.

    Parameters, buffers, sub-modules and all attributes are the same, whichever of the two they are set on.
    """
    kind = type(module)
    compiled = Compiled(module, **options)

    class CompiledModule(kind):  # type: ignore[misc, valid-type]
        __doc__ = kind.__doc__
        _compiled = compiled
        _orig_mod = module
        programs, graph, loop, report, kernels = compiled.programs, compiled.graph, compiled.loop, compiled.report, compiled.kernels

        def __init__(self) -> None:
            object.__setattr__(self, "__dict__", module.__dict__)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return compiled(*args, **kwargs)

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            return compiled_module(copy.deepcopy(module, memo), **options)

        def __reduce_ex__(self, protocol: Any) -> Any:
            return compiled_module, (module,)

    CompiledModule.__name__, CompiledModule.__qualname__, CompiledModule.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return CompiledModule()
