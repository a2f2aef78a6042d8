"""Very many steps of compiled training, without growth of memory: `python -m scripts.soak_compile --steps 100000`.

A small network with normalization and dropout, two sizes of batches, a learning rate that changes, results that are kept for a while:
whatever a step leaves behind shows in the memory of the process or in the number of Python's blocks. Exits with 1 if either grows.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import retrograd as torch
from tests.compile.programs import numbers

WARM_UP = 500
MOST_BYTES = 2 << 20
MOST_BLOCKS = 200


@dataclass(frozen=True)
class Usage:
    """What the process holds: bytes of memory (0 where the system does not tell), and blocks of Python's."""

    resident: int
    blocks: int

    @staticmethod
    def now() -> Usage:
        """As it is at the moment, without garbage."""
        gc.collect()
        statm = Path("/proc/self/statm")
        pages = int(statm.read_text().split()[1]) if statm.exists() else 0
        return Usage(pages * os.sysconf("SC_PAGE_SIZE") if pages else 0, sys.getallocatedblocks())


def training() -> tuple[Callable[..., Any], Iterator[tuple[Any, ...]]]:
    """A compiled step, and batches without end."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 16), torch.nn.GELU(),
        torch.nn.LayerNorm(16), torch.nn.Linear(16, 4),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def batches() -> Iterator[tuple[Any, ...]]:
        some = [(numbers(i, (n, 8)), numbers(i, (n,), "int64", 0, 4)) for i, n in enumerate((16, 16, 16, 5))]
        count = 0
        while True:
            yield some[count % len(some)]
            count += 1
            optimizer.param_groups[0]["lr"] = 1e-3 / (1 + count % 100)

    return torch.compile(step, fullgraph=True), batches()


def soak(steps: int, parts: int, report: Callable[[str], None]) -> tuple[int, int]:
    """Runs so many steps; returns by how many bytes and blocks the process grew after it had warmed up."""
    step, batches = training()
    kept: deque[Any] = deque(maxlen=10)
    for _ in range(WARM_UP):
        kept.append(step(*next(batches)))
    first = now = Usage.now()
    start = time.perf_counter()
    for part in range(1, parts + 1):
        for _ in range(steps // parts):
            kept.append(step(*next(batches)))
        now = Usage.now()
        seconds = time.perf_counter() - start
        report(
            f"{part * (steps // parts)} steps, {seconds:.1f} s, {now.resident >> 10} KiB, {now.blocks} blocks, loss {kept[-1].item():.4f}"
        )
    return now.resident - first.resident, now.blocks - first.blocks


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 if memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args(arguments).steps
    grown, blocks = soak(steps, 10, lambda line: print(line, flush=True))
    print(f"memory grew by {grown >> 10} KiB and {blocks} blocks")
    return int(grown > MOST_BYTES or blocks > MOST_BLOCKS)


if __name__ == "__main__":
    sys.exit(main())
