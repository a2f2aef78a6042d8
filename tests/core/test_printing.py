"""Printed tensors are PyTorch's to the letter: recorded texts, and random tensors where PyTorch is installed."""

import numpy as np
import pytest

from retrograd.core.printing import tensor_repr

RECORDED = [
    (np.array([1.0, 2.0], np.float32), "tensor([1., 2.])"),
    (np.array([0.5, 1000.25], np.float32), "tensor([5.0000e-01, 1.0002e+03])"),
    (np.array([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
    (np.zeros((0, 3), np.float32), "tensor([], size=(0, 3))"),
    (np.array([True, False]), "tensor([ True, False])"),
    (np.array([1.0, np.nan, np.inf]), "tensor([1., nan, inf], dtype=torch.float64)"),
]


@pytest.mark.parametrize(("array", "text"), RECORDED, ids=[t for _, t in RECORDED])
def test_recorded(array, text):
    assert tensor_repr(array, dtype_name=array.dtype.name) == text


def test_random_tensors_print_as_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for _ in range(400):
        shape = tuple(int(n) for n in rng.integers(0, 6, rng.integers(0, 4)))
        shape = (1200,) if rng.random() < 0.03 else shape
        dtype = rng.choice(["float32", "float64", "float16", "int64", "int32", "bool", "uint8"])
        values = rng.standard_normal(shape) * 10.0 ** rng.integers(-7, 10)
        values = np.round(values) if rng.random() < 0.4 else values
        with np.errstate(all="ignore"):
            array = np.asarray(values).astype(dtype)
        assert tensor_repr(array, dtype_name=str(dtype)) == repr(torch.from_numpy(np.array(array)))
