"""A folder of small files that spare work done before: object code and what was measured of the machine.

Several processes may use it at once. What is damaged is as good as absent, and where the folder cannot be used, programs
run without it. Knows nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

MAGIC = b"retrograd 1\n"
DIGEST = hashlib.sha256().digest_size
DEFAULT_LIMIT = 256 << 20  # bytes
HOUR = 3600.0


class Folder:
    """A folder of files that hold at most `limit` bytes together; those that were not used for longest go first."""

    def __init__(self, path: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.path = path
        self.limit = limit
        self.total: int | None = None  # bytes in the folder, roughly: others write there too; None: not counted yet
        self.usable = True

    def read(self, name: str) -> bytes | None:
        """What was written under a name; None if nothing was, or it is damaged."""
        path = self.path / name
        try:
            content = path.read_bytes()
            if not is_whole(content):
                path.unlink(missing_ok=True)
                return None
            if time.time() - path.stat().st_mtime > HOUR:
                os.utime(path)  # used
        except OSError:
            return None
        return content[len(MAGIC) + DIGEST :]

    def write(self, name: str, payload: bytes) -> None:
        """Keeps `payload` under a name. Whoever reads meanwhile sees all of it, or what was there before."""
        if not self.usable:
            return
        content = MAGIC + hashlib.sha256(payload).digest() + payload
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.path, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.replace(temporary, self.path / name)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            self.usable = False
            message = f"compiled code is not kept: {self.path} cannot be written ({error}); set RETROGRAD_CACHE_DIR to a folder that can"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
            return
        self.total = self.count() if self.total is None else self.total + len(content)
        if self.total > self.limit:
            self.prune()

    def files(self) -> list[tuple[float, int, str]]:
        """When each file was last used, its size, and its path; oldest first."""
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                try:
                    status = entry.stat()
                except OSError:  # another process has removed it
                    continue
                if entry.is_file():
                    found.append((status.st_mtime, status.st_size, entry.path))
        return sorted(found)

    def count(self) -> int:
        """The bytes in the folder."""
        return sum(size for _, size, _ in self.files())

    def prune(self) -> None:
        """Removes the files that were not used for longest, until a quarter of the limit is free, and what a killed process left half written."""
        files = self.files()
        self.total = sum(size for _, size, _ in files)
        for used, size, path in files:
            unfinished = path.endswith(".part")
            if unfinished and time.time() - used < HOUR:
                continue  # someone is writing it
            if not unfinished and self.total <= self.limit * 3 // 4:
                continue
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            except OSError:  # in use, where the system minds
                continue
            self.total -= size


def is_whole(content: bytes) -> bool:
    """Whether a file holds what was once written to it."""
    head = len(MAGIC) + DIGEST
    return content.startswith(MAGIC) and content[len(MAGIC) : head] == hashlib.sha256(content[head:]).digest()


@cache
def folder() -> Folder | None:
    """The folder of this process, by its environment; None if RETROGRAD_CACHE=0.

    It is $RETROGRAD_CACHE_DIR, or `retrograd` in $XDG_CACHE_HOME or ~/.cache. $RETROGRAD_CACHE_SIZE bounds it, in megabytes.
    """
    if os.environ.get("RETROGRAD_CACHE") == "0":
        return None
    own = os.environ.get("RETROGRAD_CACHE_DIR")
    if own:
        path = Path(own)
    else:
        common = os.environ.get("XDG_CACHE_HOME")
        path = (Path(common) if common else Path(os.path.expanduser("~")) / ".cache") / "retrograd"
    size = os.environ.get("RETROGRAD_CACHE_SIZE")
    if size is not None and not size.isdecimal():
        raise ValueError(f"RETROGRAD_CACHE_SIZE is a whole number of megabytes, but it is set to {size!r}")
    return Folder(path, int(size) << 20 if size else DEFAULT_LIMIT)
