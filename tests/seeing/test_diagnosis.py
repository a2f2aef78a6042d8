"""Each fault is found in a program that has it, with its own words in both languages, and not in a similar one that has not."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import linecache
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.diagnosis import DETECTORS, Diagnosis, diagnose
from retrograd.seeing.diagnosis.finding import SEVERITIES
from retrograd.seeing.diagnosis.texts import TEXTS, WORDS
from retrograd.seeing.language import LANGUAGES
from tests.seeing.programs import FAULTY_PROGRAMS

F = nn.functional


def seen(program: Callable[..., Any], *args: Any, language: str = "en", limit: int = 1_000_000, **options: Any) -> Diagnosis:
    """The diagnosis of a program, which may crash."""
    torch.manual_seed(0)
    recorder = torch.see(limit=limit)
    with warnings.catch_warnings(), contextlib.suppress(Exception), recorder:
        warnings.simplefilter("ignore")
        program(*args, **options)
    return diagnose(recorder.record, language)


def classifier() -> tuple[Any, Any, Any, Any]:
    """A network, its data and its optimizer."""
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    return net, torch.randn(24, 6), torch.randint(0, 3, (24,)), torch.optim.SGD(net.parameters(), lr=0.05)


def loop(clear: bool = True, order: str = "backward step", steps: int = 3) -> None:
    """A training loop, right or wrong."""
    net, x, y, optimizer = classifier()
    for _ in range(steps):
        if clear and order == "backward step":
            optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        if order == "backward step":
            loss.backward()
            optimizer.step()
        elif order == "no backward":
            optimizer.step()


def late() -> None:
    """The step comes before the backward pass of weights that backward does not need."""
    w = torch.zeros(3, requires_grad=True)
    x = torch.randn(3)
    optimizer = torch.optim.SGD([w], lr=0.1)
    for _ in range(3):
        loss = (w * x).sum()
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()


def stale() -> None:
    """Two steps by one gradient."""
    net, x, y, optimizer = classifier()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()
    optimizer.step()


def accumulation(divided: bool) -> None:
    """Four passes for one update."""
    net, x, y, optimizer = classifier()
    for _ in range(2):
        optimizer.zero_grad()
        for part in range(4):
            loss = F.cross_entropy(net(x[part::4]), y[part::4])
            (loss / 4 if divided else loss).backward()
        optimizer.step()


def sums() -> None:
    """Sums over parts of a batch are to be added as they are."""
    net, x, y, optimizer = classifier()
    optimizer.zero_grad()
    for part in range(4):
        F.cross_entropy(net(x[part::4]), y[part::4], reduction="sum").backward()
    optimizer.step()


def given(everything: bool) -> None:
    """An optimizer that has the last layer only; or all, the others frozen."""
    net, x, y, _ = classifier()
    if everything:
        net[0].requires_grad_(False)
    optimizer = torch.optim.SGD(net[2].parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def optimizers(same: bool) -> None:
    """Two of them, for the same parameters or not."""
    net, x, y, one = classifier()
    if same:
        other = torch.optim.SGD(net[2].parameters(), lr=0.2)
    else:
        one, other = (torch.optim.SGD(net[i].parameters(), lr=0.2) for i in (0, 2))
    for _ in range(2):
        one.zero_grad()
        other.zero_grad()
        F.cross_entropy(net(x), y).backward()
        one.step()
        other.step()


def rate(lr: float) -> None:
    """A learning rate of nothing."""
    net, x, y, optimizer = classifier()
    optimizer.param_groups[0]["lr"] = lr
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def decay(factor: float) -> None:
    """A gradient of exactly zero."""
    net, x, y, _ = classifier()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net[2](net[0](x) * factor), y).backward()
        optimizer.step()


def cut(how: str) -> None:
    """The first layer loses its gradient by one of several means."""
    net, x, y, optimizer = classifier()
    for _ in range(2):
        h = net[0](x)
        if how == "detached":
            h = h.detach()
        elif how == "data":
            h = h.data
        elif how == "no_grad":
            with torch.no_grad():
                h = net[0](x)
        elif how == "number":
            h = torch.tensor(h.tolist())
        elif how == "discrete":
            h = (h > 0).float()
        elif how == "unused":
            h = torch.randn(24, 16)
        optimizer.zero_grad()
        F.cross_entropy(net[2](h), y).backward()
        optimizer.step()


def log_of(offset: float) -> None:
    """A logarithm that may be of zero."""
    w = torch.tensor([0.0, 1.0], requires_grad=True)
    (w + offset).log().sum().backward()


def root_of(offset: float) -> None:
    """A root whose derivative may be infinite."""
    w = torch.tensor([0.0, 1.0], requires_grad=True)
    (w + offset).sqrt().sum().backward()


def where(safe: bool) -> None:
    """A branch that is not taken, safe or not."""
    z = torch.tensor([0.0, 1.0], requires_grad=True)
    inside = torch.where(z > 0, z, 1.0) if safe else z
    torch.where(z > 0, inside.log(), 0.0).sum().backward()


def masked() -> None:
    """Minus infinity is fine in a mask."""
    w = torch.randn(4, 4, requires_grad=True)
    scores = w.masked_fill(torch.ones(4, 4).triu(1) > 0, float("-inf"))
    scores.softmax(-1).square().sum().backward()


def data(number: float) -> None:
    """What is wrong with the data gets everywhere."""
    net, x, y, _ = classifier()
    x[0, 0] = number
    F.cross_entropy(net(x), y).backward()


def column(by_hand: bool, squeezed: bool) -> None:
    """A column against a row."""
    net, x, _, _ = classifier()
    output, target = net(x)[:, :1], torch.randn(24)
    output = output.squeeze(-1) if squeezed else output
    loss = ((output - target) ** 2).mean() if by_hand else F.mse_loss(output, target)
    loss.backward()


def differences() -> None:
    """All pairs, as they are meant."""
    w = torch.randn(6, requires_grad=True)
    ((w.unsqueeze(1) - w) ** 2).mean().backward()


def entropy(how: str) -> None:
    """Cross entropy, of logits or of what are none."""
    net, x, y, _ = classifier()
    logits = net(x)
    losses: dict[str, Callable[[], Any]] = {
        "right": lambda: F.cross_entropy(logits, y),
        "nll right": lambda: F.nll_loss(F.log_softmax(logits, 1), y),
        "softmax": lambda: F.cross_entropy(logits.softmax(1), y),
        "log_softmax": lambda: F.cross_entropy(F.log_softmax(logits, -1), y),
        "by hand": lambda: F.cross_entropy(logits.exp() / logits.exp().sum(1, keepdim=True), y),
        "nll logits": lambda: F.nll_loss(logits, y),
        "nll softmax": lambda: F.nll_loss(logits.softmax(1), y),
        "swapped": lambda: F.cross_entropy(F.one_hot(y, 3).float(), logits.softmax(1)),
        "probabilities": lambda: F.cross_entropy(logits, F.one_hot(y, 3).float()),
    }
    losses[how]().backward()


def binary(how: str) -> None:
    """Binary cross entropy, likewise."""
    net, x, _, _ = classifier()
    logits, target = net(x), torch.rand(24, 3).round()
    losses: dict[str, Callable[[], Any]] = {
        "right": lambda: F.binary_cross_entropy_with_logits(logits, target),
        "sigmoid right": lambda: F.binary_cross_entropy(logits.sigmoid(), target),
        "double": lambda: F.binary_cross_entropy_with_logits(logits.sigmoid(), target),
        "swapped": lambda: F.binary_cross_entropy(target, logits.sigmoid()),
    }
    losses[how]().backward()


def crash(how: str) -> None:
    """Ends in an exception."""
    net, x, y, optimizer = classifier()
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    if how == "twice":
        loss = (w * w).sum()
        loss.backward()
        loss.backward()
    elif how == "carried":
        rnn, h = nn.RNN(3, 4), torch.zeros(1, 2, 4)
        optimizer = torch.optim.SGD(rnn.parameters(), lr=0.1)
        for _ in range(2):
            out, h = rnn(torch.randn(5, 2, 3), h)
            optimizer.zero_grad()
            out.square().mean().backward()
            optimizer.step()
    elif how == "inplace":
        a = w.exp()
        a += 1
        a.sum().backward()
    elif how == "stepped":
        loss = F.cross_entropy(net(x), y)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        loss.backward()
    elif how == "leaf":
        w += 1
    elif how == "scalar":
        (w * w).backward()
    elif how == "shape":
        net(torch.randn(2, 7))
    elif how == "dtype":
        F.cross_entropy(y, net(x))
    elif how == "range":
        F.cross_entropy(net(x), y + 3)
    elif how == "nothing":
        torch.ones(2).sum().backward()
    elif how == "number":
        loss = torch.tensor((w * w).sum().item())
        loss.backward()
    elif how == "detached":
        (w * w).sum().detach().backward()
    elif how == "no_grad":
        with torch.no_grad():
            loss = (w * w).sum()
        loss.backward()
    elif how == "discrete":
        (net(x).argmax(1) == y).float().mean().backward()
    else:
        raise ValueError("something else")


def trained(net: Any, x: Any, y: Any, lr: float = 0.01, steps: int = 3, loss: Any = F.mse_loss) -> None:
    """Some steps of plain descent."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()


def units(bias: float, some: bool = False) -> None:
    """Biases so low that ReLU never opens."""
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
    with torch.no_grad():
        net[0].bias[: 4 if some else 16] = bias
    trained(net, torch.randn(32, 4), torch.randn(32, 1))


def activation(kind: Any, scale: float) -> None:
    """Large weights drive an activation to its limits."""
    net = nn.Sequential(nn.Linear(8, 16), kind, nn.Linear(16, 1))
    with torch.no_grad():
        net[0].weight *= scale
    trained(net, torch.randn(32, 8), torch.randn(32, 1))


def deep(activation: Any, scale: float, layers: int = 9) -> None:
    """Many layers, one after the other."""
    net = nn.Sequential(*(m for _ in range(layers) for m in (nn.Linear(16, 16), activation)), nn.Linear(16, 1))
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p *= scale
    x, y = torch.randn(8, 16), torch.randn(8, 1)
    F.mse_loss(net(x), y).backward()


def recurrence(scale: float) -> None:
    """A loss at the end of a long sequence."""
    net = nn.RNN(3, 8)
    with torch.no_grad():
        net.weight_hh_l0.copy_(torch.eye(8) * scale)
    net(torch.randn(20, 2, 3))[0][-1].square().mean().backward()


def mode(training: bool, judging: bool, judged: bool = True) -> None:
    """A network with dropout, trained and judged in one mode or the other."""
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        net.train(training)
        optimizer.zero_grad()
        F.mse_loss(net(x), y).backward()
        optimizer.step()
        net.train(judging)
        if judged:
            with torch.no_grad():
                F.mse_loss(net(x), y)


def speed(lr: float) -> None:
    """A learning rate, too high or too low."""
    trained(nn.Linear(4, 1), torch.randn(32, 4), torch.randn(32, 1), lr, 5)


def totals(item: bool) -> None:
    """The sum of losses that is shown at the end."""
    net, x, y, optimizer = classifier()
    total = 0.0
    for _ in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() if item else loss


def constant(first: bool, last: bool) -> None:
    """Weights that are all the same: of all layers, or of the last one only."""
    net, x, y, _ = classifier()
    with torch.no_grad():
        for i, same in ((0, first), (2, last)):
            if same:
                net[i].weight.fill_(0.1)
                net[i].bias.fill_(0.1)
    trained(net, x, y, loss=F.cross_entropy)


def pixels(scale: float) -> None:
    """Images as they come from a file."""
    x = (torch.rand(16, 20) * 255).to(torch.uint8).float() / scale
    trained(nn.Linear(20, 2), x, torch.randn(16, 2), 1e-6 * scale)


FAULTY = [
    ("zero_grad", "", "error", loop, (False,)),
    ("accumulation", "", "warning", accumulation, (False,)),
    ("step_before_backward", "late", "error", late, ()),
    ("step_before_backward", "none", "error", loop, (True, "no backward")),
    ("step_before_backward", "stale", "warning", stale, ()),
    ("not_optimized", "", "warning", given, (False,)),
    ("two_optimizers", "", "warning", optimizers, (True,)),
    ("no_learning_rate", "", "warning", rate, (0.0,)),
    ("decay_only", "", "warning", decay, (0.0,)),
    *(("no_gradient", how, "warning", cut, (how,)) for how in ("detached", "no_grad", "number", "discrete", "unused")),
    ("no_gradient", "detached", "warning", cut, ("data",)),
    ("not_finite", "forward", "error", log_of, (0.0,)),
    ("not_finite", "backward", "error", root_of, (0.0,)),
    ("not_finite", "input", "error", data, (float("nan"),)),
    ("where_nan", "", "error", where, (False,)),
    ("broadcast", "", "error", column, (False, False)),
    ("broadcast", "", "warning", column, (True, False)),
    ("double_softmax", "twice", "error", entropy, ("softmax",)),
    ("double_softmax", "again", "hint", entropy, ("log_softmax",)),
    ("double_softmax", "rows", "warning", entropy, ("by hand",)),
    ("nll_on_logits", "logits", "error", entropy, ("nll logits",)),
    ("nll_on_logits", "probabilities", "error", entropy, ("nll softmax",)),
    ("argument_order", "", "warning", entropy, ("swapped",)),
    ("double_sigmoid", "", "error", binary, ("double",)),
    ("argument_order", "", "warning", binary, ("swapped",)),
    ("dead_units", "", "error", units, (-50.0,)),
    ("dead_units", "", "warning", units, (-50.0, True)),
    ("saturated", "", "warning", activation, (nn.Tanh(), 300.0)),
    ("saturated", "", "warning", activation, (nn.Sigmoid(), 300.0)),
    ("saturated", "", "warning", activation, (nn.Softmax(-1), 3000.0)),
    ("vanishing", "", "warning", deep, (nn.Sigmoid(), 1.0)),
    ("exploding", "", "warning", deep, (nn.Identity(), 8.0)),
    ("vanishing", "time", "hint", recurrence, (0.1,)),
    ("mode", "eval", "warning", mode, (False, False)),
    ("mode", "train", "warning", mode, (True, True)),
    ("learning_rate_high", "", "warning", speed, (1.5,)),
    ("diverging", "rate", "error", speed, (3.0,)),
    ("learning_rate_low", "", "hint", speed, (1e-9,)),
    ("graph_kept", "", "warning", totals, (False,)),
    ("symmetric_weights", "", "error", constant, (True, True)),
    ("input_scale", "", "hint", pixels, (1.0,)),
    *(("failure", how, "error", crash, (how,)) for how in ["twice", "carried", "inplace", "stepped", "leaf", "scalar", "shape", "dtype", "range", "nothing", "number", "detached", "no_grad", "discrete", "other"]),
]  # fmt: skip
SOUND = [
    (units, (0.0,)), (activation, (nn.Tanh(), 1.0)), (activation, (nn.Sigmoid(), 1.0)), (activation, (nn.Softmax(-1), 1.0)), (deep, (nn.ReLU(), 2.4)),
    (recurrence, (1.0,)), (mode, (True, False)), (mode, (True, True, False)), (speed, (0.01,)), (totals, (True,)), (constant, (False, True)), (pixels, (255.0,)),
    (loop, ()), (accumulation, (True,)), (sums, ()), (given, (True,)), (optimizers, (False,)), (rate, (0.01,)), (decay, (1.0,)), (cut, ("not",)),
    (log_of, (1.0,)), (root_of, (1.0,)), (where, (True,)), (masked, ()), (data, (0.0,)), (column, (True, True)), (column, (False, True)),
    (differences, ()), (entropy, ("right",)), (entropy, ("nll right",)), (entropy, ("probabilities",)), (binary, ("right",)),
    (binary, ("sigmoid right",)),
]  # fmt: skip


def assert_is_said(finding: Any, language: str) -> None:
    """All its texts are there, and nothing in them is left open."""
    for part in ("title", "what", "cause", "fix"):
        text = finding.said(part, language)
        assert text
        assert not re.search(r"[{}]|(?<!is )(?<!es )(?<!= )None\b(?! of)", text), text
    assert not re.search(r"[{}]", re.sub(r"\{.*?\}", "", finding.said("code", language)))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("fault", "variant", "severity", "program", "args"), FAULTY)
def test_faults_are_found(fault: str, variant: str, severity: str, program: Any, args: Any, language: str):
    """With severity, place, and texts in which nothing is left open."""
    diagnosis = seen(program, *args, language=language)
    found = [f for f in diagnosis if (f.fault, f.variant) == (fault, variant)]
    assert found, f"found only {[(f.fault, f.variant) for f in diagnosis]}"
    finding = found[0]
    assert finding.severity == severity
    if fault != "two_optimizers" and variant != "unused":
        assert finding.place is not None
        assert finding.place.file == __file__
    assert_is_said(finding, language)
    assert finding.title in str(diagnosis)
    assert json.loads(json.dumps(diagnosis.to_dict()))["findings"][0]["severity"] in SEVERITIES
    severities = [SEVERITIES.index(f.severity) for f in diagnosis]
    assert severities == sorted(severities)


@pytest.mark.parametrize(("program", "args"), SOUND)
def test_sound_programs_have_none(program: Any, args: Any):
    """Beside each wrong program, a similar one that is right."""
    diagnosis = seen(program, *args)
    assert not list(diagnosis), str(diagnosis)
    assert "Nothing found" in str(diagnosis)


def test_a_finding_has_the_numbers_and_lines_of_the_program():
    """Norms, names and expressions are the program's own."""
    (finding,) = seen(loop, False)
    assert finding.step == 1
    assert finding.place.text == "optimizer.step()"
    assert finding.facts["n"] == 2
    assert set(finding.facts["names"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert finding.code == "optimizer.zero_grad()\nloss.backward()\noptimizer.step()"
    assert finding.about.leaf.name in finding.facts["names"]
    (finding,) = seen(cut, "detached")
    assert finding.place.expression == "h.detach()"
    assert "net[0](x)" in finding.cause
    (finding,) = seen(where, False)
    assert "z[0] = 0" in finding.what
    assert finding.code.startswith("safe = torch.where(z > 0, z, 1.0)")


def test_every_text_is_in_both_languages():
    """With the same facts in it."""
    for fault, texts in TEXTS.items():
        assert set(texts) == set(LANGUAGES), fault
        assert set(texts["en"]) == set(texts["es"]), fault
        for part in texts["en"]:
            assert set(re.findall(r"(?<!{){(\w+)}", texts["en"][part])) == set(re.findall(r"(?<!{){(\w+)}", texts["es"][part])), (
                fault,
                part,
            )
    assert set(WORDS["en"]) == set(WORDS["es"])
    assert set(DETECTORS) == {fault for fault in TEXTS if "." not in fault}
    assert {need for d in DETECTORS.values() for need in d.needs} <= set(WORDS["en"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("fault", "variant", "program"), FAULTY_PROGRAMS)
def test_faults_are_found_in_every_style(fault: str, variant: str, program: Any, language: str):
    """At the line that has them."""
    diagnosis = seen(program, language=language)
    found = [f for f in diagnosis if (f.fault, f.variant) == (fault, variant)]
    assert found, f"found only {[(f.fault, f.variant) for f in diagnosis]}"
    for finding in found:
        assert_is_said(finding, language)
    if "# here" in inspect.getsource(program):
        assert any(f.place is not None and f.place.text.endswith("# here") for f in found), [str(f.place) for f in found]


def test_every_kind_of_fault_is_tested():
    """Each detector finds something in a program above, and each text, of every kind of a fault, is said."""
    known = {(fault, variant) for fault, variant, *_ in [*FAULTY, *FAULTY_PROGRAMS]}
    assert {fault for fault, _ in known} >= set(DETECTORS)
    assert known >= {tuple(key.split(".")) for key in TEXTS if "." in key}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_guide_names_every_fault(language: str):
    """In the page about see; a crash it calls by another name."""
    page = (Path(__file__).parents[2] / "docs" / language / "see.md").read_text(encoding="utf-8")
    missing = [TEXTS[fault][language]["name"] for fault in DETECTORS if fault != "failure" and TEXTS[fault][language]["name"] not in page]
    assert not missing


def test_steps_that_led_to_a_nan_are_kept():
    """Half of those that are kept, though many steps follow."""
    w = nn.Parameter(torch.tensor(0.5))
    optimizer = torch.optim.SGD([w], lr=0.1)
    with torch.see(keep=6) as record:
        for _ in range(30):
            optimizer.zero_grad()
            w.sqrt().backward()
            optimizer.step()
    begin = next(step.number for step in record.steps if step.broken)
    assert begin > 3
    assert [step.number for step in record.steps] == [begin - 2, begin - 1, begin, 27, 28, 29]
    (finding,) = [f for f in diagnose(record, "en") if f.fault == "not_finite"]
    assert (finding.variant, finding.step) == ("forward", begin)
    assert "not kept (keep=6)" in str(diagnose(record, "en"))


NOTEBOOK = ["import retrograd as torch\nmodel = torch.nn.Linear(3, 1)\nopt = torch.optim.SGD(model.parameters(), lr=0.1)",
            "x = torch.randn(8, 3)\nfor step in range(3):\n    loss = model(x).square().mean()\n    loss.backward()\n    opt.step()  # here"]  # fmt: skip


def test_cells_of_a_notebook():
    """Run by exec, with sources that only linecache has."""
    names: dict[str, Any] = {}
    with torch.see() as record:
        for i, cell in enumerate(NOTEBOOK):
            file = f"<cell {i}>"
            linecache.cache[file] = len(cell), None, cell.splitlines(True), file
            exec(compile(cell, file, "exec"), names)
    (finding,) = diagnose(record, "en")
    assert (finding.fault, finding.place.text) == ("zero_grad", "opt.step()  # here")
    assert finding.what.startswith("opt.step() used a sum of 2 backward passes for weight and bias")


def test_a_large_step_is_diagnosed_in_linear_time():
    """Four times the calls take about four times as long: no parameter, and no sum, walks through the whole step again."""

    def program(n: int) -> None:
        net, w, total = nn.ModuleList([nn.Linear(4, 4) for _ in range(n)]), torch.ones(4, requires_grad=True), 0.0
        optimizer = torch.optim.SGD([*net.parameters(), w], lr=1e-3)
        x = torch.ones(2, 4)
        for layer in net:
            x = x + layer(x).tanh() * 0.01
            total += x.mean()
        (x.detach() * w).mean().backward()
        optimizer.step()

    def seconds(n: int) -> float:
        with torch.see() as record:
            program(n)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            diagnosis = diagnose(record, "en")
            times.append(time.perf_counter() - begin)
        assert "no_gradient" in diagnosis.faults
        return min(times)

    assert seconds(1200) < 9 * seconds(300)  # quadratic would be 16


def test_without_sources():
    """Faults are found where no source is to be had, too."""
    names: dict[str, Any] = {}
    with torch.see() as record:
        for cell in NOTEBOOK:
            exec(cell, names)
    (finding,) = diagnose(record, "en")
    assert finding.place.line == 5
    assert finding.what.startswith("optimizer.step() used a sum of 2 backward passes for weight and bias")
    assert_is_said(finding, "es")


def test_what_cannot_be_checked_is_said():
    """Without numbers, without backward passes, beyond what was kept."""
    diagnosis = seen(entropy, "by hand", limit=20)
    assert "double_softmax" in diagnosis.to_dict()["lacking"]
    assert "numbers of these tensors were not kept" in str(diagnosis)
    with torch.see() as record:
        torch.ones(2) + 1
    assert "no backward pass" in str(diagnose(record, "en"))
    assert "ningún pase hacia atrás" in str(diagnose(record, "es"))
    assert "Not checked" in str(diagnose(copy.copy(record), "en"))
    with pytest.raises(ValueError, match="language"):
        diagnose(record, "fr")


def test_html_is_escaped():
    """Names and code of the program are text, not markup."""
    html = seen(column, False, False)._repr_html_()
    assert 'data-fault="broadcast"' in html
    assert "<script" not in html
    html = seen(where, False)._repr_html_()
    assert "z &gt; 0" in html
