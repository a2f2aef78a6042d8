"""Devices. There is one, the CPU; programs written for others are told so by name. Knows nothing of tensors."""

from __future__ import annotations

from typing import Any

KINDS = ("cpu", "cuda", "mps", "xpu", "meta", "hip", "xla")


class device:
    """Where a tensor lives: always `cpu`, but other names can be written down, compared and printed.

    Raises:
        RuntimeError: if the text names no kind of device that PyTorch knows.

    >>> device("cpu"), device("cuda", 1), str(device("cuda:1"))
    (device(type='cpu'), device(type='cuda', index=1), 'cuda:1')
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index  # type: ignore[has-type]
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        if not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' (position 1) must be str, not {type.__class__.__name__}")
        kind, colon, number = type.partition(":")
        if kind not in KINDS:
            raise RuntimeError(f"Expected one of {', '.join(KINDS)} device type at start of device string: {type}")
        if colon:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {type}")
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        self.type, self.index = kind, index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)


CPU = device("cpu")


def check_device(where: Any) -> device:
    """The device meant by `where` (None: the CPU).

    Raises:
        AssertionError: for cuda, as PyTorch raises where it was built without it.
        RuntimeError: for any other device that is not the CPU.
    """
    if where is None or where is CPU:
        return CPU
    found = where if isinstance(where, device) else device(where)
    if found.type == "cpu":
        return CPU
    if found.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    raise RuntimeError(f"device '{found}' is not available: tensors of this library live on the CPU")
