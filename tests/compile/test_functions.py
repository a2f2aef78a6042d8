"""VectorBuilder against NumpyKernel, operation by operation; and its functions against more exact ones."""

from __future__ import annotations

import math
import re
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from retrograd.compile.native import floating
from retrograd.compile.native.builder import VectorBuilder
from tests.compile.one_operation import compiled, module_of, ulps
from tests.numpy_kernel import NumpyKernel


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


LANES = (1, 4, 16)
FLOATS, INTEGERS = "fd", "bhil"
UNARY = words("exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sqrt rsqrt erf erfc lgamma")
EXACT_UNARY = words("neg abs floor ceil trunc round")
TESTS = words("isnan isinf logical_not")
BINARY = words("add sub mul div fmod min max copysign pow atan2")
COMPARISONS = words("eq ne lt le gt ge logical_and logical_or")
INTEGER_BINARY = words("add sub mul min max and_ or_ xor shl shr")


def special_floats(letter: str) -> np.ndarray:
    """Where functions of real numbers do something else."""
    info = np.finfo(letter)
    positive = [
        0.0,
        info.smallest_subnormal,
        info.tiny / 4,
        info.tiny,
        1e-5,
        0.25,
        0.5,
        1 - info.epsneg,
        1.0,
        1 + info.eps,
        1.5,
        2.0,
        2.5,
        3.0,
    ]
    positive += [
        math.pi / 2,
        math.pi,
        4.5,
        10.0,
        88.0,
        88.7,
        89.0,
        103.9,
        104.0,
        127.0,
        128.0,
        149.0,
        1e5 + 1,
        8388609.0,
        1e10,
        info.max,
        math.inf,
    ]
    return np.array([*positive, *[-x for x in positive], math.nan], letter)


def random_floats(letter: str, count: int) -> np.ndarray:
    """Random bit patterns, and ordinary numbers."""
    random = np.random.default_rng(0)
    size = np.dtype(letter).itemsize
    bits = random.integers(0, 1 << 8 * size, count, dtype=f"u{size}").view(letter)
    signs = random.choice([-1, 1], count)
    return np.concatenate(
        [bits, random.uniform(-1, 1, count).astype(letter), (signs * np.exp(random.uniform(-9, 6, count))).astype(letter)]
    )


def extended(x: np.ndarray, wide: type) -> np.ndarray:
    """The same numbers in a wider format."""
    with np.errstate(all="ignore"):  # some nan signal
        return x.astype(wide)


def floats(letter: str, count: int = 2000) -> np.ndarray:
    return np.concatenate([special_floats(letter), random_floats(letter, count)])


def integers(letter: str) -> np.ndarray:
    info = np.iinfo(letter)
    random = np.random.default_rng(0)
    special = [0, 1, -1, 2, -2, 3, 7, 8, 31, 63, 64, 100, info.max, info.min, info.min + 1]
    return np.concatenate([np.array(special, letter), random.integers(info.min, info.max, 200, letter), random.integers(-9, 9, 99, letter)])


def pairs(values: np.ndarray, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of the first values, and random ones."""
    first = values[:63]
    i, j = np.random.default_rng(1).integers(0, values.size, (2, count))
    return np.concatenate([np.repeat(first, first.size), values[i]]), np.concatenate([np.tile(first, first.size), values[j]])


def emit(name: str) -> Any:
    return lambda k, *operands: getattr(k, name)(*operands)


@np.errstate(all="ignore")
def wanted(name: str, *operands: np.ndarray) -> np.ndarray:
    return getattr(NumpyKernel, name)(*operands)


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal, where nan equals nan and zeros have their sign."""
    np.testing.assert_array_equal(got, expected)
    if got.dtype.kind == "f":
        zero = expected == 0
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


# ---------------------------------------------------------------- agreement with NumpyKernel


def test_every_method_is_there():
    missing = [name for name in vars(NumpyKernel) if not name.startswith("_") and not callable(getattr(VectorBuilder, name, None))]
    tested = {*UNARY, *EXACT_UNARY, *TESTS, *BINARY, *COMPARISONS, *INTEGER_BINARY, "not_", "select", "const"}
    assert not missing
    assert {name for name in vars(NumpyKernel) if not name.startswith("_")} == tested


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_functions_are_within_two_ulps(name: str, letter: str, lanes: int):
    """In floats against NumPy's doubles; in doubles against its extended precision, where the machine has one."""
    x = floats(letter)
    wide = np.float64 if letter == "f" or np.finfo(np.longdouble).nmant <= 52 or name in ("erf", "erfc", "lgamma") else np.longdouble
    got, expected = compiled(emit(name), letter, letter, lanes)(x), wanted(name, extended(x, wide))
    error, bound = ulps(got, expected), 2.0
    if letter == "d" and wide is np.float64:  # their own errors come on top; Python's lgamma loses digits where it is small
        with np.errstate(invalid="ignore"):
            bound, error = 16.0 if name == "lgamma" else 4.0, np.where(np.abs(got - expected) < 1e-15, 0.0, error)
    worst = int(error.argmax())
    assert error[worst] <= bound, f"{name}({x[worst]!r}) is {got[worst]!r}, {error[worst]} ulps from {expected[worst]!r}"
    zero = (got == 0) & (expected == 0)
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", FLOATS)
@pytest.mark.parametrize("name", EXACT_UNARY + TESTS)
def test_unary_operations(name: str, letter: str, lanes: int):
    x = floats(letter)
    assert_same(compiled(emit(name), letter, "?" if name in TESTS else letter, lanes)(x), wanted(name, x))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", FLOATS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_operations(name: str, letter: str, lanes: int):
    x, y = pairs(floats(letter))
    got = compiled(emit(name), letter * 2, letter, lanes)(x, y)
    if name in ("min", "max"):
        np.testing.assert_array_equal(got, wanted(name, x, y))  # of two zeros either is right
    elif name in ("pow", "atan2"):
        wide = np.float64 if letter == "f" or np.finfo(np.longdouble).nmant <= 52 else np.longdouble
        expected = wanted(name, extended(x, wide), extended(y, wide))
        error = ulps(got, expected)
        worst = int(error.argmax())
        assert error[worst] <= 2, f"{name}({x[worst]!r}, {y[worst]!r}) is {got[worst]!r} and not {expected[worst]!r}"
        zero = (got == 0) & (expected == 0)
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))
    else:
        assert_same(got, wanted(name, x, y))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", FLOATS + INTEGERS + "?")
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str, letter: str, lanes: int):
    values = np.array([False, True]) if letter == "?" else integers(letter) if letter in INTEGERS else floats(letter, 100)
    x, y = pairs(values)
    assert_same(compiled(emit(name), letter * 2, "?", lanes)(x, y), wanted(name, x, y))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", INTEGERS)
@pytest.mark.parametrize("name", INTEGER_BINARY)
def test_integer_operations(name: str, letter: str, lanes: int):
    x, y = pairs(integers(letter))
    assert_same(compiled(emit(name), letter * 2, letter, lanes)(x, y), wanted(name, x, y))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", INTEGERS)
def test_unary_integer_operations(letter: str, lanes: int):
    x = integers(letter)
    for name in ("neg", "abs", "not_", "floor", "ceil", "trunc", "round"):
        expected = x if name in ("floor", "ceil", "trunc", "round") else wanted(name, x)
        assert_same(compiled(emit(name), letter, letter, lanes)(x), expected)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", INTEGERS)
def test_integer_division(letter: str, lanes: int):
    """Rounded towards zero; nothing stops at zero or at the lowest number by -1."""
    x, y = pairs(integers(letter))
    quotient, rest = (compiled(emit(name), letter * 2, letter, lanes)(x, y) for name in ("div", "fmod"))
    usual = (y != 0) & ~((y == -1) & (x == np.iinfo(letter).min))
    exact = [int(abs(int(a)) // abs(int(b))) * (1 if (a < 0) == (b < 0) else -1) for a, b in zip(x[usual], y[usual], strict=True)]
    assert quotient[usual].tolist() == exact
    assert (quotient[y == 0] == 0).all()
    np.testing.assert_array_equal(rest, wanted("fmod", x, y))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", INTEGERS)
def test_integer_powers(letter: str, lanes: int):
    x, y = pairs(integers(letter))
    got = compiled(emit("pow"), letter * 2, letter, lanes)(x, y)
    natural = y >= 0
    np.testing.assert_array_equal(got[natural], x[natural] ** y[natural])
    units = np.where(x == 1, 1, np.where(x == -1, np.where(y % 2 == 0, 1, -1), 0))
    np.testing.assert_array_equal(got[~natural], units[~natural])


@pytest.mark.parametrize("lanes", LANES)
def test_truth_values(lanes: int):
    x, y = np.repeat([False, True], 2), np.tile([False, True], 2)
    for name in ("add", "mul", "min", "max", "and_", "or_", "xor"):
        assert_same(compiled(emit(name), "??", "?", lanes)(x, y), wanted(name, x, y))
    for name in ("not_", "logical_not", "abs", "isnan", "isinf"):
        assert_same(compiled(emit(name), "?", "?", lanes)(x), wanted(name, x))


@pytest.mark.parametrize("lanes", LANES)
def test_select_and_const(lanes: int):
    condition, x, y = np.arange(32) % 3 == 0, floats("f")[:32], floats("f")[32:64]
    assert_same(compiled(emit("select"), "?ff", "f", lanes)(condition, x, y), np.where(condition, x, y))
    assert_same(compiled(lambda k, a: k.select(k.gt(a, 0), 1.5, k.const(-2, a)), "f", "f", lanes)(x), np.where(x > 0, 1.5, -2).astype("f"))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, -1, 0.5, -0.5, 1.5])
@pytest.mark.parametrize("letter", FLOATS)
def test_powers_with_a_known_exponent(letter: str, exponent: float):
    x = floats(letter)
    wide = np.float64 if letter == "f" or np.finfo(np.longdouble).nmant <= 52 else np.longdouble
    got = compiled(lambda k, a: k.pow(a, k.const(exponent, a)), letter, letter, 16)(x)
    assert ulps(got, wanted("pow", extended(x, wide), np.full(x.size, exponent, wide))).max() <= 2


@pytest.mark.parametrize("letter", FLOATS)
@pytest.mark.parametrize("name", ["min", "max"])
def test_extremes_with_a_known_number_keep_nan(name: str, letter: str):
    x = floats(letter)
    for method in (lambda k, a: getattr(k, name)(a, 0.5), lambda k, a: getattr(k, name)(k.const(0.5, a), a)):
        assert_same(compiled(method, letter, letter, 16)(x), wanted(name, x, np.dtype(letter).type(0.5)))


# ---------------------------------------------------------------- one lane is like many


@pytest.mark.parametrize("letter", FLOATS)
@pytest.mark.parametrize("name", [*(n for n in UNARY if n != "lgamma"), "pow", "atan2"])
def test_an_element_has_the_same_bits_alone_and_in_a_vector(name: str, letter: str, monkeypatch: pytest.MonkeyPatch):
    x, y = pairs(floats(letter), 20_000)
    operands = (x, y) if name in ("pow", "atan2") else (x,)
    results = [compiled(emit(name), letter * len(operands), letter, lanes)(*operands) for lanes in (16, 8, 4, 2, 1)]

    class Narrow:
        vector_bits = 256

    monkeypatch.setattr(floating, "host", lambda: Narrow)  # as on processors without AVX-512
    results.append(compiled(emit(name), letter * len(operands), letter, 16)(*operands))
    for other in results[1:]:
        assert_same(other, results[0])


TARGETS = [("x86_64-unknown-linux-gnu", "x86-64-v4", 512), ("x86_64-unknown-linux-gnu", "x86-64-v3", 256), ("aarch64-unknown-linux-gnu", "neoverse-n1", 128)]  # fmt: skip


@pytest.mark.parametrize(("triple", "cpu", "bits"), TARGETS, ids=lambda v: str(v))
@pytest.mark.parametrize("letter", FLOATS)
def test_functions_are_vectors_on_every_kind_of_processor(triple: str, cpu: str, bits: int, letter: str, monkeypatch: pytest.MonkeyPatch):
    """No function calls the system's library, and multiplication and addition are one instruction on whole registers."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()

    class Other:
        vector_bits = bits

    monkeypatch.setattr(floating, "host", lambda: Other)
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=2)
    lanes = bits // 8 // np.dtype(letter).itemsize
    fused = {512: r"vfn?m\w+p[sd]\s.*zmm", 256: r"vfn?m\w+p[sd]\s.*ymm", 128: r"fml[as]\s+v\d+\.[24][sd]"}[bits]
    for name in [n for n in UNARY if n not in ("lgamma", "sqrt", "rsqrt")] + ["pow", "atan2"]:
        operands = [np.dtype(letter)] * (2 if name in ("pow", "atan2") else 1)
        parsed = llvm.parse_assembly(str(module_of(emit(name), operands, np.dtype(letter), lanes)))
        parsed.triple, parsed.data_layout = triple, str(machine.target_data)
        text = machine.emit_assembly(parsed)
        called = set(re.findall(r"^\s+(?:callq?|bl|b|jmp)\s+\*?\"?([A-Za-z_][\w.]*)", text, re.MULTILINE))
        assert not {c for c in called if not c.startswith("retrograd.")}, name
        assert re.search(fused, text), name


# ---------------------------------------------------------------- lanes, memory, casts


def test_masks_leave_other_memory_alone():
    for letter, element in (("f", ir.FloatType()), ("d", ir.DoubleType()), ("i", ir.IntType(32)), ("?", ir.IntType(1))):
        for mask in (1, 3, 7, 8):
            x, counts = np.ones(8, letter), np.arange(8) < mask
            np.testing.assert_array_equal(compiled(over_zeros(element, mask), letter, letter, 8)(x), x * counts)
            np.testing.assert_array_equal(compiled(part_of_memory(element, mask), letter, letter, 8)(x), x * counts)


def over_zeros(element: ir.Type, mask: int) -> Any:
    """Stores a part of a vector over zeros, and loads all."""

    def method(k: VectorBuilder, x: Any) -> Any:
        room = k.b.alloca(ir.ArrayType(ir.IntType(8), 64))
        room.type = ir.PointerType()
        k.store(k.const(0, x), room)
        k.store(x, room, mask)
        return k.load(room, element)

    return method


def part_of_memory(element: ir.Type, mask: int) -> Any:
    """Stores a vector, and loads a part."""

    def method(k: VectorBuilder, x: Any) -> Any:
        room = k.b.alloca(ir.ArrayType(ir.IntType(8), 64))
        room.type = ir.PointerType()
        k.store(x, room)
        return k.load(room, element, mask)

    return method


@pytest.mark.parametrize("mask", [0, 9, -1])
def test_masks_are_checked(mask: int):
    with pytest.raises(ValueError, match="between 1 and 8"):
        compiled(lambda k, x: k.load(k.b.alloca(x.type), ir.FloatType(), mask), "f", "f", 8)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("letter", "fdil")
def test_across_lanes(letter: str, lanes: int):
    x = np.random.default_rng(0).integers(-3, 4, 64).astype(letter)
    rows = x.reshape(-1, lanes)
    for name in ("sum", "prod", "min", "max"):
        got = compiled(lambda k, a, name=name: k.splat(getattr(k, name)(a)), letter, letter, lanes)(x)
        np.testing.assert_array_equal(got, np.repeat(getattr(np, name)(rows, axis=1), lanes).astype(letter))


def test_nan_goes_across_lanes():
    x = np.array([1, 2, 3, math.nan, 5, 6, 7, 8], "f")
    for name in ("min", "max"):
        assert np.isnan(compiled(lambda k, a, name=name: k.splat(getattr(k, name)(a)), "f", "f", 8)(x)).all()


@pytest.mark.parametrize("lanes", LANES)
def test_iota_gather_and_scalars(lanes: int):
    x = np.arange(32, dtype="f") ** 2

    def backwards(k: VectorBuilder, a: Any) -> Any:
        room = k.b.alloca(ir.ArrayType(ir.FloatType(), lanes))
        room.type = ir.PointerType()
        k.store(a, room)
        return k.gather(room, k.sub(lanes - 1, k.iota(ir.IntType(64))), ir.FloatType())

    np.testing.assert_array_equal(compiled(backwards, "f", "f", lanes)(x), x.reshape(-1, lanes)[:, ::-1].ravel())
    half = ir.Constant(ir.FloatType(), 0.5)
    np.testing.assert_array_equal(
        compiled(lambda k, a: k.fma(half, a, k.sum(half)), "f", "f", lanes)(x), x * np.float32(0.5) + np.float32(0.5)
    )


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("source", FLOATS + INTEGERS + "?")
@pytest.mark.parametrize("target", FLOATS + INTEGERS + "?")
def test_casts(source: str, target: str, lanes: int):
    x = np.array([0, 1, 2, 3, -1, -2, 100, -100, 0, 1, 1, 0, 7, 8, -9, 10]).astype(source)
    if source in FLOATS:
        x = x + np.dtype(source).type(0.75)
    got = compiled(lambda k, a: k.cast(a, source, target), source, target, lanes)(x)
    assert_same(got, x.astype(target))


def test_what_has_no_meaning_is_refused():
    for method, letter, message in (
        (lambda k, x: k.sub(x, x), "?", "sub expected numbers, got bool"),
        (lambda k, x: k.exp(x), "i", "expected float32 or float64"),
        (lambda k, x: k.sqrt(x), "l", "sqrt expected float32 or float64"),
        (lambda k, x: k.cast(x, "f", "D"), "f", "not with complex128"),
        (lambda k, x: k.select(k.eq(x, x), 1, 2), "f", "select expected at least one value"),
    ):
        with pytest.raises(TypeError, match=message):
            compiled(method, letter, letter, 4)
    with pytest.raises(ValueError, match="power of two"):
        VectorBuilder(ir.IRBuilder(), 3)
