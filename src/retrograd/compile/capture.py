"""Recording a call: the program runs as ever, and an observer writes down what happens to arrays.

Nothing is simulated: what is recorded has happened, with its effects and its errors. So where the record turns out not to tell all
(a number was looked at, a tensor kept where the record cannot see it), nothing is lost: the call has been made, and only its
record is thrown away.

Arrays are told apart by the memory they own. Memory that is met and that no recorded operation made belongs to an argument, or to a
tensor outside (alive when the call is over), or to a constant of the program (`made`); any other was computed by means that the
record does not show, and the record is refused.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Sequence
from typing import Any

from numpy import ndarray

from retrograd.compile.graph import Buffer, Call, Program, Result, Update, View, Write
from retrograd.core.levels import Observer, observed
from retrograd.core.op import Op
from retrograd.core.tensor import LEAF, Box, Cleared, Tensor, address, owner, wrap
from retrograd.errors import user_location
from retrograd.pytree import tree_flatten


class Refused(Exception):
    """A call cannot be recorded; the text says why, and where."""


class Recorder(Observer):
    """Writes down one call."""

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        self.steps: list[Any] = []
        self.buffers: dict[int, Buffer] = {}  # by id of the owner
        self.owners: dict[Buffer, ndarray] = {}  # kept alive, so that ids stay theirs
        self.written: dict[Buffer, int] = {}
        self.tensors: dict[Buffer, list[Any]] = {}  # tensors from outside that were met on a buffer, weakly
        self.set: dict[int, Tensor] = {}  # leaves whose .grad was set
        self.entry: list[tuple[Tensor, bool]] = []  # leaves whose .grad mattered before it was set, and whether there was one
        self.cleared_first: list[tuple[Tensor, bool]] = []  # leaves whose .grad was set before it mattered, and whether there was one
        self.refused: str | None = None
        self.outputs: list[Any] = []  # weak references to the tensors that operations gave
        self.walked_roots: list[Any] = []
        self.scalars = 0
        self.arguments = arguments
        for i, x in enumerate(arguments):
            self.known(x, "argument", i)

    # ------------------------------------------------------------ what happens

    def refuse(self, why: str) -> None:
        if self.refused is None:
            self.refused = f"{why}, at {user_location()}"

    def ran(self, op: Op, args: Sequence[Any], params: dict[str, Any], outs: Sequence[Any]) -> None:
        if self.refused is not None:
            return
        operands = [self.view(a) if isinstance(a, Tensor) else a for a in args]  # first: a result may be a view of memory met here
        results = []
        fresh = False
        for out in outs:
            root = owner(out._data)
            fresh = fresh or id(root) not in self.buffers
            buffer = self.buffers.get(id(root)) or self.add(root, "made")
            results.append(self.view_in(buffer, root, out._data))
            self.outputs.append(weakref.ref(out))
        if fresh:
            self.steps.append(Call(op, operands, dict(params), results))

    def wrote(self, target: Tensor, value: Tensor) -> None:
        if self.refused is None:
            to, what = self.view(target), self.view(value)
            self.count_write(to.buffer)
            self.steps.append(Write(to, what))

    def made(self, tensor: Tensor) -> None:
        root = owner(tensor._data)
        if id(root) not in self.buffers:
            self.add(root, "constant", root.copy())

    def walked(self, edges: Sequence[Any], keep: bool) -> None:
        if not keep:
            self.walked_roots.extend(edges)

    def gradient_met(self, leaf: Tensor, grad: Tensor | None) -> None:
        if id(leaf) not in self.set:
            if not any(x is leaf for x, _ in self.entry):
                self.entry.append((leaf, grad is not None))
            if grad is not None:
                self.known(grad, "gradient", leaf)

    def gradient_set(self, leaf: Tensor, before: Tensor | None) -> None:
        if id(leaf) not in self.set:
            self.cleared_first.append((leaf, before is not None))
        self.set[id(leaf)] = leaf

    def updates(self, optimizer: Any, group: dict[str, Any], p: Tensor, grad: Tensor) -> None:
        if self.refused is not None:
            return
        self.gradient_met(p, grad)
        state = optimizer.state[p]
        names = optimizer.buffers(group)
        if any(state.get(n) is None for n in names):
            return self.refuse("the optimizer's state did not exist yet: the next call is recorded")
        targets = [self.view(t) for t in (p, *[state[n] for n in names])]
        for to in targets:
            self.count_write(to.buffer)
        trial = {k: wrap(v._data.copy()) if isinstance(v, Tensor) and not v.ndim else v for k, v in state.items()}
        count = len(optimizer.scalars(group, trial))  # of a copy: it counts a step
        self.steps.append(Update(optimizer, group, p, targets, self.view(grad), self.scalars, count))
        self.scalars += count

    # ------------------------------------------------------------ whose memory is whose

    def add(self, root: ndarray, kind: str, source: Any = None) -> Buffer:
        buffer = Buffer(kind, root.nbytes, f"{kind[0]}{len(self.buffers)}", source)
        self.buffers[id(root)], self.owners[buffer] = buffer, root
        return buffer

    def known(self, tensor: Tensor, kind: str, source: Any) -> None:
        """Says whose memory a tensor's is."""
        root = owner(tensor._data)
        if id(root) not in self.buffers:
            self.add(root, kind, source)

    def view(self, tensor: Tensor) -> View:
        """A tensor as elements of a buffer."""
        if tensor.__class__ is Box:
            self.refuse("a value of a transform reached an operation outside it")
        root = owner(tensor._data)
        buffer = self.buffers.get(id(root))
        if buffer is None:
            buffer = self.add(root, "held")
        if buffer.kind == "held":
            self.tensors.setdefault(buffer, []).append(weakref.ref(tensor))
        return self.view_in(buffer, root, tensor._data)

    @staticmethod
    def view_in(buffer: Buffer, root: ndarray, data: ndarray) -> View:
        return View(buffer, address(data) - address(root), data.shape, data.strides, data.dtype)

    def count_write(self, buffer: Buffer) -> None:
        """Counts a write to memory from outside."""
        if buffer.kind != "made":
            self.written[buffer] = self.written.get(buffer, 0) + 1

    # ------------------------------------------------------------ the end

    def finish(self, result: Any) -> Program:
        """The program, once the call is over and has returned `result`."""
        leaves, _ = tree_flatten(result)
        results = [self.result(x) if isinstance(x, Tensor) else x for x in leaves]
        gradients = [(leaf, self.final_gradient(leaf)) for leaf in self.set.values()]
        left = {id(leaf) for leaf, gradient in gradients if not isinstance(gradient, View)}
        self.entry += [(leaf, there) for leaf, there in self.cleared_first if id(leaf) in left]
        if self.refused is not None:
            raise Refused(self.refused)
        program = Program(self.steps, results, gradients, self.written, self.entry)
        program.settle_constants()
        program.without_dead_steps()
        given_out = [x for x in (*leaves, *[leaf._grad for leaf in self.set.values()]) if isinstance(x, Tensor)]
        self.check_kept({id(x) for x in given_out} | {id(x._base.base) for x in given_out if x._base is not None})
        self.settle_sources(program)
        return program

    def result(self, x: Tensor) -> Result:
        """What is returned."""
        view = self.view(x)
        same = next((i for i, a in enumerate(self.arguments) if a is x), None)
        node = x._node
        if node is not None and node is not LEAF and not self.consumed(node):
            self.refuse("the result needs a gradient that backward() outside the compiled function would ask for")
        kept = node if node is not None and node is not LEAF else None
        return Result(view, same if same is not None else x if node is LEAF else None, kept)

    def consumed(self, node: Any) -> bool:
        """Whether a backward pass has gone through a node and freed it."""
        return any(root is node for root in self.walked_roots)

    def final_gradient(self, leaf: Tensor) -> Any:
        """What is in `.grad` at the end."""
        grad = leaf._grad
        if grad is None:
            return None
        return "cleared" if grad.__class__ is Cleared else self.view(grad)

    def check_kept(self, accounted: set[int]) -> None:
        """Refuses if a tensor that the program computed is kept where the record does not see it."""
        if self.kept(accounted):
            gc.collect()  # transforms leave cycles behind
            if self.kept(accounted):
                raise Refused("a tensor that the function computes is kept outside it, and would not change with later calls")

    def kept(self, accounted: set[int]) -> bool:
        """Whether a tensor lives that the program computed and that is not accounted for."""
        return any((tensor := reference()) is not None and id(tensor) not in accounted for reference in self.outputs)

    def settle_sources(self, program: Program) -> None:
        """Finds out to whom memory from outside belongs."""
        for buffer in program.buffers():
            if buffer.kind != "held":
                continue
            alive = [t for r in self.tensors.get(buffer, ()) if (t := r()) is not None]
            root = self.owners[buffer]
            chosen = next((t for t in alive if owner(t._data) is root), None)
            # where no tensor is left, someone else may hold the memory: other than `owners`, this frame and the question
            if chosen is None and sys.getrefcount(root) <= 3:
                raise Refused("a tensor was computed from others by means that the record does not show (NumPy, or Python's numbers)")
            buffer.source = root if chosen is None else chosen


def record(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, Program | None, str | None]:
    """Calls `function`, and returns its result with the program that it ran, or with the reason why there is no record."""
    arguments = [x for x in tree_flatten((list(args), kwargs))[0] if isinstance(x, Tensor)]
    recorder = Recorder(arguments)
    with observed(recorder):
        result = function(*args, **kwargs)
    try:
        return result, recorder.finish(result), None
    except Refused as refused:
        return result, None, str(refused)
