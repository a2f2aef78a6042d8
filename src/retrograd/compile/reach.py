"""What a function reaches besides its arguments: closure variables, globals, attributes of objects, modules and what they hold.

A recorded program is true as long as these are what they were. So each place where a value was found becomes a `Place`, which can be
looked at again: that takes some 30 ns. What modules hold is not looked at each time: a counter says whether any module changed
(`levels.switch.modules`), and only then it is compared.

Followed are functions and classes of the user's, not those of this library or of others; containers of up to `MANY` items; and of an
object, the attributes whose names occur in the code that is followed.
"""

from __future__ import annotations

import dis
import functools
import operator
import os
import site
import sys
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from numpy import ndarray

from retrograd.core.tensor import Tensor
from retrograd.errors import PACKAGE
from retrograd.nn.module import Module
from retrograd.optim.optimizer import Optimizer

MANY = 64
MOST_COPIED = 1024
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
PLAIN = (int, float, complex, bool, str, bytes, type(None))
ELSEWHERE = tuple({os.path.dirname(os.__file__) + os.sep, *(p + os.sep for p in [*site.getsitepackages(), site.getusersitepackages()])})


@dataclass
class Place:
    """Where a value was found: in a cell, under a key of a dict or list; or the number of items of a container, or a copy of them."""

    label: str
    holder: Any
    key: Any
    value: Any

    def look(self) -> Any:
        """What is there now."""
        if isinstance(self.holder, types.CellType):
            try:
                return self.holder.cell_contents
            except ValueError:
                return MISSING
        if self.key is LENGTH:
            return len(self.holder)
        if self.key is COPY:
            return copied(self.holder)
        try:
            return self.holder[self.key]
        except (LookupError, TypeError, AttributeError):
            return MISSING

    def holds(self) -> bool:
        """Whether it is what it was."""
        if self.key is COPY:
            now = self.look()
            if isinstance(now, list):
                return len(now) == len(self.value) and all(map(operator.is_, now, self.value))
            return bool(now == self.value)
        return same(self.look(), self.value)


LENGTH: Any = object()
COPY: Any = object()


def copied(value: Any) -> Any:
    """What tells the contents of a container or an array; a list is compared object by object."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    return (value.shape, value.tobytes()) if isinstance(value, ndarray) else frozenset(value)


class Slots:
    """The attributes of an object that has no `__dict__`, as items."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __getitem__(self, name: str) -> Any:
        return getattr(self.of, name)


def slots_of(value: Any) -> list[str]:
    """The names of an object's slots."""
    found: list[str] = []
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        found += [names] if isinstance(names, str) else list(names)
    return found


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same object, or equal numbers or strings."""
    return a is b or (type(a) is type(b) and isinstance(a, PLAIN) and (a == b) and repr(a) == repr(b))


def is_users(code: types.CodeType) -> bool:
    """Whether code is the user's: not this library's, nor the standard library's, nor an installed package's."""
    name = code.co_filename
    return not name.startswith(PACKAGE) and not name.startswith(ELSEWHERE) and not name.startswith("<frozen")


@functools.cache
def names_in(code: types.CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The globals that code reads, the attributes, and the strings in it; those of functions within it too."""
    read, attributes, strings = set(), set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(instruction.argval)
        elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            attributes.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, str):
            strings.add(constant)
        if isinstance(constant, types.CodeType):
            inner = names_in(constant)
            read |= inner[0]
            attributes |= inner[1]
            strings |= inner[2]
    return frozenset(read), frozenset(attributes), frozenset(strings)


class Reach:
    """What is reached from some values.

    places: where values were found.
    modules: (label, module) of every module reached, each once.
    tensors: tensors that are reached, by id.
    optimizers: the optimizers reached.
    unwatched: something reached that may change without being noticed, in words, or None.
    """

    def __init__(self, *roots: tuple[str, Any]) -> None:
        self.roots = roots
        self.attributes: set[str] = {"forward", "__call__"}
        self.strings: set[str] = set()
        self.unwatched: str | None = None
        while True:  # until no more names are found, which more attributes of objects may have
            known = len(self.attributes)
            self.places: list[Place] = []
            self.modules: list[tuple[str, Module]] = []
            self.tensors: dict[int, tuple[str, Tensor]] = {}
            self.optimizers: list[Optimizer] = []
            self.seen: dict[int, Any] = {}
            for label, value in roots:
                self.follow(label, value)
            if len(self.attributes) == known:
                break
        self.state = self.module_state()

    # ------------------------------------------------------------ following

    def put(self, label: str, holder: Any, key: Any, value: Any) -> None:
        """Notes a place, and follows what is in it."""
        self.places.append(Place(label, holder, key, value))
        self.follow(label, value)

    def follow(self, label: str, value: Any) -> None:
        """Notes what a value reaches."""
        if isinstance(value, PLAIN) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if isinstance(value, Tensor):
            self.tensors[id(value)] = label, value
        elif isinstance(value, Module):
            self.follow_module(label, value)
        elif isinstance(value, Optimizer):
            self.optimizers.append(value)
            if "param_groups" in self.attributes:
                self.follow_groups(label, value)
        elif isinstance(value, types.FunctionType):
            self.follow_function(label, value)
        elif isinstance(value, types.MethodType):
            self.follow(label, value.__self__)
            self.follow(label, value.__func__)
        elif isinstance(value, functools.partial):
            for part in (value.func, value.args, value.keywords):
                self.follow(label, part)
        elif isinstance(value, (staticmethod, classmethod)):
            self.follow(label, value.__func__)
        elif isinstance(value, property):
            self.follow(label, value.fget)
        elif isinstance(value, (list, tuple, dict, deque)):
            self.follow_container(label, value)
        elif isinstance(value, (set, ndarray)):
            self.follow_contents(label, value)
        elif hasattr(value, "__next__"):
            self.unwatched = f"{label}, an iterator"
        elif type(value).__module__.startswith("numpy.random"):
            self.unwatched = f"{label}, a random number generator of NumPy"
        elif isinstance(value, types.ModuleType):
            self.follow_python_module(label, value)
        elif isinstance(value, type):
            self.follow_class(label, value)
        elif hasattr(value, "__dict__"):
            for name, found in list(vars(value).items()):
                if name in self.attributes:
                    self.put(f"{label}.{name}", vars(value), name, found)
            self.follow_class(type(value).__name__, type(value))
            self.follow_slots(label, value)
        elif slots_of(value):
            self.follow_class(type(value).__name__, type(value))
            self.follow_slots(label, value)

    def follow_slots(self, label: str, value: Any) -> None:
        """The slots of an object that the code names."""
        held = Slots(value)
        for name in slots_of(value):
            if name in self.attributes and hasattr(value, name):
                self.put(f"{label}.{name}", held, name, getattr(value, name))

    def follow_function(self, label: str, function: types.FunctionType) -> None:
        """A function of the user's: its closure, the globals it reads, its defaults."""
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.follow(label, wrapped)
        code = function.__code__
        if not is_users(code):
            for cell in function.__closure__ or ():  # a decorator of a library holds the user's function
                try:
                    content = cell.cell_contents
                except ValueError:
                    continue
                if isinstance(content, (types.FunctionType, types.MethodType, Module)):
                    self.follow(label, content)
            return
        read, attributes, strings = names_in(code)
        self.attributes |= attributes
        self.strings |= strings
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            place = Place(f"the variable '{name}'", cell, name, None)
            place.value = place.look()
            self.places.append(place)
            self.follow(name, place.value)
        for name in sorted(read):
            if name in function.__globals__:
                self.put(name, function.__globals__, name, function.__globals__[name])
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.follow(label, default)

    def follow_container(self, label: str, value: Any) -> None:
        """A list, tuple or dict: how many items, and which."""
        if not isinstance(value, tuple):
            self.places.append(Place(f"the length of {label}", value, LENGTH, len(value)))
        if len(value) > MANY:
            return self.follow_contents(label, value)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, tuple):
                self.follow(f"{label}[{key}]", item)
            else:
                self.put(f"{label}[{key!r}]", value, key, item)
        return None

    def follow_contents(self, label: str, value: Any) -> None:
        """A set, a large container or an array of NumPy: a copy is compared at each call."""
        if (value.size if isinstance(value, ndarray) else len(value)) <= MOST_COPIED:
            self.places.append(Place(label, value, COPY, copied(value)))
        else:
            self.unwatched = f"{label}, a {type(value).__name__} of more than {MOST_COPIED} items"

    def follow_groups(self, label: str, optimizer: Optimizer) -> None:
        """The hyperparameters of an optimizer that the code names (all, if it goes through them by name)."""
        groups = optimizer.param_groups
        self.places.append(Place(f"{label}.param_groups", vars(optimizer), "param_groups", groups))
        every = bool(self.attributes & {"items", "values", "keys"})
        for i, group in enumerate(groups):
            for key, value in group.items():
                if every or key in self.strings:
                    self.put(f"{label}.param_groups[{i}][{key!r}]", group, key, value)

    def follow_python_module(self, label: str, module: types.ModuleType) -> None:
        """A Python module of the user's: the names in it that the code uses as attributes."""
        file = getattr(module, "__file__", None) or PACKAGE
        if file.startswith((PACKAGE, *ELSEWHERE)) or module is sys.modules.get("builtins"):
            return
        for name in sorted(self.attributes & set(vars(module))):
            self.put(f"{label}.{name}", vars(module), name, vars(module)[name])

    def follow_class(self, label: str, kind: type) -> None:
        """The functions and values of a class of the user's."""
        for base in kind.__mro__:
            module = sys.modules.get(base.__module__)
            file = getattr(module, "__file__", None)
            if base is object or (file is None and base.__module__ != "__main__") or (file or "").startswith((PACKAGE, *ELSEWHERE)):
                continue
            if id(base) in self.seen and base is not kind:
                continue
            self.seen[id(base)] = base
            for name, value in list(vars(base).items()):
                if name in self.attributes:
                    self.follow(f"{label}.{name}", value)
                    if isinstance(value, (*PLAIN, list, dict, tuple, Tensor)):
                        self.places.append(Place(f"{label}.{name}", vars(base), name, value))

    def follow_module(self, label: str, module: Module) -> None:
        """A module, and those below it: their code, and what they hold besides parameters."""
        for path, below in module.named_modules():
            where = f"{label}.{path}" if path else label
            self.seen[id(below)] = below
            self.modules.append((where, below))
            self.follow_class(type(below).__name__, type(below))
            for name, tensor in (*below._parameters.items(), *below._buffers.items()):
                if tensor is not None:
                    self.tensors.setdefault(id(tensor), (f"{where}.{name}", tensor))
            for name, value in vars(below).items():
                large = isinstance(value, (dict, list, set, deque)) and len(value) > MANY
                if name not in INTERNAL and not isinstance(value, PLAIN) and (not large or name in self.attributes):
                    self.follow(f"{where}.{name}", value)

    # ------------------------------------------------------------ what modules hold

    def module_state(self) -> list[tuple[str, Any]]:
        """What all modules hold, by name."""
        return list(held_by(self.modules))

    def changed_modules(self) -> str | None:
        """What a module holds that it did not hold then, or None."""
        now = self.module_state()
        for (label, before), (name, value) in zip(self.state, now, strict=False):
            if label != name:
                return name
            if not same(before, value):
                return label
        return None if len(now) == len(self.state) else "the modules"

    def changed(self) -> str | None:
        """The first thing that is not what it was, or None."""
        for place in self.places:
            if not place.holds():
                return place.label
        return self.changed_modules()


INTERNAL = frozenset(vars(Module())) - {"training"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def held_by(modules: list[tuple[str, Module]]) -> Iterator[tuple[str, Any]]:
    """(name, value) of what modules hold: tensors, modules and hooks by identity, and all other attributes."""
    for label, module in modules:
        values = vars(module)
        for table in ("_parameters", "_buffers", "_modules"):
            for name, value in values[table].items():
                yield f"{label}.{name}", value
        for table in HOOKS:
            for hook in values[table].values():
                yield f"a hook of {label}", hook
        for name, value in values.items():
            if name not in INTERNAL:
                yield f"{label}.{name}", value


def describe(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {value.dtype} {list(value.shape)}".replace("torch.", "")
    text = repr(value) if isinstance(value, PLAIN) or value is MISSING else f"a {type(value).__name__}"
    return text if len(text) < 60 else text[:57] + "..."


__all__ = ["COPY", "LENGTH", "MISSING", "Place", "Reach", "describe", "same"]
