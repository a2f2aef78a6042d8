"""The named tuples that operations with several results return: `torch.return_types.max(values=..., indices=...)`.

They know nothing of tensors. One is made from its values or, as PyTorch's are, from one sequence of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ReturnType(tuple[Any, ...]):
    """A tuple whose items have names.

    >>> sort((1, 2)).values, sort(1, 2)[1]
    (1, 2)
    >>> print(sort(1, 2))
    torch.return_types.sort(
    values=1,
    indices=2)
    """

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __new__(cls, *values: Any) -> Any:
        items = tuple(values[0]) if len(values) == 1 else values
        if len(items) != len(cls._fields):
            raise TypeError(f"torch.return_types.{cls.__name__}() takes a {len(cls._fields)}-sequence ({len(items)}-sequence given)")
        return tuple.__new__(cls, items)

    @property
    def n_fields(self) -> int:
        """How many items there are."""
        return len(self._fields)

    def __repr__(self) -> str:
        items = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{items})"

    def __reduce__(self) -> Any:
        return type(self), tuple(self)


def item(at: int) -> Callable[[Any], Any]:
    """A function that returns the item at a place."""
    return lambda self: self[at]


def define(name: str, fields: str) -> Any:
    """The named tuple of an operation."""
    names = tuple(fields.split())
    properties = {n: property(item(i), doc=f"Item {i}.") for i, n in enumerate(names)}
    return type(
        name, (ReturnType,), {"__slots__": (), "_fields": names, "__module__": __name__, "__doc__": f"({', '.join(names)})", **properties}
    )


aminmax = define("aminmax", "min max")
cummax = define("cummax", "values indices")
cummin = define("cummin", "values indices")
frexp = define("frexp", "mantissa exponent")
geqrf = define("geqrf", "a tau")
histogram = define("histogram", "hist bin_edges")
histogramdd = define("histogramdd", "hist bin_edges")
kthvalue = define("kthvalue", "values indices")
linalg_cholesky_ex = define("linalg_cholesky_ex", "L info")
linalg_eig = define("linalg_eig", "eigenvalues eigenvectors")
linalg_eigh = define("linalg_eigh", "eigenvalues eigenvectors")
linalg_inv_ex = define("linalg_inv_ex", "inverse info")
linalg_ldl_factor = define("linalg_ldl_factor", "LD pivots")
linalg_ldl_factor_ex = define("linalg_ldl_factor_ex", "LD pivots info")
linalg_lstsq = define("linalg_lstsq", "solution residuals rank singular_values")
linalg_lu = define("linalg_lu", "P L U")
linalg_lu_factor = define("linalg_lu_factor", "LU pivots")
linalg_lu_factor_ex = define("linalg_lu_factor_ex", "LU pivots info")
linalg_qr = define("linalg_qr", "Q R")
linalg_slogdet = define("linalg_slogdet", "sign logabsdet")
linalg_solve_ex = define("linalg_solve_ex", "result info")
linalg_svd = define("linalg_svd", "U S Vh")
lu_unpack = define("lu_unpack", "P L U")
max = define("max", "values indices")
median = define("median", "values indices")
min = define("min", "values indices")
mode = define("mode", "values indices")
nanmedian = define("nanmedian", "values indices")
qr = define("qr", "Q R")
slogdet = define("slogdet", "sign logabsdet")
sort = define("sort", "values indices")
svd = define("svd", "U S V")
topk = define("topk", "values indices")
triangular_solve = define("triangular_solve", "solution cloned_coefficient")
