"""How notebooks show tensors, modules, a tensor's graph and records: HTML, in which all that is the user's is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from retrograd.core.tape import Node
from retrograd.core.tensor import Box, Tensor
from retrograd.nn.module import Module
from retrograd.seeing.flow import SAMPLED, sample
from retrograd.seeing.language import default_language, grouped
from retrograd.seeing.ledger import ledger
from retrograd.seeing.notebook_texts import NOTEBOOK
from retrograd.seeing.picture import graph, tape
from retrograd.seeing.record import Record, Summary
from retrograd.seeing.text import Table, bars, number, shape_of

ENOUGH = 8  # elements of a tensor that has statistics beneath it


def html_of(thing: Any) -> str:
    """A Tensor, a Module, a node of the tape or a Record as HTML, in the locale's language.

    >>> from retrograd import ones
    >>> html_of(ones(2))
    '<pre>tensor([1., 1.])</pre>'
    """
    language = default_language()
    if isinstance(thing, Record):
        return of_record(thing, language)
    if isinstance(thing, Node):
        return of_graph(thing)
    text = f"<pre>{escape(repr(thing))}</pre>"
    if isinstance(thing, Module):
        return text + of_parameters(thing, language)
    return text + of_numbers(thing, language) if isinstance(thing, Tensor) and not isinstance(thing, Box) else text


def of_numbers(tensor: Tensor, language: str) -> str:
    """Statistics of a tensor that is not small."""
    array = tensor.detach().resolve_conj().numpy()
    if array.size < ENOUGH or array.dtype.kind == "V":
        return ""
    say, seen = NOTEBOOK[language], sample(array, SAMPLED)
    s = Summary.of(seen)
    row = (*map(number, (s.norm, s.mean, s.std, s.least, s.most)), str(s.zeros), str(s.nans + s.infinities), bars(s.counts))
    columns = tuple(say[key] for key in ("norm", "mean", "std", "least", "most", "zeros", "bad", "histogram"))
    note = "" if seen.size == array.size else say["sampled"].format(n=grouped(seen.size, language))
    return Table(columns, [row], note=note, right=frozenset(range(7))).html()


def of_parameters(module: Module, language: str) -> str:
    """The parameters of a module."""
    say = NOTEBOOK[language]
    found = list(module.named_parameters())
    rows: list[tuple[str, ...]] = [
        (name, shape_of(tuple(p.shape)), str(p.dtype), grouped(p.numel(), language), say["yes" if p.requires_grad else "no"])
        for name, p in found
    ]
    if not rows:
        return ""
    columns = tuple(say[key] for key in ("parameter", "shape", "dtype", "elements", "gradient"))
    total = say["total"].format(n=grouped(sum(p.numel() for _, p in found), language))
    return Table(columns, rows, note=total, right=frozenset((3,))).html()


def of_graph(node: Node) -> str:
    """What leads to a node: as a picture, or without the package that lays it out as text."""
    try:
        return tape(node).svg()
    except ImportError:
        return f"<pre>{escape(repr(node))}</pre>"


def of_record(record: Record, language: str) -> str:
    """What was watched; the graph and the ledger of the last step."""
    say = NOTEBOOK[language]
    if not record.steps:
        return f"<p>{say['nothing']}</p>"
    text = f"<p>{say['record'].format(watched=record.watched, kept=len(record.steps))}</p>"
    failure = record.failure
    if failure is not None:
        text += f"<p><b>{escape(say['failed'].format(step=failure.step, kind=failure.kind, message=failure.message))}</b></p>"
    try:
        picture = graph(record, language=language).svg()
    except ImportError:
        picture = ""
    return text + picture + ledger(record).table(language).html()
