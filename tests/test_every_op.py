"""A dozen properties of every operation, for each of its samples in tests/samples/: an operation added there is covered by all.

Without PyTorch the comparisons with it are skipped, and say so; everything else runs.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import zlib
from typing import Any

import numpy as np
import pytest

import retrograd as rg
import tests.samples
from retrograd.core.op import OPS, Op
from tests.numpy_kernel import NumpyKernel
from tests.sampling import Error, Sample

try:
    import torch
except ImportError:
    torch = None

MODULES = [importlib.import_module(f"tests.samples.{m.name}") for m in pkgutil.iter_modules(tests.samples.__path__)]
SAMPLES: list[tuple[str, Sample]] = [(n, s) for m in MODULES for n, ss in m.SAMPLES.items() for s in ss]
ERRORS: list[tuple[str, Error]] = [(n, e) for m in MODULES for n, es in getattr(m, "ERRORS", {}).items() for e in es]

over_samples = pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[f"{n}({s!r})" for n, s in SAMPLES])
SMOOTH = [(n, s) for n, s in SAMPLES if s.smooth and any(t.kind == "T" and t.grad for t in s.specs())]
over_smooth = pytest.mark.parametrize(("name", "sample"), SMOOTH, ids=[f"{n}({s!r})" for n, s in SMOOTH])
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch, the oracle, is not installed")


def look_up(root: Any, name: str) -> Any:
    """The function at a dotted path; a name that starts with a dot is a method, called on its first argument."""
    if name.startswith("."):
        return lambda first, *args, **kwargs: getattr(first, name[1:])(*args, **kwargs)
    return functools.reduce(getattr, name.split("."), root)


def ours(array: np.ndarray, differentiable: bool) -> rg.Tensor:
    """One of our leaves."""
    return rg.from_numpy(np.array(array)).requires_grad_(differentiable)


def theirs(array: np.ndarray, differentiable: bool) -> Any:
    """One of PyTorch's leaves."""
    return torch.from_numpy(np.array(array)).requires_grad_(differentiable)


def tensors_in(tree: Any, kind: Any) -> list[Any]:
    """All tensors of a result or of arguments, in order."""
    if isinstance(tree, (tuple, list, dict)):  # PyTorch's named tuples too, which are no named tuples of Python's
        return [x for value in (tree.values() if isinstance(tree, dict) else tree) for x in tensors_in(value, kind)]
    return [tree] if isinstance(tree, kind) else []


def call_ours(name: str, sample: Sample, dtype: Any = np.float64, make: Any = ours) -> tuple[list[Any], list[Any], Any]:
    """(results, differentiable leaves, raw result) of a sample."""
    args, kwargs = sample.build(make, dtype)
    leaves = [x for x in tensors_in((args, kwargs), rg.Tensor) if x.requires_grad]
    # an in-place operation needs an operand that is not a leaf
    if name.endswith("_") and leaves:
        args, kwargs = rebuilt(args, kwargs)
    result = look_up(rg, name)(*args, **kwargs)
    return tensors_in(result, rg.Tensor), leaves, result


def rebuilt(args: Any, kwargs: Any) -> Any:
    """The arguments with the first tensor exchanged for one that was computed from it."""
    return [args[0] * 1, *args[1:]] if hasattr(args[0], "requires_grad") else args, kwargs


def floating(results: list[Any]) -> list[Any]:
    """Those results that carry a gradient."""
    return [r for r in results if r.requires_grad]


def cotangents(results: list[Any], seed: int = 0) -> list[np.ndarray]:
    """Random vectors of the results' shapes."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(tuple(r.shape)) for r in results]


# ---------------------------------------------------------------- the registry is covered


def test_every_op_has_a_sample():
    """Each operation of the registry is run by some sample: none is untested."""
    ran = set()
    eager = Op.eager

    def spy(self, args, params):
        ran.add(self.name)
        return eager(self, args, params)

    patched = pytest.MonkeyPatch()
    for op in OPS.values():  # the quick entries of elementwise operations do not pass through `eager`
        if type(op).eager is not eager:
            family = type(op).eager
            patched.setattr(type(op), "eager", lambda self, a, p, f=family: (ran.add(self.name), f(self, a, p))[1])
    patched.setattr(Op, "eager", spy)
    rg.core.levels.switch.add(1)
    try:
        for name, sample in SAMPLES:
            results, leaves, _ = call_ours(name, sample)
            wanted = floating(results)
            if wanted and leaves:
                first = rg.autograd.grad(wanted, leaves, [r * 0 + 1 for r in wanted], create_graph=True, allow_unused=True)
                again = [g for g in first if g is not None and g.requires_grad]
                if again:
                    rg.autograd.grad(again, leaves, [g.detach() * 0 + 1 for g in again], allow_unused=True, create_graph=True)
    finally:
        rg.core.levels.switch.add(-1)
        patched.undo()
    elsewhere = {
        "view_dtype",
        "outside",
    }  # one takes a dtype (tests/core/test_tensor.py), one runs in records alone (tests/compile/test_fallback.py)
    missing = sorted(set(OPS) - ran - elsewhere)
    assert not missing, f"no sample in tests/samples runs: {', '.join(missing)}"


# ---------------------------------------------------------------- against PyTorch

NOT_UNIQUE = frozenset(["linalg.svd", "linalg.eig", "linalg.eigh"])  # vectors may have either sign; gradients are those of smooth functions
SINGLE = frozenset(["nn.functional.hardsigmoid"])  # PyTorch computes with a constant of single precision in double


@needs_torch
@over_samples
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_forward_and_gradient_are_torchs(name: str, sample: Sample, dtype: Any):
    """Values, shapes, dtypes, and gradients for a random cotangent."""
    if name in NOT_UNIQUE:
        return
    results, leaves, _ = call_ours(name, sample, dtype)
    args, kwargs = sample.build(theirs, dtype)
    their_leaves = [x for x in tensors_in((args, kwargs), torch.Tensor) if x.requires_grad]
    if name.endswith("_") and their_leaves:
        args, kwargs = rebuilt(args, kwargs)
    expected = tensors_in(look_up(torch, name)(*args, **kwargs), torch.Tensor)
    assert len(results) == len(expected)

    def close(mine: np.ndarray, torchs: np.ndarray) -> None:
        double = mine.dtype in (np.float64, np.complex128) and name not in SINGLE
        np.testing.assert_allclose(mine, torchs, **({"rtol": 1e-9, "atol": 1e-10} if double else {"rtol": 2e-4, "atol": 2e-5}))

    for r, e in zip(results, expected, strict=True):
        assert str(r.dtype) == str(e.dtype)
        assert tuple(r.shape) == tuple(e.shape)
        assert r.requires_grad == e.requires_grad
        close(r.detach().numpy(), e.detach().resolve_conj().numpy())
    wanted, their_wanted = floating(results), [e for e in expected if e.requires_grad]
    if not wanted:
        return
    vs = cotangents(wanted)
    vs = [v.astype(w.detach().numpy().dtype) for v, w in zip(vs, wanted, strict=True)]
    mine = rg.autograd.grad(wanted, leaves, [rg.from_numpy(v) for v in vs], allow_unused=True)
    torchs = torch.autograd.grad(their_wanted, their_leaves, [torch.from_numpy(v) for v in vs], allow_unused=True)
    for m, t in zip(mine, torchs, strict=True):
        if t is None or m is None:
            assert m is None or not m.numpy().any()
            assert t is None or not t.numpy(force=True).any()
            continue
        assert str(m.dtype) == str(t.dtype)
        close(m.detach().numpy(), t.detach().resolve_conj().numpy(force=True))


@needs_torch
@pytest.mark.parametrize(("name", "error"), ERRORS, ids=[f"{n}({e.sample!r})" for n, e in ERRORS])
def test_errors_are_of_torchs_type(name: str, error: Error):
    """Where PyTorch has the operation, it raises that type too."""
    args, kwargs = error.sample.build(theirs)
    with pytest.raises(error.raises):
        look_up(torch, name)(*args, **kwargs)


@pytest.mark.parametrize(("name", "error"), ERRORS, ids=[f"{n}({e.sample!r})" for n, e in ERRORS])
def test_errors(name: str, error: Error):
    """Bad arguments raise PyTorch's type, with a message that says what was wrong."""
    args, kwargs = error.sample.build(ours)
    with pytest.raises(error.raises, match=error.match or None):
        look_up(rg, name)(*args, **kwargs)


# ---------------------------------------------------------------- derivatives against differences


def projected(name: str, sample: Sample, seed: int = 1) -> Any:
    """The sample as a function of one number: its differentiable leaves move along a random line, its results are projected."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    directions: list[np.ndarray] = []

    def make_at(step: float) -> Any:
        place = 0

        def make(array: np.ndarray, differentiable: bool) -> rg.Tensor:
            nonlocal place
            if not differentiable:
                return ours(array, False)
            if place == len(directions):
                directions.append(rng.standard_normal(array.shape))
            moved = array + step * directions[place]
            place += 1
            return ours(moved, True)

        return make

    return make_at, directions


def value_and_slope(name: str, sample: Sample, make: Any, directions: list[np.ndarray], vs: list[np.ndarray]) -> tuple[float, float]:
    """The projected value, and its derivative along the line as the gradient gives it."""
    results, leaves, _ = call_ours(name, sample, make=make)
    wanted = floating(results)
    value = sum(float((r.detach().numpy() * v).sum()) for r, v in zip(wanted, vs, strict=True))
    grads = rg.autograd.grad(wanted, leaves, [rg.from_numpy(v) for v in vs], allow_unused=True)
    slope = sum(float((g.numpy() * d).sum()) for g, d in zip(grads, directions, strict=True) if g is not None)
    return value, slope


@over_smooth
def test_gradient_is_the_slope(name: str, sample: Sample):
    """The gradient along a random direction is the central difference along it."""
    make_at, directions = projected(name, sample)
    results, _, _ = call_ours(name, sample, make=make_at(0.0))
    wanted = floating(results)
    if not wanted or np.iscomplexobj(wanted[0].detach().numpy()):
        return
    vs = cotangents(wanted)
    _, slope = value_and_slope(name, sample, make_at(0.0), directions, vs)
    h = 1e-6
    up, _ = value_and_slope(name, sample, make_at(h), directions, vs)
    down, _ = value_and_slope(name, sample, make_at(-h), directions, vs)
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-5, atol=1e-6)


@over_smooth
def test_second_gradient_is_the_slope_of_the_first(name: str, sample: Sample):
    """The gradient of the gradient is the central difference of the gradient."""
    make_at, directions = projected(name, sample)
    results, leaves, _ = call_ours(name, sample, make=make_at(0.0))
    wanted = floating(results)
    if not wanted or np.iscomplexobj(wanted[0].detach().numpy()):
        return
    vs = cotangents(wanted)
    grads = rg.autograd.grad(wanted, leaves, [rg.from_numpy(v) for v in vs], create_graph=True, allow_unused=True)
    slope = sum(
        ((g * rg.from_numpy(d)).sum() for g, d in zip(grads, directions, strict=True) if g is not None),
        start=rg.zeros((), dtype=rg.float64),
    )
    second = 0.0
    if slope.requires_grad:
        again = rg.autograd.grad(slope, leaves, allow_unused=True)
        second = sum(float((g.numpy() * d).sum()) for g, d in zip(again, directions, strict=True) if g is not None)
    h = 1e-5
    _, up = value_and_slope(name, sample, make_at(h), directions, vs)
    _, down = value_and_slope(name, sample, make_at(-h), directions, vs)
    np.testing.assert_allclose(second, (up - down) / (2 * h), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- first-order and recorded walks agree; nothing is aliased


@over_smooth
def test_rules_agree_on_arrays_and_tensors(name: str, sample: Sample):
    """A rule gives the same cotangents on bare arrays and on Tensors, and never hands out what the tape has saved."""
    results, leaves, _ = call_ours(name, sample)
    wanted = floating(results)
    if not wanted:
        return
    vs = [rg.from_numpy(v.astype(w.detach().numpy().dtype)) for v, w in zip(cotangents(wanted), wanted, strict=True)]
    before = [x.detach().clone() for x in leaves]
    # clones: the gradient of an operand that is passed on may be the very tensor that came in, in PyTorch too
    plain = rg.autograd.grad(wanted, leaves, [v.clone() for v in vs], allow_unused=True, retain_graph=True)
    recorded = rg.autograd.grad(wanted, leaves, vs, allow_unused=True, create_graph=True)
    for p, r in zip(plain, recorded, strict=True):
        assert (p is None) == (r is None)
        if p is not None:
            np.testing.assert_allclose(p.numpy(), r.detach().numpy(), rtol=1e-9, atol=1e-12)
    for p in plain:
        if p is not None:
            p.mul_(0)
    for x, b in zip(leaves, before, strict=True):
        assert np.array_equal(x.detach().numpy(), b.numpy()), "writing to a gradient changed an operand"
    once_more = rg.autograd.grad(wanted, leaves, vs, allow_unused=True)
    for r, o in zip(recorded, once_more, strict=True):
        if r is not None:
            np.testing.assert_allclose(r.detach().numpy(), o.numpy(), rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- forward mode and batching


DIFFERENTIABLE = [(n, s) for n, s in SAMPLES if s.smooth and any(t.kind in "TC" and t.grad for t in s.specs())]


@pytest.mark.parametrize(("name", "sample"), DIFFERENTIABLE, ids=[f"{n}({s!r})" for n, s in DIFFERENTIABLE])
def test_forward_mode_is_adjoint_to_reverse_mode(name: str, sample: Sample):
    """⟨u, J t⟩ = ⟨Jᴴ u, t⟩ for random u and t, with ⟨a, b⟩ = Re Σ conj(a) b where numbers are complex."""
    if name.endswith("_"):
        return
    results, leaves, _ = call_ours(name, sample)
    wanted = floating(results)
    if not wanted:
        return
    rng = np.random.default_rng(3)

    def random_like(x: Any) -> rg.Tensor:
        values = rng.standard_normal(tuple(x.shape))
        return rg.from_numpy(np.asarray(values + 1j * rng.standard_normal(tuple(x.shape)) if x.dtype.is_complex else values))

    def product(a: Any, b: Any) -> float:
        return float(np.real(np.vdot(a.numpy(), b.numpy())))

    ts, us = [random_like(x) for x in leaves], [random_like(y) for y in wanted]
    pulled = rg.autograd.grad(wanted, leaves, us, allow_unused=True)
    right = sum(product(g, t) for g, t in zip(pulled, ts, strict=True) if g is not None)
    keep = [i for i, r in enumerate(results) if r.requires_grad]

    def function(*values: Any) -> Any:
        supply = iter(values)
        args, kwargs = sample.build(lambda a, d: next(supply) if d else ours(a, False))
        out = tensors_in(look_up(rg, name)(*args, **kwargs), rg.Tensor)
        return tuple(out[i] for i in keep)

    _, pushed = rg.func.jvp(function, tuple(x.detach() for x in leaves), tuple(ts))
    left = sum(product(u, p) for u, p in zip(us, pushed, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-9)


@over_samples
def test_vmap_is_a_loop(name: str, sample: Sample):
    """Batching the first tensor gives what a loop over its slices gives."""
    specs = sample.specs()
    if name.endswith("_") or not specs or specs[0].kind != "T" or name in NOT_BATCHED:
        return

    def function(first: Any) -> Any:
        supply = iter([first])
        args, kwargs = sample.build(lambda a, d: next(supply, None) if a is marker[0] else ours(a, False))
        return tuple(tensors_in(look_up(rg, name)(*args, **kwargs), rg.Tensor))

    marker: list[Any] = [None]

    def with_first(first: Any) -> Any:
        seen = False

        def make(array: np.ndarray, differentiable: bool) -> Any:
            nonlocal seen
            if not seen:
                seen = True
                return first
            return ours(array, False)

        args, kwargs = sample.build(make)
        return tuple(tensors_in(look_up(rg, name)(*args, **kwargs), rg.Tensor))

    batch = [rg.from_numpy(np.array(specs[0].array(i + 1))) for i in range(3)]
    looped = [with_first(x) for x in batch]
    if not looped[0]:
        return
    batched = rg.func.vmap(with_first)(rg.stack(batch))
    for i, column in enumerate(batched):
        np.testing.assert_allclose(column.numpy(), np.stack([row[i].numpy() for row in looped]), rtol=1e-9, atol=1e-12)


# Operations whose result's shape depends on numbers, or that look at numbers: not to be batched, in PyTorch either.
NOT_BATCHED = frozenset(
    [
        "allclose",
        "equal",
        "nonzero",
        "argwhere",
        "unique",
        "unique_consecutive",
        "masked_select",
        "bincount",
        "histc",
        "histogram",
        "repeat_interleave",
        "tolist",
        "nn.functional.one_hot",
        "combinations",
        "isin",
        "nanquantile",
        "quantile",
        "corrcoef",
        "cov",
        "view_as_complex",
    ]
)


METHOD_DIFFERS = frozenset(["where"])  # the tensor is the second argument


# ---------------------------------------------------------------- memory layout


@over_samples
def test_layout_does_not_matter(name: str, sample: Sample):
    """Operands that are not contiguous give the same result."""
    if any(s.kind == "T" and len(s.shape) >= 2 for s in sample.specs()) and name not in {".view", ".view_as", "view_as_complex"}:

        def strided(array: np.ndarray, differentiable: bool) -> rg.Tensor:
            if array.ndim < 2:
                return ours(array, False)
            return rg.from_numpy(np.array(np.swapaxes(array, 0, -1), order="C")).transpose(0, -1)

        plain, _, _ = call_ours(name, sample, make=lambda a, d: ours(a, False))
        other, _, _ = call_ours(name, sample, make=strided)
        for p, o in zip(plain, other, strict=True):
            np.testing.assert_allclose(p.numpy(), o.numpy(), rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- kernels, methods, out=, in place


def elementwise_ops() -> list[Op]:
    """Operations with a rule for one element."""
    return [op for op in OPS.values() if op.kernel_rule is not None]


@pytest.mark.parametrize("op", elementwise_ops(), ids=lambda op: op.name)
def test_kernel_rule_is_the_forward(op: Op):
    """The rule for one element, run by NumPy on all at once, gives what the forward function gives."""
    calls: list[tuple[Any, Any, Any]] = []
    forward = op.forward

    def spy(*args, **params):
        kept = tuple([a.copy() if isinstance(a, np.ndarray) else a for a in args])  # an in-place sample writes over them
        y = forward(*args, **params)
        calls.append((kept, params, np.copy(y)))
        return y

    patched = pytest.MonkeyPatch()
    patched.setattr(op, "forward", spy)
    rg.core.levels.switch.add(1)  # the quick entries hold the forward function itself
    try:
        for name, sample in SAMPLES:
            if relevant(op, name):
                results, leaves, _ = call_ours(name, sample)
                if (wanted := floating(results)) and leaves:  # some are used in derivatives only
                    rg.autograd.grad(wanted, leaves, [rg.ones_like(r) for r in wanted], create_graph=True, allow_unused=True)
    finally:
        rg.core.levels.switch.add(-1)
        patched.undo()
    assert calls, f"no sample named like {op.name} runs it"
    with np.errstate(all="ignore"):
        for args, params, y in calls:
            if np.iscomplexobj(y) or any(np.iscomplexobj(a) for a in args):  # machine code has real numbers only
                continue
            wanted = inspect.signature(op.kernel_rule).parameters
            given = {k: v for k, v in {**op.defaults, **params}.items() if k in wanted}
            mine = op.kernel_rule(NumpyKernel, *[a for a in args if a is not None], **given)
            tight = {"rtol": 1e-6} if y.dtype == np.float32 else {"rtol": 1e-9, "atol": 1e-12}
            np.testing.assert_allclose(np.broadcast_to(mine, np.shape(y)), y, **tight)


def relevant(op: Op, name: str) -> bool:
    """Whether a sample's name suggests that it runs the operation (all of them would take too long)."""
    last = name.split(".")[-1].rstrip("_")
    return op.name in last or last in op.name or last in ALSO.get(op.name, "").split()


ALSO = {
    "where": "where masked_fill", "scaled_sum": "addmm", "log_sigmoid": "logsigmoid", "gelu_slope": "gelu", "_conj": "conj",
}  # fmt: skip


@over_samples
def test_out_and_method_agree(name: str, sample: Sample):
    """`Tensor.name` and `out=` give what the function gives."""
    if "." in name or name.endswith("_"):
        return
    function = getattr(rg, name)
    args, kwargs = sample.build(lambda a, d: ours(a, False))
    expected = function(*args, **kwargs)
    if not isinstance(expected, rg.Tensor):
        return
    method = getattr(rg.Tensor, name, None)
    if callable(method) and name not in METHOD_DIFFERS and args and isinstance(args[0], rg.Tensor):
        np.testing.assert_array_equal(getattr(args[0], name)(*args[1:], **kwargs).numpy(), expected.numpy())
    if "out" in inspect.signature(function, follow_wrapped=False).parameters:
        out = rg.empty(expected.shape, dtype=expected.dtype)
        assert function(*args, **kwargs, out=out) is out
        np.testing.assert_array_equal(out.numpy(), expected.numpy())
