"""Backpropagation made visible: what a program did, step by step, with its numbers, names and lines.

    with retrograd.see() as record:
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()

`recorder` watches the program and writes a `record.Record`: calls, backward passes, gradients that came to rest, updates. Everything
else reads that record.
"""

from __future__ import annotations

from retrograd.seeing.record import Record
from retrograd.seeing.recorder import Recorder, see

__all__ = ["Record", "Recorder", "see"]
