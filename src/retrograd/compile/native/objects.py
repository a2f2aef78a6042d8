"""From LLVM modules to machine code: the target, the passes, and the caches of what was compiled before.

Object code is found in this process, then in the cache folder, and is made only if it is in neither. Knows nothing of what a
kernel computes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from retrograd.compile.native.cache import folder
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


@dataclass
class Counts:
    """How often this process found or made object code."""

    compiled: int = 0
    read: int = 0


counts = Counts()


class Registry:
    """All machine code of this process, by key. Code is never unloaded: threads may be in it until the process ends."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.addresses: dict[str, int] = {}
        self.libraries: dict[str, dict[str, int]] = {}

    def after_fork(self) -> None:
        """In the child: a thread that held the lock does not exist."""
        self.lock = threading.RLock()


registry = Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.after_fork)


def addresses_of(stages: Iterable[Stage]) -> list[int]:
    """The address of each stage's function. What is in no cache is compiled; loading many at once is quicker than one by one."""
    stages = list(stages)
    with registry.lock:
        missing = {stage.key: stage for stage in stages if stage.key not in registry.addresses}
        link({key: object_code(key, stage.symbol, stage.build) for key, stage in missing.items()})
        return [registry.addresses[stage.key] for stage in stages]


def load(key: str, symbol: str, build: Callable[[], ir.Module]) -> int:
    """The address of the function `symbol` of the module that `build` makes, which is called only if the key is in no cache."""
    with registry.lock:
        if key not in registry.addresses:
            link({key: object_code(key, symbol, build)})
        return registry.addresses[key]


def library(name: str, text: str, symbols: Sequence[str]) -> dict[str, int]:
    """The addresses of functions of a module written as LLVM assembly. They keep their names, and modules loaded later may call them."""
    with registry.lock:
        if name not in registry.libraries:
            code = cached(name + "\n" + text, lambda: compile_text(text))
            engine().add_object_file(llvm.ObjectFileRef.from_data(code))
            engine().finalize_object()
            registry.libraries[name] = {symbol: engine().get_function_address(symbol) for symbol in symbols}
        return registry.libraries[name]


# ---- caches -------------------------------------------------------------------------------------------------------------


def symbol_of(key: str) -> str:
    """What the function of a key is called in its object code, so that no two clash."""
    return "retrograd_" + hashlib.sha256(key.encode()).hexdigest()


def object_code(key: str, symbol: str, build: Callable[[], ir.Module]) -> bytes:
    """The object code of a key, in which `symbol` is called `symbol_of(key)`."""
    return cached(key, lambda: compile_text(str(build()), symbol, symbol_of(key)))


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """What the cache folder has for a key on this processor; if nothing, what `make` makes, which is kept there."""
    place = folder()
    if place is None:
        counts.compiled += 1
        return make()
    name = hashlib.sha256(f"{fingerprint()}\n{key}".encode()).hexdigest() + ".o"
    code = place.read(name)
    if code is None:
        code = make()
        place.write(name, code)
        counts.compiled += 1
    else:
        counts.read += 1
    return code


@cache
def fingerprint() -> str:
    """All that object code depends on besides its key: the processor, the versions, and the generators in this folder."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".ll"):
            sources.update(path.name.encode() + b"\0" + path.read_bytes())
    versions = (llvmlite.__version__, llvm.llvm_version_info, llvm.get_process_triple())
    return "\n".join(map(str, (host().cpu, target_features(), *versions, sources.hexdigest())))


# Note [Passes]
# Kernels are emitted as vectors and as loops in SSA form, so LLVM's optimizer finds little to do. For products of matrices, and for exp,
# log and tanh, machine code ran equally fast (within 1%) after no pass, after the three below, and after the whole of O1, O2 and O3; in
# milliseconds per kernel, code and all, no pass took 4 to 19, the three 4 to 22, O1 7 to 47. The three are kept since they clean up what a
# builder may leave: variables in memory, empty blocks, arithmetic on constants. Code generation at level 0 is ten times slower to run; 1 and 2 are alike.


# ---- LLVM ---------------------------------------------------------------------------------------------------------------


def target_features() -> str:
    """The instruction set to use. Where there are vectors of 512 bits, they are used: kernels ask for the width they mean."""
    return host().features + (",-prefer-256-bit" if host().vector_bits == 512 else "")


@cache
def target_machine() -> llvm.TargetMachine:
    """LLVM's code generator for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=host().cpu, features=target_features(), opt=2)


@cache
def engine() -> llvm.ExecutionEngine:
    """What holds all machine code of this process. An object's sections lie side by side, so that short distances reach."""
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine(), use_lmm=True)


def compile_text(text: str, symbol: str = "", renamed: str = "") -> bytes:
    """The object code of a module, with one function renamed."""
    machine = target_machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    if symbol:
        module.get_function(symbol).name = renamed
    optimize(module)
    return machine.emit_object(module)


def optimize(module: llvm.ModuleRef) -> None:
    """Runs LLVM's passes. Kernels come as vectors and loops in SSA form, so few are worth their time, see Note [Passes]."""
    builder = llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)


def link(codes: dict[str, bytes]) -> None:
    """Loads the object code of keys."""
    if not codes:
        return
    for code in codes.values():
        engine().add_object_file(llvm.ObjectFileRef.from_data(code))
    engine().finalize_object()
    for key in codes:
        address = engine().get_function_address(symbol_of(key))
        if not address:
            raise RuntimeError(f"the object code of {key[:80]!r} does not define its function")
        registry.addresses[key] = address
