"""What the arguments of a call consist of: trees of lists, tuples and dicts, and of dataclasses, which are made anew for each call as often as not."""

from __future__ import annotations

import dataclasses
from typing import Any

from retrograd.pytree import tree_map


def is_record(value: Any) -> bool:
    """Whether a value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def parts_of(record: Any) -> dict[str, Any]:
    """The attributes of an instance of a dataclass, by name."""
    if hasattr(record, "__dict__"):
        return vars(record)
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if hasattr(record, f.name)}


def opened(tree: Any) -> Any:
    """A tree with (class, attributes) in the place of every instance of a dataclass."""
    return tree_map(lambda x: (type(x), opened(dict(parts_of(x)))) if is_record(x) else x, tree)


def lists_in(tree: Any) -> list[Any]:
    """The lists and dicts that a tree consists of."""
    if is_record(tree):
        return [x for part in parts_of(tree).values() for x in lists_in(part)]
    if not isinstance(tree, (list, tuple, dict)):
        return []
    items = tree.values() if isinstance(tree, dict) else tree
    return ([] if isinstance(tree, tuple) else [tree]) + [x for item in items for x in lists_in(item)]
