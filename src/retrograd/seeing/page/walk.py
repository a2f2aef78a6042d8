"""The moments of a step in the order in which they came: what the page walks through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retrograd.seeing.record import Call, Event, Pass, Step, Update

Moment = dict[str, Any]
GRADIENTS, MEMORY = ("cleared", "set"), ("wrote", "shared")  # the kinds of events that are moments


def moments(step: Step) -> list[Moment]:
    """Each moment by its kind and the numbers of what it is about: a call, a backward pass's seed, its pulls, arrivals in `.grad`, updates, events.

    What happens to many tensors at once, by one optimizer or one `zero_grad`, is one moment. What happens to the memory of tensors that no
    operation knows, as while a module is made, is none.
    """
    known = {v.number for call in step.calls for v in (*call.values(), *call.results)}
    passes = {id(p): i for i, p in enumerate(step.passes)}
    updates = {id(u): i for i, u in enumerate(step.updates)}
    events = {id(e): i for i, e in enumerate(step.events)}
    told: set[int] = set()  # calls that only a backward pass knew of: these are none of the forward pass
    done: list[Moment] = []
    for what in step.order:
        if isinstance(what, Call):
            if id(what) not in told:
                done.append({"kind": "call", "call": what.number})
        elif isinstance(what, Pass):
            told.update(id(pull.call) for pull in what.pulls if pull.call.op is None)
            done.extend(of_pass(what, passes[id(what)]))
        elif isinstance(what, Update):
            last = done[-1] if done else {}
            if last.get("kind") == "update" and same_optimizer(step.updates[last["updates"][-1]], what):
                last["updates"].append(updates[id(what)])
            else:
                done.append({"kind": "update", "updates": [updates[id(what)]]})
        elif isinstance(what, Event) and what.kind in (*GRADIENTS, *MEMORY):
            if what.kind in MEMORY and (what.value is None or what.value.number not in known):
                continue
            last = done[-1] if done else {}
            if what.kind == "cleared" and last.get("kind") == "cleared":
                last["events"].append(events[id(what)])
            else:
                done.append({"kind": what.kind, "events": [events[id(what)]]})
    return done


def same_optimizer(one: Update, other: Update) -> bool:
    """Whether two updates belong to one step of one optimizer: each of its parameters has one."""
    return one.optimizer == other.optimizer and one.leaf.number != other.leaf.number


def of_pass(pass_: Pass, number: int) -> Iterator[Moment]:
    """The seed, then each pull; a gradient arrives in `.grad` after the last pull that gave a part of it."""
    yield {"kind": "seed", "pass": number}
    last: dict[int, int] = {}
    for i, pull in enumerate(pass_.pulls):
        for operand, out in zip(pull.call.operands, pull.outgoing, strict=False):
            if out is not None and operand is not None and hasattr(operand, "number"):
                last[operand.number] = i
    due: dict[int, list[int]] = {}
    for j, arrival in enumerate(pass_.arrivals):
        due.setdefault(last.get(arrival.leaf.number, -1), []).append(j)
    for i in range(-1, len(pass_.pulls)):
        if i >= 0:
            yield {"kind": "pull", "pass": number, "pull": i}
        for j in due.get(i, ()):
            yield {"kind": "arrival", "pass": number, "arrival": j}
