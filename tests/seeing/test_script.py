"""A program runs as by itself, and is watched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import retrograd as torch
from retrograd.seeing.script import run

TRAINING = """\
import sys
import {library} as torch
from {library} import nn
import {library}.nn.functional as F
torch.manual_seed(0)
net = nn.Linear(3, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for i in range(int(sys.argv[1])):
    optimizer.zero_grad()
    loss = F.mse_loss(net(torch.ones(4, 3)), torch.zeros(4, 2))
    loss.backward()
    optimizer.step()
"""


def program(folder: Path, text: str) -> Path:
    """A file with a program."""
    path = folder / "program.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_program_is_watched(tmp_path: Path):
    """It sees its arguments, its folder and its name; ours are as before when it is over."""
    (tmp_path / "beside.py").write_text("number = 3", encoding="utf-8")
    more = "import beside, sys\nassert __name__ == '__main__' and sys.modules['__main__'].net is net and beside.number == 3\n"
    before = sys.argv, list(sys.path), sys.modules["__main__"]
    outcome = run(program(tmp_path, TRAINING.format(library="retrograd") + more), ["3"], torch.see())
    del sys.modules["beside"]
    assert (outcome.status, outcome.ended, outcome.record.watched) == (0, "finished", 3)
    assert outcome.record.step(0).calls[0].place.text.startswith("loss = F.mse_loss(net(")
    assert before == (sys.argv, list(sys.path), sys.modules["__main__"])


def test_pytorch_programs(tmp_path: Path):
    """`import torch`, its submodules too, give this library, and only for that run."""
    had = {name for name in sys.modules if name.split(".")[0] == "torch"}
    spec = torch.nn.functional.__spec__
    more = "import torch.utils.data\nfrom torch.optim.lr_scheduler import StepLR\nassert torch.__name__ == 'retrograd'\n"
    outcome = run(program(tmp_path, TRAINING.format(library="torch") + more), ["2"], torch.see(), as_torch=True)
    assert (outcome.ended, outcome.record.watched) == ("finished", 2)
    assert {name for name in sys.modules if name.split(".")[0] == "torch"} == had
    assert torch.nn.functional.__spec__ is spec
    assert spec.name == "retrograd.nn.functional"


@pytest.mark.parametrize(
    ("ending", "status", "ended", "printed"),
    [
        ("sys.exit()", 0, "exited", ""), ("sys.exit(3)", 3, "exited", ""), ("sys.exit('no more')", 1, "exited", "no more"),
        ("raise KeyboardInterrupt", 130, "interrupted", ""), ("net(torch.ones(4))", 1, "crashed", "shapes"),
        ("raise ValueError('mine')", 1, "crashed", "ValueError: mine"),
    ],
)  # fmt: skip
def test_how_programs_end(ending: str, status: int, ended: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """As by themselves, and what was seen is kept; a failure is marked."""
    outcome = run(program(tmp_path, TRAINING.format(library="retrograd") + ending), ["2"], torch.see())
    steps = 3 if printed == "shapes" else 2  # the operation that failed was the first of another
    assert (outcome.status, outcome.ended, outcome.record.watched) == (status, ended, steps)
    error = capsys.readouterr().err
    assert printed in error
    assert (outcome.record.failure is not None) == (ended == "crashed")
    if ended == "crashed":
        lines = error.splitlines()
        assert lines[0] == "Traceback (most recent call last):"
        assert "program.py" in lines[1]
        assert outcome.record.failure.place.text == ending


def test_a_program_that_is_no_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Said as Python says it."""
    outcome = run(program(tmp_path, "x = (\n"), [], torch.see())
    assert (outcome.status, outcome.ended, outcome.record.steps) == (1, "crashed", [])
    assert "SyntaxError" in capsys.readouterr().err


def test_so_many_steps_are_enough(tmp_path: Path):
    """The program ends there, though it catches exceptions."""
    text = TRAINING.format(library="retrograd").replace(
        "    loss =", "    try: net(torch.ones(4, 3))\n    except Exception: pass\n    loss ="
    )
    outcome = run(program(tmp_path, text), ["1000"], torch.see(), steps=3)
    assert (outcome.status, outcome.ended, outcome.record.watched) == (0, "enough", 3)
