"""Data to try things on: 5,000 handwritten digits that come with the package, and readers for the whole of MNIST."""

from retrograd.datasets.dataset import Digits
from retrograd.datasets.digits import load_digits, read_mnist
from retrograd.datasets.idx import DataFileError, read_idx, write_idx

__all__ = ["DataFileError", "Digits", "load_digits", "read_idx", "read_mnist", "write_idx"]
