"""Where an error happened, in the user's words: the file and line outside this package, and the name of a tensor.

Every exception this library raises is of the type PyTorch raises in the same place, so no exception tree is drawn here, save
for the few classes that PyTorch itself names:

    RuntimeError
     ├─ LinAlgError      torch.linalg.LinAlgError: a matrix is singular, not positive-definite, or has no decomposition
     └─ Uncompilable     torch._dynamo.exc.Unsupported: compile(..., fullgraph=True) met something that it cannot record

This module knows nothing of tensors.
"""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType

PACKAGE = os.path.dirname(__file__) + os.sep
STDLIB = os.path.dirname(os.__file__) + os.sep
INSTALLED = tuple(STDLIB + name + os.sep for name in ("site-packages", "dist-packages"))  # lies within, and is none of it


class Uncompilable(RuntimeError):
    """A function does something that `compile(..., fullgraph=True)` cannot record."""


class LinAlgError(RuntimeError):
    """A matrix is singular, not positive-definite, or has no decomposition."""


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost frame that is neither inside this package nor in the standard library, starting `depth` callers up."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and (frame.f_code.co_filename.startswith(PACKAGE) or is_standard(frame.f_code.co_filename)):
        frame = frame.f_back
    return frame


def is_standard(file: str) -> bool:
    """Whether a file of code is the standard library's."""
    return file.startswith(STDLIB) and not file.startswith(INSTALLED)


def user_location() -> str:
    """`"train.py:12 in step"` for the line of the user's program that is running, or `"<unknown>"`."""
    frame = user_frame(2)
    return "<unknown>" if frame is None else describe(frame)


def warn_user(text: str) -> None:
    """Warns, with the line of the user's program that is running, however deep in this package the cause is."""
    user, frame, level = user_frame(2), sys._getframe(), 1
    while frame is not user and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)


def describe(frame: FrameType) -> str:
    """`"train.py:12 in step"` for one frame."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
