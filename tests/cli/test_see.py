"""`retrograd see` and `retrograd page`, run as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from retrograd.cli.main import main
from retrograd.cli.see_texts import SEE

PROGRAM = """\
import sys
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
x, y = torch.rand(16, 4), torch.rand(16, 2)
for i in range(int(sys.argv[1])):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
print("trained", sys.argv[1:], flush=True)
"""
COMMAND = [sys.executable, "-c", "import sys; from retrograd.cli.main import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training program in a folder of its own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    path = tmp_path / "train.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


@pytest.mark.parametrize("language", ["en", "es"])
def test_see(language: str, program: Path, capsys: pytest.CaptureFixture[str]):
    """The program's own output first, with its own options; then what was seen, in the language."""
    assert main(["see", "--as-torch", "--lang", language, str(program), "3", "--lang", "its own"]) == 0
    printed = capsys.readouterr().out
    say = SEE[language]
    assert printed.startswith("trained ['3', '--lang', 'its own']")
    places = [printed.index(say[key]) for key in ("diagnosis", "ledger", "flow")]
    assert places == sorted(places)
    assert say["steps"].format(n=3) in printed
    assert "2.weight" in printed
    assert "net.1 tanh" in printed
    assert "{" not in printed


@pytest.mark.parametrize(
    ("given", "left", "language"),
    [
        (["1", "--keep", "2"], ["1", "--keep", "2"], "en"),
        (["--lang", "es", "--keep=2", "1", "--lang", "en"], ["1", "--lang", "en"], "es"),
        (["--lang", "es", "--", "1", "--open"], ["1", "--open"], "es"),
        (["--", "1", "--lang", "es"], ["1", "--lang", "es"], "en"),
    ],
)
def test_options_right_after_the_program(
    given: list[str], left: list[str], language: str, program: Path, capsys: pytest.CaptureFixture[str]
):
    """They are ours up to the first that is not, or to `--`."""
    assert main(["see", "--as-torch", "--lang", "en", str(program), *given]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"trained {left}")
    assert SEE[language]["diagnosis"] in printed


def test_files(program: Path, capsys: pytest.CaptureFixture[str]):
    """The page, three pictures and event files, each named."""
    given = ["--page", "p.html", "--picture", "p.svg", "--board", "runs", "--every", "2", "--keep", "1"]
    assert main(["see", "--as-torch", "--lang", "en", *given, str(program), "5"]) == 0
    printed = capsys.readouterr().out
    assert "3 steps watched, 1 kept whole" in printed
    for name, start in (("p.html", "<!doctype html>"), ("p.svg", "<svg"), ("p-ledger.svg", "<?xml"), ("p-flow.svg", "<?xml")):
        assert f"wrote {name}" in printed
        assert Path(name).read_text(encoding="utf-8").startswith(start)
    assert len(list(Path("runs").glob("events*"))) == 1


def test_a_program_that_crashes(program: Path, capsys: pytest.CaptureFixture[str]):
    """Python's own traceback, then what was seen, and where it failed; the exit status is that of a crash."""
    program.write_text(PROGRAM + "net(torch.ones(3))\n", encoding="utf-8")
    assert main(["see", "--as-torch", "--lang", "en", str(program), "2"]) == 1
    printed = capsys.readouterr()
    assert "Traceback" in printed.err
    assert "at line 14: net(torch.ones(3))\n  in the operation linear" in printed.out
    assert "0.weight" in printed.out


def test_the_chain(program: Path, capsys: pytest.CaptureFixture[str]):
    """To the tensor that was asked for."""
    assert main(["see", "--as-torch", "--lang", "en", "--to", "0.weight", str(program), "1"]) == 0
    assert "mse_loss" in capsys.readouterr().out.split("── Chain ")[1]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "has no tensor 'nothing'; there are: 0.bias, 0.weight"),
        ("es", "no hay ningún tensor 'nothing'; hay: 0.bias, 0.weight"),
    ],
)
def test_no_chain_to_what_is_not_there(language: str, words: str, program: Path, capsys: pytest.CaptureFixture[str]):
    """That is said, with the names that there are."""
    assert main(["see", "--as-torch", "--lang", language, "--to", "nothing", str(program), "1"]) == 0
    assert words in capsys.readouterr().out


def test_exit_status_and_enough_steps(program: Path, capsys: pytest.CaptureFixture[str]):
    """The program's own, and --steps."""
    program.write_text(PROGRAM + "sys.exit(5)\n", encoding="utf-8")
    assert main(["see", "--as-torch", "--lang", "en", str(program), "1"]) == 5
    assert "exit status 5" in capsys.readouterr().out
    assert main(["see", "--as-torch", "--steps", "2", "--lang", "en", str(program), "1000000"]) == 0
    assert "ended after 2 steps, as asked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["see", "nowhere.py"], "no program nowhere.py"), (["see", "empty.py"], "nothing was recorded"),
        (["see", "--picture", "a.jpg", "train.py"], "ends in .svg or .png"), (["page", "nowhere.py"], "no program nowhere.py"),
    ],
)  # fmt: skip
def test_what_the_user_can_mend(given: list[str], complaint: str, program: Path, capsys: pytest.CaptureFixture[str]):
    """One line, exit status 1."""
    Path("empty.py").write_text("x = 'import torch'\n", encoding="utf-8")
    assert main([*given[:1], "--lang", "en", *given[1:]]) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert ("--as-torch" in error) == ("empty.py" in given)


def test_ctrl_c_keeps_the_record(program: Path):
    """What was seen until then is shown, and the exit status is that of an interrupted program."""
    program.write_text(PROGRAM.replace("    optimizer.step()", "    optimizer.step()\n    print('step', flush=True)"), encoding="utf-8")
    process = subprocess.Popen([*COMMAND, "see", "--as-torch", "--lang", "en", str(program), "1000000"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "It was interrupted" in rest
    assert "2.weight" in rest


def test_page_is_served_while_the_program_runs(program: Path):
    """The address is printed; the page has the step; Ctrl-C ends it with the program's exit status."""
    process = subprocess.Popen(
        [*COMMAND, "page", "--as-torch", "--lang", "en", str(program), "3"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    for line in process.stdout:
        if "until Ctrl-C" in line:
            break
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert text.startswith("<!doctype html>")
    assert "2.weight" in text
    assert process.returncode == 0


def test_texts_are_complete():
    """Both languages say the same things."""
    assert SEE["en"].keys() == SEE["es"].keys()
