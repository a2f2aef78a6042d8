"""Backpropagation made visible: what a program did, step by step, with its numbers, names and lines.

    with retrograd.see() as record:
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()

`recorder` watches the program and writes a `record.Record`: calls, backward passes, gradients that came to rest, updates. Everything
else reads that record; `seen.Seen`, which `see()` gives, has the ways in.

    chain, jacobian, replay      the products of Jacobians, with their structure, checked against differences
    ledger, flow, diagnosis/     a step's parameters; layers over time; what is wrong
    text, picture, board, page/  in the terminal and in notebooks, as pictures, for TensorBoard, as a page
    script                       an unmodified program under `see`
"""

from __future__ import annotations

from retrograd.seeing.record import Record
from retrograd.seeing.recorder import Recorder
from retrograd.seeing.seen import Seen, see

__all__ = ["Record", "Recorder", "Seen", "see"]
