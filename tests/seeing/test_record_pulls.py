"""What is recorded of an operation is enough to run its rules again: for every operation, they give what backward got."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import retrograd as torch
from retrograd.seeing.record import Pull
from tests.test_every_op import DIFFERENTIABLE, call_ours, cotangents, floating

BY_NAME: dict[str, list[Any]] = {}
for name, sample in DIFFERENTIABLE:
    BY_NAME.setdefault(name, []).append(sample)


def again(pull: Pull) -> list[Any]:
    """The cotangents that the rules of a pull's call give on what the record has."""
    call = pull.call
    v = [x.array for x in pull.v if x is not None]
    return call.pull(v if call.op is not None and call.op.outputs else v[0])


@pytest.mark.parametrize("name", BY_NAME)
def test_rules_run_again_on_what_was_recorded(name: str):
    """To the bit."""
    for sample in BY_NAME[name]:
        with torch.see() as record:
            outs = floating(call_ours(name, sample)[0])
            torch.autograd.backward(outs, [torch.tensor(v).to(y.dtype) for v, y in zip(cotangents(outs), outs, strict=True)])
        for pull in (pull for step in record.steps for call in step.calls if call.op is not None for pull in call.pulls):
            if None in pull.v:
                continue
            for found, true in zip(again(pull), pull.outgoing, strict=True):
                np.testing.assert_array_equal(found, None if true is None else true.array)
