"""Tensors turned into other things and back: numbers, lists, arrays, text, other dtypes; and questions about their layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from retrograd import dtypes
from retrograd.config import settings
from retrograd.core.levels import local, refuse_record, switch
from retrograd.core.printing import tensor_repr
from retrograd.core.tensor import LEAF, Box, Tensor, address, current_node, owner, wrap
from retrograd.device import check_device, device
from retrograd.dtypes import dtype
from retrograd.ops import basis, create
from retrograd.ops.shape import strides_of, unbind
from retrograd.shapes import Size, wrap_dim

# ---------------------------------------------------------------- questions


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.shape.numel()


def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dim. Raises IndexError if `dim` is out of range."""
    if dim is None:
        return self.shape
    if self.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return self.shape[wrap_dim(dim, self.ndim)]


def stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements further in memory the next one along each dim (or along one dim) is."""
    strides = strides_of(self)
    return strides if dim is None else strides[wrap_dim(dim, self.ndim)]


def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie in memory in row-major order, without gaps."""
    return isinstance(self, Box) or bool(self._data.flags.c_contiguous)


def storage_offset(self: Tensor) -> int:
    """How many elements lie before the first in the memory that the tensor is a view of."""
    data = self._data
    return (address(data) - address(owner(data))) // int(data.itemsize)


def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    refuse_record("the address of a tensor was looked at")
    return address(self._data)


def element_size(self: Tensor) -> int:
    """How many bytes an element takes."""
    return self.dtype.itemsize


def is_tensor(obj: Any) -> bool:
    """Whether an object is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are real floating-point numbers."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Whether the elements are complex numbers."""
    return input.dtype.is_complex


def is_signed(self: Tensor) -> bool:
    """Whether elements can be negative."""
    return self.dtype.is_signed


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero. Raises RuntimeError if there is not exactly one."""
    if input.shape.numel() != 1:
        few = "no values" if not input.shape.numel() else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {few} is ambiguous")
    return bool(item(input))


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input.shape == other.shape


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode."""
    return input._extra is not None and input._extra.inference


def get_device(input: Tensor) -> int:
    """-1: the tensor is on the CPU."""
    return -1


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype that an operation on the two (tensors or numbers) computes in.

    >>> from retrograd import result_type, tensor
    >>> result_type(tensor([1, 2]), 1.0)
    torch.float32
    """
    both = (tensor1, tensor2)
    tensors = [(x.dtype, x.ndim > 0) for x in both if isinstance(x, Tensor)]
    return dtypes.result_type(tensors, [x for x in both if not isinstance(x, Tensor)], settings.default_dtype)


# ---------------------------------------------------------------- out of the tape


def detach(self: Tensor) -> Tensor:
    """A tensor on the same memory that needs no gradient. Writes to it are noticed by the tape.

    >>> from retrograd import ones
    >>> ones(2, requires_grad=True).detach()
    tensor([1., 1.])
    """
    if isinstance(self, Box):
        return self.interpreter.detach(self)
    out = wrap(self._data)
    out._version = self._version
    if switch.special and local.observer is not None:
        local.observer.shared(self, out)
    return out


def detach_(self: Tensor) -> Tensor:
    """Takes the tensor itself off the tape. Raises RuntimeError for a view."""
    if self._base is not None and current_node(self) is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets."
        )
    self._node = None
    return self


def item(self: Tensor) -> Any:
    """The only element as a Python number.

    Raises:
        RuntimeError: if there is not exactly one element.
    """
    if numel(self) != 1:
        raise RuntimeError(f"a Tensor with {numel(self)} elements cannot be converted to Scalar")
    refuse_record()
    return self._data.item() if self._data.dtype.kind != "V" else float(self._data.reshape(()))


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The elements as an array on the same memory.

    Raises:
        RuntimeError: if the tensor needs a gradient and not `force`.
    """
    if current_node(self) is not None and not force:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    refuse_record()
    return self._data


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers (one number, without dims)."""
    refuse_record()
    data = self._data
    return data.astype(np.float32).tolist() if data.dtype.kind == "V" else data.tolist()


def bool_(self: Tensor) -> bool:
    """Whether the only element is not zero. Raises RuntimeError if there is not exactly one."""
    return is_nonzero(self)


def float_(self: Tensor) -> float:
    """The only element as a float."""
    return float(item(self))


def int_(self: Tensor) -> int:
    """The only element as an int."""
    return int(item(self))


def complex_(self: Tensor) -> complex:
    """The only element as a complex number."""
    return complex(item(self))


def index_(self: Tensor) -> int:
    """The only element of an integer tensor, where Python wants an index."""
    if self.dtype.category > dtypes.INTEGER or self.shape.numel() != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(item(self))


def len_(self: Tensor) -> int:
    """The size of the first dim. Raises TypeError if there is none."""
    if self.ndim == 0:
        raise TypeError("len() of a 0-d tensor")
    return self.shape[0]


def iter_(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dim. Raises TypeError if there is none."""
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self))


def contains(self: Tensor, element: Any) -> bool:
    """Whether some element equals a number, or a tensor that broadcasts."""
    refuse_record()
    if isinstance(element, (Tensor, int, float, complex)):
        return bool((self == element)._data.any())  # type: ignore[attr-defined]
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")


def format_(self: Tensor, spec: str) -> str:
    """A tensor without dims is formatted as the number it holds."""
    return format(item(self), spec) if self.ndim == 0 and type(self) is Tensor else object.__format__(self, spec)


def array_(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """The tensor as an array, for NumPy's functions. Raises RuntimeError if it needs a gradient."""
    array = numpy(self)
    return array if dtype is None else array.astype(dtype, copy=False)


# ---------------------------------------------------------------- copies and files


def deepcopy_(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy of a leaf in memory of its own, with its gradient and attributes. Raises RuntimeError for a computed tensor."""
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment. "
            "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage."
        )
    refuse_record()
    if id(self) not in memo:
        made = memo[id(self)] = wrap(self._data.copy(order="K"), self._node, type(self))
        made._grad = None if self._grad is None else deepcopy_(self.grad, memo)
        made.__dict__.update(self.__dict__)
    return memo[id(self)]


def rebuild(cls: type[Tensor], array: Any, requires_grad: bool, attributes: dict[str, Any]) -> Tensor:
    """A tensor as it was pickled."""
    made = wrap(array, LEAF if requires_grad else None, cls)
    made.__dict__.update(attributes)
    return made


def reduce_(self: Tensor, protocol: Any) -> Any:
    """How a tensor is pickled: its numbers, whether it needs a gradient, its attributes."""
    if not self.is_leaf:
        raise RuntimeError("Only leaf tensors can be pickled: use tensor.detach() for one that was computed")
    return rebuild, (type(self), np.ascontiguousarray(self._data).reshape(self._data.shape), self.requires_grad, self.__dict__)


# ---------------------------------------------------------------- other dtypes


def in_dtype(to: dtype) -> Any:
    """The method that converts to one dtype: `x.float()`."""

    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return basis.cast(self, to)

    method.__doc__ = f"The tensor in dtype {to.name}: itself if it has that dtype."
    return method


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    return basis.cast(self, other.dtype)


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself: it lives on the CPU."""
    return self


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """Raises AssertionError: there is no CUDA here."""
    raise AssertionError("Torch not compiled with CUDA enabled")


def new_tensor(self: Tensor, data: Any, *, dtype: dtype | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of `data`, in this tensor's dtype unless another is given."""
    return create.tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: dtype | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor filled with one number, in this tensor's dtype unless another is given."""
    return create.full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_factory(factory: Any) -> Any:
    """`new_zeros` and its like: a factory with this tensor's dtype for the default."""

    def method(
        self: Tensor, *size: Any, dtype: dtype | None = None, device: Any = None, requires_grad: bool = False, **kwargs: Any
    ) -> Tensor:
        return factory(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    method.__name__ = f"new_{factory.__name__}"
    method.__doc__ = f"`{factory.__name__}(*size)` in this tensor's dtype unless another is given."
    return method


new_zeros, new_ones, new_empty = (new_factory(f) for f in (create.zeros, create.ones, create.empty))


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """This tensor in another dtype (or on the CPU, where it is): `to(dtype)`, `to(device, dtype)`, `to(other)`.

    Raises:
        AssertionError: for a cuda device.
        TypeError: for arguments of other types.
    """
    wanted: Any = kwargs.pop("dtype", None)
    where: Any = kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    other = kwargs.pop("other", None)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() received an invalid keyword argument: {', '.join(kwargs)}")
    for a in args:
        if isinstance(a, dtype):
            wanted = a
        elif isinstance(a, Tensor):
            other = a
        elif isinstance(a, (str, device)):
            where = a
        elif a is not None and not isinstance(a, (bool, int)):
            raise TypeError(f"to() received an invalid combination of arguments - got ({type(a).__name__})")
    check_device(where)
    if other is not None:
        wanted = other.dtype
    result = self if wanted is None else basis.cast(self, wanted)
    return basis.clone(result) if copy and result is self else result


def from_sizes_or_data(name: str, args: Sequence[Any], wanted: dtype) -> Tensor:
    """What `name(*args)` makes: from sizes a tensor of that shape and any numbers, from data one that holds it.

    Raises:
        TypeError: if there are several arguments that are no sizes.
    """
    if not args or isinstance(args[0], (int, np.integer, Size)):
        return create.empty(*(args or (0,)), dtype=wanted)
    if len(args) > 1:
        raise TypeError(f"{name}() takes sizes, or one sequence or array of numbers, but got {len(args)} arguments")
    return basis.cast(args[0], wanted) if isinstance(args[0], Tensor) else create.tensor(args[0], dtype=wanted)


def init_(self: Tensor, *args: Any, device: Any = None) -> None:
    """`Tensor(2, 3)` has that shape and any numbers, `Tensor([2, 3])` holds those; of the default dtype. Prefer `tensor`."""
    made = from_sizes_or_data("Tensor", args, settings.default_dtype)
    self._data, self._version = made._data, made._version
    self._node = self._grad = self._base = self._extra = None


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor's type as text, `'torch.FloatTensor'`; or the tensor in the dtype named so."""
    if dtype is None:
        return f"torch.{dtypes.scalar_name(self.dtype)}Tensor"
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.").removesuffix("Tensor")
        dtype = next((d for d in dtypes.ALL if dtypes.scalar_name(d) == name), None)
        if dtype is None:
            raise ValueError(f"invalid type: '{name}'")
    return to(self, getattr(dtype, "dtype", dtype))  # also one of the classes `FloatTensor`, ...


# ---------------------------------------------------------------- text


def repr_(self: Tensor, *, tensor_contents: Any = None) -> str:
    """The tensor as PyTorch prints it."""
    if isinstance(self, Box):
        return f"{type(self.interpreter).__name__}Tensor(lvl={self.interpreter.level}, value={self.value!r})"
    node = current_node(self)
    refuse_record()
    return tensor_repr(
        self._data,
        dtype_name=self.dtype.name,
        default_float=settings.default_dtype.name,
        requires_grad=node is LEAF,
        grad_fn_name=None if node is None or node is LEAF else node.grad_fn.name(),
    )
