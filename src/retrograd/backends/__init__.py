"""Switches of other libraries that programs set: accepted, and without effect. All results here are deterministic."""

from __future__ import annotations

from types import SimpleNamespace

from retrograd.backends import cudnn


def unavailable() -> bool:
    """False."""
    return False


cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False), is_built=unavailable)
mps = SimpleNamespace(is_available=unavailable, is_built=unavailable)
mkldnn = SimpleNamespace(is_available=unavailable)

__all__ = ["cuda", "cudnn", "mkldnn", "mps"]
