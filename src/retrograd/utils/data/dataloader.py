"""The DataLoader: batches of a dataset, shuffled if asked, fetched by worker processes if asked.

With the same seed it takes the samples in the order in which PyTorch's takes them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from retrograd.core.random import Generator
from retrograd.ops.create import tensor
from retrograd.utils.data.collate import default_collate, default_convert
from retrograd.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset
from retrograd.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from retrograd.utils.data.worker import Pool


class Endless(Sampler[None]):
    """The sampler of a stream: there is nothing to choose."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


def fetcher(dataset: Any, batched: bool, collate: Callable[[Any], Any], drop_last: bool) -> Callable[[Any], Any]:
    """A function from what the sampler gives (indices, or one index) to a batch."""
    if isinstance(dataset, IterableDataset):
        stream = iter(dataset)

        def from_stream(indices: Any) -> Any:
            if not batched:
                return collate(next(stream))
            batch = list(itertools.islice(stream, len(indices)))
            if not batch or (drop_last and len(batch) < len(indices)):
                raise StopIteration
            return collate(batch)

        return from_stream
    if not batched:
        return lambda index: collate(dataset[index])
    if collate is default_collate and in_memory(dataset):
        return functools.partial(take, dataset)
    if hasattr(dataset, "__getitems__"):
        return lambda indices: collate(dataset.__getitems__(indices))
    return lambda indices: collate([dataset[i] for i in indices])


def in_memory(dataset: Any) -> bool:
    """Whether a batch can be taken from tensors at once."""
    return type(dataset) is TensorDataset or (type(dataset) is Subset and in_memory(dataset.dataset))


def take(dataset: Any, indices: Any) -> Any:
    """A batch of a dataset in memory: one indexing for each tensor, in place of one for each sample."""
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    index = tensor(indices)
    return [x[index] for x in dataset.tensors]


class DataLoader:
    """Iterates over a dataset in batches.

    Args:
        dataset: with `__getitem__` and `__len__`, or an `IterableDataset`.
        batch_size: samples in a batch; None hands on samples as they are.
        shuffle: whether to take them in a new random order every epoch.
        sampler: an order of one's own; excludes `shuffle`.
        batch_sampler: batches of one's own; excludes `batch_size`, `shuffle`, `sampler` and `drop_last`.
        num_workers: processes that fetch batches; 0 fetches in this one.
        collate_fn: makes a batch of a list of samples.
        pin_memory: accepted; there is one kind of memory here.
        drop_last: leaves out a last batch that is not full.
        timeout: seconds to wait for a worker; 0 for any time.
        worker_init_fn: called in every worker with its number.
        multiprocessing_context: how processes are started ("fork", "spawn", ...).
        generator: draws the order; the default generator if None.
        prefetch_factor: batches that every worker fetches ahead; 2 by default.
        persistent_workers: whether the processes live on from epoch to epoch.

    Raises:
        ValueError: for options that exclude each other, or are out of range.

    >>> import retrograd as torch
    >>> from retrograd.utils.data import TensorDataset
    >>> for x, in DataLoader(TensorDataset(torch.arange(5)), batch_size=2):
    ...     print(x)
    tensor([0, 1])
    tensor([2, 3])
    tensor([4])
    """

    def __init__(
        self, dataset: Dataset[Any], batch_size: int | None = 1, shuffle: bool | None = None, sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None, num_workers: int = 0, collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False, drop_last: bool = False, timeout: float = 0, worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None, generator: Generator | None = None, *, prefetch_factor: int | None = None,
        persistent_workers: bool = False, pin_memory_device: str = "", in_order: bool = True,
    ) -> None:  # fmt: skip
        check(num_workers, timeout, prefetch_factor, persistent_workers)
        stream = isinstance(dataset, IterableDataset)
        if stream and shuffle:
            raise ValueError(f"DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle={shuffle}")
        if stream and (sampler is not None or batch_sampler is not None):
            what, value = ("sampler", sampler) if sampler is not None else ("batch_sampler", batch_sampler)
            raise ValueError(f"DataLoader with IterableDataset: expected unspecified {what} option, but got {what}={value}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if stream:
                sampler = Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.num_workers, self.pin_memory, self.timeout = num_workers, pin_memory, timeout
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.prefetch_factor = prefetch_factor if prefetch_factor is not None or not num_workers else 2
        self.persistent_workers = persistent_workers
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.pool: Pool | None = None

    def __iter__(self) -> Iterator[Any]:
        seed = draw_seed(self.generator)
        indices = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        make = functools.partial(fetcher, self.dataset, self.batch_sampler is not None, self.collate_fn, self.drop_last)
        return self.fetched_by_workers(indices, make, seed) if self.num_workers else self.fetched(indices, make())

    @staticmethod
    def fetched(indices: Iterator[Any], fetch: Callable[[Any], Any]) -> Iterator[Any]:
        """The batches, fetched in this process."""
        for index in indices:
            try:
                batch = fetch(index)
            except StopIteration:
                return
            yield batch

    def fetched_by_workers(self, indices: Iterator[Any], make: Callable[[], Any], seed: int) -> Iterator[Any]:
        """The batches, fetched by other processes."""
        pool = self.pool or Pool(
            self.num_workers,
            self.dataset,
            make,
            self.worker_init_fn,
            seed,
            self.multiprocessing_context,
            self.timeout,
            self.prefetch_factor or 2,
        )
        self.pool = pool if self.persistent_workers else None
        complete = False
        try:
            yield from pool.batches(indices)
            complete = True
        finally:
            if not (self.persistent_workers and complete):
                self.pool = None
                pool.close()

    def __len__(self) -> int:
        """How many batches there are. Raises TypeError if the dataset does not know its length."""
        if isinstance(self.dataset, IterableDataset):
            n = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def __del__(self) -> None:
        pool = getattr(self, "pool", None)
        if pool is not None:
            pool.close()


def check(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool) -> None:
    """Raises ValueError for options of workers that are out of range, or make no sense without workers."""
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing. let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if num_workers > 0 and prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
