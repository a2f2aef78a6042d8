"""What random programs are made of: families of operations, each a function that tries to add a line to a program.

A family picks values that are likely to fit; whether they do is for the library to say (see programs.Maker.keep). Where a result jumps
(rounding, comparisons, order), the values are such as were not computed, so that no difference in rounding makes another program of it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace

import retrograd as torch
from tests.compile.programs import Maker, RandomProgram

Family = Callable[[Maker], bool]

SMOOTH = [
    "tanh",
    "sin",
    "cos",
    "sigmoid",
    "relu",
    "abs",
    "neg",
    "erf",
    "square",
    "atan",
    "expm1",
    "exp",
    "floor_of_exact",
    "F.softplus",
    "F.silu",
    "F.gelu",
    "F.elu",
    "F.leaky_relu",
    "F.hardswish",
    "F.mish",
    "F.relu6",
    "F.selu",
    "F.softsign",
    "F.logsigmoid",
    "F.hardsigmoid",
    "F.tanhshrink",
    "asinh",
    "positive",
    "exp2",
    "sinc",
    "erfc",
    "F.hardtanh",
    "F.celu",
    "deg2rad",
]
EXACT_AT_INFINITY = (
    "tanh sin cos sigmoid relu abs neg square atan expm1 exp erf exp2 F.hardtanh F.relu6 F.leaky_relu sign".split()  # noqa: SIM905
)
POSITIVE = ["log", "sqrt", "rsqrt", "reciprocal", "log2", "log10", "log1p", "lgamma", "digamma"]
WITHIN = ["asin", "acos", "atanh", "erfinv"]
JUMPS = ["floor", "ceil", "round", "trunc", "sign", "isnan", "isfinite", "signbit", "logical_not", "frac"]
INTEGERS = ["abs", "neg", "sign", "bitwise_not", "square"]


def unary(m: Maker) -> bool:
    """A function of one element."""
    x = m.real()
    match m.rng.randrange(7):
        case 0:
            return m.keep(f"torch.{m.rng.choice(POSITIVE)}({x}.abs() + 0.5)")
        case 1:
            return m.keep(f"torch.{m.rng.choice(WITHIN)}(torch.tanh({x}) * 0.9)")
        case 2:
            x = m.tensor(lambda t: t.is_floating_point(), m.exact)
            return m.keep(f"torch.{m.rng.choice(JUMPS)}({x})", exact=True)
        case 3:
            low, high = sorted(m.rng.choice([-1.0, -0.5, 0.0, 0.3, 1.0]) for _ in range(2))
            return m.keep(m.rng.choice([f"{x}.clamp({low}, {high})", f"{x}.clamp(min={low})", f"torch.clamp_max({x}, {high})"]))
        case _:
            f = m.rng.choice(EXACT_AT_INFINITY if m.special else SMOOTH)
            if f == "floor_of_exact":
                return m.keep(f"torch.floor({m.tensor(lambda t: t.is_floating_point(), m.exact)} * 3)", exact=True)
            return m.keep(f"{f if f.startswith('F.') else 'torch.' + f}({x})")


def binary(m: Maker) -> bool:
    """Arithmetic with broadcasting, or with a number."""
    x = m.tensor(lambda t: t.dtype != torch.bool)
    y = m.tensor(lambda t: t.dtype != torch.bool) if m.rng.random() < 0.7 else m.number()
    if m.rng.random() < 0.3:
        x, y = y, x
    match m.rng.randrange(8):
        case 0:
            return m.keep(f"{x} / ({y} * {y} + 0.5)" if not y[0].isdigit() else f"{x} / 3.0")
        case 1:
            return m.keep(f"torch.{m.rng.choice(('maximum', 'minimum', 'atan2', 'hypot', 'copysign', 'fmax', 'fmin'))}({x}, {y})")
        case 2:
            return m.keep(f"({x}.abs() + 0.1) ** {m.rng.choice(('2', '3', '0.5', '-1', '1.5', y))}")
        case 3:
            return m.keep(f"torch.lerp({x}, {y}, {m.rng.choice(('0.25', '0.9'))})")
        case 4:
            return m.keep(f"torch.addcmul({m.real()}, {x}, {y}, value=0.5)")
        case _:
            return m.keep(f"{x} {m.rng.choice('+-*')} {y}")


def integers(m: Maker) -> bool:
    """Arithmetic on integers and truths."""
    whole = m.tensor(lambda t: not t.is_floating_point())
    other = m.tensor(lambda t: not t.is_floating_point()) if m.rng.random() < 0.6 else m.rng.choice(("2", "3", "7"))
    match m.rng.randrange(5):
        case 0:
            return m.keep(f"torch.{m.rng.choice(INTEGERS)}({whole})", exact=True)
        case 1:
            return m.keep(f"{whole} {m.rng.choice(('//', '%'))} {m.rng.choice(('2', '3', '7', '-3'))}", exact=True)
        case 2:
            return m.keep(f"{whole} {m.rng.choice('&|^')} {other}", exact=True)
        case 3:
            return m.keep(
                f"{whole}.{m.rng.choice(('sum', 'amax', 'any', 'all', 'count_nonzero', 'cumsum', 'amin'))}({m.dim(whole)})", exact=True
            )
        case _:
            return m.keep(f"{whole} {m.rng.choice('+-*')} {other}", exact=True)


def truth(m: Maker) -> bool:
    """Comparisons, and choices by them."""
    x = m.tensor(lambda t: True, m.exact)
    y = m.tensor(lambda t: True, m.exact) if m.rng.random() < 0.5 else m.number()
    condition = f"({x} {m.rng.choice(('<', '<=', '>', '>=', '==', '!='))} {y})"
    match m.rng.randrange(4):
        case 0:
            return m.keep(condition, exact=True)
        case 1:
            return m.keep(f"{m.real()}.masked_fill({condition}, {m.number()})")
        case 2:
            return m.keep(f"torch.where({condition}, {m.real()}, {m.number()})")
        case _:
            return m.keep(f"torch.where({condition}, {m.real()}, {m.real()})")


def cast(m: Maker) -> bool:
    """Another dtype."""
    x = m.tensor(lambda t: True, m.exact)
    if m.rng.random() < 0.5:
        return m.keep(f"{x}.to(torch.{m.rng.choice(('float32', 'float64', 'int64', 'int32', 'bool', 'int16'))})", exact=True)
    x = m.tensor()
    return m.keep(f"{x}.to(torch.{m.rng.choice(('float32', 'float64'))})")


def reduction(m: Maker) -> bool:
    """Sums and their like over any dims."""
    x = m.real()
    f = m.rng.choice(["sum", "sum", "sum", "mean", "mean", "amax", "amin", "var", "std", "logsumexp", "norm", "prod"])
    n = m.names[x].ndim
    if n == 0 or m.rng.random() < 0.2:
        return m.keep(f"{x}.{f}()" if f != "logsumexp" else f"{x}.flatten().logsumexp(0)")
    dims: object = m.dim(x)
    if f not in ("prod",) and m.rng.random() < 0.4:
        dims = tuple(sorted(m.rng.sample(range(n), m.rng.randint(1, n))))
    return m.keep(f"{x}.{f}(dim={dims}, keepdim={m.rng.random() < 0.5})")


def row(m: Maker) -> bool:
    """Functions of whole rows."""
    x = m.real(1)
    size = m.names[x].shape[-1]
    d = m.dim(x)
    match m.rng.randrange(8):
        case 0:
            return m.keep(f"F.layer_norm({x}, ({size},))")
        case 1:
            weight, bias = m.weight((size,)), m.weight((size,))
            return m.keep(f"F.layer_norm({x}, ({size},), {weight}, {bias})")
        case 2:
            return m.keep(f"torch.cumsum({x}, {d})")
        case 3:
            return m.keep(f"{x} - {x}.{m.rng.choice(('mean', 'logsumexp'))}({d}, keepdim=True)")
        case 4:
            return m.keep(f"F.normalize({x} + 0.1, dim={d})")
        case 5:
            return m.keep(f"F.rms_norm({x}, ({size},))")
        case _:
            return m.keep(f"F.{m.rng.choice(('softmax', 'log_softmax', 'softmin'))}({x}, {d})")


def order(m: Maker) -> bool:
    """Sorting and looking for extremes: of values that were not computed."""
    x = m.tensor(lambda t: t.is_floating_point() and t.ndim > 0, m.exact)
    d = m.dim(x)
    f = m.rng.choice(
        ["sort({x}, {d})[0]", "max({x}, {d})[0]", "median({x}, {d})[0]", "cummax({x}, {d})[0]", "min({x}, {d}, keepdim=True)[0]"]
    )
    if m.rng.random() < 0.4:
        f = m.rng.choice(("argmax({x}, {d})", "argmin({x}, {d})", "argsort({x}, {d})", "sort({x}, {d})[1]", "topk({x}, 1, {d})[1]"))
    return m.keep("torch." + f.format(x=x, d=d), exact=True)


def view(m: Maker) -> bool:
    """The same elements seen otherwise."""
    x = m.tensor(lambda t: t.ndim > 0)
    t = m.names[x]
    n, shape = t.ndim, list(t.shape)
    d = m.dim(x)
    size = t.shape[d]
    exact = x in m.exact
    match m.rng.randrange(14):
        case 0:
            dims = m.rng.sample(range(n), n)
            return m.keep(f"{x}.permute({', '.join(map(str, dims))})", exact)
        case 1:
            new = [s for s in shape if s != 1]
            if len(new) > 1 and m.rng.random() < 0.6:
                at = m.rng.randrange(len(new) - 1)
                new[at : at + 2] = [new[at] * new[at + 1]]
            elif new:
                at = m.rng.randrange(len(new))
                factor = m.rng.choice([f for f in (1, 2, 3, 5, 4, 8) if new[at] % f == 0])
                new[at : at + 1] = [factor, new[at] // factor]
            m.rng.random() < 0.3 and new.insert(m.rng.randint(0, len(new)), 1)
            return m.keep(f"{x}.reshape({tuple(new)})", exact)
        case 2:
            return m.keep(f"{x}.flip({m.rng.sample(range(n), m.rng.randint(1, n))})", exact)
        case 3:
            return m.keep(f"{x}.unsqueeze({d})", exact)
        case 4:
            return m.keep(f"{x}.squeeze()", exact)
        case 5:
            lead = m.rng.choice(m.sizes)
            return m.keep(f"{x}.expand({(lead, *[m.rng.choice(m.sizes) if s == 1 else s for s in shape])})", exact)
        case 6:
            return m.keep(f"{x}.select({d}, {m.rng.randrange(-size, size) if size else 0})", exact)
        case 7:
            return m.keep(f"torch.roll({x}, {m.rng.randint(-3, 3)}, {d})", exact)
        case 8:
            return m.keep(f"torch.{m.rng.choice(('tril', 'triu'))}({x}, {m.rng.randint(-1, 1)})", exact)
        case 9:
            return m.keep(f"{x}.diagonal({m.rng.randint(-1, 1)}, 0, 1)", exact)
        case 10:
            return m.keep(f"{x}.repeat({(*[m.rng.choice((1, 1, 2)) for _ in range(n)],)})", exact)
        case _:
            return m.keep(f"{x}[{subscript(m, x)}]", exact)


def subscript(m: Maker, x: str) -> str:
    """What goes in brackets: slices with steps, negative numbers, None, dots."""
    parts = []
    for size in m.names[x].shape:
        low = m.rng.randint(0, max(size - 1, 0))
        choice = m.rng.randrange(9)
        if choice == 0 and size:
            parts.append(str(m.rng.randrange(-size, size)))
        else:
            parts.append((":", f"{low}:", f":{low + 1}", "::2", "1::3", f"{low}:{low + 7}", "-3:", ":-1", ":")[choice])
    if m.rng.random() < 0.2:
        parts.insert(m.rng.randint(0, len(parts)), "None")
    if m.rng.random() < 0.2:
        parts = [*parts[: m.rng.randint(0, len(parts))], "..."]
    return ", ".join(parts)


def join(m: Maker) -> bool:
    """Tensors put together, and taken apart."""
    x = m.real(1)
    d = m.dim(x)
    t = m.names[x]
    match m.rng.randrange(5):
        case 0:
            y = m.tensor(lambda o: o.ndim == t.ndim and o.is_floating_point())
            return m.keep(f"torch.cat([{x}, {y}, {x}], {d})")
        case 1:
            y = m.tensor(lambda o: o.shape == t.shape)
            return m.keep(f"torch.stack([{x}, {y}], {m.rng.randint(-t.ndim, t.ndim)})")
        case 2:
            part = max(t.shape[d] // 2, 1)
            return m.keep(f"torch.split({x}, {part}, {d})[{m.rng.choice((0, -1))}]", x in m.exact)
        case 3:
            return m.keep(f"{x}.chunk(2, {d})[-1]", x in m.exact)
        case _:
            pad = [m.rng.randint(-1, 2) for _ in range(2 * m.rng.randint(1, t.ndim))]
            return m.keep(f"F.pad({x}, {tuple(pad)})")


def product(m: Maker) -> bool:
    """Matrix products."""
    x = m.real(1)
    t = m.names[x]
    n = t.shape[-1]
    match m.rng.randrange(6):
        case 0:
            y = m.tensor(lambda o: o.ndim > 0 and o.is_floating_point() and (o.shape[-2] if o.ndim > 1 else o.shape[0]) == n)
            return m.keep(f"torch.matmul({x}, {y})")
        case 1 | 2:
            k = m.rng.choice(m.sizes) or 3
            weight = m.weight((k, n))
            bias = f", {m.weight((k,))}" if m.rng.random() < 0.6 else ""
            return m.keep(f"F.linear({x}, {weight}{bias})")
        case 3:
            return m.keep(f"{x} @ {x}.transpose(-1, -2)")
        case 4:
            y = m.tensor(lambda o: o.ndim == 1 and o.is_floating_point())
            return m.keep(f"torch.outer({y}, {m.tensor(lambda o: o.ndim == 1 and o.is_floating_point())})")
        case _:
            y = m.tensor(lambda o: o.shape == t.shape and o.is_floating_point())
            return m.keep(f"torch.einsum('...i,...i->...', {x}, {y})")


def lookup(m: Maker) -> bool:
    """Elements at indices, and sums into them."""
    x = m.real(1)
    t = m.names[x]
    d = m.dim(x)
    size = t.shape[d]
    low = 0 if m.rng.random() < 0.7 else -size
    match m.rng.randrange(8):
        case 0:
            i = m.argument((m.rng.choice(m.sizes),), "int64", 0, size)
            return m.keep(f"{x}.index_select({d}, {i})", x in m.exact)
        case 1:
            i = m.argument(m.shape(2), "int64", low, t.shape[0])
            return m.keep(f"{x}[{i}]", x in m.exact)
        case 2:
            shape = list(t.shape)
            shape[d] = m.rng.choice(m.sizes)
            return m.keep(f"{x}.gather({d}, {m.argument(tuple(shape), 'int64', 0, size)})", x in m.exact)
        case 3:
            rows, width = m.rng.choice((3, 10)), m.rng.choice((1, 4, 16, 17))
            weight = m.weight((rows, width))
            return m.keep(f"F.embedding({m.argument(m.shape(2), 'int64', 0, rows)}, {weight})")
        case 4:
            i = m.argument((size,), "int64", 0, 5)
            shape = list(t.shape)
            shape[d] = 5
            return m.keep(f"torch.zeros({tuple(shape)}, dtype={x}.dtype).index_add({d}, {i}, {x})")
        case 5:
            i = m.argument(tuple(t.shape), "int64", 0, max(size, 1))
            return m.keep(f"torch.zeros_like({x}).scatter_add({d}, {i}, {x})")
        case 6:
            i, j = m.argument((3,), "int64", 0, t.shape[0]), m.argument((3,), "int64", low, t.shape[-1])
            return m.keep(f"{x}[{i}, ..., {j}]" if t.ndim > 1 else f"{x}[{i}]")
        case _:
            mask = m.argument(tuple(t.shape), "bool")
            return m.keep(f"torch.where({mask}, {x}, {x} * 2)")


def layer(m: Maker) -> bool:
    """Convolutions, pooling, attention, losses."""
    match m.rng.randrange(8):
        case 0 | 1:
            x = m.tensor(lambda t: t.is_floating_point() and t.ndim in (3, 4))
            t = m.names[x]
            out, size = m.rng.choice((1, 3, 8, 16, 17)), m.rng.choice((1, 2, 3))
            weight = m.weight((out, t.shape[1], *[size] * (t.ndim - 2)))
            bias = f", {m.weight((out,))}" if m.rng.random() < 0.5 else ""
            how = f"stride={m.rng.choice((1, 1, 2))}, padding={m.rng.choice((0, 1))}"
            return m.keep(f"F.conv{t.ndim - 2}d({x}, {weight}{bias}, {how})")
        case 2:
            x = m.tensor(lambda t: t.is_floating_point() and t.ndim in (3, 4), m.exact)
            n = m.names[x].ndim - 2
            return m.keep(f"F.max_pool{n}d({x}, {m.rng.choice((2, 3))}, stride={m.rng.choice((1, 2))})")
        case 3:
            x = m.tensor(lambda t: t.is_floating_point() and t.ndim in (3, 4))
            n = m.names[x].ndim - 2
            return m.keep(f"F.avg_pool{n}d({x}, 2, padding={m.rng.choice((0, 1))})")
        case 4:
            x = m.real(3)
            causal = m.rng.random() < 0.5
            return m.keep(f"F.scaled_dot_product_attention({x}, {x} * 0.5, {x} + 1, is_causal={causal})")
        case 5:
            x = m.tensor(lambda t: t.is_floating_point() and t.ndim == 2 and t.shape[1] > 0)
            n, c = m.names[x].shape
            smoothing = m.rng.choice(("", ", label_smoothing=0.1", ", reduction='sum'", ", reduction='none'", ", ignore_index=0"))
            return m.keep(f"F.cross_entropy({x}, {m.argument((n,), 'int64', 0, c)}{smoothing})")
        case 6:
            x = m.real()
            y = m.tensor(lambda t: t.shape == m.names[x].shape and t.is_floating_point())
            return m.keep(f"F.{m.rng.choice(('mse_loss', 'smooth_l1_loss', 'huber_loss'))}({x}, {y})")
        case _:
            x = m.tensor(lambda t: t.is_floating_point() and t.ndim >= 2)
            size = m.names[x].shape[1]
            return m.keep(f"F.batch_norm({x}, None, None, {m.weight((size,))}, {m.weight((size,))}, training=True)")


def write(m: Maker) -> bool:
    """Writes into a tensor, through views of it."""
    if m.rng.random() < 0.2:
        x = m.tensor(lambda t: t.ndim > 0 and not t.requires_grad, {a.name for a in m.arguments} | {"s0", "s1"})
    elif m.rng.random() < 0.4 or not m.keep(f"{m.tensor(lambda t: t.ndim > 0)}.clone()"):
        x = m.tensor(lambda t: t.ndim > 0 and not (t.is_leaf and t.requires_grad), set(m.values) - m.exact)
    else:
        x = m.values[-1]
    place = f"{x}[{subscript(m, x)}]"
    source = m.real()
    match m.rng.randrange(8):
        case 0:
            return m.block(f"{place} = {m.number()}")
        case 1:
            return m.block(f"{place} = {source}")
        case 2:
            return m.block(f"{place} += {source}")
        case 3:
            return m.block(f"{place} = {x}.flip(0)[{subscript(m, x)}]")
        case 4:
            return m.block(f"{x}.{m.rng.choice(('mul_(0.5)', 'add_(1)', 'neg_()', 'clamp_(-1, 1)', 'tanh_()', 'zero_()', 'fill_(2)'))}")
        case 5:
            return m.block(f"{x}.{m.rng.choice(('mul_', 'add_', 'sub_', 'copy_'))}({source})")
        case 6:
            view = m.fresh("p")
            return m.block(f"{view} = {x}.reshape(-1)[::2]\n{view}.{m.rng.choice(('mul_(0.5)', 'add_(1)', 'exp_()', 'fill_(3)'))}")
        case _:
            return m.block(f"{x}.transpose(0, -1).{m.rng.choice(('mul_(0.5)', 'sub_(0.25)', 'sigmoid_()', 'zero_()'))}")


def control(m: Maker) -> bool:
    """Python around operations."""
    x = m.real()
    name = m.fresh()
    inner = m.rng.choice(("torch.tanh({}) + i", "{} * 0.5 + i * 0.1", "{} - {}.mean()", "torch.where({} > 0, {}, i * 0.1)")).replace(
        "{}", name
    )
    if m.rng.random() < 0.5:
        lines = f"{name} = {x}\nfor i in range({m.rng.randint(0, 4)}):\n    {name} = {inner}"
    else:
        lines = f"{name} = {x}\ni = 1\nif {x}.ndim > {m.rng.randint(0, 2)}:\n    {name} = {inner}\nelse:\n    {name} = {name} * 2"
    if m.block(lines):
        m.values.append(name)
        return True
    return False


FAMILIES: list[Family] = [
    unary, unary, unary, binary, binary, binary, reduction, reduction, view, view, view, view, join, product, row, row, lookup,
    truth, cast, integers, order, layer, write, write, control,
]  # fmt: skip
SMOOTH_FAMILIES: list[Family] = [unary, unary, binary, binary, reduction, view, view, product, row, join, control]


def strided(m: Maker) -> bool:
    """Other elements of large tensors, of as many dims."""
    x = m.real(1)
    how = m.rng.choice((f"{x}[..., ::2]", f"{x}[1:]", f"{x}.flip(-1)", f"{x}[..., 3:-2]", f"torch.cat([{x}, {x}], -1)", f"{x}.reshape(-1)"))
    return m.keep(how, x in m.exact)


LARGE_FAMILIES: list[Family] = [unary, unary, binary, binary, reduction, reduction, row, truth, cast, order, strided, write]


# ---------------------------------------------------------------- kinds of programs


def beginning(seed: int) -> Maker:
    """A program's arguments."""
    m = Maker(seed, "float64" if seed // 10 % 4 == 0 else "float32", large=seed % 11 == 5)
    for _ in range(m.rng.randint(1, 3)):
        m.argument()
    if m.rng.random() < 0.3:
        m.argument(None, m.rng.choice(("int64", "int64", "int32")), -5, 10)
    if m.rng.random() < 0.2:
        m.argument(None, "bool")
    return m


def plain(seed: int) -> RandomProgram:
    """A pure function of its arguments."""
    m = beginning(seed)
    for _ in range(m.rng.randint(2, 12)):
        m.step(LARGE_FAMILIES if m.large else FAMILIES)
    return detached(m)


def special(seed: int) -> RandomProgram:
    """Functions of elements, and of rows, of numbers that are none, infinite, negative zero."""
    m = Maker(seed, "float64" if seed // 10 % 4 == 0 else "float32", special=True)
    for _ in range(m.rng.randint(1, 3)):
        m.argument(None, None, float("nan"), 0.0)
    for _ in range(m.rng.randint(1, 5)):
        m.step([unary, binary, truth, view, reduction, order])
    return m.program()


def detached(m: Maker) -> RandomProgram:
    """The program with its results, mostly off the tape."""
    made = m.program()
    if m.rng.random() < 0.85:
        made = replace(made, results=tuple(f"{r}.detach()" if m.names[r].requires_grad else r for r in made.results))
    return made


def loss_of(m: Maker) -> str:
    """A number that depends on all that was computed last."""
    parts = [n for n in m.values if m.names[n].is_floating_point() and m.names[n].requires_grad and m.names[n].numel()][-3:]
    if not parts:
        w = m.weight((3,))
        parts = [w]
    name = m.fresh("loss")
    terms = " + ".join(f"({p} * {p}).mean()" if i % 2 else f"{p}.sum() * 0.1" for i, p in enumerate(parts))
    if not m.block(f"{name} = {terms}"):
        raise IndexError("no loss")
    return name


def gradient(seed: int) -> RandomProgram:
    """A function that calls backward, or takes gradients of gradients."""
    m = beginning(seed)
    shape = m.names[m.values[0]].shape
    first = m.weight(tuple(shape))
    m.keep(f"{first} * {m.values[0]}" if m.names[m.values[0]].is_floating_point() else f"{first} * 2")
    for _ in range(m.rng.randint(2, 9)):
        m.step(LARGE_FAMILIES if m.large else FAMILIES)
    loss = loss_of(m)
    leaves = [n for n in m.values if n.startswith("w")]
    match m.rng.randrange(3):
        case 0:
            m.block(f"{loss}.backward()")
        case 1:
            g = m.fresh("g")
            taken = m.block(
                f"{g} = torch.autograd.grad({loss}, {leaves[0]}, create_graph=True, allow_unused=True)[0]\n"
                f"if {g} is not None and {g}.requires_grad:\n    ({g} * {g}).sum().backward()\nelse:\n    {loss}.backward()"
            )
            if not taken:
                m.block(f"{loss}.backward()")
        case _:
            g = m.fresh("g")
            if m.block(f"{g} = torch.autograd.grad({loss}, [{', '.join(leaves)}], allow_unused=True)"):
                return m.program([f"*{g}", f"{loss}.detach()"])
    if m.rng.random() < 0.5:
        m.body.insert(0, "for w in [" + ", ".join(leaves) + "]:\n    w.grad = None")
    return m.program([f"{loss}.detach()"])


def transform(seed: int) -> RandomProgram:
    """A function that is transformed: `grad`, `vmap`, `jacrev`, `hessian` and each within another."""
    m = beginning(seed)
    m.body.clear()
    size = m.rng.choice([s for s in m.sizes if 0 < s < 20] or [3])
    batch = m.rng.choice([s for s in m.sizes if s] or [2])
    inner = Maker(seed + 1, m.float, count=100)
    inner.sizes, inner.rng = [size, 2, 3], m.rng
    inner.names["x"] = eval(f"numbers(5, ({size},), '{m.float}')", inner.names)
    inner.values.append("x")
    for _ in range(m.rng.randint(2, 6)):
        inner.step(SMOOTH_FAMILIES)
    last = [n for n in inner.values if inner.names[n].is_floating_point()][-1]
    lines = "\n".join(["def inner(x):", *[textwrap.indent(line, "    ") for line in inner.body], f"    return {last} + 0 * x.sum()"])
    scalar = "\n".join(["def scalar(x):", f"    return (inner(x) ** 2).{'mean' if inner.names[last].numel() else 'sum'}()"])
    one, many = m.argument((size,)), m.argument((batch, size))
    how = m.rng.choice(
        [
            f"torch.func.grad(scalar)({one})", f"torch.func.vmap(inner)({many})", f"torch.func.vmap(torch.func.grad(scalar))({many})",
            f"torch.func.jacrev(inner)({one})", f"torch.func.jacfwd(inner)({one})", f"torch.func.hessian(scalar)({one})",
            f"torch.func.vmap(torch.func.jacrev(inner))({many})", f"torch.func.jvp(inner, ({one},), ({one} * 2,))[1]",
            f"torch.func.grad(lambda x: torch.func.grad(scalar)(x).sum())({one})", f"torch.func.vjp(scalar, {one})[0]",
        ]
    )  # fmt: skip
    m.setup += inner.setup
    m.names.update({k: v for k, v in inner.names.items() if k.startswith("w")})
    m.arguments += inner.arguments
    for made in inner.arguments:
        m.names[made.name] = inner.names[made.name]
    m.body = [lines, scalar]
    exec(lines + "\n" + scalar, m.names)
    m.keep(how)
    return m.program(m.values[-1:])


MODULES = [
    "torch.nn.Linear({i}, {o})", "torch.nn.LayerNorm({i})", "torch.nn.BatchNorm1d({i})", "torch.nn.Tanh()", "torch.nn.ReLU()",
    "torch.nn.GELU()", "torch.nn.Dropout(0.3)", "torch.nn.Linear({i}, {o}, bias=False)", "torch.nn.SiLU()", "torch.nn.PReLU()",
]  # fmt: skip
OPTIMIZERS = [
    "SGD({p}, lr=0.05)", "SGD({p}, lr=0.05, momentum=0.9)", "SGD({p}, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)", "Adam({p}, lr=0.01)",
    "Adam({p}, lr=0.01, amsgrad=True, weight_decay=0.1)", "AdamW({p}, lr=0.01)", "RMSprop({p}, lr=0.01)",
    "RMSprop({p}, lr=0.01, momentum=0.5, centered=True)", "Adagrad({p}, lr=0.02)", "Adadelta({p}, lr=0.5)",
    "SGD({p}, lr=0.05, maximize=True)", "SGD({p}, lr=0.05, momentum=0.9, dampening=0.5)",
]  # fmt: skip


def training(seed: int) -> RandomProgram:
    """A step of training: a small network, a loss, backward, an optimizer, a learning rate that changes."""
    m = Maker(seed, "float64" if seed // 10 % 4 == 0 else "float32")
    rows = m.rng.choice((2, 3, 8, 15, 16, 17, 33))
    width = m.rng.choice((1, 2, 5, 15, 16, 17, 33))
    x = m.argument((rows, width))
    layers = []
    for _ in range(m.rng.randint(1, 6)):
        out = m.rng.choice((1, 3, 10, 16, 17, 31))
        made = m.rng.choice(MODULES).format(i=width, o=out)
        width = out if "Linear" in made else width
        layers.append(made)
    layers.append(f"torch.nn.Linear({width}, 4)")
    m.outside(f"net = torch.nn.Sequential({', '.join(layers)}).to(torch.{m.float})")
    m.outside(f"optimizer = torch.optim.{m.rng.choice(OPTIMIZERS).format(p='net.parameters()')}")
    if m.rng.random() < 0.4:
        schedule = m.rng.choice(("StepLR(optimizer, 1, 0.5)", "ExponentialLR(optimizer, 0.9)", "CosineAnnealingLR(optimizer, 10)"))
        m.outside(f"scheduler = torch.optim.lr_scheduler.{schedule}")
        m.between.append("scheduler.step()")
    elif m.rng.random() < 0.5:
        m.between.append("optimizer.param_groups[0]['lr'] *= 0.7")
    if m.rng.random() < 0.2:
        m.between.append("net.train(call % 3 != 2)")
    m.body.append(m.rng.choice(("optimizer.zero_grad()", "optimizer.zero_grad(set_to_none=False)", "net.zero_grad()")))
    if m.rng.random() < 0.2:
        m.body.pop()
    m.body.append(f"y = net({x})")
    losses = [f"F.mse_loss(y, {m.argument((rows, 4))})", f"F.cross_entropy(y, {m.argument((rows,), 'int64', 0, 4)})", "(y ** 2).mean()"]
    m.body.append(f"loss = {m.rng.choice(losses)}")
    if m.rng.random() < 0.3:
        m.body.append("loss = loss + 0.01 * sum((p * p).sum() for p in net.parameters())")
    m.body.append("loss.backward()")
    if m.rng.random() < 0.3:
        m.body.append(
            m.rng.choice(
                ("torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)", "torch.nn.utils.clip_grad_value_(net.parameters(), 0.1)")
            )
        )
    m.body.append("optimizer.step()")
    return m.program(m.rng.sample(["loss.detach()", "y.detach()", "y", "loss"], 2))


def networks(seed: int) -> RandomProgram:
    """Steps of convolutional, recurrent and attending networks, with frozen and shared weights and groups of parameters."""
    m = Maker(seed, "float64" if seed // 10 % 4 == 0 else "float32")
    n, c, k, h = m.rng.choice((1, 2, 5)), m.rng.choice((1, 3, 8)), m.rng.choice((2, 7, 16)), m.rng.choice((4, 5, 8, 9))
    match m.rng.randrange(4):
        case 0:
            x = m.argument((n, c, h, h))
            norm = m.rng.choice((f"torch.nn.BatchNorm2d({k})", f"torch.nn.GroupNorm(1, {k})", "torch.nn.Identity()"))
            size = k * (h // 2) ** 2
            m.outside(
                f"net = torch.nn.Sequential(torch.nn.Conv2d({c}, {k}, 3, padding=1), {norm}, torch.nn.ReLU(), torch.nn.{m.rng.choice(('Max', 'Avg'))}Pool2d(2), "
                f"torch.nn.Flatten(), torch.nn.Linear({size}, 3))"
            )
            m.body.append(f"y = net({x})")
        case 1:
            x = m.argument((n, 4, c))
            kind = m.rng.choice(("LSTM", "GRU", "RNN"))
            m.outside(f"net = torch.nn.{kind}({c}, {k}, batch_first={m.rng.random() < 0.5})")
            m.body.append(f"y = net({x})[0]")
        case 2:
            x = m.argument((n, 5), "int64", 0, 11)
            m.outside(
                f"net = torch.nn.Sequential(torch.nn.Embedding(11, 8), torch.nn.TransformerEncoderLayer(8, 2, {k}, dropout=0.0, batch_first=True))"
            )
            m.body.append(f"y = net({x})")
        case _:
            x = m.argument((n, c))
            m.outside(
                f"net = torch.nn.Sequential(torch.nn.Linear({c}, {k}), torch.nn.Tanh(), torch.nn.Linear({k}, {k}), torch.nn.Tanh(), torch.nn.Linear({k}, {k}))"
            )
            m.outside(m.rng.choice(("net[2].weight = net[4].weight", "net[0].weight.requires_grad_(False)", "net[4].bias = None")))
            m.body.append(f"y = net({x})")
    m.outside(f"net.to(torch.{m.float})")
    given = m.rng.choice(
        ("net.parameters()", "[{{'params': [p], 'lr': 0.01 * (i + 1)}} for i, p in enumerate(net.parameters()) if p.requires_grad]")
    )
    m.outside(f"optimizer = torch.optim.{m.rng.choice(OPTIMIZERS).format(p=given.replace('{{', '{').replace('}}', '}'))}")
    m.body.insert(0, "optimizer.zero_grad()")
    m.body += ["loss = (y * y).mean() + 0.1 * torch.sin(y).sum()", "loss.backward()"]
    if m.rng.random() < 0.4:
        m.body.append("torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)")
    m.body.append("optimizer.step()")
    m.between.append("optimizer.param_groups[-1]['lr'] *= 0.8")
    return m.program(["loss.detach()", "y.detach()"])


def stateful(seed: int) -> RandomProgram:
    """A function that writes to tensors outside, through views, and draws random numbers."""
    m = beginning(seed)
    shape = m.shape(3)
    m.outside(f"s0 = numbers(1, {shape}, '{m.float}')")
    m.outside(f"s1 = torch.zeros({tuple(m.names[m.values[0]].shape)}, dtype=torch.{m.float})")
    draws = ["torch.rand({})", "torch.randn({})", "torch.randn_like(s0)", "F.dropout(s0, 0.4)", "torch.bernoulli(torch.full({}, 0.3))"]
    m.values += ["s0", "s1"]
    for _ in range(m.rng.randint(2, 7)):
        if m.rng.random() < 0.3:
            m.keep(m.rng.choice(draws).format(m.shape(2)))
        elif m.rng.random() < 0.4:
            target = m.rng.choice(("s0", "s1"))
            m.block(f"{target}[{subscript(m, target)}] = {m.real()}.detach() * 0.5" if m.names[target].ndim else f"{target}.mul_(0.5)")
        else:
            m.step(LARGE_FAMILIES if m.large else FAMILIES)
    m.block(m.rng.choice((f"s1.mul_(0.9).add_({m.real()}.detach() * 0.1)", "s0.mul_(0.5)", "s1.add_(1)", "s0.copy_(s0.flip(0))")))
    return detached(m)


KINDS: list[Callable[[int], RandomProgram]] = [plain, plain, plain, gradient, gradient, transform, training, stateful, special, networks]


def random_program(seed: int) -> RandomProgram:
    """The program of a seed."""
    for attempt in range(100):
        try:
            made = KINDS[seed % len(KINDS)](seed + attempt * 1_000_003)
        except (IndexError, RuntimeError, ValueError):
            continue
        if made.body:
            return made
    raise AssertionError(f"no program came of seed {seed}")
