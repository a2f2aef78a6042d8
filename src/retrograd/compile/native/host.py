"""What the processor at hand has: the width of its vectors, its registers, caches, cores and instruction set.

Kernels are specialised to these facts. Knows nothing of kernels or programs.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np

from retrograd.config import available_cores

CPU_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Host:
    """A processor.

    `vector_bits` is the width of the widest vectors worth using and `vector_registers` how many of them there are; `l1`, `l2`
    and `l3` are the sizes of the data caches in bytes, the first two of one core and the last of the processor; `cores` is how many this
    process may run on; `cpu` and `features` are LLVM's name for the processor and its list of the instruction sets that it has.
    """

    vector_bits: int
    vector_registers: int
    l1: int
    l2: int
    l3: int
    cores: int
    cpu: str
    features: str

    def lanes(self, dtype: np.dtype | type | str) -> int:
        """How many elements of `dtype` one vector holds.

        >>> host().lanes("float32") == 2 * host().lanes("float64")
        True
        """
        return self.vector_bits // 8 // np.dtype(dtype).itemsize


@cache
def host() -> Host:
    """The processor that this process runs on."""
    found = host_features()
    bits, registers = vectors(found, architecture())
    return Host(
        vector_bits=bits,
        vector_registers=registers,
        l1=cache_size(1, default=32 << 10),
        l2=cache_size(2, default=512 << 10),
        l3=cache_size(3, default=4 << 20),
        cores=available_cores(),
        cpu=llvm.get_host_cpu_name(),
        features=",".join(("+" if found[name] else "-") + name for name in sorted(found)),
    )


def host_features() -> dict[str, bool]:
    """Which instruction sets the processor has, by LLVM's names; empty where LLVM cannot tell and uses what its name implies."""
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:
        return {}


def architecture() -> str:
    """The family of this processor: "x86", "arm" (of 64 bits both), or "" for any other."""
    machine = platform.machine().lower()
    return "x86" if machine in ("x86_64", "amd64") else "arm" if machine in ("aarch64", "arm64") else ""


def vectors(features: dict[str, bool], family: str) -> tuple[int, int]:
    """The bits of the widest vectors and how many registers hold them.

    >>> vectors({"avx2": True, "fma": True}, "x86")
    (256, 16)
    """
    if family == "arm":
        return 128, 32
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq"):
        return 512, 32
    return (256 if features.get("avx2") and features.get("fma") else 128), 16


def cache_size(level: int, *, default: int) -> int:
    """Bytes in the data cache of a level, as the system tells; `default` where it does not."""
    for folder in sorted(CPU_FOLDER.glob("index*")):
        try:
            if int((folder / "level").read_text()) == level and (folder / "type").read_text().strip() != "Instruction":
                text = (folder / "size").read_text().strip()
                return int(text.rstrip("KMG")) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1], 1)
        except (OSError, ValueError):
            continue
    name = f"SC_LEVEL{level}_{'D' if level == 1 else ''}CACHE_SIZE"
    known = os.sysconf(name) if name in getattr(os, "sysconf_names", {}) else 0
    return known if known > 0 else default
