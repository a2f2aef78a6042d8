"""An operation: a forward function on arrays, with a rule for every interpreter hung beneath it.

    @linear
    def flip_dims(input, *, dims):          # arrays positional, metadata keyword-only
        '''...'''
        return np.flip(input, dims)

    @flip_dims.transpose
    def _(g, dims):
        return flip_dims(g, dims=dims)

A rule is called by parameter name, and the names say what it needs:

    g                 the cotangent of the result (of the output `values`, where outputs are named: g_values)
    t                 the tangent of the operand
    y                 the result (of several outputs, each by its name)
    <operand>         the value of an operand
    <operand>_shape   its shape
    <keyword>         a keyword of the forward function

so the names are also the list of what is saved for the backward pass. An operand `*tensors` stands for any number of them: its
value and shape are tuples, and its rule returns one cotangent for each.

What an Op defines is called through a plain function, its entry, which carries the decorators as attributes; a plain
function is what Python calls fastest, and what becomes a method by being put on a class.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from types import FunctionType
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy import ndarray

from retrograd.core.levels import Interpreter, local, only_looked_at, switch
from retrograd.core.tape import QUIET, Node, Port, count, quiet, restore, silence
from retrograd.core.tensor import LEAF, Box, Tensor, View, current_node, wrap

OPS: dict[str, Op] = {}  # every operation by name, in the order of definition
CONTINUOUS = frozenset("fcV")  # kinds of NumPy dtypes that can carry a gradient (V: bfloat16)

FLOAT32 = np.dtype(np.float32)

Rule = Callable[..., Any]


class Entry(Protocol):
    """The function through which an operation is called, with its decorators."""

    op: Op
    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def derivative(self, operand: str) -> Callable[[Rule], Rule]: ...
    def transpose(self, rule: Any) -> Any: ...
    def vjp(self, operand: str) -> Callable[[Rule], Rule]: ...
    def jvp(self, operand: str) -> Callable[[Rule], Rule]: ...
    def batch(self, rule: Rule) -> Rule: ...
    def kernel(self, rule: Rule) -> Rule: ...
    def lowering(self, rule: Rule) -> Rule: ...


class Op:
    """The record of one operation."""

    family = "opaque"

    def __init__(
        self,
        forward: Callable[..., Any],
        *,
        name: str | None = None,
        title: str | None = None,
        outputs: Sequence[str] = (),
        many: bool = False,
        differentiable: bool = True,
        derivative_name: str | Callable[[dict[str, Any]], str] | None = None,
        **facts: Any,
    ) -> None:
        self.forward = forward
        self.name = name or forward.__name__.removesuffix("_op")  # the primitive beneath a public `f` of other signature is `f_op`
        self.title = title or self.name.removeprefix("linalg_")  # what people call it: the public function that it is behind
        self.outputs = tuple(outputs)
        self.many = many  # the one output named is a tuple of any length, and `g` a list of as many cotangents
        self.differentiable = differentiable
        self.facts = facts  # facts that others read: commutative=True, identity=0, sized_by_numbers=True, ...
        self.rules: dict[tuple[str, str | None], Rule] = {}
        self.kernel_rule: Rule | None = None
        self.lowering_rule: Rule | None = None
        self.batch_rule: Rule | None = None
        # hung here by who can make them (compile/eager.py): a quicker forward function for arrays of so many elements, what makes quicker rules
        self.accelerated: Callable[..., Any] | None = None
        self.accelerated_from = sys.maxsize
        self.quicken: Callable[[Rule, Rule], Rule] | None = None
        camel = "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))
        self._derivative_name = derivative_name or f"{camel}Backward0"
        self.read_signature(forward)
        self.plans: dict[Any, Plan] = {}
        if self.name in OPS:
            raise ValueError(f"an operation called {self.name!r} exists already")
        OPS[self.name] = self

    def read_signature(self, forward: Callable[..., Any]) -> None:
        """Takes operands and metadata from the forward function."""
        if hasattr(forward, "__signature__"):  # one function was made from another
            return self.read_given_signature(forward)
        # read off the code object: `inspect.signature` would take a tenth of the time of importing the library
        code, defaults = forward.__code__, forward.__defaults__ or ()
        positional, end = code.co_varnames[: code.co_argcount], code.co_argcount + code.co_kwonlyargcount
        self.variadic = code.co_varnames[end] if code.co_flags & inspect.CO_VARARGS else None
        self.operands = positional if self.variadic is None else (*positional, self.variadic)
        self.optional = dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True))
        self.metadata = code.co_varnames[code.co_argcount : end]
        self.defaults = dict(forward.__kwdefaults__ or {})
        self.name_pool()

    def read_given_signature(self, forward: Callable[..., Any]) -> None:
        """The same from a signature that was put on the function."""
        parameters = inspect.signature(forward).parameters.values()
        self.variadic = None
        self.operands = tuple([p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD])
        self.optional = {p.name: p.default for p in parameters if p.name in self.operands and p.default is not p.empty}
        self.metadata = tuple([p.name for p in parameters if p.kind is p.KEYWORD_ONLY])
        self.defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
        self.name_pool()

    def name_pool(self) -> None:
        """Numbers what a rule may name."""
        results = self.outputs or ("y",)
        self.only_variadic = self.variadic is not None and self.variadic == self.operands[0]
        # the pool is what a rule may name, in the order of `pool()`
        names = (*self.operands, *results, *(f"{o}_shape" for o in self.operands), *self.metadata)
        self.pool_index = {name: i for i, name in enumerate(names)}

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def derivative_name(self, params: dict[str, Any]) -> str:
        """What PyTorch calls the derivative, for printing `grad_fn`."""
        name = self._derivative_name
        return name if isinstance(name, str) else name(params)

    # -------------------------------------------------------- attaching rules

    def attach(self, slot: str, operand: str | None = None) -> Callable[[Rule], Rule]:
        """A decorator that hangs a rule beneath the operation."""
        if operand is not None and operand not in self.operands:
            raise ValueError(f"{self.name} has no operand {operand!r}; it has {', '.join(self.operands)}")

        def decorate(rule: Rule) -> Rule:
            rule.__name__ = rule.__qualname__ = f"{self.name}.{slot}" + (f"[{operand}]" if operand else "")
            self.rules[slot, operand] = rule
            return rule

        return decorate

    def vjp(self, operand: str) -> Callable[[Rule], Rule]:
        """Attaches the vector-Jacobian product for one operand: from `g` to its cotangent."""
        return self.attach("vjp", operand)

    def jvp(self, operand: str) -> Callable[[Rule], Rule]:
        """Attaches the Jacobian-vector product for one operand: from its tangent `t` to the result's."""
        return self.attach("jvp", operand)

    def batch(self, rule: Rule) -> Rule:
        """Attaches `rule(args, mapped, **params)`: the operation on operands of which some have a leading batch dim."""
        self.batch_rule = rule
        return rule

    def kernel(self, rule: Rule) -> Rule:
        """Attaches the operation on one element, written with a builder's methods."""
        self.kernel_rule = rule
        return rule

    def lowering(self, rule: Rule) -> Rule:
        """Attaches the operation as loops over arrays, written with an array builder's methods (see compile/expr.py)."""
        self.lowering_rule = rule
        return rule

    def accelerate(self, forward: Callable[..., Any], elements: int) -> None:
        """Has eager run a quicker forward function where the first operand has so many elements or more."""
        self.accelerated, self.accelerated_from = forward, elements

    # -------------------------------------------------------- calling

    def entry(self) -> Entry:
        """The function through which the operation is called."""
        return self.dress(make_entry(self))

    def dress(self, function: Any) -> Entry:
        """Gives an entry its name, its documentation and its decorators."""
        function.__name__ = function.__qualname__ = self.forward.__name__
        function.__doc__ = self.forward.__doc__
        function.__module__ = self.forward.__module__
        function.__wrapped__ = self.forward
        function.op = self
        for name in ("derivative", "transpose", "vjp", "jvp", "batch", "kernel", "lowering"):
            if hasattr(self, name):
                setattr(function, name, getattr(self, name))
        self.call = function
        return function

    def dispatch(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Hands the call to the interpreter of its highest operand, or runs it."""
        if local.raw and not any(isinstance(a, Tensor) for a in args):
            return self.forward(*args, **params)
        if switch.special:
            interpreter = self.interpreter(args)
            if interpreter is not None:
                return interpreter.process(self, args, params)
        return self.eager(self.prepare(args), params)

    @staticmethod
    def interpreter(args: Sequence[Any]) -> Interpreter | None:
        """The interpreter with the highest level among the operands'."""
        top: Interpreter | None = None
        for a in args:
            if isinstance(a, Box) and (top is None or a.interpreter.level > top.level):
                top = a.interpreter
        return top

    def prepare(self, args: Sequence[Any]) -> Sequence[Any]:
        """The operands as Tensors (or None, or numbers); families add promotion."""
        for a in args:
            if a.__class__ is ndarray:
                self.refuse_array(args, a)
        return args

    def refuse_array(self, args: Sequence[Any], array: Any) -> NoReturn:
        """Raises TypeError: an operand is a NumPy array."""
        name = next(name for name, b in zip(self.operands, args, strict=False) if b is array)
        raise TypeError(f"{self.name}(): argument '{name}' must be Tensor, not numpy.ndarray: make one with torch.from_numpy(...)")

    def eager(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Runs the forward function on the arrays, and records it if a gradient may be asked for."""
        datas: list[Any] = []
        edges: Any = []
        recorded = False
        for a in args:
            kind = a.__class__
            edge = None
            if kind is Tensor or (kind is not Box and isinstance(a, Tensor)):
                node = a._node if a._base is None else current_node(a)
                if node is not None:
                    edge, recorded = (a if node is LEAF else node), True
                a = a._data
            elif kind is Box:  # it has left its transform
                return self.eager([b.interpreter.concrete(b) if b.__class__ is Box else b for b in args], params)
            elif kind is ndarray:
                self.refuse_array(args, a)
            datas.append(a)
            edges.append(edge)
        token = silence(QUIET)
        try:
            forward = self.forward
            if self.accelerated is not None and datas[0].__class__ is ndarray and datas[0].size >= self.accelerated_from:
                forward = self.accelerated
            y = forward(*datas, **params)
        finally:
            restore(token)
        special = switch.special  # zero: the flags of this thread are as usual
        if not (recorded and self.differentiable and (not special or local.grad)):
            edges = None
        if self.outputs:
            outs = self.wrap_several(y, args, datas, edges, params)
            if special:
                self.tell(args, params, outs)
            return outs
        if y.__class__ is not ndarray:
            y = np.asarray(y)
        if y.dtype is FLOAT32 and self.family == "elementwise":
            y = rounded(y, datas)
        out = wrap(y)
        if edges is not None and y.dtype.kind in CONTINUOUS:
            out._node = self.record(args, datas, (y,), (out,), edges, params)
        if special:
            self.tell(args, params, (out,))
        return out

    def tell(self, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Tensor]) -> None:
        """What else is done with a call where something is unusual: who watches is told, and hooks may exchange what it saved."""
        if local.observer is not None:
            local.observer.ran(self, args, params, outs)
        if local.saved_hooks:
            node = next((out._node for out in outs if out._node is not None), None)
            if node is not None:
                pack_saved(node.grad_fn)
        if local.inference:
            for out in outs:
                out.extra().inference = True

    def wrap_several(self, ys: Sequence[Any], args: Any, datas: Any, edges: Any, params: dict[str, Any]) -> tuple[Tensor, ...]:
        """Tensors around several results."""
        outs = tuple(wrap(y) for y in ys)
        if edges is not None:
            node = self.record(args, datas, (ys,) if self.many else ys, outs, edges, params)
            node.like = tuple((y.shape, y.dtype) for y in ys)
            for i, out in enumerate(outs):
                if out._data.dtype.kind in CONTINUOUS:
                    out._node = Port(node, i)
        return outs

    def record(
        self, args: Sequence[Any], datas: Sequence[Any], ys: Sequence[Any], outs: Sequence[Any], edges: list[Any], params: dict[str, Any]
    ) -> Node:
        """The node of a call."""
        node = Node()
        node.plan = plan = self.plan(edges)
        node.edges = edges
        node.params = params
        node.facts = plan.gather(datas, ys, params)
        node.versions = plan.versions(args, outs) if plan.saved_positions else ()
        node.tensors = False
        node.hooks = node.metadata = None
        node.seq = count()
        if switch.special and local.anomaly is not None:
            local.anomaly.remember(node)
        return node

    def pool(self, values: Sequence[Any], ys: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
        """All that a rule may name, in the order of `pool_index`."""
        if len(params) != len(self.metadata):
            params = {**self.defaults, **params}
        shapes = [getattr(v, "shape", ()) for v in values]
        if self.variadic is not None:
            n = len(self.operands) - 1
            values = (*values[:n], tuple(values[n:]))
            shapes = [*shapes[:n], tuple(shapes[n:])]
        elif len(values) < len(self.operands):
            missing = self.operands[len(values) :]
            values = (*values, *(self.optional[m] for m in missing))
            shapes = [*shapes, *(() for _ in missing)]
        return (*values, *ys, *shapes, *[params[name] for name in self.metadata])

    def plan(self, edges: Sequence[Any]) -> Plan:
        """What to save, and which rules to run, when just these operands need a gradient."""
        mask = True if self.only_variadic else tuple([e is not None for e in edges])
        plan = self.plans.get(mask)
        if plan is None:
            plan = self.plans[mask] = Plan(self, mask)
        return plan

    def vjp_rule(self, operand: str) -> Rule:
        """The rule that takes the result's cotangent to the operand's, as `rule(**known)`; families supply it."""
        rule = self.rules.get(("vjp", operand))
        if rule is None:
            raise NotImplementedError(
                f"derivative for {self.name} with respect to {operand!r} is not implemented; it belongs beside `def {self.name}`"
            )
        return rule


def rounded(y: ndarray, operands: Sequence[Any]) -> ndarray:
    """A result in bfloat16, if an operand was: NumPy does not know that a number should not widen it."""
    found = next((x.dtype for x in operands if isinstance(x, ndarray) and x.dtype.kind == "V"), None)
    return y if found is None or any(getattr(x, "dtype", None) is FLOAT32 for x in operands) else y.astype(found)


def needs(rule: Rule) -> tuple[str, ...]:
    """The names of what a rule needs."""
    listed = getattr(rule, "needs", None)
    return rule.__code__.co_varnames[: rule.__code__.co_argcount] if listed is None else listed


class Plan:
    """What one operation saves and runs when a certain set of its operands needs a gradient."""

    def __init__(self, op: Op, mask: Any) -> None:
        self.op = op
        wanted: list[tuple[int | None, Rule]]
        if mask is True:
            assert op.variadic is not None
            wanted = [(None, op.vjp_rule(op.variadic))]
        else:
            names = [op.operands[min(i, len(op.operands) - 1)] for i in range(len(mask))]
            wanted = [(i, op.vjp_rule(n)) for i, (n, m) in enumerate(zip(names, mask, strict=True)) if m and n != op.variadic]
            if op.variadic is not None and any(m for n, m in zip(names, mask, strict=True) if n == op.variadic):
                raise NotImplementedError(f"{op.name}: gradients of {op.variadic!r} beside other operands")
        cotangents = {"g": -1, **{f"g_{name}": -2 - i for i, name in enumerate(op.outputs)}}
        names = list(dict.fromkeys(n for _, rule in wanted for n in needs(rule) if n not in cotangents))
        for name in names:
            if name not in op.pool_index:
                raise NameError(f"a rule of {op.name} asks for {name!r}; there is: {', '.join(op.pool_index)}")
        self.names = tuple(names)
        self.gather = gatherer(op, names)
        where = {n: i for i, n in enumerate(names)} | cotangents
        self.rules = [(at, bind(rule, [where[n] for n in needs(rule)], len(names))) for at, rule in wanted]
        quicken = op.quicken
        # For the short way through a walk: the rule of each operand, up to the last that needs a gradient. Empty if there are
        # several outputs, or one rule for any number of operands.
        bound = {at: bind(rule, [where[n] for n in needs(rule)], len(names), arrays=True) for at, rule in wanted if not op.outputs}
        if quicken is not None and op.outputs:
            self.rules = [(at, quicken(rule, rule)) for at, rule in self.rules]
        elif quicken is not None:
            on_tensors = dict(self.rules)
            bound = {at: quicken(rule, on_tensors[at]) for at, rule in bound.items()}
        listed = {at: rule for at, rule in bound.items() if at is not None}
        self.by_operand: list[Rule] = [listed.get(i, no_cotangent) for i in range(max(listed) + 1)] if listed else []
        self.unpacks = all(getattr(rule, "unpacks", False) for rule in self.by_operand)  # the rules turn arrays without dims into scalars
        results = op.outputs or ("y",)
        self.saved_operands = [(op.operands.index(n), where[n]) for n in names if n in op.operands]
        self.saved_results = [(results.index(n), where[n]) for n in names if n in results]
        self.saved_names = [n for n in names if n in op.operands] + [n for n in names if n in results]
        self.saved_positions = [at for _, at in self.saved_operands] + [at for _, at in self.saved_results]

        saved, results_at = [i for i, _ in self.saved_operands], [len(op.operands)] * len(self.saved_results)
        self.keep = keeper([op.pool_index[n] for n in names], len(op.pool_index), saved + results_at, len(op.operands) + 1)

    def versions(self, args: Sequence[Any], outs: Sequence[Any]) -> tuple[Any, ...]:
        """(counter, value) of every tensor that is saved."""
        found = []
        for i, _ in self.saved_operands:
            for a in args[i:] if self.op.operands[i] == self.op.variadic else args[i : i + 1]:
                if isinstance(a, Tensor):
                    counter = a._version
                    found.append((counter, counter[0]))
        for i, _ in self.saved_results:
            counter = outs[i]._version
            found.append((counter, counter[0]))
        return tuple(found)

    def rewrap(self, node: Node, facts: tuple[Any, ...]) -> tuple[Any, ...]:
        """Saved arrays as Tensors with their place on the tape, for a pass that is itself recorded."""
        values = list(facts)
        for i, at in self.saved_operands:
            if self.op.operands[i] == self.op.variadic:
                values[at] = tuple(with_history(v, e) for v, e in zip(values[at], node.edges[i:], strict=True))
            else:
                values[at] = with_history(values[at], node.edges[i] if i < len(node.edges) else None)
        for i, at in self.saved_results:
            y = wrap(values[at])
            if y._data.dtype.kind in CONTINUOUS:
                y._node = Port(node, i) if self.op.outputs else node
            values[at] = y
        return tuple(values)


def with_history(value: Any, edge: Any) -> Any:
    """A saved array as a Tensor that stands where `edge` leads."""
    if not isinstance(value, (ndarray, np.generic)):
        return value
    if isinstance(edge, Tensor):
        return edge if edge._data is value else leaf_alias(value, edge)
    return wrap(value, edge)


def leaf_alias(value: Any, leaf: Tensor) -> Tensor:
    """A leaf whose memory was exchanged since it was saved: the old numbers, with gradients going to the leaf."""
    out = leaf.view_as(leaf)
    out._data = value
    return out


def gatherer(op: Op, names: Sequence[str]) -> Callable[..., tuple[Any, ...]]:
    """A function of (values of operands, results, metadata) that returns what a rule names; compiled, as that of `keeper` is."""
    where = {}
    for i, name in enumerate(op.operands):
        if name == op.variadic:
            where[name], where[f"{name}_shape"] = f"tuple(d[{i}:])", f"tuple([x.shape for x in d[{i}:]])"
        else:
            value = f"d[{i}]" if name not in op.optional else f"(d[{i}] if len(d) > {i} else op.optional[{name!r}])"
            where[name], where[f"{name}_shape"] = value, f"getattr({value}, 'shape', ())"
    where.update({name: f"y[{i}]" for i, name in enumerate(op.outputs or ("y",))})
    where.update({name: f"p.get({name!r}, op.defaults[{name!r}])" if name in op.defaults else f"p[{name!r}]" for name in op.metadata})
    return eval(f"lambda d, y, p: ({''.join(where[n] + ',' for n in names)})", {"op": op})


def keeper(facts: Sequence[int], n: int, counters: Sequence[int], m: int) -> Callable[..., tuple[Any, Any]]:
    """A function of `n` values and `m` version counters: these of the values, and (counter, value now) of these of the counters.

    It is compiled, since it runs at every recorded operation.
    """
    names = ", ".join([f"a{i}" for i in range(n)] + [f"v{i}" for i in range(m)])
    kept, watched = "".join(f"a{i}," for i in facts), "".join(f"(v{i}, v{i}[0])," for i in counters)
    return eval(f"lambda {names}: (({kept}), ({watched}))")


def no_cotangent(g: Any, facts: tuple[Any, ...]) -> None:
    """The rule of an operand that needs no gradient."""


# Note [Rules on arrays]
# A rule calls operations. Where it runs on bare arrays, each of these calls ends in the operation's forward function, after a few
# questions that have one answer there. So that rule is the same code with other globals: it finds the forward functions where
# its module has the operations. The globals of a module are copied once, when the first of its rules is needed.

ON_ARRAYS: dict[str, dict[str, Any]] = {}  # by the name of a module


def on_arrays(rule: Rule) -> Rule:
    """A rule as it runs on bare arrays. See Note [Rules on arrays]."""
    here = rule.__globals__
    known = ON_ARRAYS.get(rule.__module__)
    if known is None:
        known = {name: value.op.forward if isinstance(getattr(value, "op", None), Op) else value for name, value in here.items()}
        ON_ARRAYS[rule.__module__] = known
    if not any(known.get(name) is not here.get(name) for name in rule.__code__.co_names):
        return rule
    copy = FunctionType(rule.__code__, known, rule.__name__, rule.__defaults__, rule.__closure__)
    copy.__kwdefaults__ = rule.__kwdefaults__
    return copy


def bind(rule: Rule, places: list[int], saved: int, *, arrays: bool = False) -> Callable[[Any, tuple[Any, ...]], Any]:
    """A rule as `f(g, facts)`: each argument is the cotangent (-1), one of several (-2, -3, ...), or one of `saved` facts.

    With `arrays`, `f` is for bare arrays only.
    """
    quick = getattr(rule, "bind", None)
    if quick is not None:
        return quick(places, arrays)
    if arrays:
        rule = on_arrays(rule)
    if not places:
        return lambda g, facts: rule()
    if places == [-1]:
        return lambda g, facts: rule(g)
    if all(p < 0 for p in places[:1]) and places[0] == -1 and all(p >= 0 for p in places[1:]):
        if len(places) == 2:
            one = places[1]
            return lambda g, facts: rule(g, facts[one])
        if len(places) == 3:
            first, second = places[1:]
            return lambda g, facts: rule(g, facts[first], facts[second])
        if places[1:] == list(range(saved)):
            return lambda g, facts: rule(g, *facts)
        rest = itemgetter(*places[1:])
        return lambda g, facts: rule(g, *rest(facts))

    def call(g: Any, facts: tuple[Any, ...]) -> Any:
        return rule(*[facts[p] if p >= 0 else g if p == -1 else g[-2 - p] for p in places])

    return call


def make_entry(op: Op) -> Any:
    """The entry of an operation with any operands and metadata."""
    dispatch, eager, forward = op.dispatch, op.eager, op.forward
    prepare = None if type(op).prepare is Op.prepare else op.prepare

    def call(*args: Any, **params: Any) -> Any:
        kind = args[0].__class__ if args else None
        if kind is not Tensor and local.raw and kind is not Box:
            return forward(*args, **params) if kind is ndarray or kind in SCALARS else dispatch(args, params)
        if kind is not Tensor or (switch.special and not only_looked_at()):
            return dispatch(args, params)
        return eager(args if prepare is None else prepare(args), params)

    return call


SCALARS = frozenset((np.float32, np.float64))  # what a walk carries in place of arrays without dims


def pack_saved(node: Node) -> None:
    """Lets the innermost `saved_tensors_hooks` exchange what is saved."""
    pack, unpack = local.saved_hooks[-1]
    assert node.facts is not None
    facts = list(node.facts)
    packed = {}
    was = local.grad
    for _, at in [*node.plan.saved_operands, *node.plan.saved_results]:
        if isinstance(facts[at], ndarray):
            packed[at] = (unpack, pack(wrap(facts[at])))
            facts[at] = None
    local.grad = was
    node.facts = tuple(facts)
    node.versions = ()  # what the hooks keep is theirs to guard
    node.metadata = {**(node.metadata or {}), "packed": packed}


__all__ = ["CONTINUOUS", "LEAF", "OPS", "Entry", "Op", "Plan", "View", "current_node", "quiet"]
