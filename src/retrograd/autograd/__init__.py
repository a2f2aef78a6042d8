"""Automatic differentiation: `backward` and `grad`, what is recorded, custom functions, forward mode, checks, hooks."""

from retrograd.autograd import forward_ad, functional, graph, profiler
from retrograd.autograd.anomaly import detect_anomaly, is_anomaly_check_nan_enabled, is_anomaly_enabled, set_detect_anomaly
from retrograd.autograd.function import Function
from retrograd.autograd.gradcheck import gradcheck, gradgradcheck
from retrograd.autograd.modes import enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from retrograd.autograd.reverse import backward, grad
from retrograd.core.tensor import Tensor as Variable

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "forward_ad", "functional", "grad",
    "gradcheck", "gradgradcheck", "graph", "inference_mode",
    "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "profiler",
    "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip
