"""What a compiled function tells of its machine code: the time of every kernel beside what the machine could do, and the kernels' texts.

This module holds measured numbers and prints them; it measures nothing and knows no back end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """A kernel of a program, or a step that runs in Python.

    Attributes:
        label: what it computes.
        flops, bytes: floating-point operations, and bytes read and written.
        limit: the seconds that it would take at the machine's measured peak; 0 where it runs in Python.
        bound: what that limit is: "arithmetic", "memory", or "Python" for a step that runs there.
        text: the loops that the kernel consists of.
        llvm: makes its LLVM IR.
    """

    label: str
    flops: int = 0
    bytes: int = 0
    limit: float = 0.0
    bound: str = "Python"
    text: str = field(default="", repr=False)
    llvm: Callable[[], str] = field(default=lambda: "", repr=False)


@dataclass(frozen=True)
class Row:
    """A part of a program with its time.

    Attributes:
        part: what ran.
        seconds: its best time.
        share: its share of all parts' time.
    """

    part: Part
    seconds: float
    share: float

    @property
    def of_limit(self) -> float:
        """The measured peak's time as a share of the part's: 1.0 is as fast as the machine can."""
        return self.part.limit / self.seconds if self.seconds else 0.0


class Report:
    """The parts of a program with their times. Prints as a table, the slowest first.

    Attributes:
        title: the function, and the machine.
        seconds: the best time of a run of the whole program.
        rows: a Row for each part, in the order in which they run.
    """

    def __init__(self, title: str, seconds: float, parts: Sequence[Part], times: Sequence[float]) -> None:
        self.title, self.seconds = title, seconds
        total = sum(times) or 1.0
        self.rows = [Row(part, t, t / total) for part, t in zip(parts, times, strict=True)]

    @property
    def flops(self) -> int:
        """The floating-point operations of a run."""
        return sum(row.part.flops for row in self.rows)

    @property
    def limit(self) -> float:
        """The seconds that the kernels would take at the machine's measured peak."""
        return sum(row.part.limit for row in self.rows)

    def __repr__(self) -> str:
        python = sum(row.part.bound == "Python" for row in self.rows)
        lines = [
            self.title,
            f"{micro(self.seconds)} µs a run: {len(self.rows) - python} kernels"
            + (f" and {python} steps in Python" if python else "")
            + f", {self.flops / (self.seconds or 1) / 1e9:.1f} GFLOP/s; {micro(self.limit)} µs at the machine's peak",
            "",
            f"{'µs':>9} {'share':>6} {'GFLOP/s':>8} {'GB/s':>7} {'of peak':>8}  what",
        ]
        for row in sorted(self.rows, key=lambda r: -r.seconds):
            lines.append(self.line(row))
        return "\n".join(lines)

    @staticmethod
    def line(row: Row) -> str:
        """A row of the table."""
        seconds, part = row.seconds or 1e-9, row.part
        if part.bound == "Python":
            return f"{micro(row.seconds):>9} {row.share:>6.1%} {'':>8} {'':>7} {'':>8}  Python: {part.label}"
        rates = f"{part.flops / seconds / 1e9:>8.1f} {part.bytes / seconds / 1e9:>7.1f} {min(row.of_limit, 9.99):>8.0%}"
        return f"{micro(row.seconds):>9} {row.share:>6.1%} {rates}  {part.label} ({part.bound})"


def micro(seconds: float) -> str:
    """Microseconds in at most four digits before the point."""
    return f"{seconds * 1e6:,.2f}" if seconds < 1e-3 else f"{seconds * 1e6:,.0f}"


class Kernels(list[Part]):
    """The parts of a program in the order in which they run. Prints each with its loops; `[i].llvm()` is the LLVM IR of one."""

    def __repr__(self) -> str:
        return "\n\n".join(f"# {i}: {part.label}" + (f"\n{part.text}" if part.text else "") for i, part in enumerate(self))
