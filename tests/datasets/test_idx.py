"""IDX files: what is written is read back, and a damaged file is refused by a message that says what is wrong."""

import gzip
import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest

from retrograd.datasets import DataFileError, read_idx, write_idx

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]
GOOD = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])  # 2 x 3 bytes


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("shape", [(), (5,), (0,), (2, 0, 3), (4, 3, 2)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(tmp_path: Path, dtype: str, shape: tuple[int, ...], suffix: str) -> None:
    array = (np.random.default_rng(0).standard_normal(shape) * 50).astype(np.int8).astype(dtype)
    write_idx(tmp_path / f"a{suffix}", array)
    read = read_idx(tmp_path / f"a{suffix}")
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.flags.writeable
    assert read.shape == array.shape
    np.testing.assert_array_equal(read, array)


def test_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))
    assert (tmp_path / "a").read_bytes() == GOOD
    write_idx(tmp_path / "b", np.array([1, -2], dtype=np.int16))
    assert (tmp_path / "b").read_bytes() == bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 0, 1, 0xFF, 0xFE])


@pytest.mark.parametrize("array", [np.arange(6, dtype=">i4"), np.arange(12, dtype=np.int32).reshape(3, 4).T[::2]])
def test_any_byte_order_and_stride_may_be_written(tmp_path: Path, array: np.ndarray) -> None:
    write_idx(tmp_path / "a", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_same_array_gives_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        write_idx(tmp_path / f"{name}{suffix}", np.arange(100, dtype=np.float32))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


TWO_STREAMS = lzma.compress(GOOD[:9]) + lzma.compress(GOOD[9:])


@pytest.mark.parametrize("content", [GOOD, gzip.compress(GOOD, mtime=0), lzma.compress(GOOD), TWO_STREAMS])
def test_compression_is_told_by_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), [[1, 2, 3], [4, 5, 6]])


DAMAGED = {
    "empty": (b"", "an empty file"),
    "cut in the magic": (GOOD[:3], "found 00 00 08"),
    "wrong magic": (b"\x01" + GOOD[1:], "found 01 00 08 02"),
    "web page": (b"\n<!DOCTYPE html>", "found a web page"),
    "unknown type": (GOOD[:2] + b"\x0a" + GOOD[3:], "found 0x0a"),
    "type of nothing": (GOOD[:2] + b"\x00" + GOOD[3:], "found 0x00"),
    "too many dimensions": (GOOD[:3] + b"\xff" + bytes(4 * 255), "at most 64 dimensions, found 255"),
    "cut in the sizes": (GOOD[:10], "12 bytes of header for 2 dimensions, found 10"),
    "cut in the elements": (GOOD[:-1], r"6 bytes of elements for shape \(2, 3\) of uint8, found 5\. .*cut short"),
    "no elements": (GOOD[:12], "found 0"),
    "trailing byte": (GOOD + b"\x00", r"found 7\. Something was appended"),
    "sizes overflow": (GOOD[:3] + b"\x03" + b"\xff" * 12, "sizes that fit in memory"),
    "sizes overflow behind a zero": (GOOD[:3] + b"\x04" + bytes(4) + b"\xff" * 12, "sizes that fit in memory"),
    "huge size": (GOOD[:4] + b"\xff" * 4 + GOOD[8:], "12,884,901,885 bytes of elements"),
    "gzip cut": (gzip.compress(GOOD, mtime=0)[:-9], "gzip compressed data, found damage"),
    "gzip cut in its header": (gzip.compress(GOOD, mtime=0)[:5], "gzip compressed data, found damage"),
    "gzip with wrong checksum": (gzip.compress(GOOD, mtime=0)[:-8] + bytes(4) + gzip.compress(GOOD)[-4:], "CRC"),
    "gzip with bad data": (gzip.compress(GOOD, mtime=0)[:10] + b"\xff" * 20, "gzip compressed data, found damage"),
    "gzip with garbage after": (gzip.compress(GOOD, mtime=0) + b"more", "gzip compressed data, found damage"),
    "gzip of a cut file": (gzip.compress(GOOD[:-1], mtime=0), "cut short"),
    "xz cut": (lzma.compress(GOOD)[:-9], "the stream ends early"),
    "xz with bad data": (lzma.compress(GOOD)[:30] + b"\xff" * 20, "xz compressed data, found damage"),
    "xz with garbage after": (lzma.compress(GOOD) + b"more", "xz compressed data, found damage"),
    "xz of a long file": (lzma.compress(GOOD + b"\x00"), "appended"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.idx").write_bytes(content)
    with pytest.raises(DataFileError, match=message) as caught:
        read_idx(tmp_path / "bad.idx")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.idx'}: expected ")
    assert "again." in caught.value.remedy


def test_every_single_cut_is_refused(tmp_path: Path) -> None:
    for whole in (GOOD, gzip.compress(GOOD, mtime=0), lzma.compress(GOOD)):
        for n in range(len(whole)):
            (tmp_path / "cut").write_bytes(whole[:n])
            with pytest.raises(DataFileError):
                read_idx(tmp_path / "cut")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint16", "complex64", "float16"])
def test_dtype_without_a_code_is_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(TypeError, match=f"cannot hold {dtype}.*astype"):
        write_idx(tmp_path / "a", np.zeros(3, dtype))
    assert not (tmp_path / "a").exists()


def test_error_crosses_processes() -> None:
    error = DataFileError("p", "e", "f", "r")
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.expected, again.found, again.remedy) == ("p", "e", "f", "r")
    assert str(again) == str(error) == "p: expected e, found f. r"
