"""The numbers drawn are PyTorch's: against values recorded from it, and against itself where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import retrograd as torch
from tests.oracle import needs_torch, same_in_both
from tests.oracle import torch as theirs

# Recorded from PyTorch 2.13.0 with seed 1234.
RECORDED = {
    "rand": [0.028979241847991943, 0.4018985629081726, 0.25984418392181396],
    "randn(3)": [0.0461304634809494, 0.4024028182029724, -1.0115290880203247],
    "randint": [5, 1, 6, 5, 6],
    "randperm": [0, 4, 2, 1, 3],
}


def drawn() -> dict[str, list[float]]:
    """The same draws of ours."""
    found = {}
    for name, draw in {
        "rand": lambda: torch.rand(3), "randn(3)": lambda: torch.randn(3), "randint": lambda: torch.randint(0, 10, (5,)),
        "randperm": lambda: torch.randperm(5),
    }.items():  # fmt: skip
        torch.manual_seed(1234)
        found[name] = draw().tolist()
    return found


def test_recorded_values():
    """Bit for bit, also where PyTorch is not installed."""
    assert drawn() == RECORDED


LAYOUTS = {
    "transposed": lambda t: t.ones(5, 4).t(),
    "permuted": lambda t: t.ones(2, 3, 4).permute(2, 0, 1),
    "inner dims exchanged": lambda t: t.ones(2, 3, 4).transpose(1, 2),
    "every other column": lambda t: t.ones(6, 8)[:, ::2],
    "expanded": lambda t: t.ones(1, 20).expand(3, 20),
    "a column": lambda t: t.ones(1, 20, 3)[:, :, :1].permute(2, 1, 0),
}  # fmt: skip
IN_MEMORY_ORDER = {
    "dropout": lambda t, x: t.nn.functional.dropout(x, 0.4),
    "alpha_dropout": lambda t, x: t.nn.functional.alpha_dropout(x, 0.4, True),
    "rand_like": lambda t, x: t.rand_like(x),
    "randn_like": lambda t, x: t.randn_like(x),
    "randint_like": lambda t, x: t.randint_like(x, 9),
    "empty_like": lambda t, x: t.empty_like(x).uniform_(),
    "bernoulli": lambda t, x: t.bernoulli(x * 0.3),
    "multinomial": lambda t, x: t.multinomial(x.reshape(-1, x.shape[-1]), 1),
    "rrelu": lambda t, x: t.nn.functional.rrelu(-x, training=True),
    "gumbel_softmax": lambda t, x: t.nn.functional.gumbel_softmax(x),
    **{
        name: lambda t, x, name=name, args=args: getattr(x if 0 not in x.stride() else t.empty_like(x), name)(*args)
        for name, args in {
            "uniform_": (), "normal_": (), "bernoulli_": (0.4,), "exponential_": (), "geometric_": (0.3,), "cauchy_": (), "log_normal_": (), "random_": (9,),
        }.items()
    },
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", IN_MEMORY_ORDER)
def test_memory_order(name: str, layout: str):
    """Numbers are drawn in the order in which the elements lie in memory."""

    def program(t):
        t.manual_seed(5)
        return IN_MEMORY_ORDER[name](t, LAYOUTS[layout](t)), t.rand(2)

    same_in_both(program)


IN_VMAP = {
    "rand": lambda t, x: x + t.rand(3),
    "randn": lambda t, x: x.sum() + t.randn(20),
    "randint": lambda t, x: x * t.randint(0, 9, (3,)),
    "randperm": lambda t, x: x + t.randperm(3),
    "rand_like": lambda t, x: x + t.rand_like(x),
    "normal": lambda t, x: x + t.normal(0.0, 1.0, (3,)),
    "normal_": lambda t, x: x.clone().normal_(),
    "dropout": lambda t, x: t.nn.functional.dropout(x, 0.5),
    "dropout2d": lambda t, x: t.nn.functional.dropout2d(x.reshape(1, 3, 1, 1), 0.5),
    "alpha_dropout": lambda t, x: t.nn.functional.alpha_dropout(x, 0.5, True),
    "a gradient": lambda t, x: t.func.grad(lambda y: t.nn.functional.dropout(y, 0.5).sum())(x),
    "within another": lambda t, x: t.func.vmap(lambda y: y + t.rand(2), randomness="different")(x),
}


@needs_torch
@pytest.mark.parametrize("randomness", ["same", "different"])
@pytest.mark.parametrize("name", IN_VMAP)
def test_inside_vmap(name: str, randomness: str):
    """Every example has numbers of its own, or all have the same, as `vmap` is told."""

    def program(t):
        t.manual_seed(5)
        return t.func.vmap(lambda x: IN_VMAP[name](t, x), randomness=randomness)(t.ones(4, 3)), t.rand(2)

    same_in_both(program)


@pytest.mark.parametrize("name", [n for n in IN_VMAP if n != "within another"])
def test_inside_vmap_none_is_drawn_unasked(name: str):
    """By default a draw inside `vmap` raises."""
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(lambda x: IN_VMAP[name](torch, x))(torch.ones(4, 3))


def test_inside_vmap_what_cannot_be_drawn_for_each_example():
    """One draw is not taken for many: neither of `multinomial`, nor where a tensor is overwritten that is one for all."""
    for function in (lambda x: x.sum() + torch.multinomial(torch.ones(4), 2), lambda x: x + torch.empty(3).uniform_()):
        with pytest.raises(RuntimeError, match="cannot draw different numbers for each example"):
            torch.func.vmap(function, randomness="different")(torch.ones(4, 3))


EXACT = {
    "rand": lambda t: t.rand(70),
    "rand float64": lambda t: t.rand(70, dtype=t.float64),
    "rand float16": lambda t: t.rand(3000, dtype=t.float16),
    "randn below 16": lambda t: t.randn(15),
    "randn one by one": lambda t: [t.randn(3), t.randn(4), t.randn(())],
    "randn float64": lambda t: t.randn(5, dtype=t.float64),
    "randint": lambda t: [t.randint(10, (50,)), t.randint(-5, 2**40, (9,)), t.randint(0, 2, (4,), dtype=t.uint8)],
    "randperm": lambda t: [t.randperm(n) for n in (0, 1, 2, 50)],
    "uniform_": lambda t: t.empty(50).uniform_(-0.3, 0.7),
    "normal_ below 16": lambda t: t.empty(9).normal_(2, 3),
    "bernoulli": lambda t: [t.bernoulli(t.full((50,), 0.3)), t.empty(50).bernoulli_(0.7), t.rand(50).bernoulli()],
    "multinomial": lambda t: [
        t.multinomial(t.tensor([1.0, 2.0, 3.0]), 2),
        t.multinomial(t.ones(2, 4), 6, True),
        t.multinomial(t.ones(5), 1),
    ],
    "dropout": lambda t: [t.nn.functional.dropout(t.ones(100), 0.3), t.nn.functional.dropout2d(t.ones(2, 3, 2, 2), 0.5)],
    "alpha_dropout": lambda t: t.nn.functional.alpha_dropout(t.ones(50), 0.3, True),
    "exponential_": lambda t: t.empty(20).exponential_(2.0),
    "cauchy_": lambda t: t.empty(20).cauchy_(1, 2),
    "geometric_": lambda t: t.empty(20).geometric_(0.3),
    "poisson": lambda t: t.poisson(t.linspace(0, 40, 30)),
    "random_": lambda t: [t.empty(5).random_(), t.empty(5, dtype=t.int32).random_(100), t.empty(5, dtype=t.int64).random_()],
    "state": lambda t: [t.randn(3), t.get_rng_state(), t.rand(2)],
}
NEARLY = {
    "randn from 16": lambda t: [t.randn(16), t.randn(100), t.randn(17)],
    "randn float64 from 16": lambda t: t.randn(100, dtype=t.float64),
    "randn float16": lambda t: t.randn(50, dtype=t.float16),
    "normal of tensors": lambda t: [t.normal(t.ones(40), 2.0), t.normal(1.0, t.ones(40)), t.normal(t.ones(40), t.ones(40))],
    "normal_ from 16": lambda t: t.empty(40).normal_(2, 3),
    "log_normal_": lambda t: t.empty(20).log_normal_(1, 2),
}


@needs_torch
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("seed", [0, 99])
def test_equal_bits(name: str, seed: int):
    """Equal to the last bit where PyTorch's arithmetic is exactly reproducible."""
    same_in_both(EXACT[name], rtol=0, atol=0, seed=seed)


@needs_torch
@pytest.mark.parametrize("name", NEARLY)
def test_within_two_units_in_the_last_place(name: str):
    """Where PyTorch uses another library's sine, cosine and logarithm."""
    same_in_both(NEARLY[name], rtol=2e-6, atol=3e-7)


INITS = {
    "uniform_": (-1, 2), "normal_": (1, 2), "trunc_normal_": (0.5, 0.3), "constant_": (0.3,), "ones_": (), "zeros_": (), "eye_": (),
    "xavier_uniform_": (1.5,), "xavier_normal_": (), "kaiming_uniform_": (0.2,), "kaiming_normal_": (), "orthogonal_": (),
    "sparse_": (0.4,),
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("name", INITS)
def test_initialisation(name: str):
    """Each function of nn.init."""
    same_in_both(lambda t: getattr(t.nn.init, name)(t.empty(7, 5), *INITS[name]), rtol=1e-5, atol=1e-5)


LAYERS = {
    "Linear": (30, 20), "Conv2d": (3, 4, 3), "ConvTranspose1d": (3, 4, 3), "Embedding": (9, 5), "Bilinear": (3, 4, 5), "PReLU": (3,),
    "BatchNorm1d": (4,), "LayerNorm": (4,), "GroupNorm": (2, 4),
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("name", LAYERS)
def test_initial_weights_of_layers(name: str):
    """Each layer begins with PyTorch's weights, under PyTorch's names."""
    same_in_both(lambda t: dict(getattr(t.nn, name)(*LAYERS[name]).state_dict()), rtol=2e-6, atol=3e-7)


@needs_torch
def test_a_state_goes_from_one_library_to_the_other():
    """A generator set to PyTorch's state goes on as PyTorch does."""
    theirs.manual_seed(5)
    theirs.randn(5)
    torch.set_rng_state(torch.from_numpy(theirs.get_rng_state().numpy()))
    assert torch.randn(3).tolist() == theirs.randn(3).tolist()


def test_generators_are_independent():
    """Each has a stream of its own; what is drawn in fork_rng leaves no trace."""
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    first = torch.rand(3, generator=one)
    torch.rand(5)
    assert torch.equal(first, torch.rand(3, generator=other))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch.random.fork_rng():
        torch.rand(9)
    assert torch.equal(torch.rand(2), expected)
    assert torch.initial_seed() == 3


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: torch.rand(-1), RuntimeError, "negative dimension"), (lambda: torch.rand(2, dtype=torch.int64), NotImplementedError, "not implemented"),
        (lambda: torch.randint(5, 5, (2,)), RuntimeError, "less than"), (lambda: torch.randint(0, 300, (2,), dtype=torch.uint8), RuntimeError, "out of bounds"),
        (lambda: torch.randperm(-1), RuntimeError, "non-negative"), (lambda: torch.normal(0.0, -1.0, (2,)), RuntimeError, "std >= 0"),
        (lambda: torch.bernoulli(torch.tensor([1.5])), RuntimeError, "p_in"), (lambda: torch.empty(2).exponential_(0), RuntimeError, "lambda"),
        (lambda: torch.multinomial(torch.tensor([-1.0, 2.0]), 1), RuntimeError, "element < 0"), (lambda: torch.manual_seed(2**65), RuntimeError, "64 bits"),
        (lambda: torch.nn.functional.dropout(torch.ones(2), 1.5), ValueError, "between 0 and 1"), (lambda: torch.set_rng_state(torch.zeros(3)), TypeError, "ByteTensor"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, match):
    """Of PyTorch's type, and saying what was wrong."""
    with pytest.raises(error, match=match):
        call()


def test_many_numbers_have_the_right_distribution():
    """Mean and variance of 100,000 draws."""
    torch.manual_seed(0)
    x = torch.randn(100_000).numpy()
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
    assert abs(np.mean(torch.rand(100_000).numpy()) - 0.5) < 0.01
