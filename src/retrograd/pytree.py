"""Nested tuples, lists, dicts and named tuples taken apart into leaves and put together again. Knows nothing of tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class TreeSpec(NamedTuple):
    """The structure of a tree: the container's type (None for a leaf), its keys, and its children's structures."""

    type: type | None
    keys: Any
    children: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        """How many leaves the tree has."""
        return 1 if self.type is None else sum(child.num_leaves for child in self.children)


LEAF = TreeSpec(None, None, ())


def _children(tree: Any) -> tuple[Any, list[Any]] | None:
    if isinstance(tree, dict) and type(tree) in (dict, OrderedDict):
        return list(tree), list(tree.values())
    if type(tree) in (tuple, list) or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return None, list(tree)
    return None


def tree_flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of `tree` in order, and its structure.

    >>> tree_flatten({"a": [1, 2], "b": 3})[0]
    [1, 2, 3]
    """
    parts = _children(tree)
    if parts is None:
        return [tree], LEAF
    keys, values = parts
    leaves: list[Any] = []
    specs = []
    for value in values:
        more, spec = tree_flatten(value)
        leaves += more
        specs.append(spec)
    return leaves, TreeSpec(type(tree), keys, tuple(specs))


def tree_unflatten(leaves: Sequence[Any], spec: TreeSpec) -> Any:
    """The tree of structure `spec` with these leaves. Raises ValueError if their number differs.

    >>> tree_unflatten([1, 2], tree_flatten((0, [0]))[1])
    (1, [2])
    """
    if len(leaves) != spec.num_leaves:
        raise ValueError(f"the tree has {spec.num_leaves} leaves, but {len(leaves)} were given")
    return _build(iter(leaves), spec)


def _build(leaves: Any, spec: TreeSpec) -> Any:
    if spec.type is None:
        return next(leaves)
    values = [_build(leaves, child) for child in spec.children]
    if spec.keys is not None:
        return spec.type(zip(spec.keys, values, strict=True))
    return spec.type(*values) if hasattr(spec.type, "_fields") else spec.type(values)


def tree_map(fn: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`fn` applied to every leaf (and to the leaves in the same places of `rest`).

    >>> tree_map(lambda n: n + 1, (1, {"a": 2}))
    (2, {'a': 3})
    """
    leaves, spec = tree_flatten(tree)
    others = [tree_flatten(t)[0] for t in rest]
    return tree_unflatten([fn(*xs) for xs in zip(leaves, *others, strict=True)], spec)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of `tree` in order."""
    return tree_flatten(tree)[0]
