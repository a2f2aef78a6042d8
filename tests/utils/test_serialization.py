"""Files go from one library to the other, and reading one runs no code."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

import retrograd as torch
from tests.oracle import needs_torch, plain
from tests.oracle import torch as theirs


def objects(t):
    """What a file may hold."""
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(3, 2), t.nn.BatchNorm1d(2))
    base = t.arange(10.0)
    return {
        "state": net.state_dict(), "parameter": net[0].weight, "view": base[2:6], "base": base, "matrix": t.arange(6.0).reshape(2, 3).T, "empty": t.zeros(0, 3), "scalar": t.tensor(3),
        "flags": t.tensor([True, False]), "half": t.ones(2, dtype=t.bfloat16), "complex": t.ones(2, dtype=t.complex64), "size": t.Size([1, 2]), "dtype": t.int8,
        "plain": [1, 2.5, "text", None, True, (1, 2), {"a": 1}, 1j],
    }  # fmt: skip


def written(library, what) -> io.BytesIO:
    """A file in memory."""
    file = io.BytesIO()
    library.save(what, file)
    file.seek(0)
    return file


def compare(a, b) -> None:
    """Raises unless two sets of objects hold the same."""
    for key in ("parameter", "view", "matrix", "empty", "scalar", "flags", "complex"):
        assert plain(a[key]).tolist() == plain(b[key]).tolist(), key
    assert {k: v.tolist() for k, v in a["state"].items()} == {k: v.tolist() for k, v in b["state"].items()}
    assert a["plain"] == b["plain"]
    assert tuple(a["size"]) == tuple(b["size"])
    assert str(a["dtype"]) == str(b["dtype"])


def test_what_is_saved_is_loaded():
    """Values, types, and memory that is shared."""
    found = torch.load(written(torch, objects(torch)))
    compare(found, objects(torch))
    assert isinstance(found["parameter"], torch.nn.Parameter)
    found["base"][3] = 99
    assert found["view"].tolist() == [2, 99, 4, 5]


@needs_torch
def test_pytorch_reads_ours_and_we_read_pytorchs():
    """Also strides, parameters and bfloat16."""
    compare(theirs.load(written(torch, objects(torch))), objects(torch))
    found = torch.load(written(theirs, objects(theirs)))
    compare(found, objects(theirs))
    assert found["matrix"].stride() == objects(theirs)["matrix"].stride()
    assert found["half"].dtype is torch.bfloat16


@needs_torch
def test_a_network_trained_there_goes_on_here():
    """Module and optimizer state."""
    net = theirs.nn.Linear(3, 2)
    optimizer = theirs.optim.Adam(net.parameters())
    net(theirs.ones(1, 3)).sum().backward()
    optimizer.step()
    saved = torch.load(written(theirs, {"net": net.state_dict(), "optimizer": optimizer.state_dict()}))
    mine = torch.nn.Linear(3, 2)
    mine.load_state_dict(saved["net"])
    other = torch.optim.Adam(mine.parameters())
    other.load_state_dict(saved["optimizer"])
    for step in (optimizer, other):
        step.zero_grad()
    net(theirs.ones(1, 3)).sum().backward()
    mine(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    other.step()
    assert mine.weight.tolist() == pytest.approx([pytest.approx(row, rel=1e-6) for row in net.weight.tolist()])


class Trap:
    """Runs a function when it is unpickled."""

    def __reduce__(self):
        return (print, ("this ran",))


@pytest.mark.parametrize("weights_only", [True, False, None])
def test_no_code_is_run(weights_only, capsys: pytest.CaptureFixture[str]):
    """Whatever is asked for."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap(), 2))
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
        torch.load(file, weights_only=weights_only)
    assert not capsys.readouterr().out


def test_damaged_files(tmp_path: Path):
    """A clear error for each kind of damage; a failed save leaves the old file."""
    good = written(torch, {"a": torch.ones(100)}).getvalue()
    cases = {b"": EOFError, b"hello world": RuntimeError, good[:200]: RuntimeError, good[:-30]: RuntimeError}
    for content, error in cases.items():
        with pytest.raises(error):
            torch.load(io.BytesIO(content))
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "none.pt")
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(TypeError, match="state_dict"):
        torch.save({"net": torch.nn.Linear(2, 2)}, path)
    assert torch.load(path)["a"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_a_tensor_that_does_not_lie_in_its_storage_is_refused():
    """Numbers in a file are not trusted."""
    with pytest.raises(RuntimeError, match="does not lie in its storage"):
        torch.serialization.rebuilt(torch.ones(3).numpy(), 2, (5,), (1,), False, torch.float32)
