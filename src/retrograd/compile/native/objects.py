"""From LLVM modules to machine code: the target, the passes, and the caches of what was compiled before.

Knows nothing of what a kernel computes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from retrograd.compile.native.host import host


@dataclass(frozen=True)
class Stage:
    """One kernel run over its extent.

    `key` is a canonical text that determines the machine code: stages with equal keys share it. `build` makes the module that
    defines the function `symbol`, and is called only where the key is in no cache. `operands` fill the table of pointers, in order. The
    extent is split into chunks of `grain`. `flops` and `bytes` count the work, and `label` is for people.
    """

    key: str
    symbol: str
    build: Callable[[], ir.Module]
    operands: tuple[Any, ...]
    extent: int
    grain: int
    flops: int
    bytes: int
    label: str


_lock = threading.RLock()
_addresses: dict[str, int] = {}  # of every function in this process, by key
_libraries: dict[str, dict[str, int]] = {}


def addresses_of(stages: Sequence[Stage]) -> list[int]:
    """The address of each stage's function. What is in no cache is compiled."""
    return [load(stage.key, stage.symbol, stage.build) for stage in stages]


def load(key: str, symbol: str, build: Callable[[], ir.Module]) -> int:
    """The address of the function `symbol` of the module that `build` makes; that module is made only if the key is in no cache."""
    with _lock:
        if key not in _addresses:
            unique = "retrograd_" + hashlib.sha256(key.encode()).hexdigest()
            _addresses[key] = link(compile_text(str(build()), {symbol: unique}), unique)
        return _addresses[key]


def library(name: str, text: str, symbols: Sequence[str]) -> dict[str, int]:
    """The addresses of functions of a module written as LLVM assembly. They keep their names, and modules loaded later may call them."""
    with _lock:
        if name not in _libraries:
            engine().add_object_file(llvm.ObjectFileRef.from_data(compile_text(text, {})))
            engine().finalize_object()
            _libraries[name] = {symbol: engine().get_function_address(symbol) for symbol in symbols}
        return _libraries[name]


@cache
def target_machine() -> llvm.TargetMachine:
    """LLVM's code generator for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=host().cpu, features=host().features, opt=2)


@cache
def engine() -> llvm.ExecutionEngine:
    """What holds all machine code of this process."""
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())


def compile_text(text: str, names: dict[str, str]) -> bytes:
    """The object code of a module, with functions renamed."""
    machine = target_machine()
    parsed = llvm.parse_assembly(text)
    parsed.triple = machine.triple
    parsed.data_layout = str(machine.target_data)
    for old, new in names.items():
        parsed.get_function(old).name = new
    optimize(parsed)
    return target_machine().emit_object(parsed)


def optimize(parsed: llvm.ModuleRef) -> None:
    """Runs LLVM's passes. Kernels are written as vectors and loops in SSA form, so few passes are enough."""
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    passes = llvm.create_pass_builder(target_machine(), options)
    passes.getModulePassManager().run(parsed, passes)


def link(code: bytes, symbol: str) -> int:
    """Loads object code for good; returns the address of a function in it."""
    engine().add_object_file(llvm.ObjectFileRef.from_data(code))
    engine().finalize_object()
    address = engine().get_function_address(symbol)
    if not address:
        raise RuntimeError(f"the object code does not define {symbol}")
    return address
