"""What operations mean inside a transform: recorded one level up (Reverse), on pairs of value and tangent (Forward), on batches (Batch)."""

from retrograd.autograd.interpreters.base import Transform, tensors_in, unboxed
from retrograd.autograd.interpreters.batch import Batch
from retrograd.autograd.interpreters.forward import Forward
from retrograd.autograd.interpreters.reverse import Reverse

__all__ = ["Batch", "Forward", "Reverse", "Transform", "tensors_in", "unboxed"]
