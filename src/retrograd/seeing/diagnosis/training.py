"""Faults of the training loop: gradients cleared or not, updates made or not, by whom."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from retrograd.seeing.diagnosis import limits
from retrograd.seeing.diagnosis.evidence import Evidence, Moment, Scene, is_zero, leaf_of, norm_of, receiver, weight_of, words_of
from retrograd.seeing.diagnosis.finding import Finding
from retrograd.seeing.diagnosis.registry import detector
from retrograd.seeing.record import Arrival, Call, Event, Pass, Step, Update, Value


@detector("zero_grad", "passes", "updates", "several")
def forgotten_zero_grad(seen: Evidence) -> Iterator[Finding]:
    """An update by a gradient in which there is one that an earlier update had used already."""
    names, first = [], None
    for moments in seen.moments.values():
        found = leftover(seen, moments)
        if found is not None:
            names.append(moments[0].leaf.label)
            first = first or found
    if first is not None:
        arrival, walk, step, update = first
        yield Finding("zero_grad", "error", step.number, update.place, {
            "names": names, "n": update.passes, "norm": norm_of(arrival.before) if arrival.before else 0.0, "own": norm_of(arrival.g),
            "backward": walk.place, "loss": receiver(walk.place, "backward", "loss"), "optimizer": receiver(update.place, "step", "optimizer"),
            "update": words_of(update), "name": names[0],
        }, update, "" if update.optimizer else "hand")  # fmt: skip


def leftover(seen: Evidence, moments: list[Moment]) -> tuple[Arrival, Pass, Step, Update] | None:
    """A gradient that was added to one which an update had used already, and used again."""
    used: Step | None = None  # the step in which what is in .grad was used
    added: tuple[Arrival, Pass] | None = None
    for moment in moments:
        what = moment.what
        if isinstance(what, Event):
            used = added = None
        elif isinstance(what, Arrival):
            if used is not None and seen.consecutive(used, moment.step) and what.before is not None and not is_zero(what.before):
                added = what, moment.walk  # type: ignore[assignment]
            used = used if added is not None else None
        elif what.gradient is not None:
            if added is not None:
                return *added, moment.step, what
            used = moment.step
    return None


@detector("accumulation", "passes", "updates")
def accumulation_not_divided(seen: Evidence) -> Iterator[Finding]:
    """Several backward passes from means, at one line, and an update by their plain sum."""
    for scene in seen.scenes:
        step = scene.step
        update = next((u for u in step.updates if u.passes > 1 and u.gradient is not None), None)
        if update is None:
            continue
        since = [m.what for m in seen.moments[leaf_of(update.leaf)] if m.step is step and scene.at_of(m) < scene.at[id(update)]]
        own = list(itertools.takewhile(lambda what: isinstance(what, Arrival), reversed(since)))[::-1]
        walks = [w for w in step.passes for a in w.arrivals if any(a is b for b in own)]
        if len(walks) != update.passes or len({w.place for w in walks}) > 1 or not all(map(is_mean, walks)):
            continue
        if len({frozenset(leaf_of(a.leaf) for a in w.arrivals) for w in walks}) > 1:
            continue  # losses of several tasks, each of which has parameters of its own
        parts = [seen.array(a.g, a.leaf.label) for a in own if isinstance(a, Arrival)]
        total = None if update.gradient is None else seen.array(update.gradient, update.leaf.label)
        if total is None or any(p is None for p in parts) or not np.any(total):
            continue
        if np.allclose(sum(p for p in parts if p is not None), total, rtol=1e-3, atol=1e-6 * float(np.abs(total).max())):
            loss = receiver(walks[0].place, "backward", "loss")
            norm = float(np.linalg.norm(total))
            facts = {
                "n": len(walks),
                "name": update.leaf.label,
                "norm": norm,
                "mean": norm / len(walks),
                "loss": loss,
                "update": words_of(update),
            }
            yield Finding("accumulation", "warning", step.number, walks[0].place, facts, update)
            return


def is_mean(walk: Pass) -> bool:
    """Whether a backward pass began, with 1, at a mean over examples, or at a sum that such a mean is a term of."""
    root = walk.roots[0] if len(walk.roots) == 1 else None
    if root is None or not walk.pulls:
        return False
    seed = walk.pulls[0].v[0]
    unit = seed is not None and seed.array is not None and seed.size == 1 and float(seed.array.real.item()) == 1.0
    return unit and any(is_mean_itself(term.call) for term in terms(root) if term.call is not None)


def terms(root: Value) -> list[Value]:
    """What a number is the sum of, as far as it was added up as it is."""
    found, waiting = [], [root]
    while waiting:
        value = waiting.pop()
        if value.call is not None and value.call.name in ("add", "sub"):
            waiting += list(value.call.values())[: 1 if value.call.name == "sub" else 2]
        else:
            found.append(value)
    return found


def is_mean_itself(call: Call) -> bool:
    """Whether an operation averages."""
    if call.name == "nll_loss":  # the weights of a mean's terms add up to 1
        weights = call.operands[2].snapshot.array
        return weights is not None and abs(float(weights.sum()) - 1) < 1e-3
    return call.name == "mean" or bool(call.params.get("mean"))


@detector("step_before_backward", "stepped")
def step_before_backward(seen: Evidence) -> Iterator[Finding]:
    """An optimizer's step with no gradient, or one before the backward pass of its own step."""
    ever = {u.number for step in seen.steps for u in step.updates}
    for scene in seen.scenes:
        step = scene.step
        for event in step.events:
            if event.kind != "stepped" or not event.given:
                continue
            given = {leaf_of(v): v.label for v in event.given}
            at = scene.at[id(event)]
            before, after = ([w for w in part if isinstance(w, Pass) and arrives(w, given)] for part in (step.order[:at], step.order[at:]))
            updated = any(u.number == event.number for u in step.order[:at] if isinstance(u, Update))
            facts: dict[str, Any] = {
                "optimizer": receiver(event.place, "step", "optimizer"), "names": sorted(set(given.values())), "kind": str(event.about), "loss": "loss"
            }  # fmt: skip
            if after and not before and (updated or event.number not in ever):
                late = after[0]
                if min((scene.at[id(p.call)] for p in late.pulls if id(p.call) in scene.at), default=at) < at:
                    facts |= {"loss": receiver(late.place, "backward", "loss"), "backward": late.place}
                    yield Finding("step_before_backward", "error", step.number, event.place, facts, event, "late")
                    return
            elif not updated and event.number not in ever and not any(isinstance(w, Pass) for w in step.order[:at]):
                yield Finding("step_before_backward", "error", step.number, event.place, facts, event, "none")
                return
            elif before and (clearing := cleared_again(seen, scene, given, at)) is not None:
                facts |= {
                    "loss": receiver(before[-1].place, "backward", "loss"),
                    "backward": before[-1].place,
                    "line": clearing.place or "–",
                }
                facts["clearing"] = clearing.place.expression if clearing.place is not None else "zero_grad()"
                yield Finding("step_before_backward", "error", step.number, event.place, facts, event, "cleared")
                return
    yield from stale(seen)


def arrives(walk: Pass, leaves: Mapping[Any, str]) -> bool:
    """Whether a backward pass brought one of these leaves something."""
    return any(leaf_of(a.leaf) in leaves for a in walk.arrivals)


def cleared_again(seen: Evidence, scene: Scene, leaves: Mapping[Any, str], at: int) -> Event | None:
    """What cleared all gradients that had come to leaves in a step, so that at a place in it there was none."""
    found = None
    for leaf in leaves:
        came = [
            m.what for m in seen.moments.get(leaf, ()) if m.step is scene.step and scene.at_of(m) < at and not isinstance(m.what, Update)
        ]
        last = came[-1] if came else None
        if last is not None and not (isinstance(last, Event) and last.kind == "cleared"):
            return None
        if isinstance(last, Event) and any(isinstance(what, Arrival) for what in came):
            found = last
    return found


def stale(seen: Evidence) -> Iterator[Finding]:
    """Two steps of one optimizer by one gradient."""
    for moments in seen.moments.values():
        updates = [m for m in moments if not isinstance(m.what, Event)]
        for a, b in pairwise(updates):
            if (
                isinstance(a.what, Update) and isinstance(b.what, Update) and a.what.number is not None and a.what.number == b.what.number
                and seen.consecutive(a.step, b.step) and a.what.passes and a.what.passes == b.what.passes
            ):  # fmt: skip
                optimizer = receiver(b.what.place, "step", "optimizer")
                facts = {"name": b.leaf.label, "optimizer": optimizer, "loss": "loss", "first": a.what.place}
                yield Finding("step_before_backward", "warning", b.step.number, b.what.place, facts, b.what, "stale")
                return


@detector("not_optimized", "passes", "stepped")
def not_given_to_an_optimizer(seen: Evidence) -> Iterator[Finding]:
    """Parameters, or tensors used as such, that get gradients, while no optimizer that takes steps has them, and nothing else updates them."""
    if len(seen.optimizers) < len(seen.record.optimizers):
        return  # one of them took its steps before those that were kept
    names, first = [], None
    for leaf, moments in seen.moments.items():
        arrival = next((m for m in moments if isinstance(m.what, Arrival)), None)
        if arrival is None or leaf in seen.given or any(isinstance(m.what, Update) for m in moments):
            continue
        if arrival.leaf.label not in seen.record.parameters and not is_for_training(seen, moments):
            continue
        names.append(arrival.leaf.label)
        first = first or arrival
    if first is not None and isinstance(first.what, Arrival):
        events = [(step, e) for step in seen.steps for e in step.events if e.kind == "stepped"]
        event = next((e for step, e in events if step.number >= first.step.number), events[-1][1])
        yield Finding("not_optimized", "warning", first.step.number, event.place, {
            "names": names, "norm": norm_of(first.what.g), "name": names[0], "optimizer": receiver(event.place, "step", "optimizer"), "kind": str(event.about),
        }, first.what.leaf)  # fmt: skip


def is_for_training(seen: Evidence, moments: list[Moment]) -> bool:
    """Whether a tensor that is no parameter of a module is used like one: the same in several steps, for all examples, its gradient never used up."""
    if any(isinstance(m.what, Event) for m in moments) or len({m.step.number for m in moments}) < limits.EQUAL_PLACES:
        return False
    uses = [
        use
        for scene, value in seen.parameters.get(leaf_of(moments[0].leaf), [])
        for call in scene.uses.get(id(value), ())
        for use in [(call, value)]
    ]
    return any(is_for_all(*use) for use in uses) and not any(is_example(*use) for use in uses)


def is_for_all(call: Call, value: Value) -> bool:
    """Whether an operation uses a value for each of many examples: as its weights, or spread over them."""
    return weight_of(call) is value or any(
        r.snapshot.size > value.snapshot.size for r in call.results if call.name in ("add", "sub", "mul", "div")
    )


def is_example(call: Call, value: Value) -> bool:
    """Whether it is what other weights are applied to."""
    weight = weight_of(call)
    return weight is not None and weight is not value


@detector("two_optimizers", "updates")
def shared_by_two_optimizers(seen: Evidence) -> Iterator[Finding]:
    """A parameter that two optimizers update in turn; where one follows the other, it has taken its place."""
    names, first = [], None
    for moments in seen.moments.values():
        every = [m.what for m in moments if isinstance(m.what, Update) and m.what.number is not None]
        updates = {update.number: update for update in every}
        if sum(a.number != b.number for a, b in pairwise(every)) > 1:
            names.append(moments[0].leaf.label)
            first = first or list(updates.values())
    if first is not None:
        names_of = [receiver(u.place, "step", "optimizer") for u in first[:2]]
        labels = [f"{name} ({u.optimizer} {(u.number or 0) + 1})" for name, u in zip(names_of, first, strict=False)]
        same = names_of[0] == names_of[1]
        yield Finding("two_optimizers", "warning", None, first[1].place, {
            "names": names, "one": labels[0] if same else names_of[0], "other": labels[1] if same else names_of[1],
            "first": "optimizer1" if same else names_of[0], "second": "optimizer2" if same else names_of[1],
            "kind": first[1].optimizer, "rate": first[0].hyperparameters.get("lr", 0.0), "rate2": first[1].hyperparameters.get("lr", 0.0),
        }, first[1])  # fmt: skip


@detector("no_learning_rate", "updates")
def learning_rate_is_zero(seen: Evidence) -> Iterator[Finding]:
    """Every update of the kept steps with a learning rate of 0."""
    updates = [(step, u) for step in seen.steps for u in step.updates if u.optimizer]
    steps = {step.number for step, _ in updates}
    if all(u.hyperparameters.get("lr") == 0 for _, u in updates) and len(steps) >= limits.EQUAL_PLACES:
        step, update = updates[0]
        facts = {"optimizer": receiver(update.place, "step", "optimizer"), "steps": len(steps), "kind": update.optimizer}
        yield Finding("no_learning_rate", "warning", step.number, update.place, facts, update)


@detector("decay_only", "updates")
def only_weight_decay(seen: Evidence) -> Iterator[Finding]:
    """Parameters whose gradient is zero in every kept step, so that only weight decay changes them."""
    names, first = [], None
    for moments in seen.moments.values():
        updates = [m.what for m in moments if isinstance(m.what, Update) and m.what.optimizer and m.what.gradient is not None]
        if len(updates) >= limits.EQUAL_PLACES and all(
            u.hyperparameters.get("weight_decay") and u.gradient and is_zero(u.gradient) for u in updates
        ):
            names.append(moments[0].leaf.label)
            first = first or updates
    if first is not None:
        last = first[-1].after or first[-1].before
        yield Finding("decay_only", "warning", None, first[0].place, {
            "names": names, "decay": float(first[0].hyperparameters["weight_decay"]), "before": norm_of(first[0].before), "after": norm_of(last),
            "steps": len(first), "kind": first[0].optimizer,
        }, first[0])  # fmt: skip
