"""What code mentions: the globals, attributes and modules that a code object names, and whose code it is. Knows nothing of values."""

from __future__ import annotations

import dis
import functools
import os
import site
import sys
import types
from typing import NamedTuple

from retrograd.errors import PACKAGE

ELSEWHERE = tuple({os.path.dirname(os.__file__) + os.sep, *(p + os.sep for p in [*site.getsitepackages(), site.getusersitepackages()])})
PLAIN_BASES = {"abc", "dataclasses", "enum", "typing"}  # whose classes bring no behaviour that depends on attributes
GLOBALS = {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "STORE_ATTR", "DELETE_ATTR", "IMPORT_FROM"}


class Import(NamedTuple):
    """A module that code imports: its name, how many packages up it is sought, and the names that are taken from it."""

    module: str
    level: int
    taken: tuple[str, ...]


class Names(NamedTuple):
    """What code mentions, that of functions within it too.

    read: globals. attributes: of whatever. written: attributes that are set. strings: constants. imports: modules.
    """

    read: frozenset[str]
    attributes: frozenset[str]
    written: frozenset[str]
    strings: frozenset[str]
    imports: frozenset[Import]


def is_elsewhere(file: str) -> bool:
    """Whether a file is this library's, the standard library's, or an installed package's."""
    return file.startswith((PACKAGE, "<frozen", *ELSEWHERE))


def is_users_class(kind: type) -> bool:
    """Whether a class is the user's: not this library's, nor the standard library's, nor an installed package's."""
    if kind.__module__ in ("__main__", "__mp_main__"):
        return True
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is not None and not is_elsewhere(file)


def is_foreign_class(kind: type) -> bool:
    """Whether a class, or one that it is derived from, is written in Python by neither the user nor this library."""
    for base in kind.__mro__:
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if file is not None and file.startswith(ELSEWHERE) and not file.startswith(PACKAGE) and base.__module__ not in PLAIN_BASES:
            return True
    return False


@functools.cache
def names_in(code: types.CodeType) -> Names:
    """What code mentions."""
    read: set[str] = set()
    attributes: set[str] = set()
    written: set[str] = set()
    strings: set[str] = set()
    imports: set[Import] = set()
    constants: list[object] = [None, None]  # the last two that were loaded
    for instruction in dis.get_instructions(code):
        if instruction.opname in GLOBALS:
            read.add(instruction.argval)
        elif instruction.opname in ATTRIBUTES:
            attributes.add(instruction.argval)
            if instruction.opname == "STORE_ATTR":
                written.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            level, taken = constants
            imports.add(
                Import(instruction.argval, level if isinstance(level, int) else 0, tuple(taken) if isinstance(taken, tuple) else ())
            )
        if instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants = [constants[1], instruction.argval]
    for constant in code.co_consts:
        if isinstance(constant, str):
            strings.add(constant)
        elif isinstance(constant, types.CodeType):
            within = names_in(constant)
            read |= within.read
            attributes |= within.attributes
            written |= within.written
            strings |= within.strings
            imports |= within.imports
    return Names(frozenset(read), frozenset(attributes), frozenset(written), frozenset(strings), frozenset(imports))
