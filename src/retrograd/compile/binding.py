"""What a program is bound to outside: tensors that live on between calls, and optimizers with their hyperparameters.

A binding knows by identity what it saw last. When something is another object (`p.data = ...`, a state that was loaded), `rebind` looks
whether the program still fits, and takes the new objects in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.compile.capture import has_hooks
from retrograd.compile.graph import Buffer, Program, Source, Update
from retrograd.core.tape import quiet
from retrograd.core.tensor import LEAF, Tensor, address, owner

NEVER = frozenset({"params", "param_names"})


class Keys(dict[str, Any]):
    """A group of hyperparameters that notes which of them are read."""

    def __init__(self, group: dict[str, Any]) -> None:
        super().__init__(group)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As a dict's."""
        self.read.add(key)
        return super().get(key, default)


class Rates:
    """The live numbers of some parameters of one group: all have the same.

    Numbers that depend on the hyperparameters alone are worked out again only if one of these is another object. Where steps are
    counted, they are worked out at every call, for the first parameter; the others' counts follow.
    """

    def __init__(self, updates: list[Update]) -> None:
        self.updates = updates
        self.lead = updates[0]
        self.optimizer = self.lead.optimizer
        self.index = next(i for i, g in enumerate(self.optimizer.param_groups) if g is self.lead.group)
        self.groups = len(self.optimizer.param_groups)
        self.first, self.count = self.lead.first, self.lead.count
        state = self.optimizer.state[self.lead.parameter]
        self.counting = "step" in state
        for_scalars, for_rule = Keys(self.lead.group), Keys(self.lead.group)
        self.optimizer.scalars(for_scalars, {k: v.clone() if k == "step" else v for k, v in state.items()})
        like = np.zeros(1, self.lead.gradient.dtype)
        with quiet():
            self.optimizer.rule(
                self.optimizer._arrays, like, like.copy(), [like.copy() for _ in self.lead.targets[1:]], [1.0] * self.count, for_rule
            )
        self.numbers = sorted(for_scalars.read - NEVER)
        self.form_keys = sorted((for_rule.read | {"maximize"}) - NEVER)
        self.form = self.form_now(self.lead.group)

    def form_now(self, group: dict[str, Any]) -> list[Any]:
        """What the rule's terms depend on: of numbers, only whether they are zero."""
        return [v if isinstance(v := group.get(k), (bool, str, type(None))) else bool(v) for k in self.form_keys]

    def live(self) -> bool:
        """Whether numbers can change while the hyperparameters stay the same objects."""
        group = self.lead.group
        return self.counting or any(isinstance(v, (Tensor, tuple, list)) and has_tensor(v) for v in (group[k] for k in self.numbers))

    def formed(self) -> list[str]:
        """The hyperparameters that are compared at each call because terms depend on them: not those compared as numbers."""
        return self.form_keys if self.live() else [k for k in self.form_keys if k not in self.numbers]


def has_tensor(value: Any) -> bool:
    """Whether a hyperparameter is a tensor, or holds one."""
    return isinstance(value, Tensor) or any(isinstance(v, Tensor) for v in value)


class Binding:
    """The tensors and optimizers outside of one program.

    Attributes:
        memory: the table that the executor is handed; held memory is in it, the rest is put in at each call.
        scalars: the live numbers.
        names: the names that the entry's source uses.
    """

    def __init__(self, program: Program, arguments: Sequence[Tensor], names: dict[str, Any]) -> None:
        self.program, self.names = program, names
        self.external = program.external()
        self.memory: list[Any] = [None] * len(self.external)
        self.scalars = np.zeros(max(program.scalar_count(), 1))
        self.outside: dict[int, tuple[str, Source]] = {}
        for source in program.outside:
            self.outside[id(source.tensor)] = f"t{len(self.outside)}", source
        written = {v.buffer for step in program.steps for v in step.writes()}
        self.written = {b for b in self.external if b in written}
        self.layouts = {k: (s.data.shape, s.data.strides, s.data.dtype, offset_in_owner(s.data)) for k, (_, s) in self.outside.items()}
        self.on_root: dict[int, list[int]] = {}  # by id of the owner at the recording: the tensors on it
        for k, (_, s) in self.outside.items():
            self.on_root.setdefault(id(owner(s.data)), []).append(k)
        self.rates = self.group_rates()
        self.optimizers = list({id(r.optimizer): r.optimizer for r in self.rates}.values())
        self.gradients = {i: b.layout for i, b in enumerate(self.external) if b.kind == "gradient"}  # how gradients at the start lie
        if not self.rebind():
            raise RuntimeError("a recorded program does not fit what it was recorded with: this is a mistake in retrograd.compile")

    def group_rates(self) -> list[Rates]:
        """Updates by the live numbers that they share."""
        found: dict[int, list[Update]] = {}
        for step in self.program.steps:
            if isinstance(step, Update):
                found.setdefault(step.first, []).append(step)
        return [Rates(updates) for updates in found.values()]

    def name_of(self, source: Source) -> str:
        """The name of a tensor outside."""
        known = self.outside.get(id(source.tensor))
        if known is None:  # a leaf whose gradient is only cleared
            self.outside[id(source.tensor)] = known = f"t{len(self.outside)}", source
            self.names[known[0]] = source.tensor
            self.layouts[id(source.tensor)] = (source.data.shape, source.data.strides, source.data.dtype, offset_in_owner(source.data))
        return known[0]

    # ------------------------------------------------------------ checks

    def conditions(self) -> list[str]:
        """Expressions that are true while everything is the object that it was."""
        for source in [s for s, _ in (*self.program.gradients, *self.program.entry_gradients)]:
            if source.argument is None:
                self.name_of(source)
        self.rebind()
        found = []
        for i, optimizer in enumerate(self.optimizers):
            self.names[f"o{i}"] = optimizer
            found += [f"o{i}.param_groups is groups{i}", f"o{i}.state is state{i}", f"len(groups{i}) == {len(optimizer.param_groups)}"]
        for name, source in self.outside.values():
            if source.state is not None:
                optimizer, parameter, key = source.state
                self.names[f"p{name}"] = parameter
                number = next(i for i, o in enumerate(self.optimizers) if o is optimizer)
                found += [f"state{number}.get(p{name}) is s{name}", f"s{name}[{key!r}] is {name}"]
            found += [f"{name}._data is d{name}", f"{name}._node is n{name}"]
            if self.is_walked_to(source):
                known = f"{name}._extra is x{name}"
                found.append(known if source.hooked else f"{known} and (x{name} is None or not (x{name}.hooks or x{name}.post_accumulate))")
        for i, r in enumerate(self.rates):
            found += [f"h{i}[{k!r}] is f{i}_{j}" for j, k in enumerate(r.formed())]
            found.append(f"len(h{i}['params']) == {len(r.lead.group['params'])}")
        return found

    def late_conditions(self) -> list[str]:
        """Expressions for what `run_lines` looks at besides: the step counts of parameters that share live numbers, the updates' terms."""
        self.names["together"] = together
        found = [f"together(w{i})" for i, r in enumerate(self.rates) if r.counting and len(r.updates) > 1]
        for i, r in enumerate(self.rates):
            self.names[f"rates{i}"] = r
            found.append(f"rates{i}.form_now(h{i}) == rates{i}.form")
        return found

    def rebind(self) -> bool:
        """Takes in what is outside now. Returns whether the program fits it."""
        return self.bind_optimizers() and self.bind_tensors()

    def bind_optimizers(self) -> bool:
        """Finds the groups of hyperparameters, and checks what the updates' terms depend on."""
        for i, optimizer in enumerate(self.optimizers):
            self.names[f"groups{i}"], self.names[f"state{i}"] = optimizer.param_groups, optimizer.state
        for i, r in enumerate(self.rates):
            if r.groups != len(r.optimizer.param_groups):
                return False
            group = r.optimizer.param_groups[r.index]
            if (
                len(group["params"]) != len(r.lead.group["params"])
                or r.form_now(group) != r.form
                or any(not any(u.parameter is p for p in group["params"]) for u in r.updates)
            ):
                return False
            if any(u.parameter not in r.optimizer.state for u in r.updates if len(u.targets) > 1 or r.counting):
                return False
            for update in r.updates:
                update.group = group
            self.names[f"h{i}"] = group
            for j, k in enumerate(r.formed()):
                self.names[f"f{i}_{j}"] = group.get(k)
            if r.counting and not self.bind_counts(i, r):
                return False
        return True

    def bind_counts(self, i: int, r: Rates) -> bool:
        """Finds the step counts of parameters, which must be the same."""
        states = [r.optimizer.state[u.parameter] for u in r.updates]
        if any("step" not in s for s in states):
            return False
        steps = [s["step"]._data for s in states]
        self.names[f"q{i}"], self.names[f"w{i}"] = states[0], steps
        return all(float(s) == float(steps[0]) for s in steps)

    def is_walked_to(self, source: Source) -> bool:
        """Whether a tensor outside is a leaf whose hooks the program's backward passes may call."""
        return self.program.walks and source.node is LEAF

    def bind_tensors(self) -> bool:
        """Finds tensors outside, and checks that they lie in memory as they did."""
        now: dict[int, Tensor] = {}
        for k, (name, source) in self.outside.items():
            tensor = source.find(())
            shape, strides, dtype, offset = self.layouts[k]
            data = tensor._data
            if (data.shape, data.strides, data.dtype) != (shape, strides, dtype) or tensor._node is not source.node:
                return False
            if offset_in_owner(data) != offset:
                return False
            if self.is_walked_to(source) and has_hooks(tensor) != source.hooked:
                return False
            now[k] = tensor
            self.names[name], self.names[f"d{name}"], self.names[f"n{name}"] = tensor, data, tensor._node
            self.names[f"x{name}"] = tensor._extra
            if source.state is not None:
                self.names[f"s{name}"] = source.state[0].state[source.state[1]]
        self.names["leaf_ids"] = frozenset(id(t) for t in now.values() if t._node is LEAF)
        roots = {k: owner(t._data) for k, t in now.items()}
        for group in self.on_root.values():
            if any(roots[k] is not roots[group[0]] for k in group):
                return False
        return self.bind_memory(roots)

    def bind_memory(self, roots: dict[int, ndarray]) -> bool:
        """Puts held memory into the table. What is written to must not be reached in two ways."""
        held: dict[Buffer, ndarray] = {}
        for i, b in enumerate(self.external):
            if b.kind == "held":
                root = roots[id(b.source.tensor)] if isinstance(b.source, Source) else b.source
                if root.nbytes < b.nbytes:
                    return False
                held[b] = self.memory[i] = root
        if any(b in self.written and sum(r is root for r in held.values()) > 1 for b, root in held.items()):
            return False
        self.names["held_ids"] = frozenset(map(id, held.values()))
        self.names["written_ids"] = frozenset(id(root) for b, root in held.items() if b in self.written)
        self.held = list(held.values())  # keeps ids theirs
        return True

    def accept(self, at: int, data: ndarray) -> bool:
        """Whether an array may be a gradient at the start; then it is known by identity from now on."""
        others = [self.names.get(f"ga{j}") for j in self.gradients if j != at]
        root = owner(data)
        if (data.shape, data.strides, data.dtype) != self.gradients[at] or id(root) in self.names["held_ids"]:
            return False
        if any(o is not None and owner(o) is root for o in others):
            return False
        self.names[f"ga{at}"] = data
        return True

    # ------------------------------------------------------------ live numbers

    def run_lines(self, failed: Sequence[str]) -> list[str]:
        """Lines that put the live numbers into the table and run the program. Where that raises, no step was counted.

        Args:
            failed: lines for where it raises.
        """
        lines = []
        undo: list[str] = []
        for i, r in enumerate(self.rates):
            where = f"scalars[{r.first}:{r.first + r.count}]"
            optimizer = f"o{next(j for j, o in enumerate(self.optimizers) if o is r.optimizer)}"
            if r.counting:
                self.names["follow"], self.names["uncount"] = follow, uncount
                lines.append(f"{where} = {optimizer}.scalars(h{i}, q{i})")
                if len(r.updates) > 1:
                    lines.append(f"if not follow(w{i}): {''.join(u + '; ' for u in undo)}return MISS")
                undo.append(f"uncount(w{i})")
            elif r.live():
                self.names[f"q{i}"] = r.optimizer.state[r.lead.parameter]
                lines.append(f"{where} = {optimizer}.scalars(h{i}, q{i})")
            else:
                self.names[f"refresh{i}"] = self.refresher(i, r)
                unchanged = " and ".join(f"h{i}[{k!r}] is l{i}_{j}" for j, k in enumerate(r.numbers)) or "True"
                for j, _ in enumerate(r.numbers):
                    self.names[f"l{i}_{j}"] = self  # nothing that a group holds
                lines.append(f"if not ({unchanged}) and not refresh{i}(): {''.join(u + '; ' for u in undo)}return MISS")
        if not undo and not failed:
            return [*lines, "run(memory, scalars)"]
        return [*lines, "try: run(memory, scalars)", "except BaseException:", *[f" {u}" for u in (*undo, *failed)], " raise"]

    def refresher(self, i: int, r: Rates) -> Any:
        """A function that works the numbers of unchanging rates out again, and returns whether the terms are the same."""

        def refresh() -> bool:
            group = r.optimizer.param_groups[r.index]
            if r.form_now(group) != r.form:
                return False
            for j, k in enumerate(r.numbers):
                self.names[f"l{i}_{j}"] = group[k]
            self.scalars[r.first : r.first + r.count] = r.optimizer.scalars(group, r.optimizer.state[r.lead.parameter])
            return True

        return refresh


def together(counts: list[ndarray]) -> bool:
    """Whether the parameters of a group have counted as many steps."""
    return len({count.item() for count in counts}) < 2


def follow(counts: list[ndarray]) -> bool:
    """Counts a step of the other parameters of a group as was counted of the first; or takes that back, if their counts differ."""
    lead = counts[0]
    step = lead.item()
    for count in counts[1:]:
        if count.item() != step - 1:
            lead -= 1
            return False
    for count in counts[1:]:
        count[()] = step
    return True


def uncount(counts: list[ndarray]) -> None:
    """Takes a counted step back."""
    for count in counts:
        count -= 1


def offset_in_owner(data: ndarray) -> int:
    """Where an array begins in the memory that it is a piece of."""
    return 0 if data.base is None else address(data) - address(owner(data))
