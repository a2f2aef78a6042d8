"""`Digits`: samples, tensors, transforms, and a folder of MNIST's files in place of the package's digits."""

from pathlib import Path

import numpy as np
import pytest

import retrograd as torch
from retrograd.datasets import Digits, load_digits, write_idx
from retrograd.utils.data import Dataset


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(train=False)


def test_interface(digits: Digits) -> None:
    assert isinstance(digits, Dataset)
    assert len(digits) == 1000
    assert len(Digits()) == 4000
    assert repr(digits) == "Digits(1000 images, train=False)"
    assert len(digits.classes) == 10
    assert (tuple(digits.data.shape), digits.data.dtype) == ((1000, 28, 28), torch.uint8)
    assert (tuple(digits.targets.shape), digits.targets.dtype) == ((1000,), torch.int64)


@pytest.mark.parametrize("index", [0, 7, 999, -1, np.int64(3)])
def test_sample(digits: Digits, index: int) -> None:
    images, labels = load_digits(train=False)
    image, label = digits[index]
    assert (tuple(image.shape), image.dtype) == ((1, 28, 28), torch.float32)
    np.testing.assert_array_equal(image.numpy()[0], images[index].astype(np.float32) / np.float32(255))
    assert type(label) is int
    assert label == labels[index]


@pytest.mark.parametrize("index", [1000, -1001])
def test_index_out_of_range(digits: Digits, index: int) -> None:
    with pytest.raises(IndexError):
        digits[index]


def test_index_must_be_one_integer(digits: Digits) -> None:
    with pytest.raises(TypeError):
        digits[0:3]  # type: ignore[index]


def test_iteration_ends(digits: Digits) -> None:
    assert [label for _, label in digits] == digits.targets.tolist()


def test_tensors(digits: Digits) -> None:
    images, labels = digits.tensors()
    assert (tuple(images.shape), images.dtype) == ((1000, 784), torch.float32)
    assert (tuple(labels.shape), labels.dtype) == ((1000,), torch.int64)
    assert (images.numpy().min(), images.numpy().max()) == (0.0, 1.0)
    np.testing.assert_array_equal(images.numpy()[5], digits[5][0].numpy().ravel())
    labels.numpy()[:] = 0  # a copy
    assert digits.targets.numpy().any()


def test_transforms() -> None:
    digits = Digits(train=False, transform=lambda image: image.numpy().sum(), target_transform=lambda i: i + 100)
    image, label = digits[3]
    assert image == pytest.approx(Digits(train=False)[3][0].numpy().sum())
    assert label == 103


def test_replaced_data_is_what_is_sampled() -> None:
    digits = Digits(train=False)
    digits.data = torch.from_numpy(digits.data.numpy()[:5])
    digits.targets = torch.from_numpy(digits.targets.numpy()[:5])
    assert len(digits) == len(list(digits)) == 5


def test_folder(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.full((2, 28, 28), 255, dtype=np.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([7, 2], dtype=np.uint8))
    digits = Digits(tmp_path, train=False)
    assert [label for _, label in digits] == [7, 2]
    assert (digits[0][0].numpy() == 1.0).all()
    with pytest.raises(FileNotFoundError, match="train-images"):
        Digits(tmp_path)
