"""Results that are differentiated outside: a call of a program leaves one node on the tape, tied to what the program read and gave.

As long as nobody asks for a gradient, the node only remembers the call; if one asks, the function is called again in eager, and
differentiated. From then on the function's programs are recorded with their backward pass: the forward program gives out what the
backward program reads of its intermediate values, and the node runs that. A function that draws numbers or writes to tensors cannot be
called again, so its backward pass is recorded from the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.autograd.reverse import gradients
from retrograd.compile.certify import Doubled, Start, difference, too_far
from retrograd.compile.executor import Executor
from retrograd.compile.graph import Buffer, Program, Result, whole
from retrograd.compile.replay import Replay, elements
from retrograd.core.levels import local
from retrograd.core.tape import Node, Port, count, rules_on_tensors
from retrograd.core.tensor import Tensor, address, wrap
from retrograd.errors import warn_user
from retrograd.pytree import tree_flatten


class Knot:
    """What the nodes of one program have in common.

    Args:
        differentiated: called with the numbers of the results of which a gradient was asked for that no program gives.
        call: the function itself.
    """

    def __init__(
        self, program: Program, make_executor: Callable[[Program], Executor], differentiated: Callable[[set[int]], None],
        call: Callable[[tuple[Any, ...], dict[str, Any]], Any], name: str,
    ) -> None:  # fmt: skip
        assert program.tie is not None
        self.program, self.tie, self.make_executor = program, program.tie, make_executor
        self.differentiated, self.call, self.name = differentiated, call, name
        self.lock = threading.Lock()
        self.executor: Executor | None = None
        backward = self.tie.backward
        self.external = [] if backward is None else backward.external()
        results = [] if backward is None else [r.view for r in backward.results if r is not None]
        alone = {v.buffer: v for v in results if sum(w.buffer is v.buffer for w in results) == 1}
        self.filled = {b: (v.shape, v.dtype, order) for b, v in alone.items() if b.kind == "made" and (order := whole(v)) is not None}

    def again(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        """The results that need a gradient, of another call of the function."""
        return tied_leaves(self.program, self.call(args, kwargs))

    def runs(self, given: set[int]) -> bool:
        """Whether the backward program takes these cotangents."""
        return self.tie.backward is not None and given <= set(self.tie.chosen)

    def comes(self, given: set[int]) -> list[bool]:
        """For each input, whether these cotangents come to it."""
        led = set().union(*(self.tie.leads[k] for k, i in enumerate(self.tie.chosen) if i in given))
        return [i in led for i in range(len(self.tie.inputs))]

    def run(
        self, gs: Sequence[Any], outputs: Sequence[tuple[Any, Any]], outside: dict[Buffer, ndarray], saved: Sequence[ndarray]
    ) -> list[Any]:
        """The gradients of the inputs, by the backward program."""
        assert self.tie.backward is not None
        memory: list[Any] = []
        for b in self.external:
            if b.kind == "made":
                memory.append(np.empty(*self.filled.get(b, (max(b.nbytes, 1), np.uint8))))
                continue
            kind, which = b.source
            if kind == "saved":
                memory.append(saved[which])
            elif kind == "outside":
                memory.append(outside[which])
            else:
                shape, dtype = outputs[self.tie.chosen[which]]
                g = gs[self.tie.chosen[which]]
                memory.append(np.zeros(shape, dtype) if g is None else np.ascontiguousarray(g, dtype))
        with self.lock:
            if self.executor is None:
                self.executor = self.certified(memory)
            else:
                self.executor.run(memory, np.zeros(1))
        comes = self.comes({i for i, g in enumerate(gs) if g is not None})
        return [g if there else None for g, there in zip(self.gradients(memory), comes, strict=True)]

    def gradients(self, memory: Sequence[ndarray]) -> list[Any]:
        """The results of a run."""
        assert self.tie.backward is not None
        at = dict(zip(self.external, memory, strict=True))
        views = [None if r is None else r.view for r in self.tie.backward.results]
        return [
            v if v is None else at[v.buffer] if v.buffer in self.filled else np.array(elements(address(at[v.buffer]), v)) for v in views
        ]

    def certified(self, memory: list[Any]) -> Executor:
        """Runs the backward program for the first time: compiled, and by NumPy. Returns the executor that is to be trusted."""
        assert self.tie.backward is not None
        plain = Replay(self.tie.backward)
        try:
            compiled = self.make_executor(self.tie.backward)
            compiled.run(memory, np.zeros(1))
            mine = self.gradients(memory)
            failed = None
        except Exception as error:
            mine, failed = [], f"it raised {type(error).__name__}: {error}"
        mine = [None if x is None else x.copy() for x in mine]
        plain.run(memory, np.zeros(1))
        theirs = self.gradients(memory)
        if failed is None and self.agree(mine, theirs, memory):
            return compiled
        why = failed or "its gradients differ from NumPy's"
        warn_user(f"the compiled backward pass of {self.name} is not used: {why}")
        return plain

    def agree(self, mine: Sequence[Any], theirs: Sequence[Any], memory: Sequence[ndarray]) -> bool:
        """Whether gradients agree, or are as close to what they are in float64 as NumPy's."""
        backward = self.tie.backward
        assert backward is not None
        wrong = [i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a is not None and difference("", None, a, b) is not None]
        if not wrong:
            return True
        before = {b: m for b, m in zip(self.external, memory, strict=True) if b.kind != "made"}
        try:
            exact = Doubled(Start(backward, before, np.zeros(1))).values()
        except Exception:  # an operation that has no float64 form
            return False
        true = [exact(backward.results[i].view) for i in wrong]
        return all(t is not None and not too_far(mine[i], theirs[i], t) for i, t in zip(wrong, true, strict=True))


def tied_leaves(program: Program, result: Any) -> list[Tensor]:
    """The tensors of a result that need a gradient, each once."""
    found: dict[int, Tensor] = {}
    for kept, x in zip(program.results, tree_flatten(result)[0], strict=True):
        if isinstance(kept, Result) and kept.tied is not None:
            found[kept.tied] = x
    return [found[i] for i in range(len(found))]


class KnotNode(Node):
    """What a call of a program leaves on the tape.

    Args:
        edges: to the inputs.
        inputs: the input tensors.
        outputs: shape and dtype of each result that needs a gradient.
        outside: the arrays from outside that the backward program reads, by buffer.
        saved: what the program gave out for it.
        watched: tensors that must not be written to before the backward pass.
        args, kwargs: of the call.
    """

    __slots__ = ("call", "inputs", "knot", "outside", "saved", "watched")

    def __init__(
        self, knot: Knot, edges: Sequence[Any], inputs: Sequence[Tensor], outputs: tuple[Any, ...], outside: dict[Buffer, ndarray],
        saved: Sequence[ndarray], watched: Sequence[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any],
    ) -> None:  # fmt: skip
        self.knot, self.edges, self.inputs, self.like, self.outside, self.saved = knot, edges, inputs, outputs, outside, saved
        self.watched, self.call = [(x, x._data, x._version, x._version[0]) for x in watched], (args, kwargs)
        self.facts, self.versions, self.params = (True,), (), {}
        self.tensors, self.hooks, self.metadata, self.seq = False, None, None, count()

    @property
    def outputs(self) -> int:
        """How many results need a gradient."""
        return len(self.like)

    def name(self) -> str:
        """What the node is called."""
        return "CompiledFunctionBackward"

    def port(self, index: int) -> Any:
        """What stands for one of the results on the tape."""
        return self if len(self.like) == 1 else Port(self, index)

    def watch(self, x: Tensor) -> None:
        """Says that a result must not be written to before the backward pass."""
        self.watched.append((x, x._data, x._version, x._version[0]))

    def pull(self, g: Any, as_tensors: bool) -> list[Any]:
        """The gradients of the inputs."""
        if self.facts is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time: saved intermediate values of a compiled function are freed by "
                "backward(). Specify retain_graph=True if you need to backward through the graph a second time."
            )
        for tensor, data, counter, version in self.watched:
            if counter[0] != version or (tensor._data is not data and not self.knot.tie.chosen):
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor of shape "
                    f"{list(tensor.shape)} that {self.knot.name} read is at version {counter[0]}; expected version {version} instead. Fix: "
                    "call backward() before writing to it, or clone() it before the write."
                )
        gs = g if g.__class__ is list else [g]
        given = {i for i, x in enumerate(gs) if x is not None}
        if not as_tensors and self.knot.runs(given):
            return self.knot.run(gs, self.like, self.outside, self.saved)
        if not self.knot.tie.repeatable:
            return self.not_again(gs, given, as_tensors)
        if not as_tensors:
            self.knot.differentiated(given)
        return self.pull_again(gs, as_tensors)

    def not_again(self, gs: Sequence[Any], given: set[int], as_tensors: bool) -> list[Any]:
        """The gradients of the inputs where the function cannot be called again."""
        if as_tensors and local.grad:
            raise RuntimeError(
                f"{self.knot.name} draws random numbers or writes to tensors, so its results cannot be differentiated twice outside it: "
                "compile the function that calls backward(create_graph=True), or call the function itself"
            )
        arrays = [None if x is None else x._data if as_tensors else x for x in gs]
        found = self.knot.run(arrays, self.like, self.outside, self.saved)
        return [None if x is None else wrap(x) for x in found] if as_tensors else found

    def pull_again(self, gs: Sequence[Any], as_tensors: bool) -> list[Any]:
        """The gradients of the inputs by calling the function again, with a history if one is asked for."""
        history = as_tensors and local.grad
        with rules_on_tensors(recorded=True):
            outs = self.knot.again(*self.call)
        pairs = [(o, g if as_tensors else wrap(np.asarray(g))) for o, g in zip(outs, gs, strict=True) if g is not None]
        with rules_on_tensors(recorded=history):
            found = gradients([o for o, _ in pairs], self.inputs, [g for _, g in pairs], history, history, ends=True)
        return [x if x is None or as_tensors else x._data for x in found]

    def free(self) -> None:
        """Forgets the call."""
        self.facts = None
        self.outside, self.saved, self.watched, self.inputs = {}, (), [], ()
        self.call = (), {}
