"""What the machine can do at most, measured: arithmetic of one core, and copying from each cache and from memory.

Reports hold kernels against it. It takes a fraction of a second, once; the result is kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np

from retrograd.compile.native import objects
from retrograd.compile.native.cache import folder
from retrograd.compile.native.entry import Runner, Step
from retrograd.compile.native.host import host

TYPES = {"float32": "float", "float64": "double"}
ITERATIONS = 4000  # of the loop that measures arithmetic
ROUNDS = 100  # the best of so many counts: others use the machine too


@dataclass(frozen=True)
class Limits:
    """FLOP per second of one core in float32 and float64, and bytes read and written per second by a copy: of one core from its second
    cache, from the processor's third and from memory, and of all cores from memory."""

    float32: float
    float64: float
    l2: float
    l3: float
    memory: float
    memory_all: float


@cache
def limits() -> Limits:
    """What this machine can do at most. Measured when first asked for, in a fraction of a second, and kept in the cache folder.

    >>> limits().float32 > limits().float64 > 1e8
    True
    """
    place = folder()
    name = hashlib.sha256(f"limits\n{host().cores}\n{objects.fingerprint()}".encode()).hexdigest() + ".json"
    kept = place.read(name) if place else None
    if kept is not None:
        return Limits(**json.loads(kept))
    found = measure()
    if place:
        place.write(name, json.dumps(asdict(found)).encode())
    return found


def measure() -> Limits:
    """Measures all limits now."""
    memory = min(max(2 * host().l3, 64 << 20), 256 << 20)
    return Limits(
        float32=arithmetic("float32"),
        float64=arithmetic("float64"),
        l2=copying(host().l2 // 2, rounds=400),
        l3=copying(min(host().l3 // 2, 4 * host().l2), rounds=60),
        memory=copying(memory, rounds=3),
        memory_all=copying(memory, rounds=3, shared=True),
    )


def arithmetic(dtype: str) -> float:
    """FLOP per second of one core, by fused multiply-adds on as many independent vectors as there are registers to hold them."""
    chains, lanes = host().vector_registers * 3 // 4, host().lanes(dtype)
    kernel = objects.load(f"limits.arithmetic {dtype} {lanes} {chains}", "kernel", lambda: arithmetic_kernel(TYPES[dtype], lanes, chains))
    out = np.full(lanes, 0.5, dtype)
    table = np.array([out.ctypes.data], np.uint64)
    best = float(np.min(Runner([Step(kernel, table, ITERATIONS, ITERATIONS, True)] * ROUNDS, []).timed()))
    return 2.0 * chains * lanes * ITERATIONS / best


def copying(size: int, rounds: int, shared: bool = False) -> float:
    """Bytes read and written per second by a copy, where both arrays together have `size` bytes."""
    lanes = host().lanes("float32")
    kernel = objects.load(f"limits.copy {lanes}", "kernel", lambda: copy_kernel(lanes))
    vectors = size // 2 // (4 * lanes)
    source, target = np.ones(vectors * lanes, np.float32), np.zeros(vectors * lanes, np.float32)
    table = np.array([source.ctypes.data, target.ctypes.data], np.uint64)
    grain = -(-vectors // (8 * host().cores)) if shared else vectors
    best = float(np.min(Runner([Step(kernel, table, vectors, grain, not shared)] * rounds, []).timed()))
    return 2.0 * source.nbytes / best


def arithmetic_kernel(kind: str, lanes: int, chains: int) -> str:
    """For i in [begin, end): a = a * x + x, on several independent vectors `a`."""
    vector = f"<{lanes} x {kind}>"
    name = f"@llvm.fma.v{lanes}f{32 if kind == 'float' else 64}"
    phis = [f"%a{i} = phi {vector} [ %x, %entry ], [ %b{i}, %loop ]" for i in range(chains)]
    steps = [f"%b{i} = call {vector} {name}({vector} %a{i}, {vector} %x, {vector} %x)" for i in range(chains)]
    sums = [f"%s{i} = fadd {vector} {'%b0' if i == 1 else f'%s{i - 1}'}, %b{i}" for i in range(1, chains)]
    return "\n".join(
        [
            f"declare {vector} {name}({vector}, {vector}, {vector})",
            "define void @kernel(ptr %table, i64 %begin, i64 %end) {\nentry:\n%out = load ptr, ptr %table",
            f"%x = load {vector}, ptr %out, align 4\nbr label %loop\nloop:\n%i = phi i64 [ %begin, %entry ], [ %n, %loop ]",
            *phis,
            *steps,
            "%n = add i64 %i, 1\n%more = icmp slt i64 %n, %end\nbr i1 %more, label %loop, label %after\nafter:",
            *sums,
            f"%small = fmul {vector} %s{chains - 1}, zeroinitializer",
            f"%kept = fadd {vector} %small, %x\nstore {vector} %kept, ptr %out, align 4\nret void\n}}",
        ]
    )


def copy_kernel(lanes: int) -> str:
    """For i in [begin, end): vector i of the second operand = vector i of the first."""
    vector = f"<{lanes} x float>"
    return f"""
    define void @kernel(ptr %table, i64 %begin, i64 %end) {{
    entry:
      %from = load ptr, ptr %table
      %second = getelementptr ptr, ptr %table, i64 1
      %to = load ptr, ptr %second
      br label %loop
    loop:
      %i = phi i64 [ %begin, %entry ], [ %n, %loop ]
      %source = getelementptr {vector}, ptr %from, i64 %i
      %target = getelementptr {vector}, ptr %to, i64 %i
      %value = load {vector}, ptr %source, align 4
      store {vector} %value, ptr %target, align 4
      %n = add i64 %i, 1
      %more = icmp slt i64 %n, %end
      br i1 %more, label %loop, label %after
    after:
      ret void
    }}"""
