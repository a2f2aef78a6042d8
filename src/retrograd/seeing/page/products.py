"""What the page holds of vector-Jacobian products: of each Jacobian its structure, and the matrix where it is small; the checks of chains.

Both take work, so there is a most of it, which the newest steps get first. What was not done, the page says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.seeing.chain import Chain, chain
from retrograd.seeing.jacobian import jacobian
from retrograd.seeing.language import LANGUAGES
from retrograd.seeing.page.arrays import base64_of
from retrograd.seeing.record import Call, Record, Snapshot, Step, Value
from retrograd.seeing.structures import Jacobian

EXPLICIT = 1024  # entries of a Jacobian that the page holds written out
WORK = 12_000_000  # numbers, about, that are looked at for the structure of Jacobians
CHECKS = 3_000_000  # the same, for the checks of chains
EACH = 50_000  # what a link of a chain costs besides its numbers

Add = Callable[[Snapshot], Any]


class Products:
    """Works out Jacobians and checks for one page, as long as there is work left. `add` takes an array to the page and gives its index."""

    def __init__(self, record: Record, add: Add, work: int = WORK, checks: int = CHECKS) -> None:
        self.record, self.add, self.work, self.left = record, add, work, checks

    def of_call(self, call: Call) -> list[list[dict[str, Any]] | None] | None:
        """Of each operand that backward sent something to: a Jacobian for each result that something came to. None: too much work."""
        results = {i for pull in call.pulls for i, v in enumerate(pull.v) if v is not None}
        operands = {at for pull in call.pulls for at, out in enumerate(pull.outgoing) if out is not None}
        if not call.results or len(call.results) != len(call.pulls[0].v):
            return [None] * len(call.operands)
        size = sum(v.snapshot.size for v in (*call.values(), *call.results)) * len(operands)
        if size > self.work:
            return None
        self.work -= size
        return [
            [self.plain(jacobian(call, at, i), i) for i in sorted(results)] if at in operands and isinstance(x, Value) else None
            for at, x in enumerate(call.operands)
        ]

    def plain(self, j: Jacobian, output: int) -> dict[str, Any]:
        """One Jacobian."""
        matrix, sketch = None, None
        if j.m * j.n <= EXPLICIT and j.known:
            matrix = self.add(Snapshot(j.explicit()))
        elif (cells := j.sketch()) is not None:
            sketch = {"shape": list(cells.shape), "data": base64_of(np.packbits(cells))}
        sentences = {language: j.sentence(language) for language in LANGUAGES}
        return {"output": output, "rows": j.m, "columns": j.n, "kind": j.kind, "text": sentences, "matrix": matrix, "sketch": sketch}

    def of_step(self, step: Step) -> dict[int, list[dict[str, Any]] | None]:
        """By the number of a tensor in whose `.grad` something came to rest: the checks of its chain; None: too much work."""
        leaves = {a.leaf.number: a.leaf for p in step.passes for a in p.arrivals}
        return {number: self.checked(leaf, step) for number, leaf in leaves.items()}

    def checked(self, target: Value, step: Step, at_all_costs: bool = False) -> list[dict[str, Any]] | None:
        """The checks of the chain to one tensor. `at_all_costs`: however much work it is."""
        try:
            found = chain(self.record, target, step=step.number)
        except ValueError:  # no pass leads there
            return []
        cost = sum(EACH + sum(v.snapshot.size for v in (*link.call.values(), *link.call.results)) for link in found)
        if cost > self.left and not at_all_costs:
            return None
        self.left -= cost
        return checks_of(found)


def checks_of(found: Chain) -> list[dict[str, Any]]:
    """The checks of a chain."""
    names = found.root_name, found.target_name
    return [
        {
            "kind": check.kind, "verdict": check.verdict, "error": float(check.error) if np.isfinite(check.error) else str(check.error),
            "text": {language: check.sentence(language, *names) for language in LANGUAGES},
        }
        for check in found.checks
    ]  # fmt: skip
