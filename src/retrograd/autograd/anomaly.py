"""Anomaly mode: every operation remembers where it was called, and a backward that fails or returns NaN says where that was."""

from __future__ import annotations

import traceback
import warnings
from types import TracebackType
from typing import Any

import numpy as np

from retrograd.core.levels import local, set_flag
from retrograd.core.tape import Node
from retrograd.core.tensor import Box, Tensor
from retrograd.errors import PACKAGE


class Anomaly:
    """What is done to nodes while the mode is on. See `core/op.py` and `core/tape.py`, which call this."""

    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan

    def remember(self, node: Node) -> None:
        """Notes on a node where its operation was called."""
        stack = [f for f in traceback.extract_stack() if not f.filename.startswith(PACKAGE)]
        node.metadata = {**(node.metadata or {}), "traceback_": traceback.format_list(stack)}

    def pull(self, node: Node, g: Any, as_tensors: bool) -> list[Any]:
        """The node's vector-Jacobian product. Raises RuntimeError if it is not a number."""
        try:
            results = node.pull(g, as_tensors)
        except Exception as error:
            error.add_note(self.explain(node))
            self.warn(node)
            raise
        if self.check_nan:
            for i, r in enumerate(results):
                if r is not None and has_nan(r):
                    self.warn(node)
                    raise RuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.\n{self.explain(node)}")
        return results

    def warn(self, node: Node) -> None:
        """A warning with the forward call."""
        warnings.warn(f"Error detected in {node.name()}. {self.explain(node)}", UserWarning, stacklevel=2)

    @staticmethod
    def explain(node: Node) -> str:
        """Where the node's operation was called."""
        lines = (node.metadata or {}).get("traceback_")
        if lines is None:
            return "No forward pass information available. Enable detect anomaly during forward pass for more information."
        return "Traceback of forward call that caused the error:\n" + "".join(lines)


def has_nan(value: Any) -> bool:
    """Whether a cotangent has a NaN in it."""
    if isinstance(value, Box):
        return False
    array = value._data if isinstance(value, Tensor) else value
    return bool(np.isnan(array).any())


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on in this thread."""
    return local.anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Whether NaN raises in anomaly mode."""
    return local.anomaly is None or bool(local.anomaly.check_nan)


class set_detect_anomaly:
    """Switches anomaly mode on or off; as a context manager, until the block ends."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = local.anomaly
        set_flag("anomaly", Anomaly(check_nan) if mode else None)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        set_flag("anomaly", self.before)


class detect_anomaly:
    """While the block runs, backward passes say which operation of the forward pass made a NaN, or failed. Slow.

    Args:
        check_nan: raise RuntimeError where a backward returns NaN.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self.before: Any = None
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging.",
            UserWarning,
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self.before = local.anomaly
        set_flag("anomaly", Anomaly(self.check_nan))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        set_flag("anomaly", self.before)


__all__ = ["detect_anomaly", "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "set_detect_anomaly"]
