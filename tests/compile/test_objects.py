"""Object code: found in the process, found in the folder, made anew; never taken if it is damaged or of another processor."""

from __future__ import annotations

import ctypes
import os
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from retrograd.compile.native import cache, limits, objects, pool
from retrograd.compile.native.cache import Folder
from retrograd.compile.native.entry import Runner, Step
from retrograd.compile.native.host import architecture, cache_size, host, vectors

from .native_kernels import ADD, address, table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache folder, and a function that forgets what this process has loaded."""
    monkeypatch.setenv("RETROGRAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("RETROGRAD_CACHE", raising=False)
    monkeypatch.delenv("RETROGRAD_CACHE_SIZE", raising=False)

    def forget():
        cache.folder.cache_clear()
        objects.fingerprint.cache_clear()
        monkeypatch.setattr(objects, "counts", objects.Counts())

    forget()
    yield forget
    monkeypatch.undo()
    forget()


def code_of(text: str) -> bytes:
    """The object code of a kernel, through the cache folder."""
    return objects.object_code(text, "kernel", lambda: text)


def text_of(amount: float) -> str:
    """A kernel that no other test uses."""
    return ADD.replace("AMOUNT", repr(float(amount)))


def run(kernel: int, x: np.ndarray) -> np.ndarray:
    """One kernel over an array."""
    out = np.zeros_like(x)
    Runner([Step(kernel, table(x, out), x.size, x.size, True)], [])()
    return out


def kept(tmp_path: Path) -> list[Path]:
    """The files of object code in the folder."""
    return sorted((tmp_path / "cache").glob("*.o"))


def test_a_module_is_built_once_per_key():
    """A module of the IR builder; functions of the same name do not clash."""
    built = []

    def build(amount):
        built.append(amount)
        module = ir.Module()
        i64, double = ir.IntType(64), ir.DoubleType()
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ir.PointerType(), i64, i64]), "same_name")
        b = ir.IRBuilder(function.append_basic_block())
        out = b.load(b.gep(function.args[0], [i64(1)], source_etype=ir.PointerType()), typ=ir.PointerType())
        b.store(double(amount), out)
        b.ret_void()
        return module

    stages = [
        objects.Stage(f"built once {a} {os.getpid()} {time.time()}", "same_name", lambda a=a: build(a), (), 1, 1, 0, 0, "")
        for a in (3.0, 4.0, 5.0)
    ]
    addresses = objects.addresses_of([*stages, stages[0]])
    assert objects.addresses_of(stages) == addresses[:3]
    assert objects.load(stages[1].key, "same_name", lambda: build(9.0)) == addresses[1]
    assert addresses[3] == addresses[0]
    assert len(set(addresses)) == 3
    assert len(built) <= 3
    assert [run(a, np.zeros(1))[0] for a in addresses] == [3.0, 4.0, 5.0, 3.0]


def test_code_is_found_in_the_folder(fresh, tmp_path):
    """What one process has compiled, the next one reads."""
    code = code_of(text_of(11.0))
    assert (objects.counts.compiled, objects.counts.read) == (1, 0)
    assert len(kept(tmp_path)) == 1
    fresh()
    assert objects.object_code(text_of(11.0), "kernel", lambda: pytest.fail("built again")) == code
    assert (objects.counts.compiled, objects.counts.read) == (0, 1)


def test_the_folder_is_its_owners():
    """Nobody else may put code there."""
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"retrograd-owner-{os.getpid()}"
    folder = Folder(place)
    folder.write("a", b"x")
    try:
        if os.name == "posix":
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert folder.read("a") == b"x"
        assert folder.read("b") is None
    finally:
        (place / "a").unlink()
        place.rmdir()


@pytest.mark.parametrize("damage", ["empty", "short", "longer", "one bit", "head", "zeros"])
def test_damaged_files_are_rebuilt(fresh, tmp_path, damage):
    """A file that is not what was written is removed and written again."""
    code = code_of(text_of(12.0))
    [path] = kept(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-7] ^= 4
    damaged = {
        "empty": b"",
        "short": whole[:-1],
        "longer": whole + b"\0",
        "one bit": bytes(flipped),
        "head": b"X" + whole[1:],
        "zeros": bytes(len(whole)),
    }
    path.write_bytes(damaged[damage])
    fresh()
    assert code_of(text_of(12.0)) == code
    assert objects.counts.compiled == 1
    assert path.read_bytes() == whole


def test_code_of_another_processor_is_not_taken(fresh, tmp_path, monkeypatch):
    """The name of a file depends on the processor, its features, the versions and the generators."""
    code_of(text_of(13.0))
    for name, value in (("host", lambda: host_like(cpu="other")), ("host", lambda: host_like(features="+none")), ("PIPELINE", "other")):
        fresh()
        if name == "PIPELINE":
            monkeypatch.setattr(objects.llvmlite, "__version__", "0.0.0")
        else:
            monkeypatch.setattr(objects, name, value)
        before = len(kept(tmp_path))
        code_of(text_of(13.0))
        assert objects.counts.compiled == 1
        assert len(kept(tmp_path)) == before + 1


def host_like(**facts):
    """This host, but for some facts."""
    from dataclasses import replace

    return replace(host(), **facts)


def test_a_changed_generator_never_meets_old_code(fresh, monkeypatch, tmp_path):
    """The fingerprint holds the text of every file in the folder of generators."""
    before = objects.fingerprint()
    copy = tmp_path / "native"
    copy.mkdir()
    for path in Path(objects.__file__).parent.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(objects, "__file__", str(copy / "objects.py"))
    objects.fingerprint.cache_clear()
    assert objects.fingerprint() == before
    for name in ("gone.py", "entry.ll"):
        with (copy / name).open("a") as file:
            file.write("\n")
        objects.fingerprint.cache_clear()
        assert objects.fingerprint() != before
        before = objects.fingerprint()


def test_the_folder_is_bounded(tmp_path):
    """The files that were not used for longest go, and what was left half written."""
    folder = Folder(tmp_path, limit=10_000)
    (tmp_path / "left.part").write_bytes(bytes(100))
    os.utime(tmp_path / "left.part", (1, 1))
    (tmp_path / "fresh.part").write_bytes(bytes(100))
    now = time.time()
    for i in range(9):
        folder.write(f"{i}", bytes(1000))
        os.utime(tmp_path / str(i), (now - 9000 + i, now - 9000 + i))
    assert folder.read("0") is not None  # used: it is the newest now
    folder.write("9", bytes(1000))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"0", "9", "fresh.part"} <= names
    assert not {"1", "2", "left.part"} & names
    assert folder.count() <= 7500 + 100
    assert folder.read("9") == bytes(1000)


def test_the_bound_is_set_in_megabytes(fresh, monkeypatch):
    """RETROGRAD_CACHE_SIZE."""
    monkeypatch.setenv("RETROGRAD_CACHE_SIZE", "3")
    assert cache.folder().limit == 3 << 20
    cache.folder.cache_clear()
    monkeypatch.setenv("RETROGRAD_CACHE_SIZE", "a lot")
    with pytest.raises(ValueError, match="whole number of megabytes, but it is set to 'a lot'"):
        cache.folder()


def test_the_folder_follows_the_environment(fresh, monkeypatch, tmp_path):
    """$RETROGRAD_CACHE_DIR, $XDG_CACHE_HOME, ~/.cache; none if RETROGRAD_CACHE=0."""
    assert cache.folder().path == tmp_path / "cache"
    for variable, value, expected in (
        ("XDG_CACHE_HOME", tmp_path / "xdg", tmp_path / "xdg" / "retrograd"),
        ("HOME", tmp_path / "home", tmp_path / "home" / ".cache" / "retrograd"),
    ):
        monkeypatch.delenv("RETROGRAD_CACHE_DIR", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv(variable, str(value))
        cache.folder.cache_clear()
        assert cache.folder().path == expected
    monkeypatch.setenv("RETROGRAD_CACHE", "0")
    cache.folder.cache_clear()
    assert cache.folder() is None
    code_of(text_of(14.0))
    code_of(text_of(14.0))
    assert objects.counts.compiled == 2


def test_a_folder_that_cannot_be_written_is_done_without(fresh, monkeypatch, tmp_path):
    """One warning, and no more attempts."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RETROGRAD_CACHE_DIR", str(tmp_path / "file" / "cache"))
    cache.folder.cache_clear()
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        code_of(text_of(15.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code_of(text_of(15.5))
    assert objects.counts.compiled == 2


PROCESS = """
import sys, time
import numpy as np
from tests.compile.native_kernels import ADD, address, table
from retrograd.compile.native import objects
from retrograd.compile.native.entry import Runner, Step
while time.time() < float(sys.argv[1]):
    pass
for amount in range(20):
    x, out = np.arange(10.0), np.zeros(10)
    Runner([Step(address(ADD, 100.0 + amount), table(x, out), 10, 10, True)], [])()
    assert (out == x + 100 + amount).all()
print(objects.counts.compiled, objects.counts.read)
"""


def test_processes_share_the_folder(tmp_path):
    """Three at once, while the folder is bounded to less than they write; then one that finds everything in an unbounded one."""
    for size in ("0", "256"):
        environment = {**os.environ, "RETROGRAD_CACHE_DIR": str(tmp_path / size), "RETROGRAD_CACHE_SIZE": size}
        start = str(time.time() + 1.0)
        command = [sys.executable, "-W", "error", "-c", PROCESS, start]
        running = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for process in running:
            process.communicate(timeout=120)
            assert process.returncode == 0
        assert not list((tmp_path / size).glob("*.part"))
    last = subprocess.run([*command[:-1], "0"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert last.stdout.split() == ["0", "22"]  # with the pool and the entry


def test_kernels_may_call_the_library_and_read_constants():
    """Calls and tables reach, however far apart the system puts memory."""
    text = """
    @numbers = internal constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]
    declare double @llvm.pow.f64(double, double)
    declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
    define void @kernel(ptr %table, i64 %begin, i64 %end) {
      %x = load ptr, ptr %table
      %y.at = getelementptr ptr, ptr %table, i64 1
      %y = load ptr, ptr %y.at
      call void @llvm.memcpy.p0.p0.i64(ptr %y, ptr @numbers, i64 32, i1 false)
      %last = getelementptr double, ptr %y, i64 3
      %exponent = load double, ptr %x
      %base = load double, ptr %last
      %power = call double @llvm.pow.f64(double %base, double %exponent)
      store double %power, ptr %last
      ret void
    }
    """
    result = run(objects.load(text, "kernel", lambda: text), np.full(4, 1.5))
    np.testing.assert_allclose(result, [1.0, 2.0, 4.0, 8.0**1.5], rtol=1e-15)


def test_a_missing_symbol_is_an_error():
    """The name of the function that was asked for is in the message."""
    with pytest.raises(NameError, match="other"):
        objects.load("missing symbol", "other", lambda: text_of(1.0))


def test_the_host_is_what_the_system_says():
    """The facts that kernels are specialised to."""
    h = host()
    assert h.vector_bits in (128, 256, 512)
    assert h.vector_registers in (16, 32)
    assert h.lanes(np.float32) == 2 * h.lanes(np.float64) == h.vector_bits // 32
    assert 8 << 10 <= h.l1 <= h.l2 <= h.l3
    assert 1 <= h.cores <= (os.cpu_count() or 1)
    assert h.cpu
    assert cache_size(9, default=77) == 77
    assert vectors({"avx512f": True, "avx512vl": True, "avx512dq": True}, "x86") == (512, 32)
    assert vectors({"avx512f": True, "avx2": True, "fma": True}, "x86") == (256, 16)
    assert vectors({}, "x86") == (128, 16)
    assert vectors({"neon": True}, "arm") == vectors({}, "arm") == (128, 32)


@pytest.mark.parametrize(
    ("machine", "family"), [("x86_64", "x86"), ("AMD64", "x86"), ("aarch64", "arm"), ("arm64", "arm"), ("ppc64le", ""), ("i686", "")]
)
def test_architecture(monkeypatch: pytest.MonkeyPatch, machine: str, family: str):
    """By the names that systems have for it."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert architecture() == family


def test_the_pool_is_compiled_for_other_processors():
    """The modules in LLVM assembly are right for ARM too, and ask for nothing there but the functions that they name."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for triple, pause in (("aarch64-unknown-linux-gnu", "arm"), ("arm64-apple-darwin", "arm"), ("x86_64-pc-windows-msvc-elf", "x86")):
        machine = llvm.Target.from_triple(triple).create_target_machine(opt=2)
        for name in ("pool.ll", "entry.ll"):
            system = pool.WINDOWS.replace("TICK", "100") if "windows" in triple else pool.POSIX.replace("CLOCK", "1")
            text = system + pool.PAUSES[pause] + (Path(pool.__file__).parent / name).read_text()
            module = llvm.parse_assembly(text)
            module.triple, module.data_layout = triple, str(machine.target_data)
            module.verify()
            code = machine.emit_assembly(module)
            assert "__aarch64" not in code
            assert "__atomic" not in code
            assert len(machine.emit_object(module)) > 1000


def test_the_limits_are_measured_once_and_kept(fresh):
    """In plausible proportions, and the same numbers again."""
    limits.limits.cache_clear()
    began = time.perf_counter()
    found = limits.limits()
    assert time.perf_counter() - began < 5.0
    limits.limits.cache_clear()
    fresh()
    assert limits.limits() == found
    assert found.float32 > 1.2 * found.float64 > 1e8
    assert found.l2 > 1e9
    assert 1e8 < found.memory < 1e12
    limits.limits.cache_clear()


def test_addresses_can_be_called():
    """The calling convention of kernels."""
    x, y = np.arange(8.0), np.zeros(8)
    t = table(x, y)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address(ADD, 2.0))(t.ctypes.data, 2, 5)
    assert y.tolist() == [0, 0, 4, 5, 6, 0, 0, 0]
