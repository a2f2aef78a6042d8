"""`retrograd lesson`: the program of a teaching note step by step, with what each step does to the real numbers.

The steps of `PROGRAM` are, put together, the note's program; `examples/nota.py` holds the same lines as one script. What is said
about a step is in `lesson_texts.py`; the numbers in it are worked out here, from the state that the program has reached.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import retrograd as torch
from retrograd.cli.lesson_texts import STEPS
from retrograd.cli.texts import grouped

# The program, by step. Tabs and Spanish comments are the note's.
PROGRAM = {
    "network": """\
BATCH_SIZE = 16
DIM_IN = 784
HIDDEN_SIZE = 256
DIM_OUT = 10

net = torch.nn.Sequential(torch.nn.Linear(DIM_IN, HIDDEN_SIZE),
						 torch.nn.ReLU(),
						 torch.nn.Linear(HIDDEN_SIZE, DIM_OUT))

# features aleatorias
some_input = torch.randn(BATCH_SIZE, DIM_IN, requires_grad=False)
# etiquetas aleatorias
ideal_output = torch.randn(BATCH_SIZE, DIM_OUT, requires_grad=False)

model = net
""",
    "before": """\
print(model[2].weight[0][0:10]) # solo algunos son mostrados
print(model[2].weight.grad)
""",
    "loss": """\
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
prediction = model(some_input)
loss = (ideal_output - prediction).pow(2).sum()
print(loss)
""",
    "backward": """\
print(model[2].weight[0][0:10]) # solo algunos son mostrados
print(model[2].weight.grad)

loss.backward() # hay que pedir explicitamente calcular los gradientes
print(model[2].weight[0][0:10])
print(model[2].weight.grad[0][0:10])
""",
    "step": """\
optimizer.step()
print(model[2].weight[0][0:10])
print(model[2].weight.grad[0][0:10])
""",
    "accumulate": """\
print(model[2].weight.grad[0][0:10])

for i in range(0, 5):
	prediction = model(some_input)
	loss = (ideal_output - prediction).pow(2).sum()
	loss.backward()

print(model[2].weight.grad[0][0:10])
optimizer.zero_grad()

print(model[2].weight.grad[0][0:10])
""",
}

# The program's last step, in the two parts that are explained one by one.
ACCUMULATION, _, CLEARING = PROGRAM["accumulate"].rpartition("optimizer.zero_grad()\n")
SHOWN = {
    **{k: v for k, v in PROGRAM.items() if k != "accumulate"},
    "accumulate": ACCUMULATION,
    "zero_grad": "optimizer.zero_grad()\n" + CLEARING,
}


def run(seed: int, language: str, pause: bool = False) -> int:
    """Prints the whole lesson. Returns the exit status, 0."""
    torch.manual_seed(seed)
    texts = STEPS[language]
    print(texts["title"].format(seed=seed))
    state: dict[str, Any] = {"torch": torch}
    facts: dict[str, Any] = {}
    for number, (name, code) in enumerate(SHOWN.items(), 1):
        before, after = texts[name]
        print(f"\n{rule(number, texts, name)}\n\n{wrapped(before)}\n")
        print(indented(code.strip("\n"), ">>> "))
        output = executed(code, state)
        if output:
            print("\n" + indented(output.rstrip("\n"), "    "))
        facts.update(LOOKS[name](state, facts))
        print(f"\n{wrapped(filled(after, facts, language))}")
        wait(pause, texts["pause"])
    chain = Chain(state["model"], state["some_input"], state["ideal_output"], texts)
    for number, (name, text) in enumerate(texts["chain"], len(SHOWN) + 1):
        print(f"\n{rule(number, texts, name)}\n\n{wrapped(filled(text, chain.facts[name], language))}")
        wait(pause, texts["pause"])
    return 0


def executed(code: str, state: dict[str, Any]) -> str:
    """What a piece of the program prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, state)
    return output.getvalue()


def wait(pause: bool, prompt: str) -> None:
    """Waits for Enter, if asked to."""
    if pause:
        with contextlib.suppress(EOFError):
            input(f"\n{prompt} ")


def filled(text: str, facts: dict[str, Any], language: str) -> str:
    """A text with its numbers; those of many digits in groups, as the language has them."""
    return text.format(**{k: grouped(v, language) if type(v) is int else v for k, v in facts.items()})


# ---------------------------------------------------------------- layout

WIDTH = 100


def rule(step: int, texts: dict[str, Any], name: str) -> str:
    """A step's heading with a line after it."""
    heading = f"{step}. {texts['headings'][name]}"
    return f"── {heading} " + "─" * max(0, WIDTH - len(heading) - 4)


def indented(text: str, mark: str) -> str:
    """Lines with a mark before each; tabs as four blanks."""
    return "\n".join((mark + line.expandtabs(4)).rstrip() for line in text.split("\n"))


def wrapped(text: str) -> str:
    """Paragraphs broken at blanks. A paragraph that begins with blanks is a table, and stays as it is."""
    return "\n\n".join(
        paragraph.strip("\n") if paragraph.lstrip("\n").startswith("  ") else "\n".join(lines(paragraph))
        for paragraph in text.strip("\n").split("\n\n")
    )


def lines(paragraph: str) -> Iterator[str]:
    """A paragraph's words in lines of the width."""
    line = ""
    for word in paragraph.replace("\n", " ").split(" "):
        if line and len(line) + 1 + len(word) > WIDTH:
            yield line
            line = word
        else:
            line = f"{line} {word}".lstrip()
    yield line


def number(value: float, digits: int = 4) -> str:
    """A number as the lesson shows it."""
    return f"{value:.{digits}g}" if value and not 1e-3 < abs(value) < 1e5 else f"{value:.{digits}f}"


# ---------------------------------------------------------------- the numbers behind each step

Facts = dict[str, Any]


def entry(tensor: Any) -> float:
    """The first element of a matrix."""
    return float(tensor.detach()[0, 0])


def after_network(state: Facts, facts: Facts) -> Facts:
    """How many weights there are."""
    model = state["model"]
    counts = [p.numel() for p in model.parameters()]
    return {"weights": sum(counts), "w1": counts[0], "w2": counts[2], "needed": all(p.requires_grad for p in model.parameters())}


def before_training(state: Facts, facts: Facts) -> Facts:
    """The bound of the first weights."""
    weight = state["model"][2].weight.detach()
    return {"bound": number(1 / math.sqrt(weight.shape[1])), "largest": number(float(weight.abs().max()))}


def after_loss(state: Facts, facts: Facts) -> Facts:
    """The loss, and how it was recorded."""
    loss, difference = state["loss"], (state["ideal_output"] - state["prediction"]).detach()
    names, node = [], loss.grad_fn  # type: ignore[var-annotated]
    while node is not None and len(names) < 8:
        names.append(node.name())
        following = [n for n, _ in node.next_functions if n is not None and "AccumulateGrad" not in n.name()]
        node = next((n for n in following if n.name() != "TBackward0"), None)
    return {
        "loss": number(loss.item()), "count": difference.numel(), "mean": number(loss.item() / difference.numel()),
        "first": number(float(difference[0, 0])), "first2": number(float(difference[0, 0]) ** 2), "path": " <- ".join(names),
    }  # fmt: skip


def loss_with(model: Any, state: Facts, change: float) -> float:
    """The loss with one weight of the last layer moved, in float64."""
    x, ideal = state["some_input"].double(), state["ideal_output"].double()
    w1, b1, w2, b2 = (p.detach().double().clone() for p in model.parameters())
    w2[0, 0] += change
    prediction = ((x @ w1.T + b1).relu() @ w2.T) + b2
    return float((ideal - prediction).pow(2).sum())


def after_backward(state: Facts, facts: Facts) -> Facts:
    """One entry of the gradient, against what a small change of the weight does to the loss."""
    model, h = state["model"], 1e-4
    g = entry(model[2].weight.grad)
    slope = (loss_with(model, state, h) - loss_with(model, state, -h)) / (2 * h)
    return {"w": number(entry(model[2].weight)), "g": number(g), "g_exact": g, "h": h, "slope": number(slope)}


def after_step(state: Facts, facts: Facts) -> Facts:
    """How a weight moved, and what that did to the loss."""
    model = state["model"]
    new = entry(model[2].weight)
    lr = state["optimizer"].param_groups[0]["lr"]
    return {
        "w_old": facts["w"],
        "w_new": number(new),
        "lr": lr,
        "loss_old": facts["loss"],
        "loss_new": number(loss_with(model, state, 0.0)),
    }


def after_accumulation(state: Facts, facts: Facts) -> Facts:
    """The sum of six gradients."""
    model = state["model"]
    total = entry(model[2].weight.grad)
    each = (total - facts["g_exact"]) / 5
    return {"total": number(total), "each": number(each), "five": number(5 * each), "first_g": facts["g"]}


def after_zero_grad(state: Facts, facts: Facts) -> Facts:
    """Nothing but zeros."""
    return {"zeros": int((state["model"][2].weight.grad == 0).sum())}


LOOKS: dict[str, Callable[[Facts, Facts], Facts]] = {
    "network": after_network, "before": before_training, "loss": after_loss, "backward": after_backward, "step": after_step,
    "accumulate": after_accumulation, "zero_grad": after_zero_grad,
}  # fmt: skip


# ---------------------------------------------------------------- the chain of Jacobians


class Chain:
    """The note's last part for this very network: v, the four Jacobians of one example, their product, and what `backward` gives."""

    def __init__(self, model: Any, inputs: Any, ideals: Any, texts: dict[str, Any]) -> None:
        def agreement(deviation: float) -> str:
            return texts["rounded"].format(deviation=f"{deviation:.0e}") if deviation else texts["exact"]

        w1, b1, w2, b2 = (p.detach() for p in model.parameters())
        x, ideal = inputs[0].detach(), ideals[0].detach()
        hidden = w1 @ x + b1
        active = (hidden > 0).float()
        prediction = w2 @ (hidden * active) + b2
        difference = ideal - prediction
        j1, j2, j3, j4 = w1, torch.diag(active), w2, -torch.eye(len(ideal))
        v = 2 * difference
        at4 = j4.T @ v
        at3 = j3.T @ at4
        at2 = j2.T @ at3
        product = j1.T @ at2

        leaf = x.clone().requires_grad_()
        (ideal - model(leaf)).pow(2).sum().backward()
        model.zero_grad(set_to_none=True)
        ours, theirs = [float(t.abs().max()) for t in (product, leaf.grad)], float((product - leaf.grad).abs().max())
        layers = (
            (lambda t: w1 @ t + b1, x, j1), (torch.relu, hidden, j2), (lambda t: w2 @ t + b2, hidden * active, j3),
            (lambda t: ideal - t, prediction, j4),
        )  # fmt: skip
        measured = [float((torch.func.jacrev(f)(at) - j).abs().max()) for f, at, j in layers]

        # the weights' gradients: at each layer, the vector that arrived there times the layer's input, summed over the batch
        total = (ideals - model(inputs)).pow(2).sum()
        total.backward()
        hiddens = (inputs @ w1.T + b1).detach()
        arrived = 2 * (ideals - ((hiddens.relu() @ w2.T) + b2)) @ j4
        g2 = arrived.T @ hiddens.relu()
        g1 = ((arrived @ w2) * (hiddens > 0).float()).T @ inputs
        off2, off1 = (float((g - p.grad).abs().max()) for g, p in ((g2, model[2].weight), (g1, model[0].weight)))
        largest = [float(g.abs().max()) for g in (g2, g1)]
        model.zero_grad(set_to_none=True)

        several = [number(float(t)) for t in v[:3]]
        self.facts: dict[str, Facts] = {
            "gradient": {"m": len(v), "v": ", ".join(several), "loss": number(float(difference.pow(2).sum())), "d": number(float(difference[0])), "v0": several[0]},
            "jacobian": {
                "active": int(active.sum()), "dead": int(len(active) - active.sum()), "n": len(active),
                "agreement": agreement(max(measured)),
            },
            "chain": {
                **{f"n{i}": number(float(t.norm())) for i, t in enumerate((v, at4, at3, at2, product))},
                "product": ", ".join(number(float(t)) for t in product[:5]), "backward": ", ".join(number(float(t)) for t in leaf.grad[:5]),
                "agreement": agreement(theirs / max(ours)), "stored": sum(j.numel() for j in (j1, j2, j3, j4)), "active": int(active.sum()),
            },
            "weights": {"agreement": agreement(max(off2 / largest[0], off1 / largest[1]))},
        }  # fmt: skip
