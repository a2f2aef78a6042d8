"""Faults inside a network: units that do nothing, gradients that fade or grow, modes, weights, inputs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.diagnosis import limits
from retrograd.seeing.diagnosis.evidence import (
    LAYERS,
    Evidence,
    Scene,
    expression_of,
    in_module,
    leaf_of,
    norm_of,
    rms_of,
    site,
    source_of,
    units_first,
    weight_of,
)  # fmt: skip
from retrograd.seeing.diagnosis.finding import Finding
from retrograd.seeing.diagnosis.registry import detector
from retrograd.seeing.flow import SIGMOID_FLAT, SOFTMAX_FLAT, TANH_FLAT
from retrograd.seeing.record import Call, Snapshot, Value, Visit

WITH_MODES = ("Dropout", "BatchNorm", "AlphaDropout", "FeatureAlphaDropout")


def sites(seen: Evidence, *names: str) -> Iterator[list[tuple[Scene, Call]]]:
    """Calls of these operations on the way to a loss: those of each line, over all kept steps."""
    found: dict[Any, list[tuple[Scene, Call]]] = {}
    for scene in seen.scenes:
        for call in scene.step.calls:
            if call.name in names and call.node is not None and id(call.results[0]) in scene.leading:
                found.setdefault(site(call), []).append((scene, call))
    yield from found.values()


@detector("dead_units", "passes")
def dead_relu(seen: Evidence) -> Iterator[Finding]:
    """Units of a ReLU that are zero for every example of the later half of the kept steps: a step may have killed them."""
    for every in sites(seen, "relu", "threshold", "clamp_min", "clamp", "maximum"):
        if every[0][1].name == "maximum" and not is_above_zero(every[0][1]):
            continue
        if every[0][1].name != "relu" and id(every[0][1].results[0]) not in every[0][0].weighed:
            continue  # a limit within a loss
        steps = list(dict.fromkeys(scene.step.number for scene, _ in every))
        later = steps[len(steps) // 2 if len(steps) > limits.EQUAL_PLACES else 0 :]
        calls = [(scene, call) for scene, call in every if scene.step.number in later]
        scene, call = calls[0]
        pairs = [(c.operands[0], c.results[0]) for _, c in calls]
        ins = [seen.array(a.snapshot, a.label) for a, _ in pairs]
        outs = [seen.array(b.snapshot, b.label) for _, b in pairs]
        before, after = rows(ins), rows(outs)
        if before is None or after is None:
            continue
        examples, units = after.shape
        silent = ~after.any(0)
        dead = silent & (before.max(0) + np.maximum(limits.DEAD_MARGIN * before.std(0), limits.DEAD_DEPTH) < 0)
        whole = bool(silent.all()) and units >= limits.DEAD_UNITS and examples > 1
        if whole or (examples >= limits.DEAD_EXAMPLES and dead.mean() >= limits.DEAD_SHARE):
            count = int(silent.sum() if whole else dead.sum())
            which = [str(i) for i in np.flatnonzero(silent if whole else dead)]
            facts = {
                "module": in_module(call),
                "dead": count,
                "units": units,
                "examples": examples,
                "which": which,
                "most": float(before[:, silent].max()),
            }
            yield Finding("dead_units", "error" if whole else "warning", scene.step.number, call.place, facts, call)


def is_above_zero(call: Call) -> bool:
    """Whether the larger of two values is taken, the second of which is a zero that the program states."""
    limit = call.operands[1]
    return isinstance(limit, Value) and not limit.requires_grad and limit.snapshot.array is not None and not limit.snapshot.array.any()


def rows(arrays: list[ndarray | None]) -> ndarray | None:
    """Arrays as one of examples by units: of images, (N, C, ...), channels are the units, else what is last."""
    found = []
    for array in arrays:
        if array is None or array.ndim < 2:
            return None
        axis = -1 if array.ndim < 4 else 1
        found.append(np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis]))
    return np.concatenate(found)


@detector("saturated", "passes")
def saturation(seen: Evidence) -> Iterator[Finding]:
    """Hidden sigmoid, tanh or softmax whose outputs are almost all where the slope is next to nothing."""
    for calls in sites(seen, "sigmoid", "tanh", "softmax"):
        scene, call = calls[0]
        if id(call.results[0]) not in scene.weighed:
            yield from stuck(seen, calls)
            continue
        flat, through = [], []
        for at, c in calls:
            y = seen.array(c.results[0].snapshot, c.results[0].label)
            if y is None:
                continue
            if c.name == "softmax":
                dim = c.params.get("dim", -1)
                if y.ndim == 0 or y.shape[dim] < limits.SOFTMAX_CHOICES:
                    continue
                flat.append(float((y.max(dim) > SOFTMAX_FLAT).mean()))
            else:
                flat.append(float((np.abs(y) > TANH_FLAT).mean() if c.name == "tanh" else (np.abs(y - 0.5) > 0.5 - SIGMOID_FLAT).mean()))
            for pull in at.pulls.get(id(c), ()):
                v, out = pull.v[0], pull.outgoing[0]
                if v is not None and out is not None and norm_of(v):
                    through.append(norm_of(out) / norm_of(v))
        if flat and through and min(flat) >= limits.FLAT_SHARE and max(through) < limits.FLAT_PASSES:
            facts = {
                "module": in_module(call),
                "op": call.title,
                "share": 100 * float(np.mean(flat)),
                "through": 100 * float(np.mean(through)),
            }
            yield Finding("saturated", "warning", scene.step.number, call.place, facts, call)


def stuck(seen: Evidence, calls: list[tuple[Scene, Call]]) -> Iterator[Finding]:
    """Outputs that are at the wrong limit of a sigmoid or a tanh, from where next to no gradient leads away."""
    shares, through = [], []
    for scene, call in calls:
        y, pull = seen.array(call.results[0].snapshot, call.results[0].label), next(iter(scene.pulls.get(id(call), ())), None)
        if call.name == "softmax" or y is None or pull is None or pull.v[0] is None or pull.outgoing[0] is None:
            return
        v, out = seen.array(pull.v[0], "v"), seen.array(pull.outgoing[0], "Jᵀv")
        loss = sum(abs(root.item) for root in scene.roots if root.item is not None)
        if v is None or out is None:
            return
        y = (y + 1) / 2 if call.name == "tanh" else y
        wrong = ((y > 1 - SIGMOID_FLAT) & (v > 0)) | ((y < SIGMOID_FLAT) & (v < 0))
        if np.abs(out[wrong]).sum() >= limits.STUCK_SLOPE * loss:
            return
        shares.append(float(wrong.mean()))
        through.append(norm_of(pull.outgoing[0]) / norm_of(pull.v[0]) if norm_of(pull.v[0]) else 0.0)
    if shares and min(shares) >= limits.STUCK_SHARE:
        scene, call = calls[0]
        facts = {
            "module": in_module(call),
            "op": call.title,
            "share": 100 * float(np.mean(shares)),
            "through": 100 * float(np.mean(through)),
        }
        yield Finding("saturated", "warning", scene.step.number, call.place, facts, call, "stuck")


def depths(scene: Scene) -> list[tuple[Value, Snapshot, Call]]:
    """The weights of layers in the order of their first use, with what the first backward pass brought them."""
    came = {leaf_of(a.leaf): a.g for walk in scene.step.passes[:1] for a in walk.arrivals}
    found: dict[Any, tuple[Value, Snapshot, Call]] = {}
    for call in scene.step.calls:
        weight = weight_of(call)
        if weight is not None and leaf_of(weight) in came:
            found.setdefault(leaf_of(weight), (weight, came[leaf_of(weight)], call))
    return list(found.values())


def norm_at(scene: Scene, call: Call) -> float:
    """The norm of the cotangent that came to a call's result; nan if none did. Unlike that of a weight, it does not grow with activations."""
    v = next((pull.v[0] for pull in scene.pulls.get(id(call), ())), None)
    return float("nan") if v is None else norm_of(v)


@dataclass(frozen=True)
class Depth:
    """Uses of weights that follow each other: of layers (`variant` ""), or of one weight in a recurrence ("time")."""

    uses: list[tuple[str, Call]]
    factor: float  # by which each has to change the gradient at least
    variant: str
    name: str


def depths_of(scene: Scene) -> Iterator[Depth]:
    """What is deep: the layers, in the order of their first use; and the uses of one weight."""
    layers = [(weight.label, call) for weight, _, call in depths(scene)]
    if len(layers) >= limits.DEPTH_LAYERS:
        yield Depth(layers, limits.DEPTH_PER_LAYER, "", layers[0][0])
    uses: dict[Any, list[tuple[str, Call]]] = {}
    for call in scene.step.calls:
        weight = weight_of(call)
        if weight is not None and id(call) in scene.pulls:
            uses.setdefault(leaf_of(weight), []).append((weight.label, call))
    yield from (Depth(calls, limits.TIME_PER_USE, "time", calls[0][0]) for calls in uses.values() if len(calls) >= limits.TIME_USES)


def over_depth(seen: Evidence, fault: str) -> Iterator[Finding]:
    """Cotangents of layers' outputs that shrink, or grow, by a like factor from one to the next towards the input, in every kept step."""
    found: dict[tuple[str, str], list[Finding]] = {}
    scenes = [scene for scene in seen.scenes if scene.step.passes]
    for scene in scenes:
        for depth in depths_of(scene):
            norms = [(norm_at(scene, call), name, call) for name, call in depth.uses]
            while norms and norms[-1][0] == 0:  # what the loss does not reach: masked, or never asked for
                norms.pop()
            if len(norms) < 2:
                continue
            (first, near, front), (last, far, _) = norms[0], norms[-1]
            logs = np.log(np.maximum([x for x, _, _ in norms], np.finfo(np.float32).tiny))
            rises = np.diff(logs if fault == "vanishing" else logs[::-1])
            whole = rises.sum()
            if (
                whole >= np.log(limits.DEPTH_RATIO)
                and whole >= len(rises) * np.log(depth.factor)
                and rises.max() <= limits.DEPTH_ODD * whole
            ):
                facts = {
                    "near": near,
                    "far": far,
                    "first": first,
                    "last": last,
                    "ratio": float(np.exp(whole)),
                    "layers": len(norms),
                    "name": depth.name,
                }
                severity = "hint" if (fault, depth.variant) == ("vanishing", "time") else "warning"
                made = Finding(fault, severity, scene.step.number, front.place, facts, front, depth.variant)
                found.setdefault((near, depth.variant), []).append(made)
    yield from (findings[0] for findings in found.values() if len(findings) == len(scenes))


@detector("vanishing", "passes")
def vanishing(seen: Evidence) -> Iterator[Finding]:
    """Gradients that fade towards the input."""
    yield from over_depth(seen, "vanishing")


@detector("exploding", "passes")
def exploding(seen: Evidence) -> Iterator[Finding]:
    """Gradients that grow towards the input."""
    yield from over_depth(seen, "exploding")


@detector("mode", "passes", "modules")
def modes(seen: Evidence) -> Iterator[Finding]:
    """Training a network that `eval()` was called on; or judging one in training mode."""
    every: dict[str, list[tuple[Scene, Visit]]] = {}
    for scene in seen.scenes:
        for visit in scene.step.visits:
            every.setdefault(visit.path, []).append((scene, visit))
    changed = {scene.step.number: {id(u.leaf.tensor()) for u in scene.step.updates if u.leaf.tensor is not None} for scene in seen.scenes}
    for path, module in seen.record.modules.items():
        inner = {f"{path}.{name}" if name else path: m for name, m in module.named_modules()}
        called = called_as(path, every)
        depend = sorted(p for p, m in inner.items() if has_modes(m) and any(f"{p}.".startswith(f"{top}.") for top in called))
        own = {id(p) for p in module.parameters()}
        visits = sorted((x for top in called for x in every[top]), key=lambda x: (x[0].step.number, x[1].after))
        learning = [(scene, v) for scene, v in visits if v.grad and own & changed[scene.step.number]]
        if not learning:
            continue
        yield from dropped_in_eval(visits)
        if not depend:
            continue
        wrong = in_eval(learning, [scene.step.number for scene, v in visits if not v.grad and not v.training])
        if wrong:
            scene, visit = wrong[0]
            facts = {"name": path, "modules": depend, "steps": len(wrong)}
            yield Finding("mode", "warning", scene.step.number, visit.place, facts, None, "eval")
        judging = [(scene, v) for scene, v in visits if not v.grad and v.training and not is_used(scene, v)]
        if judging:
            scene, visit = judging[0]
            yield Finding("mode", "warning", scene.step.number, visit.place, {"name": path, "modules": depend}, None, "train")


def called_as(path: str, visited: Collection[str]) -> list[str]:
    """The paths by which a program calls a network: its own, or those of its outermost parts that it calls."""
    if path in visited:
        return [path]
    parts = [p for p in visited if p.startswith(f"{path}.")]
    return [p for p in parts if not any(p.startswith(f"{q}.") for q in parts)]


def has_modes(module: Any) -> bool:
    """Whether a module itself does something else while training."""
    kind = type(module).__name__
    if kind.startswith(WITH_MODES):
        return bool(getattr(module, "p", 1) != 0)
    return bool(isinstance(rate := getattr(module, "dropout", None), float) and rate and getattr(module, "num_layers", 2) > 1)


def in_eval(learning: list[tuple[Scene, Visit]], judged: list[int]) -> list[tuple[Scene, Visit]]:
    """The calls of a network in the steps in which it was trained in eval mode only: all of them, or all since it was judged in it."""
    steps: dict[int, list[tuple[Scene, Visit]]] = {}
    for scene, visit in learning:
        steps.setdefault(scene.step.number, []).append((scene, visit))
    last = max((n for n, calls in steps.items() if any(v.training for _, v in calls)), default=-1)
    if last >= 0 and not any(last <= n < max(steps) for n in judged):
        return []
    return [call for n, calls in steps.items() if n > last for call in calls]


def dropped_in_eval(visits: list[tuple[Scene, Visit]]) -> Iterator[Finding]:
    """A function that drops numbers whatever the mode."""
    for scene, visit in visits:
        if visit.training or visit.grad:
            continue
        for call in scene.step.calls[visit.after :]:
            if not any(p == visit.path for p, _ in call.modules):
                break
            words = call.place.expression if call.place is not None else ""
            if call.name == "mul" and re.match(r"[\w.]*dropout\w*\(", words) and "training" not in words:
                facts = {"name": visit.path, "expression": words, "fixed": f"{words[:-1]}, training=self.training)"}
                yield Finding("mode", "warning", scene.step.number, call.place, facts, call, "function")
                return


def is_used(scene: Scene, visit: Visit) -> bool:
    """Whether what a module computed without gradients goes into a loss all the same."""
    for call in scene.step.calls[visit.after :]:
        if not any(p == visit.path for p, _ in call.modules):
            break
        if any(id(r) in scene.leading or id(r) in scene.recorded for r in call.results):
            return True
    return False


@detector("symmetric_weights", "passes")
def symmetric_weights(seen: Evidence) -> Iterator[Finding]:
    """Weights whose rows are copies of each other, and so are their gradients."""
    for scene in seen.scenes[:1]:
        for weight, g, call in depths(scene):
            name = weight.label
            arrays = seen.array(weight.snapshot, name), seen.array(g, name)
            if arrays[0] is None or arrays[1] is None:
                continue
            w, gradient = (units_first(call, array) for array in arrays if array is not None)
            if w.shape[0] > 1 and all(np.allclose(a, a[:1], rtol=limits.SYMMETRY, atol=0) for a in (w, gradient)):
                facts = {"name": name, "rows": w.shape[0], "value": float(w.reshape(-1)[0]), "norm": norm_of(g)}
                yield Finding("symmetric_weights", "error", scene.step.number, call.place, facts, weight)


@detector("input_scale")
def inputs_not_normalised(seen: Evidence) -> Iterator[Finding]:
    """The first layer takes inputs far larger than those it was initialised for."""
    met: set[Any] = set()
    for scene in seen.scenes:
        for call in scene.step.calls:
            if call.name not in LAYERS or call.node is None or not isinstance(call.operands[0], Value):
                continue
            value = source_of(call.operands[0])
            name = expression_of(value, "x")
            if not met & {name, call.place} and is_data(value) and limits.INPUT_RMS < (size := rms_of(call.operands[0].snapshot)) < np.inf:
                met |= {name, call.place}
                s = call.operands[0].snapshot.summary
                facts = {
                    "name": name,
                    "variable": value.name or "x",
                    "rms": size,
                    "least": s.least,
                    "most": s.most,
                    "mean": s.mean,
                    "std": s.std,
                    "module": in_module(call),
                }
                yield Finding("input_scale", "hint", scene.step.number, call.place, facts, value)


def is_data(value: Value) -> bool:
    """Whether a value was read, or made of what was read, and is not what a network put out."""
    waiting, met = [value], {id(value)}
    while waiting:
        value = waiting.pop()
        if value.requires_grad or value.kind in ("parameter", "buffer"):
            return False
        for operand in value.call.values() if value.call is not None else ():
            if id(operand) not in met:
                met.add(id(operand))
                waiting.append(operand)
    return True
