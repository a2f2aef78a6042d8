"""Imports go down: no module imports one of a layer above its own (see docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import retrograd

ROOT = Path(retrograd.__file__).parent

# Every layer may import itself and those before it.
LAYERS = [
    ["errors", "dtypes", "shapes", "pytree", "config", "device"],
    ["core"],
    ["ops"],
    ["autograd", "func"],
    ["nn", "optim", "utils", "methods", "linalg", "special", "random", "serialization", "legacy", "cuda", "backends"],
    ["compile"],
    ["seeing"],
    ["datasets", "cli"],
]
EXCEPTIONS = {
    ("ops/normalize.py", "autograd.modes"),  # running statistics are updated without being recorded
}


def layer_of(name: str) -> int:
    """The layer of a module under `retrograd`."""
    first = name.split(".")[0]
    return next(i for i, layer in enumerate(LAYERS) if first in layer)


def imports(path: Path) -> set[str]:
    """What a file imports from the package, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("retrograd."):
            found.add(node.module.removeprefix("retrograd."))
        elif isinstance(node, ast.ImportFrom) and node.module == "retrograd":
            found |= {alias.name for alias in node.names if any(alias.name in layer for layer in LAYERS)}
    return found


def test_imports_go_down():
    """No file imports from a higher layer."""
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name == "__init__.py":
            continue
        mine = layer_of(name.removesuffix(".py").split("/")[0])
        wrong += [f"{name} imports {m}" for m in imports(path) if layer_of(m) > mine and (name, m) not in EXCEPTIONS]
    assert not wrong, "\n".join(wrong)


def test_llvmlite_is_not_imported_before_it_is_needed():
    """The package trains without it."""
    import subprocess
    import sys

    code = (
        "import sys, retrograd as torch; net = torch.nn.Linear(2, 1); o = torch.optim.SGD(net.parameters(), lr=0.1);"
        "net(torch.ones(1, 2)).sum().backward(); o.step(); sys.exit('llvmlite' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pytorch_is_never_imported():
    """No file of the package imports it."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not any(n.split(".")[0] == "torch" for n in names), path
