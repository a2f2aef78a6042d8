"""Programs: whole training steps recorded, certified against eager, and run as machine code.

    step = retrograd.compile(step)

`capture` records a call as a `graph.Program`; an `executor.Executor` runs it; `entry` is the way into it, with all that it takes for
granted; `compiled` decides what a call goes through; `certify` holds a program against the function before it is trusted; `tied` is for
derivatives that are asked for outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.compile.compiled import Compiled
from retrograd.compile.eager import install
from retrograd.compile.module import compiled_module
from retrograd.nn.module import Module

install()


def compile(
    model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, verify: bool = True, **ignored: Any
) -> Any:
    """A function (or module, or method) whose calls are recorded once and from then on run as a program.

    The first call of a kind runs in eager and is recorded: every operation, backward's and the optimizer's included, with every write to
    tensors, every gradient and every random draw. The second call runs both the program and the function, and compares them. Later calls
    run the program. A call is of another kind if shapes, dtypes or strides of arguments differ, their place on the tape, other
    arguments, what the function reaches (closure variables, globals, attributes of modules: `train()` and `eval()`), whether there are
    gradients at the start, or the mode (`no_grad`). Each kind has a program of its own, up to 8 (`limit`); learning rates are read at
    each call. What cannot be recorded runs in eager, with one warning that says what and where. Results may be differentiated outside:
    `loss = compiled_model(x); loss.backward()`.

    Args:
        model: what to compile; None: returns a decorator.
        fullgraph: raise where a call cannot be recorded, instead of running in eager.
        dynamic: True: calls of a new kind run in eager until that kind comes a second time (but for the very first call). Good for
            sizes that vary a lot.
        verify: compare a program with the function before it is trusted.
        ignored: `mode`, `backend` and `options`, as other libraries have them: nothing here.

    Returns:
        A `Compiled` function: call it; `programs()`, `graph()`, `kernels()` and `report()` tell of it, `loop(...)` makes many calls at once,
        and `limit` is how many programs it may have. Of a module: a module of the same class that shares everything with it, and has these
        methods too.

    Raises:
        TypeError: if `model` cannot be called.
        Uncompilable: later, by a call, with `fullgraph`.

    >>> import retrograd as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.5)
    >>> @torch.compile
    ... def step(x):
    ...     optimizer.zero_grad()
    ...     loss = (w * x).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss.detach()
    >>> [step(torch.ones(2)) for _ in range(3)]
    [tensor(2.), tensor(1.), tensor(0.)]
    >>> len(step.programs())
    1
    """
    if model is None:
        return lambda function: compile(function, fullgraph=fullgraph, dynamic=dynamic, verify=verify)
    if not callable(model):
        raise TypeError(f"compile() expects a function or a module, but got {type(model).__name__}")
    if isinstance(model, Compiled):
        model = model.function
    if isinstance(model, Module):
        return compiled_module(model, fullgraph=fullgraph, dynamic=dynamic, verify=verify)
    return Compiled(model, fullgraph=fullgraph, dynamic=dynamic, verify=verify)
