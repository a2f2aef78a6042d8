"""Faults by which numbers grow, or hardly change, from step to step: rates, losses without an end, what is kept of past steps."""

from __future__ import annotations

import itertools
import linecache
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from retrograd.seeing.diagnosis import limits
from retrograd.seeing.diagnosis.evidence import Evidence, Scene, expression_of, is_simple, is_weight, leaf_of, norm_of, receiver, words_of
from retrograd.seeing.diagnosis.finding import Finding
from retrograd.seeing.diagnosis.registry import detector
from retrograd.seeing.record import Call, Pass, Place, Step, Update, Value

Series = list[tuple[Step, Pass, float]]


def ratios(seen: Evidence, matrices: bool = True) -> list[tuple[Update, float, float]]:
    """Of each update of a weight matrix, or of all else: update to weight, gradient to weight."""
    found = []
    for step in seen.steps:
        for u in step.updates:
            if (len(u.leaf.shape) > 1) is matrices and u.after is not None and u.gradient is not None and norm_of(u.before) > 0:
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
        if middle(updates) < limits.RATIO_NONE:  # matrices stand still, as behind dead units: the rest may not
            updates = [f for f in ratios(seen, matrices=False) if any(f[0] in s.updates for s, _, _ in series)]
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
    """A loss that has grown, or does not fall, while updates are large beside the weights; but not, yet, growth without end."""
    found = ratios(seen)
    if not found:
        return
    for losses in seen.losses().values():
        series = list(itertools.takewhile(lambda one: math.isfinite(one[2]), losses))
        begun = [x for x in seen.beginning(series[0][1].place) if math.isfinite(x)] if series else []
        if len(series) < limits.RATE_STEPS or not begun or begun[0] <= 0 or explosion(seen, losses) is not None:
            continue
        variant = too_high(seen, begun, series, found)
        if variant is not None:
            update = max(found, key=lambda f: f[1] if np.isfinite(f[1]) else -1)[0]
            facts = {"ratio": middle(found), "first": begun[0], "last": series[-1][2], "steps": series[-1][0].number + 1, **about(update)}
            variant = variant if update.optimizer else f"{variant}_hand".lstrip("_")
            yield Finding("learning_rate_high", "warning", series[0][0].number, update.place, facts, update, variant)
            return


def too_high(seen: Evidence, begun: list[float], series: Series, found: list[tuple[Update, float, float]]) -> str | None:
    """Whether losses and ratios show a rate that is too high: "" by a loss that has grown, "still" by one that does not fall."""
    numbers, ratio = [loss for _, _, loss in series], middle(found)
    half = len(numbers) // 2
    same = same_data(seen, series[0][0], series[-1][0])
    if same:
        growth, recent = numbers[-1] / begun[0], numbers[-1] / numbers[0]
    elif len(numbers) < limits.RATE_STEPS_NOISY:
        growth = recent = 0.0
    else:  # the later losses are larger than all of the first ones; or than the very first by more than chance makes of them
        late, chance = min(numbers[-half:]), max(numbers) / min(numbers)
        growth = recent = max(late / max(begun[:half]), late / begun[0] / chance * limits.LOSS_DIVERGES / limits.LOSS_GROWTH)
    if (
        (growth >= limits.LOSS_GROWTH and ratio > limits.RATIO_HIGH)
        or (growth >= limits.LOSS_DIVERGES and ratio > limits.RATIO_HIGH / 2)
        or (same and recent >= limits.LOSS_DIVERGES)
    ):
        return ""
    each = [middle([f for f in found if f[0] in step.updates]) for step, _, _ in series if step.updates]
    least, late = min(each, default=0.0), float(np.median(numbers[-half:]))
    level = same and least > limits.RATIO_HIGH and late >= np.median(numbers[:half])
    slow = least > limits.RATIO_HIGH_NOISY and late >= limits.LOSS_STILL * begun[0]
    return "still" if len(each) >= limits.RATE_STEPS_STILL and (level or slow) else None


def same_data(seen: Evidence, one: Step, other: Step) -> bool:
    """Whether losses of two steps are of the same data: of numbers that need no gradient, and were the same in both."""
    fed = []
    for step in (one, other):
        scene = next(scene for scene in seen.scenes if scene.step is step)
        calls = [call for call in step.calls if call.node is not None and any(id(r) in scene.leading for r in call.results)]
        fed.append([v.snapshot.array for call in calls for v in call.values() if not v.requires_grad])
    return len(fed[0]) == len(fed[1]) and all(a is not None and b is not None and np.array_equal(a, b) for a, b in zip(*fed, strict=True))


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
    """Losses with their histories, over steps or batches, that lead to no further backward pass: in a sum, or in a list."""
    sums = list(sums_of_losses(seen))
    yield from sums or lists_of_losses(seen)


def sums_of_losses(seen: Evidence) -> Iterator[Finding]:
    """Losses that were added up."""
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
            "expression": call.place.expression if call.place else call.title, "steps": len(kept.added),
            "number": f"{name if is_simple(name) else f'({name})'}.item()", "bytes": max(sizes) * len(inside) // len(kept.added),
        }  # fmt: skip
        yield Finding("graph_kept", "warning", scene.step.number, call.place, facts, call)


def lists_of_losses(seen: Evidence) -> Iterator[Finding]:
    """Losses of many steps that were all there still when the last of them ended."""
    held = next((e.about for step in reversed(seen.steps) for e in reversed(step.events) if e.kind == "held"), ())
    kept = [
        (step, walk, root) for step in seen.steps for walk in step.passes for root in walk.roots
        if root is not None and root.call is not None and any(root.tensor is one for one in held)
    ]  # fmt: skip
    if len({step.number for step, _, _ in kept}) < limits.HELD:
        return
    step, walk, root = kept[-1]
    name = receiver(walk.place, "backward", "loss")
    place = put_away(walk.place, name) or (root.call.place if root.call is not None else walk.place)
    line = re.sub(r"\s*#.*", "", place.text) if place is not None else name
    code = (
        re.sub(rf"(?<![\w.]){re.escape(name)}\b(?!\s*=)", f"{name}.item()", line)
        if put_away(walk.place, name)
        else f"losses.append({name}.item())"
    )
    facts = {"expression": line, "steps": len(held), "code": code}
    yield Finding("graph_kept", "warning", step.number, place, facts, root, "list")


def put_away(place: Place | None, name: str) -> Place | None:
    """The line of the same function that puts a variable into a list or a dictionary."""
    if place is None:
        return None
    last = max(line for *_, line in place.code.co_lines() if line is not None)
    for line in range(place.code.co_firstlineno, last + 1):
        if re.search(rf"\.append\(\s*{re.escape(name)}\s*\)|\]\s*=\s*{re.escape(name)}\s*(#.*)?$", linecache.getline(place.file, line)):
            return Place(place.code, place.instruction, line)
    return None
