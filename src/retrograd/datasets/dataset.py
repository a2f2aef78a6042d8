"""`Digits`: handwritten digits as a dataset of tensors, with the interface of torchvision's MNIST.

The files are read by `digits.py`; here their arrays become tensors and samples.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrograd.core.tensor import Tensor
from retrograd.datasets.digits import load_digits
from retrograd.ops import convert
from retrograd.ops.create import from_numpy
from retrograd.utils.data import Dataset


class Digits(Dataset):  # type: ignore[type-arg]
    """Handwritten digits: 4,000 to train on and 1,000 to test on, from MNIST; or the whole of MNIST from a folder.

    `digits[i]` is a pair: the image, a float32 tensor of shape (1, 28, 28) from 0.0 (paper) to 1.0 (ink), and the
    label, an int from 0 to 9.

    Args:
        root: a folder that holds MNIST's files (see `read_mnist`); None for the digits that come with the package.
        train: whether to hold the training digits or the held-out ones.
        transform: called with each image, the float32 tensor; what it returns takes the image's place.
        target_transform: called with each label; what it returns takes the label's place.

    Attributes:
        data: the images, a uint8 tensor of shape (N, 28, 28), 0 for paper and 255 for ink.
        targets: the labels, an int64 tensor of shape (N,).
        classes: the names of the ten classes, as in torchvision.

    Raises:
        FileNotFoundError, DataFileError: as `read_mnist` does.

    >>> from retrograd.datasets import Digits
    >>> digits = Digits()
    >>> digits
    Digits(4000 images, train=True)
    >>> image, label = digits[3]
    >>> image.shape, label
    (torch.Size([1, 28, 28]), 3)
    """

    classes = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        images, labels = load_digits(root, train)
        self.data: Tensor = from_numpy(images)
        self.targets: Tensor = from_numpy(labels)
        self.root = root
        self.train = train
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(convert.numpy(self.data))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The image and the label at an index, which may be negative. IndexError if it is out of range."""
        index = operator.index(index)
        image: Any = from_numpy(scaled(convert.numpy(self.data)[index])[np.newaxis])
        label: Any = int(convert.numpy(self.targets)[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Digits({len(self)} images, train={self.train})"

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All at once, for programs that keep the data in memory; the transforms are not applied.

        Returns:
            images: a new float32 tensor of shape (N, 784), from 0.0 to 1.0.
            labels: a new int64 tensor of shape (N,).

        >>> from retrograd.datasets import Digits
        >>> images, labels = Digits(train=False).tensors()
        >>> images.shape, labels.shape
        (torch.Size([1000, 784]), torch.Size([1000]))
        """
        images = scaled(convert.numpy(self.data))
        return from_numpy(images.reshape(len(images), -1)), from_numpy(convert.numpy(self.targets).copy())


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as float32 from 0 to 1: the values of torchvision's `ToTensor`."""
    return pixels.astype(np.float32) / np.float32(255)
