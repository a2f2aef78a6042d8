"""What a function reaches besides its arguments: closure variables, globals, attributes of objects, modules and what they hold.

A recorded program is true as long as these are what they were. So each place where a value was found becomes a `Place`, which can be
looked at again: that takes some 30 ns. What modules hold is not looked at each time: a counter says whether any module changed
(`levels.switch.modules`), and only then it is compared.

Followed are functions and classes of the user's, not those of this library or of others; containers of up to `MANY` items; and of an
object, the attributes whose names occur in the code that is followed (all, where that code works names out, or where the object's class
is another library's). What may change unseen makes the function run in eager: iterators, generators of random numbers, variables that
belong to a thread or a context, names worked out by `globals()` or `eval`.
"""

from __future__ import annotations

import functools
import operator
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import resolve_name
from typing import Any

from numpy import generic, ndarray

from retrograd.compile.capture import has_hooks
from retrograd.compile.names import Names, is_elsewhere, is_foreign_class, is_users_class, names_in
from retrograd.core.tensor import Tensor
from retrograd.nn.module import Module
from retrograd.optim.optimizer import Optimizer

MANY = 64
MOST_COPIED = 1024
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
UNSET = (None, False, MISSING)  # what is there before something is made for the first time
PLAIN = (int, float, complex, bool, str, bytes, type(None))
ALL = {"vars", "dir"}  # what gives all attributes
UNSEEN = {"globals": "a variable by a name that is worked out (globals())", "eval": "what it evaluates", "exec": "what it executes"}
BUILTINS = (int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset, deque)
FIXED = (types.FunctionType, staticmethod, property)  # what a class gives of itself as it is
MAKERS = ("__init__", "__new__", "__post_init__")


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
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    if isinstance(value, functools._lru_cache_wrapper):
        return value.cache_info().currsize
    return (value.shape, value.tobytes()) if isinstance(value, ndarray) else bytes(value)


def has_bytes(value: Any) -> bool:
    """Whether a value is memory with numbers in it."""
    try:
        memoryview(value)
    except (TypeError, BufferError, ValueError):
        return False
    return True


class Slots:
    """The attributes of something, as items: however they are found."""

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


def slot_of(value: Any, name: str) -> Any:
    """What is in a slot of an object."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return MISSING


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same object, or equal numbers or strings."""
    return a is b or (type(a) is type(b) and isinstance(a, PLAIN) and (a == b) and repr(a) == repr(b))


class Reach:
    """What is reached from some values.

    Args:
        hooks: whether a backward pass may be run, and calls hooks of leaves.

    places: where values were found.
    modules: (label, module) of every module reached, each once.
    tensors: tensors that are reached, by id.
    optimizers: the optimizers reached.
    hooked: ids of the tensors that have hooks.
    unwatched: something reached that may change without being noticed, in words, or None.
    """

    def __init__(self, *roots: tuple[str, Any], hooks: bool = False) -> None:
        self.roots, self.hooks = roots, hooks
        self.attributes: set[str] = {"forward", "__call__"}
        self.optional: set[str] = set()
        self.strings: set[str] = set()
        self.every = False  # whether attributes are taken by names that are worked out
        while True:  # until no more names are found, which more attributes of objects may have
            known = len(self.attributes), self.every
            self.places: list[Place] = []
            self.modules: list[tuple[str, Module]] = []
            self.tensors: dict[int, tuple[str, Tensor]] = {}
            self.optimizers: list[Optimizer] = []
            self.hooked: set[int] = set()
            self.seen: dict[int, Any] = {}
            self.classes: set[tuple[int, bool]] = set()
            self.unwatched: str | None = None
            for label, value in roots:
                self.follow(label, value)
            if (len(self.attributes), self.every) == known:
                break
        self.state = self.module_state()

    # ------------------------------------------------------------ following

    def put(self, label: str, holder: Any, key: Any, value: Any) -> None:
        """Notes a place, and follows what is in it."""
        self.places.append(Place(label, holder, key, value))
        self.follow(label, value)

    def follow(self, label: str, value: Any) -> None:
        """Notes what a value reaches."""
        if isinstance(value, (*PLAIN, generic)) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        if isinstance(value, Tensor):
            self.tensors[id(value)] = label, value
            self.follow_attributes(label, value)
            self.follow_hooks(label, value)
        elif isinstance(value, Module):
            self.follow_module(label, value)
        elif isinstance(value, Optimizer):
            self.follow_optimizer(label, value)
        elif isinstance(value, types.FunctionType):
            self.follow_function(label, value)
        elif isinstance(value, (list, tuple, dict, deque, types.MappingProxyType)):
            self.follow_container(label, value)
        elif isinstance(value, (set, frozenset, ndarray)) or has_bytes(value):
            self.follow_contents(label, value)
        elif hasattr(type(value), "__next__"):
            self.unwatched = f"{label}, an iterator"
        elif type(value).__module__.startswith("numpy.random"):
            self.unwatched = f"{label}, a random number generator of NumPy"
        elif isinstance(value, (threading.local, ContextVar)):
            self.unwatched = f"{label}, a variable that belongs to a thread or a context"
        elif isinstance(value, types.ModuleType):
            self.follow_python_module(label, value)
        elif isinstance(value, type):
            self.follow_class(label, value, made=True)
            if type(value) is not type:
                self.follow_class(type(value).__name__, type(value))
        else:
            self.follow_callable(label, value)
            self.follow_object(label, value)

    def follow_callable(self, label: str, value: Any) -> None:
        """What a method or another callable object consists of."""
        if isinstance(value, types.MethodType):
            parts: tuple[Any, ...] = value.__self__, value.__func__
        elif isinstance(value, types.BuiltinMethodType):
            parts = (value.__self__,)
        elif isinstance(value, functools.partial):
            parts = value.func, value.args, value.keywords
        elif isinstance(value, (staticmethod, classmethod)):
            parts = (value.__func__,)
        elif isinstance(value, property):
            parts = value.fget, value.fset
        elif isinstance(value, functools.cached_property):
            parts = (value.func,)
        elif isinstance(value, weakref.ref):
            parts = (value(),)
        elif isinstance(value, functools._lru_cache_wrapper):
            self.places.append(Place(f"how much {label} remembers", value, COPY, copied(value)))
            parts = (value.__wrapped__,)
        else:
            self.every = self.every or isinstance(value, (operator.attrgetter, operator.methodcaller))
            return
        for part in parts:
            self.follow(label, part)

    def follow_object(self, label: str, value: Any) -> None:
        """The attributes of an object, those in slots too, and its class."""
        kind = type(value)
        if isinstance(getattr(value, "__dict__", None), dict):
            self.follow_attributes(label, value)
        for name in slots_of(value):
            found = slot_of(value, name) if name in self.attributes or self.every else MISSING
            if found is not MISSING:
                self.put(f"{label}.{name}", Slots(value), name, found)
        self.follow_class(kind.__name__, kind)

    def follow_attributes(self, label: str, value: Any) -> None:
        """What is in the `__dict__` of an object, as far as it matters; and what is found in its class for want of it."""
        held, foreign = vars(value), is_foreign_class(type(value))
        if self.every and not isinstance(value, Tensor):
            self.places.append(Place(f"how many attributes {label} has", held, LENGTH, len(held)))
        for name, found in list(held.items()):
            if name in self.attributes or self.every:
                self.put(f"{label}.{name}", held, name, found)
            elif foreign:  # code that is not followed may use it
                self.places.append(Place(f"{label}.{name}", held, name, found))
                if isinstance(found, (list, dict, set, deque)) and len(found) <= MOST_COPIED:
                    self.places.append(Place(f"{label}.{name}", found, COPY, copied(found)))
        known = {name for base in type(value).__mro__ if is_users_class(base) for name in vars(base)}
        for name in sorted((self.optional | (self.attributes & known)) - set(held)):
            if not isinstance(value, Tensor) and not hasattr(getattr(type(value), name, None), "__set__"):
                self.places.append(Place(f"{label}.{name}", held, name, MISSING))

    def follow_hooks(self, label: str, tensor: Tensor) -> None:
        """What is called with a leaf's gradient."""
        if not has_hooks(tensor):
            return
        self.hooked.add(id(tensor))
        extra = tensor._extra
        for name in ("hooks", "post_accumulate") if self.hooks else ():
            self.put(f"the hooks of {label}", Slots(extra), name, getattr(extra, name))

    def follow_function(self, label: str, function: types.FunctionType) -> None:
        """A function of the user's: its closure, the globals and modules it reads, its defaults and attributes."""
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.follow(label, wrapped)
        code = function.__code__
        if is_elsewhere(code.co_filename):
            for cell in function.__closure__ or ():  # a decorator of a library holds the user's function
                try:
                    content = cell.cell_contents
                except ValueError:
                    continue
                if isinstance(content, (types.FunctionType, types.MethodType, Module)):
                    self.follow(label, content)
            return
        names = names_in(code)
        self.take(names, function.__globals__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            place = Place(f"the variable '{name}'", cell, name, None)
            place.value = place.look()
            self.places.append(place)
            self.follow(name, place.value)
        for name in sorted(names.read):
            if name in function.__globals__:
                self.put(name, function.__globals__, name, function.__globals__[name])
        for imported in sorted(names.imports):
            self.follow_import(function.__globals__, *imported)
        for part in ("__defaults__", "__kwdefaults__"):
            if getattr(function, part):
                self.put(f"{label}.{part}", Slots(function), part, getattr(function, part))
        for name in sorted(names.attributes & set(vars(function))):
            self.put(f"{label}.{name}", vars(function), name, vars(function)[name])

    def take(self, names: Names, known: dict[str, Any]) -> None:
        """Takes in what code mentions, whose globals are `known`."""
        self.attributes |= names.attributes
        self.optional |= names.optional
        self.strings |= names.strings
        builtin = names.read - set(known)
        self.every = self.every or bool(builtin & (ALL | names.worked_out)) or "__dict__" in names.attributes
        for name in sorted(builtin & set(UNSEEN)):
            self.unwatched = UNSEEN[name]
        if {"environ", "getenv"} & (names.attributes | names.read):
            self.unwatched = "the environment's variables"

    def follow_import(self, known: dict[str, Any], name: str, level: int, taken: tuple[str, ...]) -> None:
        """A module that the function imports, if it is the user's. One that is not there yet is a change when it comes."""
        try:
            name = resolve_name("." * level + name, known.get("__package__"))
        except ImportError:
            return
        for path in {name, name.split(".")[0]}:
            module = sys.modules.get(path, MISSING)
            if module is not MISSING and is_elsewhere(getattr(module, "__file__", None) or "<frozen"):
                continue
            self.put(f"the module {path}", sys.modules, path, module)
            if path == name and module is not MISSING:
                self.places += [Place(f"{name}.{t}", vars(module), t, MISSING) for t in taken if t not in vars(module)]

    def follow_container(self, label: str, value: Any) -> None:
        """A list, tuple or dict: how many items, and which."""
        if not isinstance(value, tuple):
            self.places.append(Place(f"the length of {label}", value, LENGTH, len(value)))
        if len(value) > MANY:
            self.follow_contents(label, value)
        else:
            for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
                where = f"{label}[{key!r}]" if isinstance(key, PLAIN) else f"{label}[a {type(key).__name__}]"
                if isinstance(value, tuple):
                    self.follow(where, item)
                else:
                    self.put(where, value, key, item)
        if type(value) not in BUILTINS and hasattr(value, "__dict__"):
            self.follow_object(label, value)

    def follow_contents(self, label: str, value: Any) -> None:
        """A set, a large container or an array of NumPy: a copy is compared at each call."""
        if (value.size if isinstance(value, ndarray) else memoryview(value).nbytes if has_bytes(value) else len(value)) <= MOST_COPIED:
            self.places.append(Place(label, value, COPY, copied(value)))
        else:
            self.unwatched = f"{label}, a {type(value).__name__} of more than {MOST_COPIED} items"

    def follow_optimizer(self, label: str, optimizer: Optimizer) -> None:
        """An optimizer: the hyperparameters that the code names. Of one of the user's, whose step is code like any other, its state too."""
        self.optimizers.append(optimizer)
        if any(is_users_class(kind) for kind in type(optimizer).__mro__):
            self.follow_object(label, optimizer)
            self.places.append(Place(f"{label}.state", vars(optimizer), "state", optimizer.state))
            self.places.append(Place(f"the length of {label}.state", optimizer.state, LENGTH, len(optimizer.state)))
            for i, held in enumerate(optimizer.state.values()):
                self.follow(f"{label}.state[{i}]", held)
        if "param_groups" in self.attributes:
            self.follow_groups(label, optimizer)

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
        if is_elsewhere(getattr(module, "__file__", None) or "<frozen"):
            return
        for name in sorted(self.attributes & set(vars(module))):
            self.put(f"{label}.{name}", vars(module), name, vars(module)[name])

    def follow_class(self, label: str, kind: type, *, made: bool = False) -> None:
        """The functions and values of a class of the user's. `made`: the code may make instances of it."""
        if (id(kind), made) in self.classes:
            return
        self.classes.add((id(kind), made))
        hidden: set[str] = set()
        for base in kind.__mro__:
            if not is_users_class(base):
                continue
            for name, value in list(vars(base).items()):
                called = name.startswith("__") and name.endswith("__") and isinstance(value, types.FunctionType)
                if not (name in self.attributes or (called and (made or name not in MAKERS))):
                    continue
                if isinstance(value, (types.FunctionType, types.MethodType)) or not isinstance(value, PLAIN):
                    self.follow(f"{label}.{name}", value)
                if name in self.attributes and name not in ("__dict__", "__weakref__"):
                    bound = isinstance(value, classmethod) or (hasattr(type(value), "__get__") and not isinstance(value, FIXED))
                    through = vars(base) if bound else Slots(base if name in hidden else kind)
                    self.places.append(Place(f"{label}.{name}", through, name, through[name]))
                    hidden.add(name)

    def follow_module(self, label: str, module: Module) -> None:
        """A module, and those below it: their code, and what they hold besides parameters."""
        for path, below in module.named_modules():
            where = f"{label}.{path}" if path else label
            self.seen[id(below)] = below
            self.modules.append((where, below))
            self.follow_class(type(below).__name__, type(below))
            for name, tensor in (*below._parameters.items(), *below._buffers.items()):
                if tensor is not None:
                    self.follow(f"{where}.{name}", tensor)
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

    def settles(self) -> bool:
        """Whether all that has changed looks as if it did so once and for all: what was None or missing has come, a dict has grown."""
        for place in self.places:
            if place.holds() or any(place.value is unset for unset in UNSET):
                continue
            if isinstance(place.holder, dict) and place.key in (LENGTH, COPY) and len(place.holder) > grown_from(place):
                continue
            if place.key is COPY and isinstance(place.holder, functools._lru_cache_wrapper):
                continue
            return False
        before = dict(self.state)
        return all(any(before.get(n) is unset for unset in UNSET) or same(before[n], value) for n, value in self.module_state())


def grown_from(place: Place) -> int:
    """How many items a dict had."""
    return place.value if place.key is LENGTH else len(place.value) // 2


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
