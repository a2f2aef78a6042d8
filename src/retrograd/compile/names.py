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
TAKERS = {"getattr", "hasattr", "setattr", "delattr"}  # what takes an attribute by a name that is an argument
SILENT = {"PRECALL", "KW_NAMES", "NOP", "CACHE", "EXTENDED_ARG"}  # instructions that leave the stack as it is
ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "STORE_ATTR", "DELETE_ATTR", "IMPORT_FROM"}


class Import(NamedTuple):
    """A module that code imports: its name, how many packages up it is sought, and the names that are taken from it."""

    module: str
    level: int
    taken: tuple[str, ...]


class Names(NamedTuple):
    """What code mentions, that of functions within it too.

    read: globals. attributes: of whatever. optional: attributes that are set or asked for, and may be missing. strings: constants. imports:
    modules. worked_out: functions that take attributes by names that are no constants.
    """

    read: frozenset[str]
    attributes: frozenset[str]
    optional: frozenset[str]
    strings: frozenset[str]
    imports: frozenset[Import]
    worked_out: frozenset[str]


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
    optional: set[str] = set()
    strings: set[str] = set()
    imports: set[Import] = set()
    worked_out: set[str] = set()
    instructions = list(dis.get_instructions(code))
    constants: list[object] = [None, None]  # the last two that were loaded
    for i, instruction in enumerate(instructions):
        if instruction.opname in GLOBALS:
            read.add(instruction.argval)
            if instruction.argval in TAKERS:
                name = constant_name(instructions[i:])
                if name is None:
                    worked_out.add(instruction.argval)
                else:
                    attributes.add(name)
                    optional.add(name)
        elif instruction.opname in ATTRIBUTES:
            attributes.add(instruction.argval)
            if instruction.opname == "STORE_ATTR":
                optional.add(instruction.argval)
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
            optional |= within.optional
            strings |= within.strings
            imports |= within.imports
            worked_out |= within.worked_out
    return Names(frozenset(read), frozenset(attributes), frozenset(optional), frozenset(strings), frozenset(imports), frozenset(worked_out))


def constant_name(instructions: list[dis.Instruction]) -> str | None:
    """The second argument of the call of the function that the first instruction loads, if that is a constant string."""
    depth, name = 0, None  # how many arguments lie on the stack
    for instruction in instructions[1:]:
        if instruction.opname == "CALL" and depth == instruction.arg:
            return name
        if instruction.opname in SILENT:
            continue
        if "JUMP" in instruction.opname or "RETURN" in instruction.opname:
            return None
        before = depth
        if instruction.opname == "CALL":
            depth -= (instruction.arg or 0) + 1
        else:
            depth += dis.stack_effect(instruction.opcode, instruction.arg if instruction.opcode >= dis.HAVE_ARGUMENT else None, jump=False)
        if (before, depth) == (1, 2):
            name = instruction.argval if instruction.opname == "LOAD_CONST" and isinstance(instruction.argval, str) else None
        elif depth <= 2:  # something was made of what lay there
            name = None
    return None
