"""Switches of other libraries that programs set: accepted, and without effect. All results here are deterministic."""

from __future__ import annotations

from types import SimpleNamespace


def unavailable() -> bool:
    """False."""
    return False


cudnn = SimpleNamespace(
    deterministic=True, benchmark=False, enabled=False, allow_tf32=False, is_available=unavailable, version=lambda: None
)
cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False), is_built=unavailable)
mps = SimpleNamespace(is_available=unavailable, is_built=unavailable)
mkldnn = SimpleNamespace(is_available=unavailable)
