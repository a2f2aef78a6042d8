"""The package's digits are the right ones, divided as promised; and MNIST's own files are found, checked and read."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from retrograd.datasets import DataFileError, load_digits, read_mnist, write_idx
from retrograd.datasets.digits import PACKAGED

SHA256 = {  # of the elements, as scripts/make_digits.py prints them
    "train": (
        "52454974f5606fb1cb7a0b60cb9e0026695d7a6ff73bc12b8d9b703df7aafe13",
        "18f60181177257fa959576b2e27a6e81f2d1e246d592a7c27d824f6b4d9c1072",
    ),
    "test": (
        "05f16c885f80bb90594fc5376d4c5fdcd5d3fabe6e5d3e6085255628eecfeaa3",
        "793e48347f02ec9f49b10d30a93de91d185c4cfb957f09d953b1576548404082",
    ),
}
NAMES = {
    "dash": ("{0}-images-idx3-ubyte", "{0}-labels-idx1-ubyte"),
    "dot": ("{0}-images.idx3-ubyte", "{0}-labels.idx1-ubyte"),
    "dash gz": ("{0}-images-idx3-ubyte.gz", "{0}-labels-idx1-ubyte.gz"),
    "dot xz": ("{0}-images.idx3-ubyte.xz", "{0}-labels.idx1-ubyte.xz"),
    "mixed": ("{0}-images-idx3-ubyte", "{0}-labels.idx1-ubyte.gz"),
    "torchvision": ("MNIST/raw/{0}-images-idx3-ubyte", "MNIST/raw/{0}-labels-idx1-ubyte"),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28)).astype(np.uint8)
LABELS = np.array([5, 0, 4, 1, 9, 2, 1], dtype=np.uint8)


def write_mnist(folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, names: str = "dash", part: str = "train") -> None:
    for name, array in zip(NAMES[names], (images, labels), strict=True):
        path = folder / name.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_idx(path, array)


@pytest.mark.parametrize(("train", "per_class"), [(True, 400), (False, 100)])
def test_packaged_digits(train: bool, per_class: int) -> None:
    images, labels = load_digits(train=train)
    assert images.shape == (10 * per_class, 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, per_class))
    np.testing.assert_array_equal(labels, np.tile(np.arange(10), per_class))
    found = tuple(hashlib.sha256(a.tobytes()).hexdigest() for a in (images, labels.astype(np.uint8)))
    assert found == SHA256["train" if train else "test"]


def test_no_image_is_in_both_parts_or_twice() -> None:
    images = np.concatenate([load_digits(train=train)[0] for train in (True, False)])
    assert len({image.tobytes() for image in images}) == 5000


def test_digits_can_be_told_apart() -> None:
    """The labels belong to the images: the nearest class mean is right far more often than 1 time in 10."""
    (images, labels), (test_images, test_labels) = load_digits(), load_digits(train=False)
    means = np.stack([images[labels == c].reshape(-1, 784).mean(0) for c in range(10)])
    distances = ((test_images.reshape(-1, 1, 784) - means) ** 2).sum(-1)
    assert (distances.argmin(1) == test_labels).mean() > 0.75


def test_packaged_files_are_small_and_licensed() -> None:
    assert sum(path.stat().st_size for path in PACKAGED.glob("*.xz")) < 750_000
    licence = (PACKAGED / "LICENCE-MNIST.txt").read_text(encoding="utf-8")
    for words in ("Yann LeCun", "Corinna Cortes", "Burges", "Sebastian Raschka", "by-sa/3.0", "Changes"):
        assert words in licence


def test_each_call_gives_arrays_of_its_own() -> None:
    images, labels = load_digits(train=False)
    images[:], labels[:] = 0, 0
    assert load_digits(train=False)[0].any()
    assert load_digits(train=False)[1].any()


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(("train", "part"), [(True, "train"), (False, "t10k")])
def test_reads_mnist(tmp_path: Path, names: str, train: bool, part: str) -> None:
    write_mnist(tmp_path, names=names, part=part)
    for read in (read_mnist, load_digits):
        images, labels = read(str(tmp_path), train=train)
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)
        assert labels.dtype == np.int64


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_mnist(tmp_path)
    (tmp_path / name).rename(tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=rf"expected MNIST's file '{name}' .*found other, train-"):
        read_mnist(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, found in ("none", "no such folder"), ("file", "a file that is no folder"), ("empty", "an empty folder"):
        with pytest.raises(FileNotFoundError, match=f"{name}: expected .*found {found}.*root=None"):
            read_mnist(tmp_path / name)


WRONG = {
    "fewer labels": (IMAGES, LABELS[:-1], r"labels.*expected 7 labels, one for each image in .*, found 6"),
    "more labels": (IMAGES[:2], LABELS, "expected 2 labels.*found 7"),
    "label 10": (IMAGES, LABELS + 1, "labels from 0 to 9, found 10 at index 4"),
    "images of another size": (IMAGES[:, :27], LABELS, r"images.*found uint8 of shape \(7, 27, 28\)"),
    "images in rows": (IMAGES.reshape(7, 784), LABELS, r"found uint8 of shape \(7, 784\)"),
    "images of another type": (IMAGES.astype(np.float32), LABELS, "found float32"),
    "labels of another type": (IMAGES, LABELS.astype(np.int32), "labels.*found int32"),
    "labels one-hot": (IMAGES, np.eye(7, 10, dtype=np.uint8), r"labels.*found uint8 of shape \(7, 10\)"),
    "swapped": (LABELS, IMAGES, r"images.*found uint8 of shape \(7,\)"),
}


@pytest.mark.parametrize(("images", "labels", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_refused(tmp_path: Path, images: np.ndarray, labels: np.ndarray, message: str) -> None:
    write_mnist(tmp_path, images, labels)
    with pytest.raises(DataFileError, match=message):
        read_mnist(tmp_path)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataFileError, match=r"train-labels-idx1-ubyte: .*cut short"):
        read_mnist(tmp_path)
