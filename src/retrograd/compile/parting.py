"""Parting a record into two programs: a forward program, and the backward pass of its results, which runs when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.compile.graph import Buffer, Call, Draw, Program, Result, Step, Tie, View, Write


def split(program: Program, tie: Tie, later: set[int], gradients: Sequence[View | None], seeds: Sequence[Buffer]) -> None:
    """Makes two programs of one: the steps in `later` (by id) become the backward program of `tie`.

    Args:
        gradients: for each input, its gradient.
        seeds: the buffers of the results' cotangents.

    Raises:
        ValueError: if the backward pass writes to what is outside, or draws.
    """
    before = [s for s in program.steps if id(s) not in later]
    after = [s for s in program.steps if id(s) in later]
    given_out = [r.view for r in program.results if isinstance(r, Result)] + [v for _, v in program.gradients if isinstance(v, View)]
    made = {v.buffer: v for s in before for v in s.writes()} | {v.buffer: v for v in given_out}
    made = {b: v for b, v in made.items() if b.kind == "made"}
    views = [v for s in after for v in s.reads()] + [g for g in gradients if g is not None]
    read = list(dict.fromkeys(v.buffer for v in views))
    saved = [b for b in read if b in made]
    if any(v.buffer.kind != "made" or v.buffer in saved for s in after for v in s.writes()) or any(isinstance(s, Draw) for s in after):
        raise ValueError("the backward pass outside the function writes to tensors from outside, or draws random numbers")
    if any(b.kind == "gradient" for b in read):
        raise ValueError("the backward pass outside the function reads a gradient")
    stand_in = {b: Buffer("argument", b.nbytes, b.name, ("saved", i)) for i, b in enumerate(saved)}
    stand_in |= {b: Buffer("argument", b.nbytes, b.name, ("seed", seeds.index(b))) for b in read if b in seeds}
    stand_in |= {b: Buffer("argument", b.nbytes, b.name, ("outside", b)) for b in read if b.kind in ("argument", "held") and b not in seeds}

    def moved(v: Any) -> Any:
        return View(stand_in[v.buffer], v.offset, v.shape, v.strides, v.dtype) if isinstance(v, View) and v.buffer in stand_in else v

    program.steps = before
    tie.saved = [made[b] for b in saved]
    tie.reads = [v for v in views if v.buffer.kind in ("argument", "held") and v.buffer not in seeds]
    tie.backward = Program([rewritten(s, moved) for s in after], [None if g is None else Result(moved(g)) for g in gradients], [])


def rewritten(step: Step, moved: Callable[[Any], Any]) -> Step:
    """A step on other views."""
    if isinstance(step, Call):
        return Call(step.op, [moved(a) for a in step.operands], step.params, [moved(r) for r in step.results])
    if isinstance(step, Write):
        return Write(moved(step.target), moved(step.value))
    raise ValueError("the backward pass outside the function takes an optimizer's step")
