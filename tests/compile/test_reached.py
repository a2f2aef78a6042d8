"""What a function reaches is seen when it changes, however the function comes by it; what cannot be seen makes it run in eager."""

from __future__ import annotations

import array
import collections
import contextvars
import functools
import os
import queue
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.compile.compiled import Compiled
from retrograd.compile.replay import Replay
from retrograd.errors import Uncompilable

Change = Callable[[], Any]
rate = 1.0


class Held:
    """An object with a number."""

    def __init__(self) -> None:
        self.by = 1.0


def by_name() -> tuple[Callable[[Any], Any], list[Change]]:
    """An attribute whose name is worked out."""
    held = Held()
    return lambda x: x * getattr(held, "b" + "y"), [lambda: setattr(held, "by", 2.0)]


def by_dict() -> tuple[Callable[[Any], Any], list[Change]]:
    """An object's `__dict__`, and vars()."""
    held = Held()
    return lambda x: x * held.__dict__["by"] + vars(held)["by"], [lambda: setattr(held, "by", 2.0)]


def by_getter() -> tuple[Callable[[Any], Any], list[Change]]:
    """An attrgetter."""
    held, get = Held(), attrgetter("by")
    return lambda x: x * get(held), [lambda: setattr(held, "by", 2.0)]


def by_metaclass() -> tuple[Callable[[Any], Any], list[Change]]:
    """A class whose attributes come from elsewhere, and which raises KeyError where there is none."""
    table = {"by": 1.0}

    class Meta(type):
        def __getattr__(cls, name: str) -> Any:
            return table[name]

    class Kind(metaclass=Meta):
        pass

    return lambda x: x * Kind.by, [lambda: table.update(by=2.0)]


def defaults() -> tuple[Callable[[Any], Any], list[Change]]:
    """What a function is called with where nothing is given; and a function's own attributes."""

    def helper(x: Any, by: float = 2.0, *, more: float = 1.0) -> Any:
        return x * by * more * helper.scale  # type: ignore[attr-defined]

    helper.scale = 3.0  # type: ignore[attr-defined]
    return lambda x: helper(x), [
        lambda: setattr(helper, "__defaults__", (5.0,)),
        lambda: helper.__kwdefaults__.update(more=4.0),
        lambda: setattr(helper, "scale", 7.0),
    ]


def levels_of_classes() -> tuple[Callable[[Any], Any], list[Change]]:
    """A value that is set on the base, then on the class, then on the object; methods that are exchanged."""

    class Base:
        by = 1.0

        def go(self, x: Any) -> Any:
            return x * self.by

    class Derived(Base):
        def go(self, x: Any) -> Any:
            return super().go(x) + 1

    found = Derived()
    return lambda x: found.go(x), [
        lambda: setattr(Base, "by", 2.0),
        lambda: setattr(Derived, "by", 3.0),
        lambda: setattr(found, "by", 4.0),
        lambda: setattr(Base, "go", lambda self, x: x * 10),
        lambda: setattr(Derived, "go", lambda self, x: x * 20),
        lambda: setattr(found, "go", lambda x: x * 30),
    ]


def operators() -> tuple[Callable[[Any], Any], list[Change]]:
    """Methods that no code names."""

    class Scale:
        def __init__(self) -> None:
            self.held = 2.0

        def __mul__(self, x: Any) -> Any:
            return x * self.held

        def __len__(self) -> int:
            return int(self.held)

    scale = Scale()
    return lambda x: scale * x + len(scale), [lambda: setattr(scale, "held", 3.0)]


def containers() -> tuple[Callable[[Any], Any], list[Change]]:
    """Containers of the standard library, and memory."""
    table = {"a": 1.0}
    proxy, chain, user = types.MappingProxyType(table), collections.ChainMap({}, table), collections.UserDict(a=1.0)
    raw, numbers = bytearray(b"\x01\x02"), array.array("d", [1.0])
    return lambda x: x * proxy["a"] + chain["a"] * user["a"] + raw[1] * numbers[0], [
        lambda: table.update(a=2.0),
        lambda: user.update(a=3.0),
        lambda: raw.__setitem__(1, 4),
        lambda: numbers.__setitem__(0, 5.0),
    ]


def weak() -> tuple[Callable[[Any], Any], list[Change]]:
    """An object that is referred to weakly."""
    held = Held()
    reference = weakref.ref(held)
    return lambda x: x * reference().by, [lambda: setattr(held, "by", 2.0)]  # type: ignore[union-attr]


def remembered() -> tuple[Callable[[Any], Any], list[Change]]:
    """A function that remembers what it gave, and forgets it."""
    held = Held()

    @functools.lru_cache
    def table(n: int) -> float:
        return n * held.by

    def forget() -> None:
        held.by = 2.0
        table.cache_clear()

    return lambda x: x * table(3), [forget]


def tensors() -> tuple[Callable[[Any], Any], list[Change]]:
    """A number that the user hangs on a tensor."""
    weight = torch.ones(3)
    weight.scale = 1.0
    return lambda x: x * weight * weight.scale, [lambda: setattr(weight, "scale", 2.0)]


SEEN = [
    by_name, by_dict, by_getter, by_metaclass, defaults, levels_of_classes, operators, containers, weak, remembered, tensors,
]  # fmt: skip


@pytest.mark.parametrize("build", SEEN, ids=lambda f: f.__name__)
def test_seen(build: Callable[[], tuple[Callable[[Any], Any], list[Change]]]):
    """Every change has another program."""
    function, changes = build()
    compiled = Compiled(function, backend=Replay)
    x = torch.arange(3.0)
    for change in (lambda: None, *changes):
        change()
        for _ in range(3):
            assert torch.equal(compiled(x), function(x))
    assert [v.state for v in compiled.programs()] == ["compiled"] * (1 + len(changes))


def test_modules_imported_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a module of the user's holds that the function imports, be it for the first time."""
    (tmp_path / "imported_inside.py").write_text("SCALE = 2.0\ndef scaled(x):\n    return x * SCALE\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def f(x: Any) -> Any:
        import imported_inside  # type: ignore[import-not-found]
        from imported_inside import SCALE

        return imported_inside.scaled(x) + SCALE

    compiled = Compiled(f, backend=Replay)
    x = torch.arange(3.0)
    try:
        for value in (None, 3.0):
            if value is not None:
                sys.modules["imported_inside"].SCALE = value  # type: ignore[attr-defined]
            for _ in range(4):
                assert torch.equal(compiled(x), f(x))
    finally:
        sys.modules.pop("imported_inside", None)
    assert [v.state for v in compiled.programs()] == ["compiled"] * 2


def test_attributes_that_do_not_matter():
    """Of an object that is asked for attributes by constant names, the others may change."""
    held = Held()
    held.count = 0  # type: ignore[attr-defined]

    def f(x: Any) -> Any:
        y = x * getattr(held, "by", 2.0)
        return y + 1 if hasattr(held, "more") else y

    compiled = Compiled(f, backend=Replay)
    x = torch.arange(3.0)
    for i in range(9):
        held.count += 1  # type: ignore[attr-defined]
        if i == 3:
            held.by = 5.0
        if i == 6:
            held.more = None  # type: ignore[attr-defined]
        assert torch.equal(compiled(x), f(x))
    assert [v.state for v in compiled.programs()] == ["compiled"] * 3


# ---------------------------------------------------------------- what is made once


def lazily(kind: str) -> Callable[[Any], Any]:
    """A function that makes something at its first call and keeps it."""

    class Maker(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask: Any = None
            self.table: dict[int, Any] = {}
            self.ready = False

        def forward(self, x: Any) -> Any:
            self.ready = True
            if self.mask is None:
                self.mask = torch.ones(3)
            if len(x) not in self.table:
                self.table[len(x)] = torch.arange(float(len(x)))
            return x * self.mask + self.table[len(x)]

    class Cached:
        @functools.cached_property
        def ones(self) -> Any:
            return torch.ones(3)

        def again(self) -> Any:
            if not hasattr(self, "_twos"):
                self._twos = torch.ones(3) * 2
            return self._twos

    @functools.lru_cache
    def positions(n: int) -> Any:
        return torch.arange(float(n))

    cached, maker = Cached(), Maker()
    return {
        "of a module": lambda x: maker(x),
        "of an object": lambda x: x * cached.ones + cached.again(),
        "of a function": lambda x: x + positions(3),
    }[kind]


@pytest.mark.parametrize("kind", ["of a module", "of an object", "of a function"])
@pytest.mark.parametrize("fullgraph", [False, True])
def test_made_once(kind: str, fullgraph: bool):
    """Tables that the first call makes are no side effect of every call."""
    function = lazily(kind)
    compiled = Compiled(function, backend=Replay, fullgraph=fullgraph)
    for i in range(5):
        x = torch.arange(3.0) + i
        assert torch.equal(compiled(x), function(x))
    assert [v.state for v in compiled.programs()] == ["compiled"]


def test_made_at_every_call():
    """A table that grows for ever is one: there is a warning, and every call has its effect."""
    table: dict[int, float] = {}

    def f(x: Any) -> Any:
        table[len(table)] = 1.0
        return x * 2

    compiled = Compiled(f, backend=Replay)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(5):
            compiled(torch.ones(3))
    (warning,) = caught
    assert "changes the length of table" in str(warning.message)
    assert len(table) == 5


# ---------------------------------------------------------------- what cannot be seen


local, context = threading.local(), contextvars.ContextVar("context", default=1.0)
local.by = 1.0
waiting: queue.Queue[float] = queue.Queue()


def of_a_thread(x: Any) -> Any:
    """A variable of each thread."""
    return x * local.by


def of_a_context(x: Any) -> Any:
    """A variable of each context."""
    return x * context.get()


def of_the_environment(x: Any) -> Any:
    """Set by whoever starts the program."""
    return x * float(os.environ.get("RETROGRAD_TEST_SCALE", "1"))


def of_globals(x: Any) -> Any:
    """A global by its name."""
    return x * globals()["rate"]


def evaluated(x: Any) -> Any:
    """What a text says."""
    return x * eval("rate")


def taken(x: Any) -> Any:
    """What was put into a queue."""
    return x * waiting.get()


def warns(x: Any) -> Any:
    """Tells the user something at every call."""
    warnings.warn("as ever", RuntimeWarning, stacklevel=1)
    return x * 2


def gives_an_iterator(x: Any) -> Any:
    """Ends when it has been gone through."""
    return (x * i for i in range(3))


def gives_an_array(x: Any) -> Any:
    """May be written to."""
    return np.ones(3)


def gives_an_object(x: Any) -> Any:
    """Has attributes that the caller may set."""
    return Held()


def changes_an_argument(table: Any) -> Any:
    """Has an effect on what it is given."""
    table["y"] = table["x"] * 2
    return table["y"]


def gives_an_argument(table: Any) -> Any:
    """The dict itself, not one like it."""
    return table


def leaves_gradients_off(x: Any) -> Any:
    """Sets a mode and leaves it so."""
    torch.set_grad_enabled(False)
    return x * 2


UNSEEN: list[tuple[Callable[..., Any], str]] = [
    (of_a_thread, "a thread or a context"), (of_a_context, "a thread or a context"), (of_the_environment, "environment"),
    (of_globals, "globals"), (evaluated, "evaluates"), (taken, "changes waiting.queue"), (warns, "a warning was given"),
    (gives_an_iterator, "a generator that it makes"), (gives_an_array, "a ndarray that it makes"), (gives_an_object, "a Held that it makes"),
    (leaves_gradients_off, "changes whether gradients are on"), (changes_an_argument, "changes a list, a dict or a dataclass among its arguments"), (gives_an_argument, "a list or a dict that it was given"),
]  # fmt: skip


@pytest.fixture
def filled() -> Iterator[None]:
    """Something in the queue."""
    for _ in range(8):
        waiting.put(1.0)
    yield
    waiting.queue.clear()


@pytest.mark.parametrize(("function", "why"), UNSEEN, ids=lambda f: getattr(f, "__name__", ""))
def test_unseen(function: Callable[..., Any], why: str, filled: None):
    """Runs in eager, with one warning; with `fullgraph`, it raises."""
    argument: Any = {"x": torch.ones(3)} if function in (changes_an_argument, gives_an_argument) else torch.ones(3)
    compiled = Compiled(function, backend=Replay)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = []
        for _ in range(3):
            with torch.enable_grad():
                results.append(compiled(argument))
                assert torch.is_grad_enabled() == (function is not leaves_gradients_off)
    (warning,) = [w for w in caught if w.category is UserWarning]
    assert why in str(warning.message)
    assert len([w for w in caught if w.category is RuntimeWarning]) == (3 if function is warns else 0)
    if function is gives_an_iterator:
        assert [len(list(r)) for r in results] == [3, 3, 3]
    if function is gives_an_argument:
        assert all(r is argument for r in results)
    fresh: Any = {"x": torch.ones(3)} if isinstance(argument, dict) else argument
    with torch.enable_grad(), pytest.raises(Uncompilable, match=why):
        Compiled(function, backend=Replay, fullgraph=True)(fresh)


def test_iterators_made_inside():
    """The first parameter of a module, say, is taken from an iterator that lives no longer than the call."""
    net = torch.nn.Linear(3, 2)

    def f(x: Any) -> Any:
        return net(x.to(next(net.parameters()).dtype)) * next(iter([2.0, 3.0]))

    compiled = Compiled(f, backend=Replay)
    for _ in range(3):
        x = torch.randn(4, 3)
        assert torch.allclose(compiled(x), f(x))
    assert [v.state for v in compiled.programs()] == ["compiled"]


def test_an_optimizer_of_the_users():
    """Its step is code like any other: hyperparameters, state that is made at the first step, attributes, a count that is no tensor."""

    class Momentum(torch.optim.Optimizer):
        def __init__(self, params: Any, counts: bool) -> None:
            super().__init__(params, {"lr": 0.1, "mu": 0.9})
            self.scale, self.counts = 1.0, counts

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if "m" not in state:
                        state["m"], state["step"] = torch.zeros_like(p), 0
                    if self.counts:
                        state["step"] += 1
                    state["m"].mul_(group["mu"]).add_(p.grad)
                    p.add_(state["m"], alpha=-group["lr"] * self.scale / (1 + state["step"]))

    def trained(counts: bool, compiled: bool) -> tuple[list[Any], list[str]]:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        optimizer = Momentum(net.parameters(), counts)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = net(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        function: Any = Compiled(step, backend=Replay) if compiled else step
        found = []
        for i in range(9):
            if i == 4:
                optimizer.param_groups[0]["lr"] = 0.01
            if i == 6:
                optimizer.scale = 0.5
            found += [function(torch.ones(4, 3) * i), net.weight.detach().clone()]
        return found, [v.state.split(":")[0] for v in function.programs()] if compiled else []

    for counts in (False, True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got, states = trained(counts, compiled=True)
        wanted, _ = trained(counts, compiled=False)
        for a, b in zip(got, wanted, strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
        assert states == ["eager" if counts else "compiled"] * 3
        assert len(caught) == counts
