"""The tape: what is recorded of an operation, and the one reverse walk over it.

A `Node` keeps the facts that the rules of its operands name and the edges to where those operands came from. An edge is a
Node, a `Port` (one of several outputs of a Node), a leaf Tensor (gradients come to rest there), or None.

Nodes are numbered as they are made, and every edge leads to a lower number; so a walk that always takes the highest number
first has met all uses of a value before it goes through it. Nothing here recurses, and nothing refers back: a tensor holds
its node, a node never holds its tensor, so a graph is freed the moment its last tensor is.

In a first-order pass the rules run on bare arrays. Where the pass itself is to be differentiated (`create_graph`, or a level
above), they run on Tensors. Rules are written so that they cannot tell.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from numpy._core import umath

from retrograd.core.levels import complete_observer, local, observer, set_flag, switch
from retrograd.core.tensor import LEAF, Cleared, Tensor, constant, current_node, wrap

if TYPE_CHECKING:
    from retrograd.core.op import Plan

count = itertools.count().__next__

# Note [Floating-point warnings]
# NumPy warns where an array overflows or divides by zero; PyTorch does not, and inf and nan are ordinary results here too.
# `np.errstate` takes as long as a small operation, so what it does is done directly: the setting lives in a context variable.
# Setting and resetting it still takes a third of the time of NumPy's work on few elements. A single call of NumPy is therefore
# run in a context of its own (`run_quietly(f, *args)`), in which the variable was set once and for all; the caller's context is
# not touched. Only one thread at a time can be in that context. The one that finds it taken gets a RuntimeError before `f` is
# called, and sets the variable the long way (`run_quietly_here`).
silence = umath._extobj_contextvar.set
restore = umath._extobj_contextvar.reset
QUIET = umath._make_extobj(all="ignore")

run_quietly = Context().run
run_quietly(silence, QUIET)


def run_quietly_here(f: Callable[..., Any], *args: Any) -> Any:
    """`f(*args)` without floating-point warnings, in the running context."""
    token = silence(QUIET)
    try:
        return f(*args)
    finally:
        restore(token)


@contextmanager
def quiet() -> Iterator[None]:
    """No floating-point warnings while the block runs."""
    token = silence(QUIET)
    try:
        yield
    finally:
        restore(token)


class Node:
    """One recorded operation."""

    __slots__ = ("__weakref__", "edges", "facts", "hooks", "like", "metadata", "params", "plan", "seq", "tensors", "versions")

    plan: Plan
    edges: Sequence[Any]
    facts: tuple[Any, ...] | None  # None once freed
    versions: tuple[Any, ...]  # (counter, version when saved), ... of the saved tensors
    params: dict[str, Any]
    like: tuple[Any, ...]  # shape and dtype of every output, where there are several
    seq: int  # nodes are numbered in the order of recording
    tensors: bool  # facts are tensors of a lower level, not arrays
    hooks: list[Any] | None
    metadata: dict[str, Any] | None

    @property
    def grad_fn(self) -> Node:
        """Itself: a Port's is the node it belongs to."""
        return self

    def name(self) -> str:
        """PyTorch's name of the operation's derivative.

        >>> from retrograd import ones
        >>> (ones(2, requires_grad=True) * 3).grad_fn.name()
        'MulBackward0'
        """
        return self.plan.op.derivative_name(self.params)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(node, output number) for every operand; leaves appear as AccumulateGrad."""
        return tuple(describe_edge(edge) for edge in self.edges)

    @property
    def outputs(self) -> int:
        """How many outputs the operation has."""
        return len(self.like) if self.plan.op.outputs else 1

    def register_hook(self, hook: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]) -> Handle:
        """Calls `hook(grad_inputs, grad_outputs)` after the node has run; what it returns replaces `grad_inputs`."""
        return add_hook(self, "post", hook)

    def register_prehook(self, hook: Callable[[tuple[Any, ...]], Any]) -> Handle:
        """Calls `hook(grad_outputs)` before the node runs; what it returns replaces `grad_outputs`."""
        return add_hook(self, "pre", hook)

    def known(self, as_tensors: bool) -> tuple[Any, ...]:
        """The facts, checked to be what they were when saved; as tensors with their history, if asked for."""
        facts = self.facts
        if facts is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have already "
                "been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
                "Specify retain_graph=True if you need to backward through the graph a second time or if you need to access "
                f"saved tensors after calling backward. (The operation is {self.name()}.)"
            )
        for counter, version in self.versions:
            if counter[0] != version:
                self.complain_of_write(counter, version)
        if self.metadata is not None and "packed" in self.metadata:
            facts = self.unpack(facts)
        return self.plan.rewrap(self, facts) if as_tensors and not self.tensors else facts

    def unpack(self, facts: tuple[Any, ...]) -> tuple[Any, ...]:
        """The facts with what `saved_tensors_hooks` packed unpacked."""
        assert self.metadata is not None
        unpacked = list(facts)
        for at, (unpack, packed) in self.metadata["packed"].items():
            value = unpack(packed)
            if not isinstance(value, Tensor):
                raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(value).__name__}")
            unpacked[at] = value._data
        return tuple(unpacked)

    def pull(self, g: Any, as_tensors: bool) -> list[Any]:
        """The vector-Jacobian product: from the cotangent(s) of the output(s), those of the operands."""
        facts = self.facts
        if facts is None or as_tensors or self.metadata is not None:
            facts = self.known(as_tensors)
        else:
            for counter, version in self.versions:
                if counter[0] != version:
                    self.complain_of_write(counter, version)
        plan, edges = self.plan, self.edges
        if plan.by_operand and not as_tensors:
            if g.__class__ is not ndarray and facts and not plan.unpacks:  # a NumPy scalar: with scalars, its arithmetic is far quicker
                facts = as_scalars(facts)
            found = [None if e is None else rule(g, facts) for e, rule in zip(edges, plan.by_operand, strict=False)]
            return found + [None] * (len(edges) - len(found))
        if g.__class__ is list:
            g = [zeros_like_output(n, as_tensors) if x is None else x for x, n in zip(g, self.like, strict=True)]
        elif g.__class__ is not ndarray and not as_tensors and facts:
            facts = as_scalars(facts)
        rules = plan.rules
        if len(edges) == 1 == len(rules) and rules[0][0] == 0:
            return [rules[0][1](g, facts)]
        out: list[Any] = [None] * len(edges)
        for at, rule in rules:
            if at is None:  # one rule for all of a variable number of operands
                return [x if e is not None else None for x, e in zip(rule(g, facts), edges, strict=True)]
            out[at] = rule(g, facts)
        return out

    def free(self) -> None:
        """Forgets what was saved."""
        if self.facts:
            self.facts = None

    def complain_of_write(self, counter: Any, version: int) -> None:
        """Raises: a saved tensor was modified in place."""
        op = self.plan.op
        which = [i for i, v in enumerate(self.versions) if v[0] is counter]
        name = self.plan.saved_names[which[0]] if which else "?"
        value = self.facts[self.plan.saved_positions[which[0]]] if which and self.facts else None
        what = f"{type_name(value)} {list(np.shape(value))}" if value is not None else "tensor"
        at = op.operands.index(name) if name in op.operands else len(self.edges)
        path = name_of_leaf(self.edges[at]) if at < len(self.edges) and isinstance(self.edges[at], Tensor) else None
        what += f" (the parameter '{path}')" if path else ""
        where = f" The last write was at {counter[1]}." if counter[1] else ""
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{what}], which is {describe_saved(name, op)} of {self.name()}, is at version {counter[0]}; expected version {version} "
            f"instead.{where} Fix: use the out-of-place operation (x = x + 1 instead of x += 1), or clone() before the write. "
            "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
            "torch.autograd.set_detect_anomaly(True)."
        )


def nameless(leaf: Tensor) -> str | None:
    """No name: what holds tensors by name replaces this function (see nn/module.py)."""
    return None


name_of_leaf: Callable[[Tensor], str | None] = nameless


def zeros_like_output(like: Any, as_tensors: bool) -> Any:
    """The cotangent of an output that nothing used."""
    shape, dtype = like
    zeros = np.zeros(shape, dtype)
    return constant(zeros) if as_tensors else zeros


def as_scalars(facts: Sequence[Any]) -> Any:
    """Facts with NumPy scalars in place of arrays without dims."""
    return [f[()] if f.__class__ is ndarray and not f.ndim else f for f in facts]


class Port:
    """One output of a node that has several."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int) -> None:
        self.node, self.index = node, index

    @property
    def grad_fn(self) -> Node:
        """The node."""
        return self.node


class AccumulateGrad:
    """How a leaf appears in `next_functions`."""

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable
        self.next_functions = ()

    def name(self) -> str:
        """PyTorch's name for it."""
        return "torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return id(self.variable)


def describe_edge(edge: Any) -> tuple[Any, int]:
    """An edge as PyTorch shows it."""
    if edge is None:
        return (None, 0)
    if isinstance(edge, Port):
        return (edge.node, edge.index)
    return (AccumulateGrad(edge) if isinstance(edge, Tensor) else edge, 0)


def describe_saved(name: str, op: Any) -> str:
    """What a saved tensor was to its operation."""
    return "the output" if name in ("y", *op.outputs) else f"the saved {name!r}"


def type_name(value: Any) -> str:
    """PyTorch's old name of a tensor type, as its messages use it."""
    kinds = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long", "int32": "Int", "bool": "Bool"}
    name = str(value.dtype).split(".")[-1]
    return f"torch.{kinds.get(name, name.capitalize())}Tensor"


def edge_of(tensor: Tensor) -> Any:
    """The edge that leads to a tensor: its node, or for a leaf the tensor itself."""
    node = current_node(tensor)
    return tensor if node is LEAF else node


# ---------------------------------------------------------------- hooks


class Handle:
    """Removes a hook: by `remove()`, or at the end of a `with` block."""

    def __init__(self, hooks: Any, key: Any) -> None:
        self.hooks, self.key = hooks, key

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        if isinstance(self.hooks, dict):
            self.hooks.pop(self.key, None)
        elif self.key in self.hooks:
            self.hooks.remove(self.key)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def add_hook(node: Node, kind: str, hook: Callable[..., Any], index: int = 0) -> Handle:
    """Hooks are (kind, output index, function): "tensor" hooks see one output's cotangent, "pre" all, "post" the results too."""
    if node.hooks is None:
        node.hooks = []
    entry = (kind, index, hook)
    node.hooks.append(entry)
    return Handle(node.hooks, entry)


def run_tensor_hooks(hooks: Sequence[Callable[[Tensor], Any]], g: Any, as_tensors: bool) -> Any:
    """The cotangent after every hook has seen it, and perhaps replaced it."""
    seen = g if as_tensors else wrap(g)
    for hook in hooks:
        result = hook(seen)
        if result is not None:
            if not isinstance(result, Tensor):
                raise TypeError(f"expected Variable, but hook returned {type(result).__name__}")
            if result.shape != seen.shape:
                raise RuntimeError(f"hook has changed the size of value: expected {list(seen.shape)}, got {list(result.shape)}")
            seen = result
    return seen if as_tensors else seen._data


def run_node_hooks(node: Node, gs: list[Any], as_tensors: bool) -> list[Any]:
    """The cotangents of a node's outputs after its tensor hooks and prehooks."""
    assert node.hooks is not None
    for index in range(len(gs)):
        mine = [f for wanted in ("tensor", "retain") for kind, i, f in node.hooks if kind == wanted and i == index]
        if mine and gs[index] is not None:
            gs[index] = run_tensor_hooks(mine, gs[index], as_tensors)
    for hook in [f for kind, _, f in node.hooks if kind == "pre"]:
        result = hook(as_tuple_of_tensors(gs, as_tensors))
        if result is not None:
            gs = from_tensors(result, as_tensors)
    return gs


def as_tuple_of_tensors(values: Sequence[Any], as_tensors: bool) -> tuple[Any, ...]:
    """Cotangents as hooks see them."""
    return tuple(v if v is None or as_tensors else wrap(v) for v in values)


def from_tensors(values: Any, as_tensors: bool) -> list[Any]:
    """What a hook returned as the walk carries it."""
    values = values if isinstance(values, (tuple, list)) else (values,)
    return [v if v is None or as_tensors else v._data for v in values]


# ---------------------------------------------------------------- the walk


class Walk:
    """One reverse pass: carries cotangents from outputs towards leaves.

    Args:
        as_tensors: rules run on Tensors (and are recorded, if gradients are on), not on bare arrays.
        keep: saved facts are not freed.
        targets: edges whose cotangents are wanted; only what leads to them is computed. None: all leaves.
        ends: the walk ends at the targets: another, which is given what this one finds, goes through them and calls their hooks.
    """

    def __init__(self, *, as_tensors: bool, keep: bool, targets: Sequence[Any] | None = None, ends: bool = False) -> None:
        self.as_tensors, self.keep, self.ends = as_tensors, keep, ends
        self.pending: dict[int, Any] = {}  # id(Node) -> cotangent, or list of them for a node of several outputs
        self.heap: list[tuple[int, Node]] = []
        self.leaves: dict[int, tuple[Tensor, Any]] = {}
        self.owned: set[tuple[int, int]] = set()  # sums made here, which may be added to in place
        self.wanted = None if targets is None else {key_of(t) for t in targets}
        self.found: dict[tuple[int, int], Any] = {}
        self.useful: set[int] | None = None
        self.observer = observer()

    def prune(self, roots: Sequence[Any]) -> None:
        """Works out which nodes lead to a wanted edge."""
        assert self.wanted is not None
        useful: set[int] = set()
        wanted_nodes = {k[0] for k in self.wanted}
        order, seen = [], set(wanted_nodes if self.ends else ())
        stack = [r.grad_fn for r in roots if not isinstance(r, Tensor)]
        while stack:
            node = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            order.append(node)
            stack.extend(e.grad_fn for e in node.edges if e is not None and not isinstance(e, Tensor))
        order.sort(key=lambda n: n.seq)
        for node in order:
            for e in node.edges:
                if e is None:
                    continue
                at = e if isinstance(e, Tensor) else e.grad_fn
                if id(at) in wanted_nodes or id(at) in useful:
                    useful.add(id(node))
                    break
        self.useful = useful

    def send(self, edge: Any, g: Any) -> None:
        """Adds a cotangent to what has come over an edge so far."""
        kind, key = edge.__class__, id(edge)
        if kind is Port:
            node, index = edge.node, edge.index
            slots = self.pending.get(id(node))
            if slots is None:
                self.pending[id(node)] = slots = [None] * node.outputs
                heappush(self.heap, (-node.seq, node))
            slots[index] = g if slots[index] is None else self.total((id(node), index), slots[index], g)
            return
        if kind is Tensor or issubclass(kind, Tensor):
            before = self.leaves.get(key)
            self.leaves[key] = (edge, g if before is None else self.total((key, 0), before[1], g))
            return
        pending = self.pending
        if key in pending:
            pending[key] = self.total((key, 0), pending[key], g)
        else:
            pending[key] = g
            heappush(self.heap, (-edge.seq, edge))

    def total(self, key: tuple[int, int], before: Any, g: Any) -> Any:
        """A sum of cotangents; the second and later additions are in place."""
        if before.__class__ is not ndarray:
            return before + g
        if key in self.owned:
            before += g
            return before
        self.owned.add(key)
        return before + g

    def run(self, roots: Sequence[Any], seeds: Sequence[Any]) -> None:
        """Walks from `roots` (edges) with cotangents `seeds`; fills `leaves` and `found`."""
        if self.wanted is not None:
            self.prune(roots)
        as_tensors, keep, wanted = self.as_tensors, self.keep, self.wanted
        heap, pending, leaves, send = self.heap, self.pending, self.leaves, self.send
        for edge, g in zip(roots, seeds, strict=True):
            send(edge, g)
        anomaly, local.walk = local.anomaly, weakref.ref(self)
        short, watched = not as_tensors and wanted is None and anomaly is None, self.observer
        # Note [The node that follows]
        # In a chain each node follows from the one before. So the first node that a rule leads to waits, with its cotangent,
        # outside the heap and `pending`, and is taken at once unless the heap has a node of higher number.
        following: Any = None
        carried: Any = None
        while heap or following is not None:
            if following is None:
                node = heappop(heap)[1]
                g = pending.pop(id(node))
            elif heap and heap[0][0] < -following.seq:
                pending[id(following)] = carried
                node = heapreplace(heap, (-following.seq, following))[1]
                g = pending.pop(id(node))
            else:
                node, g = following, carried
            following = None
            if not (short and node.__class__ is Node and node.hooks is None and node.metadata is None and node.plan.by_operand):
                self.visit(node, g, anomaly)
                continue
            # what `visit` does, for a node of one output with nothing unusual about it, without further calls
            facts = node.facts
            if facts is None:
                facts = node.known(False)  # raises
            for counter, version in node.versions:
                if counter[0] != version:
                    node.complain_of_write(counter, version)
            plan = node.plan
            if g.__class__ is not ndarray and facts and not plan.unpacks:
                facts = as_scalars(facts)
            told: list[Any] | None = None if watched is None else []
            for edge, rule in zip(node.edges, plan.by_operand, strict=False):
                if edge is None:
                    if told is not None:
                        told.append(None)
                    continue
                result = rule(g, facts)
                if told is not None:
                    told.append(result)
                if result is None:
                    continue
                if edge is following:
                    carried = self.total((id(edge), 0), carried, result)
                elif following is None and edge.__class__ is Node and id(edge) not in pending:
                    following, carried = edge, result
                elif edge.__class__ is Tensor and id(edge) not in leaves:
                    leaves[id(edge)] = edge, result
                else:
                    send(edge, result)
            if told is not None:
                watched.pulled(node, g, told + [None] * (len(node.edges) - len(told)))  # type: ignore[union-attr]
            if facts and not keep:
                node.facts = None

    def visit(self, node: Node, g: Any, anomaly: Any) -> None:
        """Takes the cotangent(s) of a node's output(s) through its hooks and rules, and sends on what comes of them."""
        as_tensors, wanted = self.as_tensors, self.wanted
        if node.hooks is not None and not (self.ends and id(node) not in self.useful):  # type: ignore[operator]
            gs = run_node_hooks(node, g if g.__class__ is list else [g], as_tensors)
            g = gs if g.__class__ is list else gs[0]
        if wanted is not None:
            for index, one in enumerate(g if g.__class__ is list else (g,)):
                if (id(node), index) in wanted and one is not None:
                    self.found[id(node), index] = one
            if id(node) not in self.useful:  # type: ignore[operator]
                return
        results = node.pull(g, as_tensors) if anomaly is None else anomaly.pull(node, g, as_tensors)
        if node.hooks is not None:
            results = self.run_post_hooks(node, results, g if g.__class__ is list else [g])
        if self.observer is not None:
            self.observer.pulled(node, g, results)
        if not self.keep:
            node.free()
        for edge, result in zip(node.edges, results, strict=True):
            if edge is not None and result is not None:
                self.send(edge, result)

    def will_reach(self, edges: Sequence[Any], running: int) -> set[int]:
        """Which of `edges` this walk is still to reach; the one at `running` is being reached now."""
        start = edges[running]
        stack = [node for _, node in self.heap] + ([] if start is None or isinstance(start, Tensor) else [start.grad_fn])
        seen = {id(node) for node in stack} | set(self.leaves)
        while stack:
            for e in stack.pop().edges:
                if e is not None:
                    at = e if isinstance(e, Tensor) else e.grad_fn
                    if id(at) not in seen:
                        seen.add(id(at))
                        if not isinstance(at, Tensor):
                            stack.append(at)
        return {i for i, e in enumerate(edges) if e is not None and id(e if isinstance(e, Tensor) else e.grad_fn) in seen}

    def run_post_hooks(self, node: Node, results: list[Any], gs: list[Any]) -> list[Any]:
        """The cotangents of the operands after the node's hooks."""
        assert node.hooks is not None
        for hook in [f for kind, _, f in node.hooks if kind == "post"]:
            inputs = as_tuple_of_tensors(results, self.as_tensors)
            replaced = hook(inputs, as_tuple_of_tensors(gs, self.as_tensors))
            if replaced is not None:
                results = from_tensors(replaced, self.as_tensors)
        return results


def key_of(edge: Any) -> tuple[int, int]:
    """What tells an edge from another."""
    return (id(edge.node), edge.index) if isinstance(edge, Port) else (id(edge), 0)


class rules_on_arrays:
    """While the block runs, operations take bare arrays, gradients are off, and NumPy does not warn."""

    __slots__ = ("grad", "raw", "token")

    def __enter__(self) -> None:
        self.raw, self.grad = local.raw, local.grad
        local.raw = True
        if self.grad:  # what set_flag does, in half the time
            local.grad = False
            switch.add(1)
        self.token = silence(QUIET)

    def __exit__(self, *error: object) -> None:
        restore(self.token)
        if self.grad:
            local.grad = True
            switch.add(-1)
        local.raw = self.raw


@contextmanager
def rules_on_tensors(recorded: bool) -> Iterator[None]:
    """While the block runs, operations are recorded or not."""
    was_raw, was_grad = local.raw, local.grad
    local.raw = False
    set_flag("grad", recorded)
    try:
        yield
    finally:
        set_flag("grad", was_grad)
        local.raw = was_raw


def backward(roots: Sequence[Any], seeds: Sequence[Any], *, create_graph: bool, keep: bool, inputs: Sequence[Tensor] | None = None) -> None:
    """Accumulates gradients into `.grad` of the leaves (or of `inputs`). `seeds` are Tensors."""
    targets = None if inputs is None else [edge_of(x) for x in inputs]
    watched = observer()
    if watched is not None:
        watched.walked(roots, keep)
    as_tensors = create_graph or complete_observer() is not None
    walk = Walk(as_tensors=as_tensors, keep=keep, targets=targets)
    if as_tensors:
        with rules_on_tensors(recorded=create_graph):
            walk.run(roots, seeds)
            settle(walk, inputs, [s._data for s in seeds])
        return
    with rules_on_arrays():
        arrays = [s._data if s._data.ndim else s._data[()] for s in seeds]
        walk.run(roots, arrays)
        settle(walk, inputs, arrays)


def settle(walk: Walk, inputs: Sequence[Tensor] | None, given: Sequence[Any] = ()) -> None:
    """Puts the cotangents that reached leaves (or `inputs`) into their `.grad`."""
    taken = {id(a) for a in given}
    chosen = None if inputs is None else {id(x) for x in inputs}
    as_tensors = walk.as_tensors
    usual = chosen is None and not as_tensors
    for leaf, g in walk.leaves.values():
        if usual and leaf._grad is None and leaf._extra is None and g.__class__ is ndarray:
            # what `accumulate` does where there is nothing unusual, without further calls
            data = leaf._data
            if g.shape == data.shape and g.dtype is data.dtype and g.base is None and id(g) not in taken:
                if walk.observer is not None:
                    walk.observer.gradient_came(leaf, g)
                taken.add(id(g))
                leaf._grad = wrap(g)
                continue
        if chosen is not None and id(leaf) not in chosen:
            continue
        extra = leaf._extra
        if extra is not None and extra.hooks:
            g = run_tensor_hooks(list(extra.hooks.values()), g, walk.as_tensors)
        accumulate(leaf, g, as_tensors, taken)
        if extra is not None and extra.post_accumulate:
            for hook in list(extra.post_accumulate.values()):
                hook(leaf)
    for x in inputs or ():
        found = walk.found.get(key_of(edge_of(x))) if not x.is_leaf else None
        if found is not None:
            accumulate(x, found, walk.as_tensors, taken)


def accumulate(leaf: Tensor, g: Any, as_tensors: bool, taken: set[int]) -> None:
    """Adds a cotangent to a leaf's gradient. `taken` are ids of arrays that belong to someone already."""
    before = leaf._grad
    if before.__class__ is Cleared:
        before = before.written()
    if (watched := observer()) is not None:
        watched.gradient_came(leaf, g)
        if watched.complete:
            watched.gradient_met(leaf, before)
            watched.gradient_set(leaf, before)
    if as_tensors and local.grad:  # the gradient has a history
        leaf._grad = fit(g, leaf) if before is None else before + g
        return
    if as_tensors:  # the same as on arrays below, watched
        g = fit(g, leaf)
        if before is None:
            leaf._grad = g.clone() if g._data.base is not None or id(g._data) in taken else g
            taken.add(id(g._data))
        elif before._node is None:
            before.add_(g)
        else:
            leaf._grad = before.detach() + g
        return
    g = fit_array(g, leaf._data)
    if before is None:
        if g.base is not None or id(g) in taken:
            g = g.copy()
        taken.add(id(g))
        leaf._grad = wrap(g)
    elif before._node is None:
        before._data += g
        before._version[0] += 1
    else:  # it has a history of its own, which an addition in place would falsify
        leaf._grad = wrap(before._data + g)


def fit_array(g: Any, like: Any) -> Any:
    """A cotangent as an array of the leaf's dtype. A wrong shape is a wrong rule, and never let through."""
    if g.__class__ is not ndarray:
        g = np.asarray(g)
    if g.shape != like.shape:
        raise RuntimeError(f"a derivative rule returned a gradient of shape {g.shape} for a tensor of shape {like.shape}")
    return g if g.dtype is like.dtype else convert(g, like.dtype)


def convert(g: Any, dtype: Any) -> Any:
    """An array in another dtype; of a complex cotangent of a real tensor the real part counts."""
    return (g.real if g.dtype.kind == "c" and dtype.kind != "c" else g).astype(dtype)


def fit(g: Tensor, like: Tensor) -> Tensor:
    """A cotangent as a tensor of the leaf's dtype."""
    if g.shape != like.shape:
        raise RuntimeError(f"a derivative rule returned a gradient of shape {list(g.shape)} for a tensor of shape {list(like.shape)}")
    return g if g.dtype is like.dtype else g.to(like.dtype)


# ---------------------------------------------------------------- writes


class CopySlices(Node):
    """The node of a base after one of its views was written to: the region's cotangent goes to what was written, the rest on."""

    __slots__ = ("base_shape", "view")

    def __init__(self, view: Any, base_edge: Any, written_edge: Any, base_shape: tuple[int, ...]) -> None:
        self.edges = (base_edge, written_edge)
        self.view, self.base_shape = view, base_shape
        self.facts, self.versions, self.params = (), (), {}
        self.tensors, self.hooks, self.metadata, self.seq = False, None, None, count()

    outputs = 1

    def name(self) -> str:
        """PyTorch's name for it."""
        return "CopySlices"

    def pull(self, g: Any, as_tensors: bool) -> list[Any]:
        """The cotangents of the base as it was and of what was written."""
        if as_tensors:
            outside = None if self.edges[0] is None else g.masked_fill(constant(self.region()), 0)
            return [outside, self.view.replay(g) if self.edges[1] is not None else None]
        rest = np.array(g)
        part = self.view.replay(rest)
        inside = part.copy()
        if np.may_share_memory(part, rest):
            part[...] = 0
        else:  # seen through another layout of memory, the view is a copy
            rest[self.region()] = 0
        return [rest, inside]

    def region(self) -> Any:
        """True where the view lies in the base."""
        mask = np.zeros(self.base_shape, bool)
        mask.reshape(-1)[positions(self.view, self.base_shape)] = True
        return mask

    def free(self) -> None:
        """Nothing was saved."""


def positions(view: Any, base_shape: Sequence[int]) -> Any:
    """Where each element of a view stands in its base, both flattened."""
    index = np.arange(math.prod(base_shape)).reshape(tuple(base_shape))
    with rules_on_arrays():
        return view.replay(index).reshape(-1)


def check_writable(tensor: Tensor, tracked: bool) -> None:
    """Raises where PyTorch forbids an in-place operation. `tracked`: the result would be recorded."""
    if not local.grad:
        return
    if tensor._node is LEAF:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    view = tensor._base
    if view is None:
        return
    if view.base._node is LEAF and (tracked or tensor.requires_grad):
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    if view.made_under_no_grad == "custom Function" and (tracked or tensor.requires_grad):  # type: ignore[comparison-overlap]
        raise RuntimeError(
            f"Output {tensor.output_nr} of {tensor.grad_fn.name() if tensor.grad_fn else 'a custom Function'} is a view and is being modified inplace. "
            "This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would "
            "override the custom backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. "
            "You can fix this by cloning the output of the custom Function."
        )
    if view.made_under_no_grad and (tracked or view.base.requires_grad):
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case "
            "is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace "
            "either both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want the "
            "inplace to be tracked)."
        )
    for op, params, which in view.chain:
        if which is not None and (tracked or view.base.requires_grad):
            raise RuntimeError(
                f"Output {which} of {op.op.derivative_name(params)} is a view and is being modified inplace. This view is the output "
                "of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. "
                "You should replace the inplace operation by an out-of-place one."
            )


def written(tensor: Tensor, where: Any = None) -> None:
    """Counts a write to the tensor's memory."""
    tensor._version[0] += 1
    tensor._version[1] = where


def rebase(tensor: Tensor, node: Any) -> None:
    """Gives a tensor that was written to its new place on the tape; `node` is that of the values written, or None."""
    view = tensor._base
    if view is None:
        tensor._node = node
        return
    base = view.base
    base_edge = edge_of(base)
    if base_edge is None and node is None:
        return
    base._node = CopySlices(view, base_edge, node, base.shape)
    view.version = -1  # worked out again when next asked for
    if base._base is not None:
        base._base.version = base._version[0]
