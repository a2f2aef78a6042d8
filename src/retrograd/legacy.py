"""Names from old PyTorch programs: a class of tensors for each dtype, `FloatTensor` and its like."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops.convert import from_sizes_or_data


class TypedTensor(type):
    """The type of those classes: each makes tensors of its dtype, and has all tensors of that dtype as instances."""

    dtype: dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *args: Any) -> Tensor:
        """`FloatTensor(2, 3)` has that shape and any numbers; `FloatTensor([2, 3])` holds those."""
        return from_sizes_or_data(cls.__name__, args, cls.dtype)


def typed(name: str, of: dtype) -> Any:
    """The class of tensors of a dtype."""
    return TypedTensor(name, (), {"dtype": of, "__module__": "torch", "__doc__": f"Tensors of {of}."})


FloatTensor, DoubleTensor, HalfTensor, BFloat16Tensor = (
    typed(name, of)
    for name, of in (
        ("FloatTensor", dtypes.float32), ("DoubleTensor", dtypes.float64), ("HalfTensor", dtypes.float16), ("BFloat16Tensor", dtypes.bfloat16)
    )
)  # fmt: skip
LongTensor, IntTensor, ShortTensor, CharTensor, ByteTensor, BoolTensor = (
    typed(name, of)
    for name, of in (
        ("LongTensor", dtypes.int64), ("IntTensor", dtypes.int32), ("ShortTensor", dtypes.int16), ("CharTensor", dtypes.int8),
        ("ByteTensor", dtypes.uint8), ("BoolTensor", dtypes.bool),
    )
)  # fmt: skip


class Named:
    """A constant that is printed by its name: a layout or a memory format. There is one of each here."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


strided = Named("strided")
contiguous_format, preserve_format, channels_last, channels_last_3d = (
    Named(n) for n in ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")
)
memory_format = layout = Named


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: all results are deterministic anyhow."""


def are_deterministic_algorithms_enabled() -> bool:
    """True."""
    return True
