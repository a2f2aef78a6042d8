"""Faults in how a loss is given what it takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retrograd.seeing.diagnosis import limits
from retrograd.seeing.diagnosis.evidence import REDUCTIONS, Evidence, Link, Scene, expression_of, made_by, source_of
from retrograd.seeing.diagnosis.finding import Finding
from retrograd.seeing.diagnosis.registry import detector
from retrograd.seeing.record import Call, Value

ELEMENTWISE = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
TARGETED = (*ELEMENTWISE, "binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss")
BENT = frozenset({"log", "log1p", "exp", "cosh", "tanh", "softplus", "clamp", "clamp_min", "maximum", "minimum", "where"})
AFTER_ERROR = frozenset({"square", "abs", "pow_scalar", "mul", "div", "sqrt", "neg", *REDUCTIONS})


def loss_calls(seen: Evidence, *names: str, judging: bool = False) -> Iterator[tuple[Scene, Call]]:
    """The calls of these losses from which a way leads to where a backward pass began, or, for `judging`, of a step without one; one a line."""
    met = set()
    for scene in seen.scenes:
        for call in scene.step.calls:
            if call.title not in names or call.place in met:
                continue
            if (judging and not scene.roots) or any(id(r) in scene.leading for r in call.results):
                met.add(call.place)
                yield scene, call


@detector("broadcast")
def silent_broadcast(seen: Evidence) -> Iterator[Finding]:
    """An error of (n, 1) against (n,), which are n by n numbers."""
    for scene, call in loss_calls(seen, *ELEMENTWISE, judging=True):
        pair = [expanded(x) for x in call.operands[:2] if isinstance(x, Value)]
        if len(pair) == 2 and pair[0].shape != pair[1].shape and max(v.snapshot.size for v in pair) < call.operands[0].snapshot.size:
            yield broadcast(scene, call, pair[0], pair[1], call.operands[0].shape, "error")
    met = set()
    for scene in seen.scenes:
        fitting = [c for c in scene.step.calls if c.name in ("sub", "mul") and id(c.results[0]) in scene.leading and is_column_less_row(c)]
        if fitting:
            elsewhere = scene.towards(lambda link: id(link.target) in scene.leading and not is_of_error(link))  # noqa: B023
            bent = scene.towards(lambda link: link.call is not None and link.call.name in BENT)
            partly = scene.towards(lambda link: link.call is not None and link.call.name in REDUCTIONS and link.target.snapshot.size > 1)
            for call in fitting:
                result = id(call.results[0])
                if call.place not in met and result not in elsewhere and not (result in partly and (result in bent or call.name == "mul")):
                    met.add(call.place)
                    one, other = call.values()
                    yield broadcast(scene, call, one, other, call.results[0].shape, "warning")


def is_column_less_row(call: Call) -> bool:
    """Whether a difference, or a product of errors and weights, is of (n, 1) and (n,), one of which is computed and the other given."""
    pair = list(call.values())
    if len(pair) != 2:
        return False
    column, row = sorted(pair, key=lambda v: -len(v.shape))
    errors = ("square", "abs", "pow_scalar", *TARGETED)
    if call.name == "mul" and made_by(column if column.requires_grad else row, *errors) is None:
        return False
    n = row.shape[0] if len(row.shape) == 1 else 0
    return n > 1 and column.shape == (n, 1) and column.requires_grad != row.requires_grad and source_of(column) is not source_of(row)


def is_of_error(link: Link) -> bool:
    """Whether numbers went through powers, factors, sums and functions of one number only, as in a loss."""
    return link.call is not None and (link.call.name in AFTER_ERROR or link.call.name in BENT)


def expanded(value: Value) -> Value:
    """What a loss was given, before it expanded it."""
    call = value.call
    while call is not None and call.name in ("expand", "_to_copy"):
        value = next(call.values())
        call = value.call
    return value


def broadcast(scene: Scene, call: Call, a: Value, b: Value, shape: tuple[int, ...], severity: str) -> Finding:
    """The finding."""
    wide, flat = (a, b) if len(a.shape) > len(b.shape) else (b, a)
    return Finding("broadcast", severity, scene.step.number, call.place, {
        "one": expression_of(a, "output"), "other": expression_of(b, "target"), "shape1": a.shape, "shape2": b.shape, "shape": shape,
        "pairs": int(np.prod(shape)), "wanted": max(a.snapshot.size, b.snapshot.size), "wide": expression_of(wide), "flat": expression_of(flat, "target"),
    }, call)  # fmt: skip


@detector("double_softmax", "passes")
def softmax_twice(seen: Evidence) -> Iterator[Finding]:
    """Probabilities where logits are expected: a softmax of a softmax."""
    for scene, call in loss_calls(seen, "log_softmax", "softmax"):
        operand = call.operands[0]
        inner = made_by(operand, "softmax", "log_softmax")
        facts = {"source": expression_of(operand), "place": call.place, "shape": operand.shape}
        dim = call.params.get("dim") or 0
        along = inner is not None and inner.params.get("dim") in (dim, dim - len(operand.shape))
        if inner is not None and (along or (inner.name == "softmax" and is_distribution(seen, operand, dim))):
            logits = before(inner, operand)
            harmless = inner.name == "log_softmax"
            variant = "again" if harmless else "twice"
            spread = seen.array(call.results[0].snapshot, call.results[0].label)
            low = float("nan") if spread is None else float(-spread.max() if call.name == "log_softmax" else spread.max())
            facts |= {"logits": logits, "inner": inner.place, "best": low}
            yield Finding("double_softmax", "hint" if harmless else "error", scene.step.number, call.place, facts, call, variant)
        elif call.name == "log_softmax" and (squashed := made_by(operand, "sigmoid", "tanh")) is not None and is_of_loss(scene, call):
            facts |= {
                "logits": before(squashed, operand),
                "inner": squashed.place,
                "op": squashed.name,
                "least": -1 if squashed.name == "tanh" else 0,
            }
            yield Finding("double_softmax", "warning", scene.step.number, call.place, facts, call, "squashed")
        elif (
            call.name == "log_softmax"
            and operand.requires_grad
            and inner is None
            and is_distribution(seen, operand, call.params.get("dim", -1))
        ):
            yield Finding("double_softmax", "warning", scene.step.number, call.place, facts, call, "rows")


def is_of_loss(scene: Scene, call: Call) -> bool:
    """Whether a log_softmax goes into nll_loss, both within cross_entropy."""
    return any(user.title == "nll_loss" and user.place == call.place for user in scene.uses.get(id(call.results[0]), ()))


def before(call: Call, result: Value) -> str:
    """How the program says what an operation was given; "logits", where that was in the midst of the expression for the result."""
    operand = call.operands[0]
    expression = expression_of(operand, "logits") if isinstance(operand, Value) else "logits"
    return "logits" if expression == expression_of(result) else expression


def is_distribution(seen: Evidence, value: Value, dim: int) -> bool:
    """Whether numbers along a dim are at least 0 and add up to 1."""
    array = seen.array(value.snapshot, value.label)
    if array is None or not array.ndim or array.shape[dim] < 2 or array.size < 2 * array.shape[dim]:
        return False
    return bool((array >= 0).all() and np.abs(array.sum(dim) - 1).max() < limits.ROW_SUM)


@detector("nll_on_logits", "passes")
def nll_without_log(seen: Evidence) -> Iterator[Finding]:
    """What nll_loss took are no logarithms of probabilities."""
    for scene, call in loss_calls(seen, "nll_loss"):
        operand = call.operands[0]
        if made_by(operand, "log_softmax") is not None:
            continue
        array = seen.array(operand.snapshot, operand.label)
        if array is None or not np.isfinite(array).all():
            continue
        sums = np.exp(array.astype(np.float64)).sum(1 if array.ndim > 1 else 0)
        if np.abs(sums - 1).max() > limits.LOG_ROW_SUM:
            softmax = made_by(operand, "softmax") is not None
            yield Finding("nll_on_logits", "error" if softmax or array.max() > limits.ROW_SUM else "warning", scene.step.number, call.place, {
                "source": expression_of(operand), "most": float(array.max()), "sum": float(sums.reshape(-1)[0]),
            }, call, "probabilities" if softmax else "logits")  # fmt: skip

    for scene, call, operand, target in divergences(seen):
        if target.requires_grad and not operand.requires_grad:
            continue  # swapped: see below
        array = seen.array(operand.snapshot, operand.label)
        softmax = made_by(operand, "softmax") is not None
        if array is not None and np.isfinite(array).all() and (softmax or array.max() > limits.ROW_SUM):
            yield Finding("nll_on_logits", "error", scene.step.number, call.place, {
                "source": expression_of(operand), "most": float(array.max()), "sum": float(np.exp(array.astype(np.float64)).sum(-1).reshape(-1)[0]),
                "logits": before(inner, operand) if (inner := made_by(operand, "softmax")) is not None else expression_of(operand, "logits"),
            }, call, "divergence")  # fmt: skip


def divergences(seen: Evidence) -> Iterator[tuple[Scene, Call, Value, Value]]:
    """The products of `kl_div` that lead to a loss, with what it was given and its target; one a line."""
    met = set()
    for scene in seen.scenes:
        for call in scene.step.calls:
            if call.name not in ("xlogy", "exp") or call.place is None or call.place in met:
                continue
            if "kl_div" not in call.place.expression and not (call.modules and call.modules[-1][1] == "KLDivLoss"):
                continue
            target, *_ = call.values()
            for other in scene.step.calls[call.number + 1 : call.number + 3]:
                pair = list(other.values())
                if (
                    other.name == ("mul" if call.name == "xlogy" else "sub")
                    and other.place == call.place
                    and len(pair) == 2
                    and target in pair
                ):
                    given = pair[1] if pair[0] is target else pair[0]
                    if any(id(r) in scene.leading for r in other.results):
                        met.add(call.place)
                        yield scene, other, given, target
                        break


@detector("double_sigmoid", "passes")
def sigmoid_before_logits(seen: Evidence) -> Iterator[Finding]:
    """A sigmoid before the loss that has one in it."""
    for scene, call in loss_calls(seen, "binary_cross_entropy_with_logits"):
        inner = made_by(call.operands[0], "sigmoid", "softmax")
        if inner is not None:
            array = seen.array(inner.results[0].snapshot, inner.results[0].label)
            yield Finding("double_sigmoid", "error", scene.step.number, call.place, {
                "source": expression_of(inner.results[0]), "inner": inner.place, "name": inner.name,
                "logits": before(inner, inner.results[0]), "least": float("nan") if array is None else float(array.min()),
                "most": float("nan") if array is None else float(array.max()),
            }, call)  # fmt: skip


@detector("argument_order", "passes")
def target_first(seen: Evidence) -> Iterator[Finding]:
    """A loss whose target needs a gradient, while what it judges needs none."""
    for scene, call in loss_calls(seen, *TARGETED):
        if call.name.startswith(("binary", "soft_margin")):
            given, target = call.operands[:2]
            if isinstance(given, Value) and isinstance(target, Value) and target.requires_grad and not given.requires_grad:
                yield swapped(scene, call, given, target)
    for scene, call, given, target in divergences(seen):
        if target.requires_grad and not given.requires_grad:
            yield swapped(scene, call, given, target, "kl_div")
    met = set()
    for scene in seen.scenes:
        for call in scene.step.calls:
            pair = list(call.values())
            if call.name != "mul" or len(pair) != 2 or call.place in met or id(call.results[0]) not in scene.leading:
                continue
            likelihood = next((v for v in pair if v.call is not None and v.call.name == "log_softmax" and v.call.place == call.place), None)
            target = next((v for v in pair if v is not likelihood), None)
            if likelihood is not None and target is not None and target.requires_grad and not likelihood.requires_grad:
                met.add(call.place)
                given = likelihood.call.operands[0] if likelihood.call is not None else likelihood
                yield swapped(scene, call, given, target)


def swapped(scene: Scene, call: Call, given: Value, target: Value, name: str = "") -> Finding:
    """The finding."""
    return Finding("argument_order", "warning", scene.step.number, call.place, {
        "input": expression_of(given, "input"), "target": expression_of(target, "target"), "name": name or call.title,
    }, call)  # fmt: skip
