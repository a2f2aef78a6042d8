"""Text of tensors, to the letter as PyTorch prints them. Works on arrays and knows nothing of Tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray


@dataclass
class PrintOptions:
    """How tensors are printed; see `set_printoptions`."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


options = PrintOptions()
PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed.

    Args:
        precision: digits after the point (4).
        threshold: tensors of more elements are summarised (1000).
        edgeitems: how many elements a summary shows at either end of each dim (3).
        linewidth: characters on a line (80).
        profile: "default", "short" or "full", before the others are applied.
        sci_mode: always or never in scientific notation; None lets the numbers decide.
    """
    global options
    chosen = replace(PROFILES[profile]) if profile is not None else replace(options)
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    chosen = replace(chosen, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    chosen.sci_mode = sci_mode
    options = chosen


def get_printoptions() -> dict[str, Any]:
    """The options in force."""
    return dict(vars(options))


@contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Other options while the block runs."""
    global options
    before = options
    set_printoptions(**{**vars(before), **kwargs})
    try:
        yield
    finally:
        options = before


class Formatter:
    """How the numbers of one tensor are written: as wide as the widest of them."""

    def __init__(self, values: ndarray) -> None:
        self.floating = values.dtype.kind == "f"
        self.integral, self.scientific, self.width = True, False, 1
        if not self.floating:
            self.width = max([1, *(len(str(v)) for v in values.ravel().tolist())])
            return
        wide = values.astype(np.float64).ravel()
        finite = wide[np.isfinite(wide) & (wide != 0)]
        if finite.size:
            self.choose(finite)
        if options.sci_mode is not None:
            self.scientific = options.sci_mode

    def choose(self, finite: ndarray) -> None:
        """Decides the notation from the numbers that are finite and not zero."""
        size = np.abs(finite)
        largest, smallest = float(size.max()), float(size.min())
        self.integral = bool((finite == np.ceil(finite)).all())
        self.scientific = largest / smallest > 1000.0 or largest > 1.0e8 or (not self.integral and smallest < 1.0e-4)
        if self.scientific:
            form, more = f".{options.precision}e", 0
        elif self.integral:
            form, more = ".0f", 1  # for the point
        else:
            form, more = f".{options.precision}f", 0
        self.width = max([self.width, *(len(format(v, form)) + more for v in finite.tolist())])

    def __call__(self, value: Any) -> str:
        if not self.floating:
            text = str(value)
        elif self.scientific:
            text = format(value, f".{options.precision}e")
        elif self.integral:
            text = format(value, ".0f") + ("." if math.isfinite(value) else "")
        else:
            text = format(value, f".{options.precision}f")
        return text.rjust(self.width)


class ComplexFormatter:
    """Real and imaginary part side by side."""

    def __init__(self, values: ndarray) -> None:
        self.real, self.imag = Formatter(values.real), Formatter(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value: complex) -> str:
        imag = self.imag(value.imag).lstrip()
        signed = imag if value.imag < 0 or imag.startswith("-") else "+" + imag
        return f"{self.real(value.real)}{signed}j".replace("++", "+")


def formatter_for(values: ndarray) -> Any:
    """The formatter of a tensor's numbers."""
    return ComplexFormatter(values) if values.dtype.kind == "c" else Formatter(values)


def edges(array: ndarray) -> ndarray:
    """The elements that a summary shows."""
    n = options.edgeitems
    for axis, size in enumerate(array.shape):
        if size > 2 * n:
            array = (
                np.concatenate([array.take(range(n), axis), array.take(range(size - n, size), axis)], axis) if n else array.take([], axis)
            )
    return array


def vector_text(array: ndarray, indent: int, summarize: bool, form: Any) -> str:
    """One row, wrapped."""
    per_line = max(1, math.floor((options.linewidth - indent) / (form.width + 2)))
    n = options.edgeitems
    if summarize and not n:
        items = ["..."]
    elif summarize and len(array) > 2 * n:
        items = [*map(form, array[:n].tolist()), " ...", *map(form, array[-n:].tolist())]
    else:
        items = [form(v) for v in array.tolist()]
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines or [""]) + "]"


def nested_text(array: ndarray, indent: int, summarize: bool, form: Any) -> str:
    """Rows in brackets, with blank lines between blocks."""
    if array.ndim == 0:
        return str(form(array.item()))
    if array.ndim == 1:
        return vector_text(array, indent, summarize, form)
    n = options.edgeitems
    if summarize and len(array) > 2 * n:
        shown: list[Any] = [*array[:n], None, *(array[-n:] if n else [])]
    else:
        shown = list(array)
    parts = ["..." if a is None else nested_text(a, indent + 1, summarize, form) for a in shown]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def format_array(array: ndarray, indent: int = 0) -> str:
    """The numbers of a tensor in brackets.

    >>> format_array(np.array([[1.0, 0.5], [2.0, 10.0]]))
    '[[ 1.0000,  0.5000],\\n [ 2.0000, 10.0000]]'
    """
    if array.size == 0:
        return "[]"
    if array.dtype.kind == "V" or array.dtype == np.float16:
        array = array.astype(np.float32) if array.size <= options.threshold else array
    summarize = array.size > options.threshold
    if summarize:
        seen = edges(array)
        if seen.dtype.kind == "V":
            seen, array = seen.astype(np.float32), array.astype(np.float32)
        return nested_text(array, indent, True, formatter_for(seen))
    return nested_text(array, indent, False, formatter_for(array))


def add_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    """The text with what follows it, on a new line where the line would grow too long."""
    parts = [text]
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > options.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            length = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            length += len(suffix) + 2
    return "".join(parts) + ")"


def tensor_repr(
    array: ndarray,
    *,
    dtype_name: str,
    default_float: str = "float32",
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    class_name: str = "tensor",
) -> str:
    """The whole text of a tensor.

    >>> tensor_repr(np.array([1, 2], np.int32), dtype_name="int32")
    'tensor([1, 2], dtype=torch.int32)'
    """
    indent = len(class_name) + 1
    suffixes = []
    usual = {default_float, {"float64": "complex128"}.get(default_float, "complex64"), "int64", "bool"}
    if array.size == 0:
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if dtype_name != default_float:
            suffixes.append(f"dtype=torch.{dtype_name}")
    elif dtype_name not in usual:
        suffixes.append(f"dtype=torch.{dtype_name}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return add_suffixes(f"{class_name}(" + format_array(array, indent), suffixes, indent)
