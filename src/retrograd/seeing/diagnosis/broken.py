"""Faults by which gradients do not come, are not numbers, or the program stops."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from retrograd.seeing.diagnosis.evidence import Evidence, Link, Scene, expression_of, is_bad, is_weight, is_zero, leaf_of, named, receiver
from retrograd.seeing.diagnosis.finding import Finding, at_line
from retrograd.seeing.diagnosis.registry import detector
from retrograd.seeing.record import Arrival, Call, Event, Failure, Pass, Place, Pull, Snapshot, Update, Value

STOPPED = ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "StopIteration")  # by someone, not by a fault


# ---------------------------------------------------------------- no gradient


@detector("no_gradient", "passes")
def no_gradient_came(seen: Evidence) -> Iterator[Finding]:
    """Parameters, and tensors whose `.grad` the program asks for, to which no backward pass of the kept steps brought a gradient."""
    yield from cut_off(seen)
    yield from flat(seen)
    yield from never_to_come(seen)


def cut_off(seen: Evidence) -> Iterator[Finding]:
    """Leaves that nothing came to."""
    arrived = {leaf_of(a.leaf): a.leaf for step in seen.steps for walk in step.passes for a in walk.arrivals}
    updated = any(step.updates for step in seen.steps)
    asked = {leaf_of(e.value) for _, e in seen.asked if e.value is not None}
    if not arrived and not asked and not updated and not any(e.kind == "stepped" for s in seen.steps for e in s.events):
        complete = any(walk.pulls and walk.arrivals for step in seen.steps for walk in step.passes)
        if not complete:
            return  # autograd.grad only, which brings nothing to .grad
    met: dict[Any, str] = {leaf: value.label for leaf, value in seen.given.items()}
    met |= {leaf: uses[0][1].label for leaf, uses in seen.parameters.items()}
    known = {*met.values(), *(value.label for value in arrived.values())}
    met |= {name: name for name, needs in seen.record.parameters.items() if needs and name not in known}
    groups: dict[Any, tuple[list[str], Scene, Value | None, Link | None, str]] = {}
    taken = {id(v) for scene in seen.scenes for call in scene.step.calls if call.node is not None for v in call.values()}
    for leaf, name in met.items():
        used = [(scene, v) for scene, v in seen.parameters.get(leaf, []) if scene.step.passes]
        if leaf not in seen.given and used and not any(v.name is not None or id(v) in taken for _, v in used):
            continue  # only made, as a template that is copied
        others = leaf not in seen.given and any(v.kind != "parameter" for _, v in used)  # tensors that no optimizer has
        if leaf in arrived or (leaf not in asked and (others or leaf not in seen.given) and (seen.given or (others and updated))):
            continue
        variant, link, scene, value = explained(seen, used)
        if variant and not (others and leaf not in asked and variant in ("unused", "left")):
            key = variant, link.place if link else None
            groups.setdefault(key, ([], scene or seen.scenes[-1], value, link, variant))[0].append(name)
    for names, scene, value, link, variant in groups.values():
        facts: dict[str, Any] = {"names": names, "name": names[0], "steps": len(seen.steps)}
        if link is not None:
            expression = link.place.expression if link.place is not None else ""
            facts |= {
                "source": named(link.source),
                "keep": expression_of(link.source),
                "expression": expression,
                "line": link.place or "–",
                "op": link.call.title if link.call else "",
            }
        place = link.place if link else value.place if value else None
        yield Finding("no_gradient", "warning", scene.step.number, place, facts, value, variant)


def flat(seen: Evidence) -> Iterator[Finding]:
    """Leaves to which nothing but zeros came, by an operation that is flat between its jumps."""
    groups: dict[Place | None, tuple[list[str], Scene, Call]] = {}
    for leaf, moments in seen.moments.items():
        came = [m.what for m in moments if isinstance(m.what, Arrival)]
        if not came or not all(is_zero(arrival.g) for arrival in came):
            continue
        for scene, value in seen.parameters.get(leaf, []):
            link = scene.stepped_flat.get(id(value))
            if link is not None and link.call is not None:
                groups.setdefault(link.place, ([], scene, link.call))[0].append(value.label)
                break
    for names, scene, call in groups.values():
        facts = {
            "names": names,
            "op": call.title,
            "line": call.place or "–",
            "expression": call.place.expression if call.place else call.title,
        }
        facts["inner"] = expression_of(next(call.values()))
        yield Finding("no_gradient", "warning", scene.step.number, call.place, facts, call, "flat")


def never_to_come(seen: Evidence) -> Iterator[Finding]:
    """Tensors whose `.grad` the program asks for, which keep none: they are results, or ask for none."""
    met: set[Any] = set()  # places that were told of, and those looked at in a step
    for scene, event in seen.asked:
        value, place = event.value, event.place
        if value is None or place is None or value.kind in ("parameter", "buffer") or met & {place, (place, scene.step.number)}:
            continue
        met.add((place, scene.step.number))
        made = seen.maker(value)
        name = value.name or re.sub(r"\.grad$", "", place.expression)
        facts: dict[str, Any] = {"name": name, "asked": place}
        severity = "error" if seen.record.failure is not None and at_same_line(seen.record.failure.place, place) else "warning"
        if value.requires_grad and made is not None:
            met.add(place)
            where = made.place
            facts |= {"expression": where.expression if where is not None else made.name, "line": where or "–"}
            rewritten = written_into(where, name)
            facts["code"] = rewritten or ""
            variant = "replaced" if rewritten else "computed"
            yield Finding("no_gradient", severity, scene.step.number, where, facts, value, variant)
        elif not value.requires_grad and made is None and any(id(v) in s.cuts_to_roots for s, v in seen.same(value)):
            met.add(place)
            yield Finding("no_gradient", severity, scene.step.number, place, facts, value, "unasked")


def at_same_line(one: Place | None, other: Place | None) -> bool:
    """Whether two places are on one line of a program."""
    return one is not None and other is not None and (one.code, one.line) == (other.code, other.line)


def written_into(place: Place | None, name: str) -> str:
    """How a program writes into a tensor what it computes at a place, where it gives the tensor's name to a new one; "" if it does not."""
    if place is None or re.match(rf"{re.escape(name)}\s*=[^=].*(?<![\w.]){re.escape(name)}\b", place.text) is None:
        return ""
    change = re.match(rf"{re.escape(name)}\s*([-+])\s*(.+)$", place.expression)
    return f"{name} {change[1]}= {change[2]}" if change else f"{name}.copy_({place.expression})"


def explained(seen: Evidence, used: list[tuple[Scene, Value]]) -> tuple[str, Link | None, Scene | None, Value | None]:
    """Why no gradient came: the kind of cut with its link, "unused", or "" where that cannot be told."""
    left: tuple[str, Link | None, Scene | None, Value | None] = ("unused", None, None, None)
    for scene, value in used:
        if id(value) in scene.cuts_to_roots:
            cut = scene.cuts_to_roots[id(value)]
            return (cut.kind, cut, scene, value) if cut is not None else ("", None, None, None)
        cut = scene.cuts.get(id(value))
        if cut is not None:
            left = "left", cut, scene, value
        elif scene.uses.get(id(value)) and left[0] == "unused":
            left = "unused", None, scene, value
    return left


# ---------------------------------------------------------------- not a number


@detector("not_finite")
def first_not_finite(seen: Evidence) -> Iterator[Finding]:
    """The first operation that made a nan, or an inf, that got into a loss, a gradient or a parameter."""
    found = origin(seen)
    if found is not None and found.fault == "not_finite":
        yield found


@detector("where_nan", "passes")
def nan_through_where(seen: Evidence) -> Iterator[Finding]:
    """0 times inf in the backward pass of a branch that `where` did not take."""
    found = origin(seen)
    if found is not None and found.fault == "where_nan":
        yield found


def origin(seen: Evidence) -> Finding | None:
    """Where the first numbers that are none came from, if they mattered."""
    for scene in seen.scenes:
        step = scene.step
        if not (
            any(is_bad(r.snapshot) for r in scene.roots)
            or any(is_bad(a.g) for walk in step.passes for a in walk.arrivals)
            or any(is_bad(u.after) for u in step.updates)
        ):
            continue
        for what in step.order:
            found = None
            if isinstance(what, Call):
                found = forward_origin(scene, what)
            elif isinstance(what, Pass):
                found = infinite_input(scene) if any(r is not None and is_bad(r.snapshot) for r in what.roots) else None
                found = found or next((f for pull in what.pulls if (f := backward_origin(scene, pull)) is not None), None)
            elif isinstance(what, Update) and is_bad(what.after) and not is_bad(what.before) and not is_bad(what.gradient):
                rate = float(what.hyperparameters.get("lr", 0.0))
                found = Finding("not_finite", "error", step.number, what.place, {"name": what.leaf.label, "rate": rate}, what, "update")
            if found is not None:
                return found
    return None


def forward_origin(scene: Scene, call: Call) -> Finding | None:
    """A call that leads to a loss and has a nan, or an inf that gets there, where its operands have none."""
    mattered = [r for r in call.results if id(r) in scene.leading]
    bad_roots = [r for r in scene.roots if is_bad(r.snapshot)]
    if not mattered or not bad_roots:
        return None
    for value in call.values():
        if value.call is None and value.kind != "earlier" and is_bad(value.snapshot, "nan"):
            return bad_input(scene, call, value)
    result = next((r for r in mattered if is_bad(r.snapshot)), None)
    if result is None or any(is_bad(v.snapshot) for v in call.values()):
        return None
    only_inf = not is_bad(result.snapshot, "nan")
    if only_inf and call.name in ("masked_fill", "where", "fill"):
        return None
    facts = {"op": call.title, "result": named(result), **counted(result.snapshot), **at_first(result.snapshot, call)}
    most = float(np.finfo(result.dtype).max)
    sizes = [max(abs(v.snapshot.summary.least), abs(v.snapshot.summary.most)) for v in call.values()]
    overflow = only_inf and max(sizes, default=0.0) >= most**0.5
    facts |= {"most": most, "dtype": str(result.dtype)}
    return Finding("not_finite", "error", scene.step.number, call.place, facts, call, "overflow" if overflow else "forward")


def bad_input(scene: Scene, call: Call, value: Value) -> Finding:
    """What a call was given is bad already."""
    facts = {"name": value.label, **counted(value.snapshot)}
    return Finding("not_finite", "error", scene.step.number, value.place or call.place, facts, value, "input")


def infinite_input(scene: Scene) -> Finding | None:
    """An inf that came in from outside, where no operation is to blame for a bad loss: in a mask it would do no harm."""
    for call in scene.step.calls:
        if any(id(r) in scene.leading and is_bad(r.snapshot) for r in call.results):
            value = next((v for v in call.values() if v.call is None and v.kind != "earlier" and is_bad(v.snapshot)), None)
            if value is not None:
                return bad_input(scene, call, value)
    return None


def backward_origin(scene: Scene, pull: Pull) -> Finding | None:
    """A pull that made what is no number out of what is."""
    bad = next((o for o in pull.outgoing if is_bad(o)), None)
    if bad is None or any(is_bad(v) for v in pull.v):
        return None
    call = pull.call
    facts: dict[str, Any] = {
        "op": call.title,
        "result": named(call.results[0]) if call.results else call.title,
        **counted(bad),
        **at_first(bad, call),
    }
    index, v = first_bad(bad), pull.v[0]
    seed = v.array[index] if v is not None and v.array is not None and index is not None and v.shape == bad.shape else None
    facts["v"] = "–" if seed is None else float(seed)
    chosen = scene.chosen.get(id(call.results[0])) if seed == 0 and call.results else None
    if chosen is not None and chosen.call is not None:
        choice, operand = chosen.call, next(call.values())
        condition = choice.operands[0] if choice.name == "where" else choice.operands[1]
        words = expression_of(condition, "condition") if isinstance(condition, Value) else "condition"
        where, inner = choice.place.expression if choice.place else choice.name, expression_of(operand)
        safe = f"torch.where({words}, {inner}, 1.0)" if choice.name == "where" else f"{inner}.masked_fill({words}, 1.0)"
        facts |= {"line": choice.place or "–", "where": where, "choice": choice.name, "safe": safe}
        return Finding("where_nan", "error", scene.step.number, call.place, facts, call)
    return Finding("not_finite", "error", scene.step.number, call.place, facts, call, "backward")


def counted(snapshot: Snapshot) -> dict[str, Any]:
    """How many are no numbers."""
    array = snapshot.array
    nans = snapshot.summary.nans if array is None else int(np.isnan(array).sum())
    infinities = snapshot.summary.infinities if array is None else int(np.isinf(array).sum())
    return {"nans": nans, "infinities": infinities, "size": snapshot.size}


def first_bad(snapshot: Snapshot) -> tuple[int, ...] | None:
    """The place of the first that is no number."""
    if snapshot.array is None:
        return None
    where: ndarray = np.argwhere(~np.isfinite(snapshot.array))
    return tuple(int(i) for i in where[0])


def at_first(snapshot: Snapshot, call: Call) -> dict[str, Any]:
    """The operands at the first place that is no number, as far as they have the same shape."""
    index = first_bad(snapshot)
    shown = []
    for operand in call.operands:
        if isinstance(operand, Value):
            array = operand.snapshot.array
            if array is not None and index is not None and array.shape == snapshot.shape:
                shown.append(
                    f"{operand.label}[{', '.join(map(str, index))}] = {array[index]:.4g}" if index else f"{operand.label} = {array[()]:.4g}"
                )
            else:
                s = operand.snapshot.summary
                shown.append(f"{operand.label}: {s.least:.4g} … {s.most:.4g}")
        elif isinstance(operand, (int, float)):
            shown.append(f"{operand:.4g}")
    return {"operands": "; ".join(dict.fromkeys(shown)) or "–"}


# ---------------------------------------------------------------- crashes


@detector("failure", "failure")
def why_it_crashed(seen: Evidence) -> Iterator[Finding]:
    """The exception with which the program ended."""
    failure = seen.record.failure
    if failure is None or failure.kind in STOPPED:
        return
    scene = next((s for s in reversed(seen.scenes) if s.step.number == failure.step), None)
    facts: dict[str, Any] = {
        "kind": failure.kind, "message": failure.message.split(". Fix:")[0], "op": operation_of(failure),
        "expression": failure.place.expression if failure.place else "–", "loss": receiver(failure.place, "backward", "loss"),
    }  # fmt: skip
    variant, more = without_gradient(seen, failure) or variant_of(failure, scene, [s for s in seen.scenes if s.step.number <= failure.step])
    yield Finding("failure", "error", failure.step, failure.place, facts | more, failure.backward, variant)


def without_gradient(seen: Evidence, failure: Failure) -> tuple[str, dict[str, Any]] | None:
    """Whether the program crashed on a `.grad` that was None: "early" if no backward pass had come, "cleared", else "none"."""
    events = [e for step in seen.steps for e in step.events if e.kind == "asked" and at_same_line(e.place, failure.place)]
    if "NoneType" not in failure.message or not events or events[-1].place is None:
        return None
    event, asked = events[-1], events[-1].place.expression
    facts = {"asked": asked, "name": re.sub(r"\.grad$", "", asked)}
    if not any(step.passes for step in seen.steps):
        return "early", facts
    moments = seen.moments.get(leaf_of(event.value), []) if event.value is not None else []
    last = moments[-1].what if moments else None
    if isinstance(last, Event) and last.place is not None:
        words = last.place.expression
        return "cleared", facts | {"line": last.place, "clearing": f"{words} = None" if words.endswith(".grad") else words}
    return "none", facts


ABOUT_OPERANDS = {  # what messages say when an operation cannot take what it was given
    "range": r"out of bounds|out of range",
    "dtype": r"same dtype|floating point type|expected scalar type",
    "shape": r"shapes? cannot|broadcast|must match|invalid for input of size|to have \d+ channels|different to the input size|equal size|must be the same|"
    r"[Ss]izes? of tensors?",
}


def operation_of(failure: Failure) -> str:
    """What was running, or had kept what was written over."""
    kept = re.search(r"\bof (\w+?)Backward\d*,", failure.message)
    name = failure.operation or (failure.backward.title if failure.backward else kept[1] if kept else "–")
    return re.sub(r"Backward\d*$", "", name).lower()


def variant_of(failure: Failure, scene: Scene | None, scenes: list[Scene]) -> tuple[str, dict[str, Any]]:
    """Which kind of crash it was, with what the texts need besides; `scenes` are those up to the crash."""
    message = failure.message
    if "does not have a grad_fn" in message:
        return detached_loss(failure, scene)
    if "backward through the graph a second time" in message:
        carried = [v for v in scene.step.values if v.kind == "earlier"] if scene else []
        if carried:
            return "carried", {"name": carried[0].label}
        first = scene.step.passes[0].place if scene and len(scene.step.passes) > 1 else None
        return "twice", {"first": first or "–", "loss": receiver(first or failure.place, "backward", "loss")}
    if "modified by an inplace operation" in message:
        written = [e for e in scene.step.events if e.kind == "wrote"] if scene else []
        values = [*failure.backward.operands, *failure.backward.results] if failure.backward else []
        event = next((e for e in written if any(e.value is v for v in values)), None)
        stepped = next((e for s in reversed(scenes) for e in reversed(s.step.events) if e.kind == "stepped"), None)
        if event is None and stepped is not None and "(the parameter" in message:
            return "stepped", {"line": stepped.place or "–", "optimizer": receiver(stepped.place, "step", "optimizer")}
        if event is not None and event.place is not None:
            return "inplace", {"line": event.place, "writer": event.place.expression}
        last = re.search(r"The last write was at (.*?):(\d+) in ", message)
        if last is None:
            return "inplace", {"line": "–", "writer": "x += 1"}
        return "inplace", {"line": at_line(last[1], int(last[2])), "writer": linecache.getline(last[1], int(last[2])).strip() or "x += 1"}
    if "leaf Variable that requires grad" in message:
        return "leaf", {}
    if "only for scalar outputs" in message:
        return "scalar", {}
    if "non-leaf" in message and (made := result_in(failure.place, scene)) is not None:
        name, call = made
        return "optimizer", {"name": name, "line": call.place or "–", "made": call.place.expression if call.place else call.title}
    if operation_of(failure) != "–":
        for variant, words in ABOUT_OPERANDS.items():
            if re.search(words, message):
                return variant, {}
    return "other", {}


def result_in(place: Place | None, scene: Scene | None) -> tuple[str, Call] | None:
    """A variable in a line of the program that holds what an operation gave, with the last such operation."""
    names = re.findall(r"[A-Za-z_][\w.]*", place.text) if place is not None else []
    for call in reversed(scene.step.calls if scene is not None else []):
        if call.node is not None and call.place is not None:
            found = re.match(r"([A-Za-z_][\w.]*)\s*=[^=]", call.place.text)
            if found and found[1] in names:
                return found[1], call
    return None


def detached_loss(failure: Failure, scene: Scene | None) -> tuple[str, dict[str, Any]]:
    """Why the loss has no history."""
    given = assigned(failure.place, receiver(failure.place, "backward", ""))
    facts: dict[str, Any] = {"line": given or failure.place or "–", "cut": "–"}
    made: list[Call | Event] = (
        [w for w in scene.step.order if isinstance(w, Call) or (isinstance(w, Event) and w.kind == "shared")] if scene else []
    )
    there = [w for w in made if given is not None and w.place is not None and (w.place.code, w.place.line) == (given.code, given.line)]
    last = (there or made)[-1] if made else None
    if scene is None or last is None:
        return "nothing", facts
    if isinstance(last, Event):
        cut = last.place.expression if last.place else "–"
        return "detached", facts | {"line": last.place or "–", "cut": cut, "whole": re.sub(r"\.(detach\(\)|data)$", "", cut)}
    if any(r.requires_grad for r in last.results):
        return "number", facts
    cuts = scene.first_cuts(last.results)
    for value in scene.step.values:
        link = cuts.get(id(value)) if value.requires_grad else None
        if link is not None:
            words = link.place.expression if link.place else link.kind
            if is_weight(link.source) and (code := written_into(link.place, link.source.label)):
                return "replaced", facts | {"line": link.place or "–", "cut": words, "name": link.source.label, "code": code}
            return link.kind, facts | {"line": link.place or "–", "cut": words, "whole": expression_of(link.source)}
    return "nothing", facts


def assigned(place: Place | None, name: str) -> Place | None:
    """The line of the same function, before a place, that gave a variable its value."""
    if place is None or not name:
        return None
    for line in range(place.line, place.code.co_firstlineno - 1, -1):
        if re.search(rf"(^|[;:])\s*{re.escape(name)}\s*=[^=]", linecache.getline(place.file, line)):
            return Place(place.code, place.instruction, line)
    return None
