"""`save` and `load`: PyTorch's file format, which either library reads from the other, and reading a file runs no code in it.

A file is a zip archive: the structure as a pickle, in which each tensor names a storage, and each storage's bytes. Only the
pickle instructions that build tensors and plain containers are obeyed.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from retrograd import dtypes
from retrograd.core.tensor import Tensor, address, owner, wrap
from retrograd.device import device
from retrograd.dtypes import dtype
from retrograd.nn.parameter import Parameter
from retrograd.shapes import Size

if TYPE_CHECKING:
    from zipfile import ZipFile

PROTOCOL = 2  # of the pickle, as PyTorch writes it

# The names that PyTorch gives to storages of each dtype.
STORAGES = {
    "FloatStorage": dtypes.float32, "DoubleStorage": dtypes.float64, "HalfStorage": dtypes.float16, "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64, "IntStorage": dtypes.int32, "ShortStorage": dtypes.int16, "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8, "BoolStorage": dtypes.bool, "ComplexFloatStorage": dtypes.complex64,
    "ComplexDoubleStorage": dtypes.complex128,
}  # fmt: skip
STORAGE_NAMES = {d: name for name, d in STORAGES.items()}
PLAIN = (dict, OrderedDict, list, tuple, set, str, bytes, bytearray, int, float, complex, bool, type(None))


# ---------------------------------------------------------------- writing


class Name:
    """Something of PyTorch's by its name, in a pickle."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> Any:
        """Not meant to be called here; the pickle module asks that what makes an object could be."""
        raise NotImplementedError(self.name)


class Storage:
    """The memory that tensors share."""

    def __init__(self, key: str, array: np.ndarray[Any, Any], kind: dtype) -> None:
        self.key, self.array, self.kind = key, array, kind


Pickler: Any = pickle._Pickler  # the one written in Python, whose steps can be taken one by one


class Writer(Pickler):  # type: ignore[misc]
    """Pickles plain containers, tensors by reference to their storages, and nothing else."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, PROTOCOL)
        self.storages: dict[int, Storage] = {}

    def persistent_id(self, obj: Any) -> Any:
        """How a storage is referred to."""
        if not isinstance(obj, Storage):
            return None
        name = STORAGE_NAMES.get(obj.kind)
        kind = Name("torch", name) if name else Name("torch.storage", "UntypedStorage")
        return "storage", kind, obj.key, "cpu", obj.array.size if name else obj.array.nbytes

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Writes one object. Raises TypeError for what a file may not hold."""
        if isinstance(obj, Call):
            super().save_reduce(obj.function, obj.args)
        elif isinstance(obj, Name):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Tensor):
            if id(obj) in self.memo:
                super().save(obj, save_persistent_id)
            else:
                super().save_reduce(*self.reduced(obj), obj=obj)
        elif isinstance(obj, dtype):
            self.write(pickle.GLOBAL + f"torch\n{obj.name}\n".encode())
        elif isinstance(obj, device):
            super().save_reduce(Name("torch", "device"), (str(obj),), obj=obj)
        elif isinstance(obj, Size):
            super().save_reduce(Name("torch", "Size"), (tuple(obj),), obj=obj)
        elif isinstance(obj, np.generic):
            super().save(obj.item(), save_persistent_id)
        elif isinstance(obj, (*PLAIN, Storage)) or obj is OrderedDict or obj is set or obj is complex or obj is bytearray:
            super().save(obj, save_persistent_id)
        elif isinstance(obj, (Counter, defaultdict)):
            super().save(dict(obj), save_persistent_id)
        elif callable(obj) and getattr(obj, "__module__", "") in ("_codecs", "builtins", "copyreg"):
            super().save(obj, save_persistent_id)  # what pickle itself needs for bytes and the like
        else:
            raise TypeError(
                f"save() takes tensors, numbers, strings and containers of them, such as a state_dict(), but got {type(obj).__name__}; "
                "of a module or an optimizer, save its state_dict()"
            )

    def reduced(self, tensor: Tensor) -> tuple[Name, tuple[Any, ...]]:
        """How a tensor is made again."""
        storage, offset = self.storage_of(tensor)
        strides = tuple([s // storage.array.itemsize for s in tensor._data.strides])
        plain = type(tensor) is not Parameter
        facts: tuple[Any, ...] = (storage, offset, tuple(tensor.shape), strides, tensor.requires_grad and plain, OrderedDict())
        if storage.kind in STORAGE_NAMES:
            made = Name("torch._utils", "_rebuild_tensor_v2"), facts
        else:
            made = Name("torch._utils", "_rebuild_tensor_v3"), (*facts, tensor.dtype)
        if plain:
            return made
        return Name("torch._utils", "_rebuild_parameter"), (Call(*made), tensor.requires_grad, OrderedDict())

    def storage_of(self, tensor: Tensor) -> tuple[Storage, int]:
        """The storage a tensor lies in, and where in it, in elements."""
        array = tensor._data
        root = owner(array)
        if root.dtype != array.dtype or not root.flags.c_contiguous:
            root = array = np.ascontiguousarray(array)
        start = address(array) - address(root)
        storage = self.storages.setdefault(id(root), Storage(str(len(self.storages)), root, tensor.dtype))
        return storage, start // root.itemsize if array.size else 0


class Call:
    """A call that makes something, to be written in its place."""

    def __init__(self, function: Name, args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes], pickle_module: Any = None, pickle_protocol: int = PROTOCOL) -> None:
    """Writes tensors, numbers, strings and containers of them to a file that `load` reads here and in PyTorch.

    Tensors that share memory share it in the file. A file is replaced only when the new one is complete.

    Raises:
        TypeError: for objects of other types.
        RuntimeError: if the folder does not exist.

    >>> import io
    >>> import retrograd as torch
    >>> f = io.BytesIO()
    >>> torch.save({"weight": torch.ones(2)}, f)
    >>> torch.load(io.BytesIO(f.getvalue()))
    {'weight': tensor([1., 1.])}
    """
    structure = BytesIO()
    writer = Writer(structure)
    writer.dump(obj)
    if hasattr(f, "write"):
        write_archive(f, "archive", structure.getvalue(), writer.storages)  # type: ignore[arg-type]
        return
    import tempfile

    path = os.fspath(f)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    handle, partial = tempfile.mkstemp(prefix=name, suffix=".partial", dir=folder or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            write_archive(file, os.path.splitext(name)[0] or "archive", structure.getvalue(), writer.storages)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def write_archive(file: IO[bytes], name: str, structure: bytes, storages: dict[int, Storage]) -> None:
    """The parts of a file."""
    import zipfile  # here, and not above: what most programs do not need should not slow the import of the library

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        archive.writestr(f"{name}/data.pkl", structure)
        archive.writestr(f"{name}/byteorder", "little")
        for storage in storages.values():
            array = storage.array if np.little_endian else storage.array.byteswap()
            archive.writestr(f"{name}/data/{storage.key}", array.tobytes())
        archive.writestr(f"{name}/version", "3\n")
        archive.writestr(f"{name}/.data/serialization_id", str(int.from_bytes(os.urandom(16), "little")).zfill(40))


# ---------------------------------------------------------------- reading


def rebuilt(array: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, kind: dtype) -> Tensor:
    """A tensor in a storage. Raises RuntimeError if it does not lie within."""
    array = array.view(kind.numpy) if array.dtype != kind.numpy else array
    reach = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if all(size) else offset
    if offset < 0 or min(size, default=0) < 0 or min(stride, default=0) < 0 or reach > array.size:
        raise RuntimeError(
            f"the file is damaged: a tensor of size {tuple(size)}, stride {tuple(stride)} and offset {offset} does not lie in its storage of {array.size} elements"
        )
    steps = tuple([s * array.itemsize for s in stride])
    view = np.lib.stride_tricks.as_strided(array[offset:], tuple(size), steps) if all(size) else np.empty(size, array.dtype)
    return wrap(view).requires_grad_(bool(requires_grad))


def rebuild_v2(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any = None) -> Tensor:
    """`torch._utils._rebuild_tensor_v2`."""
    return rebuilt(storage, offset, size, stride, requires_grad, dtypes.from_numpy(storage.dtype))


def rebuild_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, kind: dtype, metadata: Any = None
) -> Tensor:
    """`torch._utils._rebuild_tensor_v3`."""
    return rebuilt(storage, offset, size, stride, requires_grad, kind)


def rebuild_parameter(data: Tensor, requires_grad: Any, hooks: Any) -> Parameter:
    """`torch._utils._rebuild_parameter`."""
    return Parameter(data, bool(requires_grad))


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "Counter"): Counter,
    ("builtins", "set"): set, ("__builtin__", "set"): set,
    ("builtins", "frozenset"): frozenset, ("__builtin__", "frozenset"): frozenset,
    ("builtins", "complex"): complex, ("__builtin__", "complex"): complex,
    ("builtins", "bytearray"): bytearray, ("__builtin__", "bytearray"): bytearray,
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
    ("torch", "Size"): Size,
    ("torch", "device"): lambda *args: device("cpu"),
    ("torch", "Tensor"): Tensor,
    ("torch.nn.parameter", "Parameter"): Parameter,
    ("torch.storage", "UntypedStorage"): dtypes.uint8,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_v2,
    ("torch._utils", "_rebuild_tensor_v3"): rebuild_v3,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    **{("torch", name): d for name, d in STORAGES.items()},
    **{("torch", d.name): d for d in vars(dtypes).values() if isinstance(d, dtype)},
}  # fmt: skip


class Reader(pickle.Unpickler):
    """Reads a pickle of tensors and plain containers, and obeys no other instruction."""

    def __init__(self, file: IO[bytes], storage: Callable[[str, dtype, int], Any]) -> None:
        super().__init__(file, encoding="utf-8")
        self.storage = storage
        self.loaded: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for. Raises UnpicklingError unless it is harmless."""
        found = ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(
                f"Weights only load failed. Unsupported global: GLOBAL {module}.{name} is not among what a file of tensors needs, and retrograd "
                "runs no code from a file. Save a state_dict() instead of an object, with torch.save(model.state_dict(), path)"
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        """The array of a storage."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], dtype):
            raise pickle.UnpicklingError(f"the file refers to {pid!r}, which is no storage")
        _, kind, key, _, count = pid
        if key not in self.loaded:
            self.loaded[key] = self.storage(key, kind, count)
        return self.loaded[key]


def load(
    f: str | os.PathLike[str] | IO[bytes], map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:  # fmt: skip
    """Reads what `save` wrote, here or in PyTorch. Tensors come to the CPU, wherever they were.

    Only tensors and plain containers are read, whatever `weights_only` says: no code in a file is run.

    Raises:
        FileNotFoundError: if there is no such file.
        EOFError: if it is empty.
        RuntimeError: if it is damaged, or no file of this format.
        pickle.UnpicklingError: if it holds other objects.
    """
    if hasattr(f, "read"):
        return read_archive(f, "the file")
    with open(f, "rb") as file:
        return read_archive(file, str(f))


def read_archive(file: Any, where: str) -> Any:
    """The object in an archive."""
    import zipfile

    start = file.tell()
    head = file.read(4)
    file.seek(start)
    if not head:
        raise EOFError(f"Ran out of input: {where} is empty")
    if head[:2] != b"PK":
        raise RuntimeError(f"{where} is not a zip archive as torch.save writes since PyTorch 1.6; save it again with a newer version")
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise RuntimeError(f"PytorchStreamReader failed reading zip archive: {where} is damaged or incomplete ({error})") from None
    with archive:
        names = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        if not names:
            raise RuntimeError(f"PytorchStreamReader failed locating file data.pkl: {where} is a zip archive, but not of torch.save")
        folder = names[0].removesuffix("data.pkl")
        swapped = folder + "byteorder" in archive.namelist() and archive.read(folder + "byteorder") == b"big"

        def storage(key: str, kind: dtype, count: int) -> Any:
            data = read_member(archive, f"{folder}data/{key}", where)
            if len(data) != count * kind.itemsize:
                raise RuntimeError(f"{where} is damaged: storage {key} should have {count * kind.itemsize} bytes, and has {len(data)}")
            array = np.frombuffer(data, kind.numpy).copy()
            return array.byteswap() if swapped == np.little_endian and kind.itemsize > 1 else array

        structure = read_member(archive, names[0], where)
        try:
            return Reader(BytesIO(structure), storage).load()
        except (IndexError, KeyError, ValueError, AttributeError, EOFError, TypeError) as error:
            raise RuntimeError(f"{where} is damaged: its structure cannot be read ({type(error).__name__}: {error})") from error


def read_member(archive: ZipFile, name: str, where: str) -> bytes:
    """The bytes of a part. Raises RuntimeError if it is missing or damaged."""
    from zipfile import BadZipFile

    try:
        return archive.read(name)
    except KeyError:
        raise RuntimeError(f"{where} is incomplete: it has no part {name}") from None
    except (BadZipFile, OSError, EOFError) as error:
        raise RuntimeError(f"{where} is damaged in its part {name} ({error})") from None


__all__ = ["load", "save"]
