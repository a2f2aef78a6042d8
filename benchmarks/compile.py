"""Compiled Retrograd beside PyTorch eager, torch.compile and JAX: `python -m benchmarks compile`.

Every row is measured in a process of its own, in which the contenders take turns (`alone.py` says why). What they compute in their first
three steps is compared before it is timed; whoever disagrees is reported as WRONG and has no time. Ratios above 1 mean that Retrograd
is faster: x eager beside PyTorch eager, x peer beside the fastest of all peers. The goals were set from measurements on machines
with 2 cores.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import retrograd
from benchmarks.contenders import PEERS, installed_peers, retrograd_can_compile
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.workload import Workload
from retrograd.cli.timing import shown

FRESH_ROWS = ("note-16", "gpt-large")  # whose compile time and memory are measured
LONGEST = 900  # seconds that one process may take


def chosen_rows(text: str) -> list[str]:
    """The keys that are one of these, separated by commas, or that begin with one that is no key."""
    beginnings = [part.strip() for part in text.split(",") if part.strip()]
    if not beginnings or not all(any(key.startswith(b) for key in WORKLOADS) for b in beginnings):
        raise argparse.ArgumentTypeError(f"expected beginnings of {', '.join(WORKLOADS)}; got {text!r}")
    return [key for key in WORKLOADS if any(key == b or (b not in WORKLOADS and key.startswith(b)) for b in beginnings)]


def chosen_peers(text: str) -> list[str]:
    """Peers by name, separated by commas, of those that are installed."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    there = installed_peers()
    if wrong := [name for name in names if name not in there]:
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(PEERS)}, of which {', '.join(there) or 'none'} are installed; got {wrong}"
        )
    return names


def alone(arguments: Sequence[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What a process of its own measures; {"failed": why} if it dies."""
    command = [sys.executable, "-m", "benchmarks.alone", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {LONGEST} s"}
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


# ---------------------------------------------------------------- time of a step


def measured_row(
    workload: Workload, contenders: Sequence[str], rounds: int, seconds: float, of_turns: Callable[[list[float]], float]
) -> dict[str, Any]:
    """Times by contender, what went wrong, and the two ratios, where they can be had."""
    found = alone(["row", workload.key, *contenders, "--rounds", str(rounds), "--seconds", str(seconds)])
    if "failed" in found:
        return {"times": {}, "problems": {"the process": f"failed: {found['failed']}"}}
    times = found["times"] = {name: of_turns(turns) for name, turns in found["turns"].items()}
    peers = {name: t for name, t in times.items() if name in PEERS}
    ours = times.get("retrograd")
    if ours and "torch" in peers:
        found["times eager"] = peers["torch"] / ours
    if ours and peers:
        found["best peer"] = min(peers, key=lambda name: peers[name])
        found["times best peer"] = min(peers.values()) / ours
    if ours and workload.flop:
        found["flop per second"] = workload.flop / ours
    return found


def heading(contenders: Sequence[str], best: bool) -> str:
    """The first line of the table."""
    columns = "".join(f"{name:>16}" for name in contenders)
    return f"{'time of a step, ' + ('fastest turn' if best else 'median turn'):66}{columns}{'x eager':>10}{'goal':>6}{'x peer':>10}{'goal':>6}  best peer"


def line(workload: Workload, contenders: Sequence[str], found: dict[str, Any]) -> str:
    """A row of the table, and below it what went wrong."""
    cells = "".join(cell(found, name) for name in contenders)
    ratios = ratio(found.get("times eager"), workload.goal.eager) + ratio(found.get("times best peer"), workload.goal.peer)
    rate = f", {found['flop per second'] / 1e9:.0f} GFLOP/s" if "flop per second" in found else ""
    problems = "".join(f"\n    {name}: {problem}" for name, problem in found["problems"].items())
    return f"{workload.title[:65]:66}{cells}{ratios}  {found.get('best peer', '')}{rate}{problems}"


def cell(found: dict[str, Any], name: str) -> str:
    """A time, or in a word why there is none."""
    if name in found["times"]:
        return f"{shown(found['times'][name]):>16}"
    return f"{found['problems'].get(name, '-').split(':')[0]:>16}"


def ratio(value: float | None, goal: float) -> str:
    """A ratio and its goal, marked where it is missed."""
    if value is None:
        return f"{'-':>10}{goal:>6g}"
    return f"{value:>9.2f}{' ' if value >= goal else '!'}{goal:>6g}"


# ---------------------------------------------------------------- compiling and memory


def cache_folders(folder: str) -> dict[str, str]:
    """The environment in which all contenders keep compiled code in this folder."""
    return {
        "XDG_CACHE_HOME": folder,
        "TORCHINDUCTOR_CACHE_DIR": str(Path(folder, "inductor")),
        "JAX_COMPILATION_CACHE_DIR": str(Path(folder, "jax")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def measured_fresh(key: str, contender: str) -> dict[str, Any]:
    """Seconds of compiling with an empty cache and with a full one, and memory, each in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (alone(["fresh", key, contender], cache_folders(folder)) for _ in range(2))
    if failed := cold.get("failed") or warm.get("failed"):
        return {"failed": failed}
    return {"cold": cold["compile_seconds"], "from cache": warm["compile_seconds"], "peak bytes": warm["peak_bytes"]}


def fresh_lines(keys: Sequence[str], contenders: Sequence[str], found: dict[str, Any]) -> Iterator[str]:
    """The second table, filled into `found` as it is measured. Retrograd has its byte code, as the others have since they were installed."""
    compileall.compile_dir(Path(retrograd.__file__).parent, quiet=1)
    yield f"{'in a fresh process':30}{'contender':>16}{'cold compile':>16}{'from cache':>16}{'peak memory':>16}"
    for key in keys:
        for name in contenders:
            one = found.setdefault(key, {})[name] = measured_fresh(key, name)
            if "failed" in one:
                yield f"{key:30}{name:>16}  failed: {one['failed']}"
                continue
            compiling = "".join(f"{'-' if name == 'torch' else shown(one[k]):>16}" for k in ("cold", "from cache"))
            yield f"{key:30}{name:>16}{compiling}{one['peak bytes'] / 2**20:>13.0f} MB"


# ---------------------------------------------------------------- the program


def about() -> dict[str, Any]:
    """What the numbers depend on."""
    packages = ("retrograd", "numpy", "llvmlite", "torch", "jax")
    versions = {name: version for name in packages if (version := version_of(name))}
    cpu = [text.split(":")[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("model name")]
    return {
        "versions": versions,
        "python": platform.python_version(),
        "processor": (cpu or [platform.processor()])[0],
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "retrograd compiled": retrograd_can_compile(),
    }


def version_of(package: str) -> str | None:
    """Its version, if it is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks compile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--rows", type=chosen_rows, default=list(WORKLOADS), help=f"beginnings of: {', '.join(WORKLOADS)} (default: all)")
    top.add_argument("--peers", type=chosen_peers, default=installed_peers(), help=f"some of {', '.join(PEERS)} (default: all installed)")
    top.add_argument("--eager", action="store_true", help="Retrograd without compiling as well")
    top.add_argument("--rounds", type=int, default=15, help="turns of each contender (default: %(default)s)")
    top.add_argument("--seconds", type=float, default=0.05, help="length of a turn (default: %(default)s)")
    top.add_argument("--best", action="store_true", help="take the fastest turn, not the median one: for a machine that others load")
    top.add_argument("--no-fresh", action="store_true", help="leave out compile times and memory")
    top.add_argument("--json", type=Path, help="file for all that was measured")
    return top


def main(argv: Sequence[str] = ()) -> int:
    """Prints the tables. Returns the exit status: 1 if anybody was wrong or failed."""
    given = parser().parse_args(argv)
    contenders = ["retrograd", *(["retrograd-eager"] if given.eager else []), *given.peers]
    facts = about()
    print(", ".join(f"{name} {version}" for name, version in facts["versions"].items()))
    print(f"{facts['processor']}, {facts['cores']} cores, load {facts['load']:.1f}; ! marks a missed goal")
    if not facts["retrograd compiled"]:
        print("this Retrograd has no compile: its column is EAGER")
    print(f"\n{heading(contenders, given.best)}")
    found: dict[str, Any] = {"about": facts, "rows": {}, "fresh": {}}
    for key in given.rows:
        row = found["rows"][key] = measured_row(WORKLOADS[key], contenders, given.rounds, given.seconds, min if given.best else median)
        print(line(WORKLOADS[key], contenders, row), flush=True)
    if not given.no_fresh and (keys := [key for key in FRESH_ROWS if key in given.rows]):
        print()
        for text in fresh_lines(keys, contenders, found["fresh"]):
            print(text, flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    wrong = any(not p.startswith("absent") for row in found["rows"].values() for p in row["problems"].values())
    return int(wrong or any("failed" in one for ones in found["fresh"].values() for one in ones.values()))
