"""Machine code of one operation on arrays, for tests of a builder's methods and for scripts/check_functions.py."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder, register_type
from retrograd.compile.native.loops import counting
from retrograd.compile.native.objects import engine, target_machine

I8, I64, POINTER = ir.IntType(8), ir.IntType(64), ir.PointerType()


def module_of(operation: Callable[..., Any], operands: list[np.dtype[Any]], result: np.dtype[Any], lanes: int) -> ir.Module:
    """A module with `run(result, *operands, vectors)` that does the operation on so many vectors of elements."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * (len(operands) + 1) + [I64]), "run")
    target, *sources, vectors = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    k = VectorBuilder(b, lanes)

    def at(start: ir.Value, i: ir.Value, dtype: np.dtype[Any]) -> ir.Value:
        return b.gep(start, [b.mul(i, ir.Constant(I64, lanes * dtype.itemsize))], source_etype=I8)

    with counting(b, 0, vectors) as i:
        values = [k.load(at(s, i, d), register_type(d)) for s, d in zip(sources, operands, strict=True)]
        k.store(operation(k, *values), at(target, i, result))
    b.ret_void()
    return module


def compiled(operation: Callable[..., Any], operands: str, result: str, lanes: int) -> Callable[..., np.ndarray]:
    """`operation(k, *values)` as a function of flat arrays of one length; `operands` has a dtype's letter for each."""
    kinds, kind = [np.dtype(letter) for letter in operands], np.dtype(result)
    parsed = llvm.parse_assembly(str(module_of(operation, kinds, kind, lanes)))
    machine = target_machine()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    parsed.triple, parsed.data_layout = machine.triple, str(machine.target_data)
    name = f"one_operation_{next(numbers)}"
    parsed.get_function("run").name = name
    engine().add_object_file(llvm.ObjectFileRef.from_data(machine.emit_object(parsed)))
    engine().finalize_object()
    code = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(kinds) + 1), ctypes.c_int64)(engine().get_function_address(name))

    def run(*arrays: np.ndarray) -> np.ndarray:
        size = arrays[0].size
        vectors = -(-size // lanes)
        padded = [np.resize(np.ascontiguousarray(a, d), vectors * lanes) for a, d in zip(arrays, kinds, strict=True)]
        target = np.empty(vectors * lanes, kind)
        code(target.ctypes.data, *[a.ctypes.data for a in padded], vectors)
        return target[:size]

    return run


numbers = iter(range(10**9))


def ulps(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """By how many units in its last place a result differs from a more exact one; inf where one is finite or nan and the other is not."""
    with np.errstate(all="ignore"):
        rounded = wanted.astype(got.dtype)
        error = np.abs(got.astype(wanted.dtype) - wanted) / np.spacing(np.abs(rounded)).astype(wanted.dtype)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    finite = np.isfinite(got) & np.isfinite(rounded)
    return np.where(finite, error, np.where(same, 0.0, math.inf))
