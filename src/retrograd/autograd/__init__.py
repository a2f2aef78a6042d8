"""Reverse-mode differentiation of recorded programs: `backward`, `grad`, and the switches that say what is recorded."""

from retrograd.autograd.modes import enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from retrograd.autograd.reverse import backward, grad

__all__ = ["backward", "enable_grad", "grad", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "set_grad_enabled"]
