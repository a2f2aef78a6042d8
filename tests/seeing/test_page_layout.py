"""How the graph of a step lies on the page, in a real browser: in the order of time, within the width of a window, and so that it can be read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

import retrograd as torch
from retrograd import nn
from retrograd.seeing.page.data import data_of
from retrograd.seeing.record import Record
from tests.seeing.browsing import Open, moment


def where(shown: Any, names: list[str]) -> list[dict[str, float]]:
    """The boxes of nodes, in pixels."""
    return [shown.locator(f'[data-node="{name}"]').bounding_box() for name in names]


def calls(record: Record, name: str) -> list[str]:
    """The nodes of the calls of an operation, in the order in which they ran."""
    return [f"c{call.number}" for call in record.step().calls if call.name == name]


def in_time(shown: Any, names: list[str]) -> None:
    """Asserts that each node is beneath the one before it."""
    for above, below in pairwise(where(shown, names)):
        assert above["y"] + above["height"] < below["y"]


def test_what_does_not_hang_together_stands_in_rows_no_wider_than_a_window(open_page: Open):
    weights = [torch.randn(3, requires_grad=True) for _ in range(30)]
    with torch.see() as record:
        for w in weights:
            (w * 2.0).tanh()
    shown = open_page(record)
    boxes = where(shown, calls(record, "tanh"))
    right = shown.locator("#graph").bounding_box()["x"] + shown.locator("#graph").bounding_box()["width"]
    assert all(box["x"] + box["width"] < right for box in boxes)
    assert 2 <= len({round(box["y"]) for box in boxes}) <= 4
    for one, other in pairwise(boxes):
        assert (one["y"], one["x"]) < (other["y"], other["x"])  # as text is read


def test_calls_of_a_module_stand_in_order_of_time(open_page: Open):
    net = nn.Linear(3, 1)
    with torch.see() as record:
        for _ in range(5):
            net(torch.rand(2, 3)).sum().backward()
    shown = open_page(record)
    boxes = where(shown, calls(record, "linear"))
    assert all(one["x"] + one["width"] < other["x"] for one, other in pairwise(boxes))


def test_writes_through_views_stand_where_they_ran(open_page: Open):
    x = torch.arange(6.0).requires_grad_()
    with torch.see() as record:
        y = x * 1.0
        y[1:3] *= 2.0
        z = y[2:].exp()
        z.sum().backward()
    shown = open_page(record)
    first, *_, last = calls(record, "mul")
    in_time(shown, [first, last, *reversed(calls(record, "CopySlices")), *calls(record, "exp"), *calls(record, "sum")])
    assert shown.locator(".word").count() == 0


def test_what_an_earlier_step_computed_is_joined_by_the_tape(open_page: Open):
    one, two = nn.Linear(2, 2), nn.Linear(2, 1)
    first, second = torch.optim.SGD(one.parameters(), 0.1), torch.optim.SGD(two.parameters(), 0.1)
    with torch.see() as record:
        hidden = one(torch.ones(3, 2)).tanh()
        two(hidden.detach()).sum().backward()
        second.step()
        hidden.sum().backward()
        first.step()
    shown = open_page(record)
    earlier = {c.name: f"c{c.number}" for c in record.step().calls if c.op is None}
    in_time(shown, [earlier["AddmmBackward0"], earlier["TanhBackward0"], *calls(record, "sum")])
    assert shown.locator(f'[data-edge="{earlier["AddmmBackward0"]}>{earlier["TanhBackward0"]}"]').count() == 1


def test_words_stand_within_their_boxes(open_page: Open):
    net = nn.Sequential()
    net.add_module("WWWWWWWWWWWW_WWWWWWWWWWWWWWWWWW", nn.Linear(2, 2))
    net.add_module("iiiiiiiiiiiiiiiiiiiiiiiiiiiiiii", nn.Linear(2, 2))
    with torch.see() as record:
        nn.functional.binary_cross_entropy_with_logits(net(torch.ones(1, 2)), torch.ones(1, 2)).backward()
    shown = open_page(record)
    beyond = shown.evaluate(
        "[...document.querySelectorAll('.node')].filter(node => { const box = node.querySelector('rect').getBoundingClientRect();"
        " return [...node.querySelectorAll('text')].some(text => { const at = text.getBoundingClientRect();"
        " return at.left < box.left || at.right > box.right; }); }).map(node => node.textContent)"
    )
    assert beyond == []
    assert shown.locator(".node.parameter text", has_text="iiiiiiiiiiiiiiiiiiiiiiiiiiiiiii.bias").count() == 1  # it has room


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_tabs_fit_in_a_row(open_page: Open, language: str, width: int):
    net = nn.Linear(2, 2)
    with torch.see() as record:
        net(torch.ones(1, 2)).sum().backward()
    shown = open_page(record, language, viewport={"width": width, "height": 844})
    for tab in shown.locator("#tabs button").all():
        tab.click()
        tops = shown.locator("#tabs button").evaluate_all("all => all.map(tab => tab.offsetTop)")
        assert (len(tops), len(set(tops))) == (7, 1)


def test_a_walk_begins_near_enough_to_be_read(open_page: Open):
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    with torch.see() as record:
        net(torch.ones(1, 2)).sum().backward()
    shown = open_page(record)
    height = "document.querySelector('.node .name').getBoundingClientRect().height"
    far = shown.evaluate(height)
    shown.keyboard.press("ArrowRight")
    shown.wait_for_timeout(100)
    assert shown.evaluate(height) > max(9, far)
    shown.locator("#smaller").click()
    shown.wait_for_timeout(100)
    chosen = shown.evaluate(height)
    shown.keyboard.press("ArrowRight")
    shown.wait_for_timeout(100)
    assert shown.evaluate(height) == pytest.approx(chosen)  # the user's own choice stays


def test_a_leaf_that_a_view_made_gets_its_gradient(open_page: Open):
    with torch.see() as record:
        base = torch.arange(6.0).reshape(2, 3).requires_grad_()
        (base * base).sum().backward()
    shown = open_page(record)
    shown.keyboard.press("End")
    assert ".grad: a gradient arrives" in moment(shown)
    (view,) = calls(record, "view")
    assert shown.locator(f'.node.current[data-node="{view}"] .strips image').count() == 2
    shown.locator(f'[data-node="{view}"]').click()
    assert shown.locator("#sheet .array h4", has_text=".grad").count() == 1


@pytest.mark.parametrize(
    ("language", "one", "cleared"), [("en", "1 call", "The gradient of"), ("es", "1 llamada", "Se vacía el gradiente de")]
)
def test_of_one_thing_it_speaks_of_one(open_page: Open, language: str, one: str, cleared: str):
    net = nn.Linear(2, 2, bias=False)
    with torch.see() as record:
        net(torch.ones(1, 2)).sum().backward()
        net.zero_grad()
    shown = open_page(record, language)
    shown.locator("#collapse").click()
    assert shown.locator(".node.module .below").text_content() == f"Linear · {one}"
    shown.keyboard.press("End")
    assert moment(shown) == f"{cleared} weight" + (" is cleared" if language == "en" else "")


def test_how_a_module_was_made_is_not_in_the_walk():
    with torch.see() as record:
        net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
        net(torch.ones(4, 3)).sum().backward()
    told = [m["kind"] for m in data_of(record)["steps"][0]["moments"]]
    assert told[:3] == ["call", "call", "call"]
    assert "wrote" not in told


def test_what_a_failed_operation_alone_takes_stands_with_it():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))
    with pytest.raises(RuntimeError), torch.see() as record:
        net(torch.ones(2, 3))
    (step,) = data_of(record)["steps"]
    failed = step["calls"][-1]
    groups = {step["values"][x["value"]]["label"]: step["values"][x["value"]]["group"] for x in failed["operands"] if "value" in x}
    assert groups["1.weight"] == groups["1.bias"] == failed["group"] is not None


def test_a_pooled_image_has_its_own_name_and_other_results_what_they_are():
    x = torch.rand(1, 1, 4, 4)
    with torch.see() as record:
        pooled = nn.functional.max_pool2d(x, 2)
        found = torch.max(pooled.flatten(), 0)
        torch.sort(x)
    assert found is not None
    (step,) = data_of(record)["steps"]
    labels = [[step["values"][v]["label"] for v in call["results"]] for call in step["calls"]]
    assert labels[0] == ["pooled", "max_pool#0.indices"]
    assert ["found[0]", "found[1]"] in labels
    assert labels[-1][1] == f"{labels[-1][0]}.indices"


def test_every_moment_has_words(open_page: Open):
    w = torch.ones(3, requires_grad=True)
    with torch.see() as record:
        loss = (w * 2.0).sum()
        assert w.grad is None
        loss.backward()
        w.grad = w.grad * 0.5
        w.grad = None
    shown = open_page(record)
    told = []
    for _ in range(int(shown.locator("#moment").get_attribute("max"))):
        shown.keyboard.press("ArrowRight")
        told.append(moment(shown))
    assert "The program gives w.grad other numbers" in told
    assert "The gradient of w is cleared" in told
    assert not {"set", "held", "asked", "copied", "stepped"} & set(told)


def test_what_crashed_is_in_sight_however_large_the_network(open_page: Open):
    net = nn.Sequential(*(nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(50)), nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(RuntimeError), torch.see() as record:
        net(torch.rand(2, 3))
    shown = open_page(record)
    shown.keyboard.press("End")
    shown.wait_for_selector(".node.failed.current")
