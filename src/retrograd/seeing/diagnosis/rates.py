"""Faults by which numbers grow, or hardly change, from step to step: rates, losses without an end, what is kept of past steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.seeing.diagnosis import limits
from retrograd.seeing.diagnosis.evidence import Evidence, Scene, expression_of, is_simple, is_weight, leaf_of, norm_of, receiver, words_of
from retrograd.seeing.diagnosis.finding import Finding
from retrograd.seeing.diagnosis.registry import detector
from retrograd.seeing.record import Call, Pass, Place, Step, Update, Value

Series = list[tuple[Step, Pass, float]]


def ratios(seen: Evidence) -> list[tuple[Update, float, float]]:
    """Of each update of a weight matrix: update to weight, gradient to weight."""
    found = []
    for step in seen.steps:
        for u in step.updates:
            if len(u.leaf.shape) > 1 and u.after is not None and u.gradient is not None and norm_of(u.before) > 0:
                before, after = seen.array(u.before, u.leaf.label), seen.array(u.after, u.leaf.label)
                if before is not None and after is not None:
                    size = norm_of(u.before)
                    found.append((u, float(np.linalg.norm(after.astype(np.float64) - before)) / size, norm_of(u.gradient) / size))
    return found


def middle(found: list[tuple[Update, float, float]]) -> float:
    """The median ratio of update to weight."""
    return float(np.median([r for _, r, _ in found])) if found else 0.0


def rate_of(update: Update) -> float:
    """The learning rate of an optimizer's update."""
    return float(update.hyperparameters.get("lr", float("nan")))


# ---------------------------------------------------------------- growth


def gradients(seen: Evidence, losses: Series) -> Series:
    """The norms of all that backward passes brought to leaves."""
    return [(step, walk, math.sqrt(sum(norm_of(a.g) ** 2 for a in walk.arrivals))) for step, walk, _ in losses]


def growing(numbers: list[float]) -> slice | None:
    """The last run of finite numbers, of one sign, in which each is larger by a factor than the one before, until they are huge."""
    end = next((i for i, x in enumerate(numbers) if not math.isfinite(x)), len(numbers))
    begin = end - 1
    while begin > 0 and numbers[begin - 1] * numbers[begin] > 0 and abs(numbers[begin]) >= limits.GROWTH_FACTOR * abs(numbers[begin - 1]):
        begin -= 1
    growth = abs(numbers[end - 1] / numbers[begin]) if end and numbers[begin] else 0.0
    enough = growth >= (limits.GROWTH_TOTAL if end - begin >= limits.GROWTH_STEPS else limits.GROWTH_AT_ONCE)
    return slice(begin, end) if enough and end - begin >= limits.GROWTH_LEAST and abs(numbers[end - 1]) >= limits.GROWTH_HUGE else None


def explosion(seen: Evidence, losses: Series) -> tuple[Series, str] | None:
    """The steps over which a loss, or the norm of its gradient, grows without end; and which of them it is."""
    for series, what in ((losses, "loss"), (gradients(seen, losses), "gradient")):
        run = growing([x for _, _, x in series])
        if run is not None:
            return series[run], what
    return None


@detector("diverging", "passes", "several")
def diverging(seen: Evidence) -> Iterator[Finding]:
    """A loss, or the gradient, that is larger by a factor in each step than in the one before."""
    for losses in seen.losses().values():
        found = explosion(seen, losses)
        if found is None:
            continue
        series, what = found
        (step, _, first), (_, walk, last) = series[0], series[-1]
        factor = (last / first) ** (1 / (len(series) - 1))
        root = walk.roots[0]
        most = float(np.finfo(root.dtype).max) if root is not None and root.dtype.kind == "f" else float(np.finfo(np.float32).max)
        numbers = {s.number for s, _, _ in series}
        updates = [f for f in ratios(seen) if any(f[0] in s.updates for s, _, _ in series)]
        every = [u for s, _, _ in series for u in s.updates]
        loss = receiver(walk.place, "backward", "loss")
        facts: dict[str, Any] = {
            "first": first, "last": last, "steps": len(series), "factor": factor, "most": most, "ratio": middle(updates), "numbers": sorted(numbers),
            "left": max(0, math.ceil(math.log(most / abs(last)) / math.log(factor))), "quantity": loss if what == "loss" else f"|∇{loss}|",
        }  # fmt: skip
        made = root.call.place if root is not None and root.call is not None else walk.place
        if what == "loss" and last < 0:
            yield Finding("diverging", "error", step.number, made, facts, root, "below")
        elif every and facts["ratio"] > limits.RATIO_HIGH:
            update = max(updates, key=lambda f: f[1] if math.isfinite(f[1]) else -1)[0]
            yield Finding(
                "diverging", "error", step.number, update.place, facts | about(update), update, "rate" if what == "loss" else "gradient"
            )
        else:
            yield Finding("diverging", "error", step.number, made, facts, root, "carried")
        return


def about(update: Update) -> dict[str, Any]:
    """An update in the program's words."""
    rate = rate_of(update)
    return {
        "rate": rate, "lower": rate / 10, "optimizer": receiver(update.place, "step", "optimizer"), "update": words_of(update), "name": update.leaf.label
    }  # fmt: skip


@detector("learning_rate_high", "passes", "updates")
def learning_rate_too_high(seen: Evidence) -> Iterator[Finding]:
    """A loss that grows while updates are large beside the weights, but not, yet, without end."""
    found = ratios(seen)
    if not found:
        return
    for losses in seen.losses().values():
        numbers = [loss for _, _, loss in losses]
        if len(numbers) < limits.RATE_STEPS or numbers[0] <= 0 or explosion(seen, losses) is not None:
            continue
        growth = numbers[-1] / numbers[0] if np.isfinite(numbers[-1]) else float("inf")
        if growth >= limits.LOSS_DIVERGES or (growth >= limits.LOSS_GROWTH and middle(found) > limits.RATIO_HIGH):
            update = max(found, key=lambda f: f[1] if np.isfinite(f[1]) else -1)[0]
            facts = {"ratio": middle(found), "first": numbers[0], "last": numbers[-1], "steps": len(numbers), **about(update)}
            variant = "" if update.optimizer else "hand"
            yield Finding("learning_rate_high", "warning", losses[0][0].number, update.place, facts, update, variant)
            return


@detector("learning_rate_low", "updates")
def learning_rate_too_low(seen: Evidence) -> Iterator[Finding]:
    """Updates next to nothing, though gradients are there."""
    found = [f for f in ratios(seen) if f[0].optimizer]
    steps = {id(s) for s in seen.steps if s.updates}
    if len(steps) < limits.RATE_STEPS or not found:
        return
    if all(r < limits.RATIO_LOW and rate_of(u) for u, r, _ in found) and max(g for _, _, g in found) > limits.GRADIENT_MATTERS:
        update, ratio, _ = max(found, key=lambda f: f[1])
        facts = about(update) | {"ratio": ratio, "higher": rate_of(update) * limits.RATIO_USUAL / max(ratio, limits.RATIO_NONE)}
        yield Finding("learning_rate_low", "hint", None, update.place, facts, update)


# ---------------------------------------------------------------- what is kept


class Sum:
    """Numbers that one line adds up, each with its history."""

    def __init__(self) -> None:
        self.tensors: set[int] = set()  # those that held the sum, by their weak references
        self.added: list[tuple[Scene, Call, Value]] = []
        self.fresh = 0  # of what was added, how many have a history of their own through weights that the others have too
        self.met: set[int] = set()
        self.weights: set[Any] = set()

    def holds(self, value: Value) -> bool:
        """Whether a value is the sum so far, or a multiple of it."""
        while value.call is not None and value.call.name in ("mul", "div") and len(list(value.call.values())) == 1 and not self.has(value):
            value = next(value.call.values())
        return self.has(value)

    def has(self, value: Value) -> bool:
        """Whether a value is the sum so far."""
        return value.tensor is not None and id(value.tensor) in self.tensors

    def add(self, scene: Scene, call: Call, old: Value | None, new: Value) -> None:
        """One more number."""
        self.added.append((scene, call, new))
        self.tensors |= {id(v.tensor) for v in (old, *call.results) if v is not None and v.tensor is not None}
        weights, shared, carried, waiting = set(), False, False, [new]
        while waiting:
            value = waiting.pop()
            if is_weight(value):
                weights.add(leaf_of(value))
            elif id(value) in self.met:
                shared = True
            elif value.requires_grad:
                self.met.add(id(value))
                carried |= value.kind == "earlier"
                waiting += value.call.values() if value.call is not None and value.kind != "earlier" else ()
        self.fresh += len(self.added) > 1 and not shared and (carried or bool(weights & self.weights))
        self.weights |= weights


@detector("graph_kept")
def graph_kept_alive(seen: Evidence) -> Iterator[Finding]:
    """Sums of losses with their histories, over steps or batches, that lead to no backward pass."""
    found: dict[Place, Sum] = {}
    for scene in seen.scenes:
        for call in scene.step.calls:
            total = call.results[0] if call.results else None
            if call.name != "add" or call.place is None or total is None or not total.requires_grad or total.snapshot.size != 1:
                continue
            if id(total) in scene.leading:
                continue
            pair = sorted(call.values(), key=lambda v: not v.requires_grad)
            known = found.get(call.place)
            old = next((v for v in pair if known is not None and known.holds(v)), None)
            if known is None or old is None:
                known = found[call.place] = Sum()
            known.add(scene, call, old, next((v for v in reversed(pair) if v is not old and v.requires_grad), pair[0]))
    for kept in found.values():
        if kept.fresh < limits.EQUAL_PLACES or any(
            id(v) in scene.leading for scene in seen.scenes for v in scene.step.values if kept.has(v)
        ):
            continue
        scene, call, loss = kept.added[-1]
        inside = {id(s): s for s, _, _ in kept.added}
        sizes = [
            sum(r.snapshot.size * r.dtype.itemsize for c in s.step.calls if c.node is not None for r in c.results) for s in inside.values()
        ]
        name = expression_of(loss, "loss")
        facts = {
            "expression": call.place.expression if call.place else call.name, "steps": len(kept.added),
            "number": f"{name if is_simple(name) else f'({name})'}.item()", "bytes": max(sizes) * len(inside) // len(kept.added),
        }  # fmt: skip
        yield Finding("graph_kept", "warning", scene.step.number, call.place, facts, call)
