"""Datasets and loaders: the samples and their order are PyTorch's, with workers or without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    get_worker_info,
    random_split,
)  # fmt: skip
from tests.oracle import needs_torch, same_in_both


class Squares(Dataset):
    """Numbers and their squares."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, i: int) -> dict[str, Any]:
        if i == 7 and self.broken:
            raise ValueError("no seven")
        return {"x": i, "y": float(i * i)}

    broken = False


class Broken(Squares):
    """Has no seventh sample."""

    broken = True


class Stream(IterableDataset):
    """Ten numbers, dealt out among the workers."""

    def __iter__(self) -> Any:
        info = get_worker_info()
        return iter(range(0 if info is None else info.id, 10, 1 if info is None else info.num_workers))


@needs_torch
@pytest.mark.parametrize(
    "options",
    [{"batch_size": 4}, {"batch_size": 4, "shuffle": True}, {"batch_size": 3, "shuffle": True, "drop_last": True}, {"batch_size": None}],
)
def test_order_is_torchs(options: dict[str, Any]):
    """Two epochs, and the state of the generator after them."""

    def program(t: Any) -> Any:
        data = __import__(f"{t.__name__}.utils.data", fromlist=["data"])
        loader = data.DataLoader(data.TensorDataset(t.arange(10), t.arange(10) * 2), **options)
        return [list(loader), list(loader), t.rand(2), len(loader)]

    same_in_both(program)


@needs_torch
def test_samplers_are_torchs():
    """With and without replacement, weighted, of a subset; and random_split."""

    def program(t: Any) -> Any:
        data = __import__(f"{t.__name__}.utils.data", fromlist=["data"])
        return [
            list(data.RandomSampler(range(10))), list(data.RandomSampler(range(10), True, 50)), list(data.RandomSampler(range(10), False, 25)),
            list(data.WeightedRandomSampler([1.0, 2.0, 3.0], 9)), list(data.SubsetRandomSampler([3, 5, 7])),
            [list(part.indices) for part in data.random_split(range(10), [0.75, 0.25])], [list(p.indices) for p in data.random_split(range(5), [2, 3])],
        ]  # fmt: skip

    same_in_both(program)


def test_workers_give_the_same_batches():
    """In the same order, also for a second epoch and with processes that live on."""
    torch.manual_seed(0)
    expected = [batch["x"].tolist() for batch in DataLoader(Squares(), 3, shuffle=True)]
    torch.manual_seed(0)
    loader = DataLoader(Squares(), 3, shuffle=True, num_workers=2, persistent_workers=True)
    assert [batch["x"].tolist() for batch in loader] == expected
    assert sorted(x for batch in loader for x in batch["x"].tolist()) == list(range(11))


def test_a_stream_is_dealt_out():
    """Each number comes once, from one worker or another."""
    for workers in (0, 2):
        assert sorted(x for batch in DataLoader(Stream(), 3, num_workers=workers) for x in batch.tolist()) == list(range(10))
    assert [b.tolist() for b in DataLoader(Stream(), 4, drop_last=True)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_what_a_worker_raises_is_raised_here():
    """With its traceback, and its type."""
    with pytest.raises(ValueError, match=r"Caught ValueError in DataLoader worker process[\s\S]*no seven"):
        list(DataLoader(Broken(), 2, num_workers=2))
    with pytest.raises(ValueError, match="no seven"):
        list(DataLoader(Broken(), 2))


def test_a_batch_from_memory_is_the_batch_of_its_samples():
    """The short way for tensors gives what the long way gives; subsets of subsets too."""
    data = TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))
    inner = Subset(Subset(data, [5, 3, 1, 0]), [2, 0, 1])
    for dataset in (data, inner):
        short = list(DataLoader(dataset, 2))
        long = list(DataLoader(dataset, 2, collate_fn=lambda samples: default_collate(samples)))
        for a, b in zip(short, long, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_collate():
    """Numbers, strings, arrays, dicts, tuples."""
    assert default_collate([1.5, 2.5]).dtype is torch.float64
    assert default_collate([{"a": np.ones(2), "b": "x"}, {"a": np.zeros(2), "b": "y"}])["a"].tolist() == [[1, 1], [0, 0]]
    with pytest.raises(TypeError, match="batch must contain"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1, 2], [3]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataLoader(Squares(), shuffle=True, sampler=SequentialSampler(Squares())), lambda: DataLoader(Squares(), batch_size=2, batch_sampler=[[0]]), lambda: DataLoader(Squares(), num_workers=-1),
        lambda: DataLoader(Stream(), shuffle=True), lambda: DataLoader(Squares(), batch_size=0), lambda: DataLoader(Squares(), prefetch_factor=2), lambda: DataLoader(Squares(), batch_size=None, drop_last=True),
        lambda: RandomSampler(range(3), num_samples=0), lambda: BatchSampler(range(3), 0, False), lambda: random_split(range(5), [1, 1]), lambda: DataLoader(Squares(), persistent_workers=True),
    ],
)  # fmt: skip
def test_options_that_exclude_each_other(make: Any):
    """ValueError, as PyTorch has it."""
    with pytest.raises(ValueError, match=r"\w"):
        make()


def test_concatenation():
    """Two datasets as one."""
    both = Squares() + Squares()
    assert isinstance(both, ConcatDataset)
    assert len(both) == 22
    assert both[12] == {"x": 1, "y": 1.0}
    assert both[-1]["x"] == 10
