"""The flow: what layers put out and what gradients came back to them, in statistics, over all steps that were watched.

A flow keeps no arrays, so it can go on for as long as a program runs. Of tensors with more than SAMPLED elements it looks at so many,
evenly spaced, and estimates norms from these.
"""

from __future__ import annotations

import itertools
import math
from array import array as numbers_array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy import ndarray

from retrograd.seeing.flow_texts import FLOW
from retrograd.seeing.record import BINS, Call, Record, Snapshot, Step, Summary
from retrograd.seeing.spectrum import Spectrum, spectrum
from retrograd.seeing.text import Part, Shown, Table, bars, curve, number, share

SAMPLED = 2**12
IN_HISTOGRAM = 1024  # elements of which a histogram is made
MOST_LAYERS = 256  # in a step
FIELDS = ("norm", "mean", "std", "least", "most", "zeros", "bad")  # zeros and what is not finite as shares

# Outputs beyond these have next to no slope.
# Saturation: tanh' is below 0.02, sigmoid' below 0.01, and p (1 - p) below 0.001 beyond these.
TANH_FLAT, SIGMOID_FLAT, SOFTMAX_FLAT = 0.99, 0.01, 0.999
ACTIVATIONS = {"relu", "threshold", "hardtanh", "tanh", "sigmoid", "softmax"}


class Series:
    """Statistics of one quantity: a row for each step in which there was such a thing."""

    __slots__ = ("counts", "numbers", "steps")

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.numbers = numbers_array("d")
        self.counts = numbers_array("H")

    def __len__(self) -> int:
        return len(self.steps)

    def add(self, step: int, snapshot: Snapshot) -> None:
        """A row for a step."""
        row, counts = measure(snapshot)
        self.steps.append(step)
        self.numbers.extend(row)
        self.counts.extend(counts)

    def column(self, name: str) -> ndarray:
        """One of FIELDS over the steps, float64."""
        return np.array(self.numbers).reshape(-1, len(FIELDS))[:, FIELDS.index(name)]

    def row(self, step: int) -> int | None:
        """Which row is a step's."""
        at = bisect_left(self.steps, step)
        return at if at < len(self.steps) and self.steps[at] == step else None

    def last(self, name: str) -> float:
        """One of FIELDS in the last step; nan if there is none."""
        return self.numbers[FIELDS.index(name) - len(FIELDS)] if self.steps else math.nan

    @property
    def histograms(self) -> ndarray:
        """How many of the elements looked at fell into each of BINS equal bins from `least` to `most`: [steps, BINS]."""
        return np.array(self.counts).reshape(-1, BINS)


def sample(values: ndarray, most: int) -> ndarray:
    """At most so many elements, evenly spaced, as a vector; of a matrix not the same few columns in each row."""
    flat = values.ravel(order="K")
    if flat.size <= most:
        return flat
    stride = -(-flat.size // most)
    while math.gcd(stride, flat.size) > 1:
        stride += 1
    return flat[::stride].copy()


def measure(snapshot: Snapshot) -> tuple[list[float], list[int]]:
    """FIELDS and a histogram of an array's numbers."""
    if snapshot.array is None:
        return of_summary(snapshot.summary)
    flat = sample(snapshot.array, SAMPLED)
    if flat.dtype.kind != "f" or flat.dtype.itemsize < 4 or not flat.size:
        return of_summary(Summary.of(flat))
    square = float(np.dot(flat, flat))
    if not math.isfinite(square):
        return of_summary(Summary.of(flat))
    n = flat.size
    mean, least, most = float(np.add.reduce(flat)) / n, float(np.minimum.reduce(flat)), float(np.maximum.reduce(flat))
    variance = square / n - mean * mean
    if variance < 1e-3 * mean * mean:  # the difference of two numbers that are almost equal
        variance = float(flat.var(dtype=np.float64))
    few, width = sample(flat, IN_HISTOGRAM), most - least
    if width and math.isfinite(BINS / width):
        found = np.minimum(((few - least) * (BINS / width)).astype(np.intp), BINS - 1)
        counts = np.bincount(found, minlength=BINS).tolist()
    else:
        counts = [few.size] + [0] * (BINS - 1)
    norm = math.sqrt(square * snapshot.size / n)
    return [norm, mean, math.sqrt(variance), least, most, 1 - np.count_nonzero(flat) / n, 0.0], counts


def of_summary(s: Summary) -> tuple[list[float], list[int]]:
    """The same of a summary; its counts scaled down to what a row holds."""
    n, top = max(1, s.size), max(1, -(-max(s.counts) // 65_535))
    return [s.norm, s.mean, s.std, s.least, s.most, s.zeros / n, (s.nans + s.infinities) / n], [c // top for c in s.counts]


@dataclass(eq=False)
class Layer:
    """What came out of one place in a network: of the last operation of a module, of an activation, or of an operation outside modules."""

    name: str  # the module's path and the operation
    path: str
    kind: str  # the module's class
    operation: str
    activations: Series = field(default_factory=Series)
    gradients: Series = field(default_factory=Series)  # of the loss, with respect to what came out, in the step's last backward pass
    saturated: numbers_array[float] = field(
        default_factory=lambda: numbers_array("d")
    )  # share of outputs with next to no slope; nan: no such activation
    dead: numbers_array[float] = field(
        default_factory=lambda: numbers_array("d")
    )  # share of units that were zero for each example; nan: not of this kind
    alive: ndarray | None = None  # the units that were not zero for some example of some step

    @property
    def dead_units(self) -> tuple[int, int] | None:
        """How many units were zero for every example of every watched step, and how many there are."""
        return None if self.alive is None else (int(self.alive.size - np.count_nonzero(self.alive)), self.alive.size)

    def add(self, step: int, call: Call) -> None:
        """What came out in a step."""
        snapshot = call.results[0].snapshot
        self.activations.add(step, snapshot)
        v = call.pulls[-1].v[0] if call.pulls else None
        if v is not None:
            self.gradients.add(step, v)
        self.saturated.append(saturation(self.operation, snapshot.array))
        self.dead.append(self.look_at_units(call, snapshot.array))

    def look_at_units(self, call: Call, values: ndarray | None) -> float:
        """The share of units that are zero for every example; channels are the units of images."""
        if values is None or not values.ndim or not rectifies(call):
            return math.nan
        unit = 1 if values.ndim == 4 else values.ndim - 1
        alive = np.asarray(values.any(axis=tuple(i for i in range(values.ndim) if i != unit)))
        self.alive = alive if self.alive is None or self.alive.shape != alive.shape else self.alive | alive
        return 1 - np.count_nonzero(alive) / max(1, alive.size)


def rectifies(call: Call) -> bool:
    """Whether an operation makes what is below zero zero."""
    return call.name in ("relu", "threshold") or (call.name == "hardtanh" and call.params.get("min_val") == 0)


def saturation(operation: str, values: ndarray | None) -> float:
    """The share of an activation's outputs at which it has next to no slope; of softmax, of its rows."""
    if values is None or not values.size or operation not in ("tanh", "sigmoid", "softmax"):
        return math.nan
    if operation == "softmax":
        return float(np.mean(values.max(axis=-1) > SOFTMAX_FLAT))
    values = sample(values, SAMPLED)
    flat = np.abs(values) > TANH_FLAT if operation == "tanh" else (values < SIGMOID_FLAT) | (values > 1 - SIGMOID_FLAT)
    return float(np.count_nonzero(flat) / values.size)


@dataclass(eq=False)
class Weights:
    """A parameter over time: its gradient, and how it was updated."""

    name: str
    gradients: Series = field(default_factory=Series)
    steps: list[int] = field(default_factory=list)  # those in which it was updated
    norms: numbers_array[float] = field(default_factory=lambda: numbers_array("d"))  # before each update
    updates: numbers_array[float] = field(default_factory=lambda: numbers_array("d"))  # norms

    @property
    def ratios(self) -> ndarray:
        """The norm of each update over that of the weights before, float64."""
        norms = np.array(self.norms)
        with np.errstate(invalid="ignore"):  # of infinite norms there is no ratio
            return np.divide(np.array(self.updates), norms, out=np.full(len(norms), math.nan), where=norms > 0)

    def update(self, step: int, before: Snapshot, after: Snapshot | None) -> None:
        """An update in a step."""
        if before.array is None or after is None or after.array is None:
            return
        was, now = sample(before.array, SAMPLED), sample(np.asarray(after.array), SAMPLED)
        if before.array.strides != after.array.strides:  # so elements come in another order
            was, now = before.array.ravel(), after.array.ravel()
        if was.dtype.kind != "f" or was.dtype.itemsize < 4:
            was, now = np.abs(was.astype(np.complex128)), np.abs(now.astype(np.complex128))
        scale = before.size / max(1, was.size)
        change = now - was
        self.steps.append(step)
        self.norms.append(length(was) * math.sqrt(scale))
        self.updates.append(length(change) * math.sqrt(scale))


def length(vector: ndarray) -> float:
    """The norm of a vector; in float64 where squares overflow."""
    square = float(np.dot(vector, vector))
    return math.sqrt(square) if math.isfinite(square) else float(np.linalg.norm(vector.astype(np.float64)))


class Flow(Shown):
    """Statistics over time of a record's steps: those that it has kept, and each that is handed to `add`.

    >>> import retrograd as torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh())
    >>> with torch.see() as record:
    ...     net(torch.ones(2, 3)).sum().backward()
    >>> flow = Flow(record)
    >>> list(flow.layers)
    ['net.0 linear', 'net.1 tanh']
    >>> len(flow.layers["net.1 tanh"].activations), flow.layers["net.1 tanh"].gradients.last("mean")
    (1, 1.0)
    """

    def __init__(self, record: Record, language: str | None = None) -> None:
        self.record, self.language = record, language
        self.steps: list[int] = []
        self.losses: list[float] = []  # nan where there was none
        self.layers: dict[str, Layer] = {}
        self.parameters: dict[str, Weights] = {}
        self.dropped = 0  # outputs in a step beyond the most that are looked at
        self.newest: Step | None = None
        for step in record.steps:
            self.add(step)

    @np.errstate(all="ignore")  # what is not finite is counted
    def add(self, step: Step) -> None:
        """Takes a step in; one that it has already changes nothing."""
        if step is self.newest:
            return
        self.newest = step
        loss = step.loss
        self.steps.append(step.number)
        self.losses.append(math.nan if loss is None else loss)
        met: Counter[str] = Counter()
        for i, call in enumerate(layer_calls(step)):
            if i >= MOST_LAYERS:
                self.dropped = max(self.dropped, i + 1 - MOST_LAYERS)
                continue
            name = f"{call.module} {call.title}".strip()
            met[name] += 1
            if met[name] > 1:
                name += f" ({met[name]})"
            layer = self.layers.get(name)
            if layer is None:
                kind = call.modules[-1][1] if call.modules else ""
                layer = self.layers[name] = Layer(name, call.module, kind, call.name)
            layer.add(step.number, call)
        updated = set()
        for update in step.updates:
            weights = self.weights(update.leaf.label)
            weights.update(step.number, update.before, update.after)
            if update.gradient is not None and weights.name not in updated:
                weights.gradients.add(step.number, update.gradient)
            updated.add(weights.name)
        arrived = {a.leaf.label: a.g for p in step.passes for a in p.arrivals}
        for name, g in arrived.items():
            if name not in updated:
                self.weights(name).gradients.add(step.number, g)

    def weights(self, name: str) -> Weights:
        """The series of a parameter."""
        if name not in self.parameters:
            self.parameters[name] = Weights(name)
        return self.parameters[name]

    def singular_values(self, call: Call | str, k: int = 8, operand: int = 0, example: int | None = 0) -> Spectrum:
        """The largest singular values of a layer's Jacobian.

        Args:
            call: an operation of a step that was kept whole, or a layer's name: then that of the last step.
            k: how many.
            operand: with respect to which operand of the operation.
            example: of a batch, the Jacobian of one example; None: of the whole batch.

        Raises:
            KeyError: if there is no such layer in the last step.
            ValueError: see `spectrum.spectrum`.

        >>> import retrograd as torch
        >>> x = torch.tensor([3.0, -4.0], requires_grad=True)
        >>> with torch.see() as record:
        ...     (x * x).sum().backward()
        >>> Flow(record).singular_values("mul").values
        array([4., 3.])
        """
        return spectrum(self.call(call) if isinstance(call, str) else call, k, operand, example, self.language)

    def call(self, name: str) -> Call:
        """The operation of a layer in the last step."""
        met: Counter[str] = Counter()
        for call in layer_calls(self.record.step()):
            own = f"{call.module} {call.title}".strip()
            met[own] += 1
            if name == (own if met[own] == 1 else f"{own} ({met[own]})"):
                return call
        raise KeyError(f"the last step has no layer {name!r}; there are: {', '.join(self.layers) or 'none'}")

    # ------------------------------------------------------------ shown

    def parts(self, language: str) -> list[Part]:
        say = FLOW[language]
        if not self.layers and not self.parameters:
            return [say["empty"]]
        heading = (say["title one"] if len(self.steps) == 1 else say["title"]).format(n=len(self.steps))
        known = [x for x in self.losses if not math.isnan(x)]
        if known:
            heading += "\n" + say["loss"].format(first=number(known[0]), last=number(known[-1]), curve=curve(self.losses, 40)).rstrip()
        found: list[Part] = [heading]
        if self.layers:
            found.append(self.layer_table(language))
        if self.parameters:
            found.append(self.parameter_table(language))
        if self.dropped:
            found.append(say["dropped"].format(n=self.dropped, most=MOST_LAYERS))
        return found

    def layer_table(self, language: str) -> Table:
        """The last row of each layer, with curves of all."""
        say = FLOW[language]
        keys = ("layer", "activations", "mean", "std", "zeros", "histogram", "gradient", "over time", "dead", "saturated")
        rows: list[tuple[str, ...]] = []
        for layer in self.layers.values():
            a, g, dead = layer.activations, layer.gradients, layer.dead_units
            rows.append((
                layer.name, number(a.last("norm")), number(a.last("mean")), number(a.last("std")), share(a.last("zeros")),
                bars(a.histograms[-1].tolist(), 12), number(g.last("norm")) if g else "–", curve(g.column("norm").tolist(), 12),
                "" if dead is None else f"{dead[0]}/{dead[1]}", "" if math.isnan(layer.saturated[-1]) else share(layer.saturated[-1]),
            ))  # fmt: skip
        wanted = [i for i in range(len(keys)) if i < 8 or any(row[i] for row in rows)]
        columns = tuple(say[keys[i]] for i in wanted)
        rows = [tuple(row[i] for i in wanted) for row in rows]
        return Table(
            columns,
            rows,
            say["layers"],
            say["note"],
            frozenset(i for i in range(len(wanted)) if wanted[i] not in (0, 5, 7)),
            optional=(2, 5, 3, 7, 4),
        )

    def parameter_table(self, language: str) -> Table:
        """The last row of each parameter, with curves of all."""
        say = FLOW[language]
        rows: list[tuple[str, ...]] = []
        for w in self.parameters.values():
            g, ratios = w.gradients, w.ratios
            rows.append((
                w.name, number(w.norms[-1]) if w.norms else "–", number(g.last("norm")) if g else "–", curve(g.column("norm").tolist(), 12),
                number(w.updates[-1]) if w.updates else "–", f"{ratios[-1]:.2g}" if len(ratios) else "–", curve(ratios.tolist(), 12),
            ))  # fmt: skip
        columns = tuple(say[k] for k in ("parameter", "weights", "gradient", "over time", "update", "ratio", "over time"))
        return Table(columns, rows, say["parameters"], say["ratio note"], frozenset((1, 2, 4, 5)), optional=(3, 4, 6, 1))


def layer_calls(step: Step) -> Iterator[Call]:
    """The operations whose results are a layer's output: outside modules all, in a module the last before another is called, and activations."""
    calls = [call for call in step.calls if call.op is not None and call.node is not None]
    for call, following in itertools.zip_longest(calls, calls[1:]):
        ends = following is None or following.modules != call.modules
        if (ends or not call.modules or call.name in ACTIVATIONS) and call.results[0] is not step.root:
            yield call
