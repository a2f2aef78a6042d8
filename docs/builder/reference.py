"""The reference: which names are public, under which heading each stands, and the Markdown that makes Sphinx read their docstrings.

Nothing is listed by hand that the package can tell. A name that no page has would be missing unnoticed, so
`tests/guide/test_reference.py` holds the pages against the package.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import retrograd
from docs.builder.texts import HEADINGS, WORDS

LANGUAGES = ("en", "es")
LEGACY = "torch"  # where `FloatTensor` and its kin say they are defined, since programs look at that

# Functions of `retrograd` by the page that has them: the modules of `ops` in which they are defined. "library" takes what is left.
FUNCTION_PAGES = {
    "creation": ("create", "sample", "convert"),
    "elementwise": ("basis", "pointwise", "arithmetic", "logic", "complexes", "activation", "special"),
    "reductions": ("reduce", "scan", "softmax", "sort", "counting", "norm", "differences", "loss"),
    "shapes": ("shape", "join", "index", "scatter", "pad", "embed", "inplace"),
    "products": ("contract", "einsum", "linalg", "factorizations", "spectral", "conv", "pool", "normalize", "recurrent"),
}
# Other pages: the modules whose public names they have.
MODULE_PAGES = {
    "nn": ("retrograd.nn",),
    "functional": ("retrograd.nn.functional",),
    "nn-tools": ("retrograd.nn.init", "retrograd.nn.utils", "retrograd.nn.utils.rnn"),
    "optim": ("retrograd.optim", "retrograd.optim.lr_scheduler"),
    "autograd": ("retrograd.autograd", "retrograd.autograd.functional", "retrograd.autograd.graph", "retrograd.autograd.forward_ad"),
    "func": ("retrograd.func",),
    "data": ("retrograd.utils.data", "retrograd.utils.checkpoint"),
    "linalg": ("retrograd.linalg", "retrograd.special"),
}
# Pages of a few names, without headings.
SHORT_PAGES = {
    "compile": (
        "retrograd.compile",
        "retrograd.compile.compiled.Compiled",
        "retrograd.compile.report.Part",
        "retrograd.errors.Uncompilable",
    ),
    "see": ("retrograd.see", "retrograd.seeing.Seen", "retrograd.seeing.Record"),
}
PAGES = ("tensor", *FUNCTION_PAGES, "library", *MODULE_PAGES, *SHORT_PAGES)
# Classes whose methods are described too: all of them, or these. Of the others, the class itself says what it does.
MEMBERS = {
    "retrograd.nn.Module": "",
    "retrograd.optim.Optimizer": "",
    "retrograd.autograd.Function": "",
    "retrograd.Generator": "",
    "retrograd.seeing.Seen": "",
    "retrograd.seeing.Record": "",
    "retrograd.compile.compiled.Compiled": "programs, graph, kernels, report, loop",
}
# Nobody else makes these.
MADE_BY_THE_LIBRARY = (
    "retrograd.compile.compiled.Compiled",
    "retrograd.compile.report.Part",
    "retrograd.seeing.Seen",
    "retrograd.seeing.Record",
)
# What a module without `__all__` imports for its own use.
NOT_PUBLIC = {
    "retrograd.autograd": {"Variable"},  # the tensor, by its old name
    "retrograd.nn.functional": {
        "Tensor", "div", "where", "empty_like", "ones", "zeros_like", "repeat_interleave", "inplace", "store", "chunk", "log_softmax_of",
        "softmax_of", "with_inplace", "with_training", "channel_dropout", "implied_dim",
    },
    "retrograd.nn.init": {"Tensor", "no_grad", "wrap", "where", "empty_like", "written", "fan"},
    "retrograd.nn.utils.rnn": {
        "Tensor", "arange", "as_tensor", "empty_like", "from_numpy", "full", "index_put", "index_select", "stack", "pad", "sort",
        "PackedFields", "invert_permutation", "places", "check_lengths",
    },
    "retrograd.optim.lr_scheduler": {"observed", "observer", "refuse_record", "Tensor", "Optimizer", "current", "put", "told"},
}  # fmt: skip


def public(module: ModuleType) -> list[str]:
    """The names that a module has for its users: `__all__`, or the functions and classes of this package in it."""
    names = getattr(module, "__all__", None)
    hidden = NOT_PUBLIC.get(module.__name__, set())
    return [
        name
        for name, value in vars(module).items()
        if (name in names if names is not None else not name.startswith("_"))
        and name not in hidden
        and (inspect.isclass(value) or inspect.isroutine(value))
        and value.__module__.startswith(("retrograd", LEGACY))
    ]


def stem(value: Any) -> str:
    """The last part of the name of the module in which something is defined."""
    name = value.__module__
    if name == "retrograd.autograd.functional":
        return "autograd.functional"
    return "legacy" if name == LEGACY else name.rpartition(".")[2]


def heading(where: str, language: str) -> str:
    """The heading of a module's names."""
    return HEADINGS[where][LANGUAGES.index(language)]


def functions(page: str) -> dict[str, list[str]]:
    """The names of `retrograd` on a page, by the module in which they are defined."""
    paged = {where for modules in FUNCTION_PAGES.values() for where in modules}
    groups: dict[str, list[str]] = {where: [] for where in FUNCTION_PAGES.get(page, ())}
    for name in public(retrograd):
        value = getattr(retrograd, name)
        of_ops = value.__module__.startswith("retrograd.ops.")
        where = stem(value)
        if name in ("Tensor", "compile", "see") or where == "batching" or value.__module__ == "retrograd.autograd.modes":
            continue  # these have pages of their own
        if where in groups if page in FUNCTION_PAGES else not (of_ops and where in paged):
            groups.setdefault(where, []).append(f"retrograd.{name}")
    return groups


def of_modules(modules: tuple[str, ...]) -> dict[str, list[str]]:
    """The names of some modules, by the module in which they are defined."""
    groups: dict[str, list[str]] = {}
    for path in modules:
        module = importlib.import_module(path)
        for name in public(module):
            groups.setdefault(stem(getattr(module, name)), []).append(f"{path}.{name}")
    return groups


def described(path: str) -> str:
    """The directive for one name."""
    module, _, name = path.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    if not inspect.isclass(value):
        return f".. autofunction:: {path}\n"
    members = f"   :members: {MEMBERS[path]}\n" if path in MEMBERS else ""
    return f".. autoclass:: {path}{'()' if path in MADE_BY_THE_LIBRARY else ''}\n{members}"


def rendered(groups: dict[str, list[str]], language: str) -> str:
    """Headings, and beneath each the names in alphabetical order."""
    parts = []
    for where, names in groups.items():
        if names:
            directives = "\n".join(described(name) for name in sorted(names, key=str.lower))
            parts.append(f"## {heading(where, language)}\n\n```{{eval-rst}}\n{directives}```\n")
    return "\n".join(parts)


def tensor_methods() -> tuple[list[str], list[str]]:
    """Names of a tensor's attributes and methods: those that only tensors have, and those that are functions of `retrograd` too."""
    own, shared = [], []
    for name in vars(retrograd.Tensor):
        if name.startswith("_"):
            continue
        same = hasattr(retrograd, name.rstrip("_"))
        (shared if same else own).append(name)
    return sorted(own), sorted(shared)


def tensor(language: str) -> str:
    """The page of tensors: what only they have is described; the rest leads to the functions."""
    words = WORDS[language]
    own, shared = tensor_methods()
    attributes = "\n".join(
        f".. auto{'method' if inspect.isroutine(vars(retrograd.Tensor)[name]) else 'attribute'}:: retrograd.Tensor.{name}\n" for name in own
    )
    links = ", ".join(f"{{py:func}}`{name} <retrograd.{name}>`" if hasattr(retrograd, name) else f"`{name}`" for name in shared)
    return (
        f"```{{eval-rst}}\n.. autoclass:: retrograd.Tensor\n```\n\n## {words['own']}\n\n```{{eval-rst}}\n{attributes}```\n\n"
        f"## {words['methods']}\n\n{words['methods lead']}\n\n{links}\n"
    )


def page(name: str, language: str) -> str:
    """One page of the reference as Markdown, without its title.

    Raises:
        ValueError: if there is no such page.
    """
    if name not in PAGES:
        raise ValueError(f"the reference has no page {name!r}; it has {', '.join(PAGES)}")
    if name == "tensor":
        return tensor(language)
    if name in SHORT_PAGES:
        return "```{eval-rst}\n" + "\n".join(described(path) for path in SHORT_PAGES[name]) + "```\n"
    groups = of_modules(MODULE_PAGES[name]) if name in MODULE_PAGES else functions(name)
    return rendered(groups, language)


def names() -> Iterator[str]:
    """Every name that the pages made of groups have."""
    for name in (*FUNCTION_PAGES, "library", *MODULE_PAGES):
        groups = of_modules(MODULE_PAGES[name]) if name in MODULE_PAGES else functions(name)
        for found in groups.values():
            yield from found
