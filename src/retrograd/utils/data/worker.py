"""Processes that fetch batches while the network is trained on those before.

Batches are dealt out in turn, a few ahead, and handed on in their order. What a worker raises is raised again where the loader
is iterated; a worker that dies is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from retrograd.ops.sample import manual_seed

NEW_EPOCH = -1
POLL = 5.0  # seconds between looks at whether the workers are alive

current: WorkerInfo | None = None


class WorkerInfo:
    """What a worker process knows of itself: its number, how many there are, its seed, and its copy of the dataset."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any) -> None:
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, dataset={self.dataset!r})"


def get_worker_info() -> WorkerInfo | None:
    """What this process is, if a loader started it; None in the main process."""
    return current


class Done:
    """Stands for a batch that a worker's stream no longer gives."""


class Failure:
    """What a worker raised, to be raised again."""

    def __init__(self, worker: int, error: BaseException) -> None:
        self.worker, self.kind = worker, type(error)
        import traceback

        self.text = "".join(traceback.format_exception(error))

    def reraise(self) -> None:
        """Raises an exception of the same type, whose message holds the worker's traceback."""
        message = f"Caught {self.kind.__name__} in DataLoader worker process {self.worker}.\nOriginal {self.text}"
        if self.kind is KeyError:  # whose message is shown quoted, on one line
            raise RuntimeError(message)
        try:
            error = self.kind(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error


def work(info: WorkerInfo, make_fetcher: Callable[[], Any], init: Callable[[int], None] | None, tasks: Any, results: Any) -> None:
    """What a worker process does: (number, indices) in, (number, batch) out, until it gets None."""
    import random

    global current
    current = info
    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    manual_seed(info.seed % 2**63)
    fetch: Any = None
    exhausted = began = False
    try:
        while (task := tasks.get()) is not None:
            number, indices = task
            if number == NEW_EPOCH:
                fetch, exhausted = None, False
                continue
            try:
                if not began and init is not None:
                    init(info.id)
                began = True
                fetch = fetch or make_fetcher()
                if exhausted:
                    raise StopIteration
                results.put((number, info.id, fetch(indices)))
            except StopIteration:
                exhausted = True
                results.put((number, info.id, Done()))
            except Exception as error:
                results.put((number, info.id, Failure(info.id, error)))
    except KeyboardInterrupt:
        pass


class Pool:
    """The worker processes of a loader."""

    def __init__(self, n: int, dataset: Any, make_fetcher: Any, init: Any, seed: int, context: Any, timeout: float, prefetch: int) -> None:
        import multiprocessing  # here, since it takes a tenth of the time of importing this library, and few need it

        if isinstance(context, str) or context is None:
            context = multiprocessing.get_context(context)
        self.timeout, self.prefetch = timeout, prefetch
        self.results = context.Queue()
        self.tasks = [context.Queue() for _ in range(n)]
        self.processes = [
            context.Process(target=work, args=(WorkerInfo(i, n, seed + i, dataset), make_fetcher, init, tasks, self.results), daemon=True)
            for i, tasks in enumerate(self.tasks)
        ]
        for p in self.processes:
            p.start()

    def batches(self, indices: Iterator[Any]) -> Iterator[Any]:
        """The batches of an epoch, in order. A worker that says it is done is asked for no more."""
        n = len(self.processes)
        finished: set[int] = set()
        waiting: dict[int, Any] = {}
        sent, shown, turn = 0, 0, 0
        for tasks in self.tasks:
            tasks.put((NEW_EPOCH, None))
        while True:
            while len(finished) < n and sent - shown < self.prefetch * n:
                while turn in finished:
                    turn = (turn + 1) % n
                try:
                    index = next(indices)
                except StopIteration:
                    break
                self.tasks[turn].put((sent, index))
                sent, turn = sent + 1, (turn + 1) % n
            if shown == sent:
                return
            while shown not in waiting:
                number, worker, batch = self.receive()
                waiting[number] = batch
                if isinstance(batch, Done):
                    finished.add(worker)
            batch = waiting.pop(shown)
            shown += 1
            if isinstance(batch, Failure):
                batch.reraise()
            if not isinstance(batch, Done):
                yield batch

    def receive(self) -> Any:
        """The next result of any worker. Raises RuntimeError if it takes too long, or a worker has died."""
        import queue

        waited = 0.0
        while True:
            step = min(POLL, self.timeout - waited) if self.timeout else POLL
            try:
                return self.results.get(timeout=step)
            except queue.Empty:
                waited += step
                dead = [str(p.pid) for p in self.processes if not p.is_alive()]
                if dead:
                    raise RuntimeError(f"DataLoader worker (pid(s) {', '.join(dead)}) exited unexpectedly") from None
                if self.timeout and waited >= self.timeout:
                    raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds") from None

    def close(self) -> None:
        """Ends the processes."""
        for tasks in self.tasks:
            tasks.put(None)
        for p in self.processes:
            p.join(timeout=1)
            if p.is_alive():
                p.terminate()
                p.join()
        for channel in (*self.tasks, self.results):
            channel.cancel_join_thread()
            channel.close()
