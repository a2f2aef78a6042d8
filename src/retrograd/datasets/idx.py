"""IDX files, the format of MNIST: read and written, plain or compressed with gzip or xz.

An IDX file is two zero bytes, a byte for the type of the elements, a byte for the number of dimensions, the size of
every dimension as a big-endian uint32, and then the elements, big-endian, the last dimension fastest. Nothing in it is
executed, and a file that is not exactly this is refused.

This module knows NumPy and nothing of tensors.
"""

from __future__ import annotations

import gzip
import lzma
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The type of the elements, by the third byte of the file.
TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
CODES = {dtype: code for code, dtype in TYPES.items()}

MAX_DIMENSIONS = 64  # NumPy's
MAX_BYTES = 2**63 - 1

CUT_SHORT = "The file is cut short: copy or download it again."
DAMAGED_HEADER = "The header is damaged: copy or download the file again."
WRONG_FILE = "Is it the right file? Download it again."

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"


class DataFileError(ValueError):
    """A data file is damaged, or is not what its name promises.

    Attributes:
        path: the file.
        expected: what should have been there.
        found: what was there.
        remedy: what to do about it.

    >>> print(DataFileError("t.idx", "784 bytes of elements", "700", "Download it again."))
    t.idx: expected 784 bytes of elements, found 700. Download it again.
    """

    def __init__(self, path: str | os.PathLike[str], expected: str, found: str, remedy: str) -> None:
        super().__init__(os.fspath(path), expected, found, remedy)  # all of them, so that it can cross processes
        self.path, self.expected, self.found, self.remedy = os.fspath(path), expected, found, remedy

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found}. {self.remedy}"


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, which may be compressed with gzip or xz (told by its content, not by its name).

    Returns:
        A fresh writable array with the shape and dtype that the file states (uint8, int8, int16, int32, float32 or
        float64), in the machine's byte order.

    Raises:
        FileNotFoundError: if there is no such file.
        DataFileError: if the compression is damaged, the file does not begin as an IDX file, states an unknown type or
            impossible sizes, ends early, or goes on after its last element.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(folder + "/squares.idx.gz", np.array([[0, 1], [4, 9]], dtype=np.int16))
    ...     read_idx(folder + "/squares.idx.gz")
    array([[0, 1],
           [4, 9]], dtype=int16)
    """
    raw = read_bytes(path)
    dtype, shape, start = read_header(path, raw)
    expected, found = math.prod(shape) * dtype.itemsize, len(raw) - start
    if found != expected:
        raise DataFileError(
            path,
            f"{expected:,} bytes of elements for shape {shape} of {dtype.name}",
            f"{found:,}",
            CUT_SHORT if found < expected else f"Something was appended to the file, or: {DAMAGED_HEADER}",
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Writes an array as an IDX file, compressed if the name ends in `.gz` or `.xz`; the same array as the same bytes.

    Args:
        path: the file, which is replaced if it exists.
        array: of any shape, with dtype uint8, int8, int16, int32, float32 or float64.

    Raises:
        TypeError: if the array has another dtype.
    """
    code = CODES.get(array.dtype.newbyteorder(">"))
    if code is None:
        known = ", ".join(dtype.name for dtype in CODES)
        raise TypeError(f"an IDX file cannot hold {array.dtype.name}, only {known}: convert the array with astype()")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    raw = header + np.asarray(array, TYPES[code]).tobytes()
    match Path(path).suffix:
        case ".gz":
            raw = gzip.compress(raw, mtime=0)
        case ".xz":
            raw = lzma.compress(raw)
    Path(path).write_bytes(raw)


def read_header(path: str | os.PathLike[str], raw: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """The dtype and the shape that an IDX file states, and where its elements begin."""
    if len(raw) < 4 or raw[:2] != b"\x00\x00":
        looks = "an empty file" if not raw else "a web page" if raw.lstrip()[:1] == b"<" else raw[:4].hex(" ")
        begins = "an IDX file, which begins with 00 00, a type and a number of dimensions"
        raise DataFileError(path, begins, looks, WRONG_FILE)
    code, ndim = raw[2], raw[3]
    if code not in TYPES:
        known = ", ".join(f"{c:#04x} ({dtype.name})" for c, dtype in TYPES.items())
        raise DataFileError(path, f"a type code among {known}", f"{code:#04x}", WRONG_FILE)
    if ndim > MAX_DIMENSIONS:
        raise DataFileError(path, f"at most {MAX_DIMENSIONS} dimensions", f"{ndim}", DAMAGED_HEADER)
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise DataFileError(path, f"{start} bytes of header for {ndim} dimensions", f"{len(raw)}", CUT_SHORT)
    dtype, shape = TYPES[code], tuple(np.frombuffer(raw, ">u4", ndim, 4).tolist())
    if math.prod(n for n in shape if n) * dtype.itemsize > MAX_BYTES:
        raise DataFileError(path, "sizes that fit in memory", f"shape {shape}", DAMAGED_HEADER)
    return dtype, shape, start


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file, decompressed if it is gzip or xz."""
    raw = Path(path).read_bytes()
    try:
        if raw.startswith(GZIP_MAGIC):
            return gzip.decompress(raw)
        if raw.startswith(XZ_MAGIC):
            return decompress_xz(raw)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        wanted = f"{'gzip' if raw.startswith(GZIP_MAGIC) else 'xz'} compressed data"
        raise DataFileError(path, wanted, f"damage ({error})", "Copy or download the file again.") from error
    return raw


def decompress_xz(raw: bytes) -> bytes:
    """Every stream of an xz file. Unlike `lzma.decompress`, it does not pass over garbage after the first."""
    parts = []
    while raw:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        parts.append(stream.decompress(raw))
        if not stream.eof:
            raise lzma.LZMAError("the stream ends early")
        raw = stream.unused_data.lstrip(b"\x00")  # the format allows zeros between streams
    return b"".join(parts)
