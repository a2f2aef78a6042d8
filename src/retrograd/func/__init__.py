"""Function transforms: `grad`, `vjp`, `jvp`, `vmap` and what is built from them, to be nested at will.

A transform runs the function at a level of its own (`autograd/interpreters/`); what it returns is of the level outside.
"""

from retrograd.autograd.batching import vmap
from retrograd.func.modules import functional_call, stack_module_state
from retrograd.func.transforms import functionalize, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, linearize, vjp

__all__ = [
    "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "stack_module_state", "vjp", "vmap",
]  # fmt: skip
