"""What people ask a record: the chain, the ledger, the flow, the diagnosis, the page. Each is a module of its own; here are the ways in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from retrograd.seeing import picture
from retrograd.seeing.chain import Chain, chain
from retrograd.seeing.diagnosis import Diagnosis, diagnose
from retrograd.seeing.flow import Flow
from retrograd.seeing.ledger import Ledger, ledger
from retrograd.seeing.page.page import page
from retrograd.seeing.record import Record
from retrograd.seeing.recorder import LIMIT, Recorder
from retrograd.seeing.seen_texts import SEEN
from retrograd.seeing.text import Part, Shown, Table

MOST_ROWS = 30  # operations in the overview


class Seen(Record, Shown):
    """What `see` saw. Print it for an overview; in a notebook it shows itself.

    >>> import retrograd as torch
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     loss = (w * w).sum()
    ...     loss.backward()
    >>> record.text("en").splitlines()[0]
    '1 step watched, 1 kept whole: 2 operations, 1 backward pass, 0 updates'
    """

    def __init__(self, keep: int, history: bool = False) -> None:
        super().__init__(keep)
        self._flow = Flow(self)
        if history:
            self.listeners.append(self._flow.add)

    def chain(self, to: Any, loss: Any = None, step: int = -1, language: str | None = None) -> Chain:
        """The products of Jacobians that lead from the loss to a tensor; see `chain.chain` for the arguments."""
        return chain(self, to, loss, step, language)

    def ledger(self, step: int = -1) -> Ledger:
        """Every parameter in a step: before, gradient, update, after.

        Raises:
            KeyError: if the step was not kept whole.
        """
        return ledger(self, step)

    def flow(self) -> Flow:
        """Statistics of every layer over time: of the steps kept whole, and with `see(history=True)` of all that were watched."""
        for step in self.steps:
            if not self._flow.steps or step.number > self._flow.steps[-1]:
                self._flow.add(step)
        return self._flow

    def diagnosis(self, language: str | None = None) -> Diagnosis:
        """What is wrong with the program, or may be, with cause, line and fix; see `diagnosis.diagnose`."""
        return diagnose(self, language)

    def save(self, path: str | Path, language: str | None = None, title: str = "Retrograd") -> Path:
        """Writes the record into a file, and returns its path: ".html" is the page, ".svg" and ".png" a picture of the last step.

        Raises:
            ValueError: for another kind of file.
            KeyError: if nothing was recorded.
        """
        path = Path(path)
        if path.suffix in (".html", ".htm"):
            self.step()  # raises, if there is none
            path.write_text(page(self, language, title), encoding="utf-8")
            return path
        if path.suffix not in (".svg", ".png"):
            raise ValueError(f"expected a file name that ends in .html, .svg or .png, got {path.name!r}")
        return picture.save(picture.graph(self, language=language), path, language)

    def parts(self, language: str) -> list[Part]:
        say = SEEN[language]
        if not self.steps:
            return [say["nothing"]]
        step = self.steps[-1]
        counts = [("steps", self.watched), ("kept", len(self.steps))]
        counts += [("operations", len(step.calls)), ("passes", len(step.passes)), ("updates", len(step.updates))]
        words = {name: say[name][n != 1].format(n=n) for name, n in counts}
        rows: list[tuple[str, ...]] = []
        for call in step.calls[:MOST_ROWS]:
            shapes = ", ".join(str(list(r.shape)) for r in call.results)
            rows.append((call.title, shapes, call.module, call.place.expression if call.place is not None else ""))
        more = len(step.calls) - len(rows)
        columns = (say["operation"], say["result"], say["module"], say["line"])
        found: list[Part] = [say["overview"].format(**words), Table(columns, rows, note=say["more"].format(n=more) if more else "")]
        if self.failure is not None:
            where = self.failure.place.text if self.failure.place is not None else ""
            found.append(say["failed"].format(kind=self.failure.kind, message=self.failure.message, line=where))
        return [*found, say["ask"]]


def see(function: Callable[..., Any] | None = None, *, every: int = 1, keep: int = 8, limit: int = LIMIT, history: bool = False) -> Any:
    """Watches a program: `with see() as record:` a block of it, or as a decorator a function, of one training step for example.

    Everything is recorded as it happens: operations, backward passes, gradients, updates of parameters; any operation of the
    library, eager, or in a compiled function (which runs in eager while it is watched). Programs compute what they would unwatched.

    Args:
        function: what to watch; None: returns the context manager, which is a decorator too.
        every: watch the first of so many steps only. A step ends when an optimizer, or the program itself, has updated parameters and
            something runs again; of a decorated function each call is one. Of several optimizers the first counts, and what the
            others do until its next step is watched as well.
        keep: how many steps, the last, are kept whole; once the loss is nan or inf, half of them are those that led there.
        limit: tensors with more elements are summarised, not kept.
        history: keep statistics of every watched step for `record.flow()`; else of those that are kept whole only. Costs more time than the
            record itself where tensors are small.

    Returns:
        A context manager that gives the record, a `Seen`; or the function, whose attribute `record` has it.

    Raises:
        ValueError: if `every`, `keep` or `limit` is not a whole number of at least 1.
        RuntimeError: when watching begins, if this thread is watched already.

    >>> import retrograd as torch
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with torch.see() as record:
    ...     loss = (w * w).sum()
    ...     loss.backward()
    >>> [call.name for call in record.step().calls]
    ['mul', 'sum']
    >>> record.step().passes[0].arrivals[0].g.array
    array([2., 4.], dtype=float32)
    """
    recorder = Recorder(every, keep, limit, partial(Seen, history=history))
    return recorder if function is None else recorder(function)
