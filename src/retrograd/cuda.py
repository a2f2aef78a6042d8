"""What programs ask about CUDA devices: there are none. What would need one raises, what would only affect one does nothing."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """False: there is one device, the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Seeds no generator, since there is no device that has one."""


def manual_seed_all(seed: int) -> None:
    """Seeds no generator, since there is no device that has one."""


def empty_cache() -> None:
    """There is no cache."""


def synchronize(device: Any = None) -> None:
    """There is nothing to wait for."""


def is_bf16_supported() -> bool:
    """False."""
    return False


def current_device() -> int:
    """Raises AssertionError, as PyTorch without CUDA does."""
    raise AssertionError("Torch not compiled with CUDA enabled")


def get_device_name(device: Any = None) -> str:
    """Raises AssertionError, as PyTorch without CUDA does."""
    raise AssertionError("Torch not compiled with CUDA enabled")
