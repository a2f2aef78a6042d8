"""Compiled code of the tests goes to a folder of its own, not to the user's cache."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("RETROGRAD_CACHE_DIR", str(Path(tempfile.gettempdir()) / "retrograd-tests"))
