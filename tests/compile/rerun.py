"""A recorded call, to be run again by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.compile.capture import record
from retrograd.compile.entry import MISS, Entry, Guards, mode
from retrograd.compile.reach import Reach
from retrograd.compile.replay import Replay
from retrograd.pytree import tree_flatten


def recorded(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Entry | None, str | None]:
    """The result of a call, and the way into its program, or the reason why there is none."""
    now = mode()
    assert now is not None
    guards = Guards(args, kwargs, Reach(("function", function)), now)
    result, program, why = record(function, args, kwargs)
    if program is None:
        return result, None, why
    return result, Entry(program, Replay(program), guards, tree_flatten(result)[1]), None


def again(entry: Entry, *args: Any) -> Any:
    """The program run on other arguments, which must fit."""
    result = entry.call(args, {})
    assert result is not MISS, entry.guards.explain(args, {})
    return result
