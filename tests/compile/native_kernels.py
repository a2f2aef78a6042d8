"""Small kernels as LLVM assembly, for the tests of native code; importable in processes of their own."""

from __future__ import annotations

import numpy as np

from retrograd.compile.native import objects
from retrograd.compile.native.entry import Runner, Step

ADD = """
define void @kernel(ptr %table, i64 %begin, i64 %end) {
entry:
  %x = load ptr, ptr %table
  %y.at = getelementptr ptr, ptr %table, i64 1
  %y = load ptr, ptr %y.at
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %n, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %sum = fadd double %value, AMOUNT
  %to = getelementptr double, ptr %y, i64 %i
  store double %sum, ptr %to
  %n = add i64 %i, 1
  %more = icmp slt i64 %n, %end
  br i1 %more, label %loop, label %out
out:
  ret void
}
"""

SUM = """
define void @kernel(ptr %table, i64 %begin, i64 %end) {
entry:
  %x = load ptr, ptr %table
  %y.at = getelementptr ptr, ptr %table, i64 1
  %y = load ptr, ptr %y.at
  br label %loop
loop:
  %i = phi i64 [ %begin, %entry ], [ %n, %loop ]
  %total = phi double [ 0.0, %entry ], [ %total.next, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %total.next = fadd double %total, %value
  %n = add i64 %i, 1
  %more = icmp slt i64 %n, %end
  br i1 %more, label %loop, label %out
out:
  %to = getelementptr double, ptr %y, i64 %begin
  store double %total.next, ptr %to
  ret void
}
"""


def address(text: str, amount: float = 1.0) -> int:
    """Where the kernel's machine code is: y[i] = x[i] + amount, or y[begin] = sum of x[begin:end]."""
    text = text.replace("AMOUNT", repr(float(amount)))
    return objects.load(text, "kernel", lambda: text)


def table(*arrays: np.ndarray | int) -> np.ndarray:
    """The table of pointers to arrays; 0 stands for one that is given with the call."""
    return np.array([a if isinstance(a, int) else a.ctypes.data for a in arrays], np.uint64)


def chain(stages: int, size: int, grain: int, release_gil: bool = True, serial: bool = False) -> tuple[Runner, np.ndarray]:
    """A program that adds 1 to its argument `stages` times, and the array of its results."""
    kernel, out = address(ADD), np.zeros(size)
    first = table(0, out)
    others = table(out, out)
    steps = [Step(kernel, others if i else first, size, grain, serial) for i in range(stages)]
    runner = Runner(steps, [[(first.ctypes.data, 0)]], release_gil)
    return runner, out
