"""The one table of what is a Tensor's method: `Tensor.name = function`.

A function of `ops/` whose first parameter is the tensor is put on the class as it is, so `retrograd.tanh is Tensor.tanh`.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from retrograd import dtypes
from retrograd.autograd import hooks, reverse
from retrograd.core.tape import Node
from retrograd.core.tensor import Tensor
from retrograd.ops import (
    activation,
    arithmetic,
    basis,
    complexes,
    contract,
    convert,
    counting,
    differences,
    einsum,
    factorizations,
    index,
    inplace,
    linalg,
    logic,
    norm,
    pointwise,
    reduce,
    sample,
    scan,
    scatter,
    shape,
    softmax,
    sort,
    special,
    spectral,
)

# Methods that convert to one dtype.
CASTS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16, "bfloat16": dtypes.bfloat16, "int": dtypes.int32,
    "long": dtypes.int64, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool,
    "cfloat": dtypes.complex64, "cdouble": dtypes.complex128,
}  # fmt: skip

# Functions that are methods under their own name, by the module that holds them.
METHODS: dict[ModuleType, str] = {
    basis: """
        add sub mul neg eq ne lt le gt ge clone sum expand reshape permute transpose t select
    """,
    complexes: """
        conj conj_physical resolve_conj angle
    """,
    pointwise: """
        exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal pow float_power sin cos tan asin acos atan sinh cosh tanh
        asinh acosh atanh arcsin arccos arctan arcsinh arccosh arctanh abs absolute sign sgn signbit positive ceil floor trunc fix
        frac round deg2rad rad2deg sinc
    """,
    arithmetic: """
        div divide true_divide floor_divide remainder fmod multiply subtract negative maximum minimum fmax fmin clamp clip
        clamp_min clamp_max lerp addcmul addcdiv hypot atan2 arctan2 logaddexp logaddexp2 xlogy heaviside copysign nextafter
        nan_to_num gcd lcm ldexp frexp
    """,
    logic: """
        logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift
        bitwise_right_shift isnan isinf isfinite isposinf isneginf isreal isclose allclose equal not_equal less less_equal
        greater greater_equal
    """,
    activation: """
        sigmoid relu prelu hardshrink
    """,
    special: """
        erf erfc erfinv lgamma digamma mvlgamma logit igamma igammac i0
    """,
    reduce: """
        mean nansum nanmean var std amax amin aminmax max min argmax argmin all any count_nonzero logsumexp
    """,
    scan: """
        cumsum cumprod cummax cummin logcumsumexp prod
    """,
    differences: "diff",
    sort: """
        sort argsort topk kthvalue msort median nanmedian mode quantile nanquantile
    """,
    counting: """
        unique unique_consecutive histc bincount
    """,
    contract: """
        addbmm addmm addmv addr baddbmm bmm cross dot ger matmul mm mv outer trace vdot
    """,
    einsum: "inner kron",
    linalg: "det inverse logdet matrix_exp matrix_power slogdet triangular_solve",
    factorizations: "cholesky_inverse cholesky_solve",
    spectral: "pinverse",
    norm: "dist norm",
    softmax: """
        softmax log_softmax
    """,
    convert: """
        numel dim size stride is_contiguous storage_offset data_ptr element_size is_floating_point is_complex is_signed is_nonzero
        is_same_size is_inference get_device detach detach_ item numpy tolist to type_as cpu cuda new_tensor new_full new_zeros
        new_ones new_empty
    """,
    shape: """
        view_as reshape_as unsqueeze squeeze flatten ravel unflatten contiguous expand_as broadcast_to movedim moveaxis swapaxes
        swapdims adjoint narrow unbind split split_with_sizes chunk tensor_split hsplit vsplit dsplit diagonal diag_embed diag
        diagflat tril triu flip fliplr flipud rot90 roll repeat tile unfold
    """,
    index: """
        index_select index_add index_copy index_fill index_put index_put_ take put_ repeat_interleave masked_fill masked_fill_
        masked_select masked_scatter nonzero argwhere
    """,
    scatter: """
        gather take_along_dim scatter scatter_add scatter_reduce select_scatter slice_scatter diagonal_scatter
    """,
    sample: """
        uniform_ normal_ random_ bernoulli bernoulli_ exponential_ cauchy_ log_normal_ geometric_ multinomial
    """,
    inplace: """
        copy_ fill_ zero_
    """,
    hooks: """
        register_hook register_post_accumulate_grad_hook retain_grad
    """,
}

# Functions that are methods under another name.
RENAMED: dict[str, Any] = {
    "__init__": convert.init_,
    "__repr__": convert.repr_,
    "__format__": convert.format_,
    "__bool__": convert.bool_,
    "__float__": convert.float_,
    "__int__": convert.int_,
    "__complex__": convert.complex_,
    "__index__": convert.index_,
    "__len__": convert.len_,
    "__iter__": convert.iter_,
    "__contains__": convert.contains,
    "__array__": convert.array_,
    "__deepcopy__": convert.deepcopy_,
    "__reduce_ex__": convert.reduce_,
    "__getitem__": index.getitem,
    "__setitem__": index.setitem,
    **{name: convert.in_dtype(d) for name, d in CASTS.items()},
    "itemsize": property(convert.element_size),
    "nbytes": property(lambda self: convert.numel(self) * convert.element_size(self)),
    "is_cuda": property(lambda self: False),
    "is_xpu": property(lambda self: False),
    "is_mps": property(lambda self: False),
    "is_sparse": property(lambda self: False),
    "is_meta": property(lambda self: False),
    "view": shape.view_,
    "where": index.where_method,
    "T": property(shape.reversed_dims),
    "mT": property(shape.matrix_transpose),
    "H": property(shape.hermitian),
    "mH": property(shape.adjoint),
    "retains_grad": property(hooks.retains_grad),
    "type": convert.type_,
    "nelement": convert.numel,
    "ndimension": convert.dim,
    "__add__": basis.add_op,
    "__radd__": basis.add_op,
    "__sub__": basis.sub,
    "__rsub__": arithmetic.reflected_sub,
    "__mul__": basis.mul,
    "__rmul__": basis.mul,
    "__neg__": basis.neg,
    "__pos__": pointwise.positive,
    "__abs__": pointwise.abs,
    "__truediv__": basis.div_op,
    "__rtruediv__": arithmetic.reflected_div,
    "__floordiv__": arithmetic.floor_divide,
    "__rfloordiv__": arithmetic.reflected_floor_divide,
    "__mod__": arithmetic.remainder,
    "__rmod__": arithmetic.reflected_remainder,
    "__pow__": pointwise.pow,
    "__rpow__": pointwise.reflected_pow,
    "__and__": logic.bitwise_and,
    "__rand__": logic.bitwise_and,
    "__or__": logic.bitwise_or,
    "__ror__": logic.bitwise_or,
    "__xor__": logic.bitwise_xor,
    "__rxor__": logic.bitwise_xor,
    "__invert__": logic.bitwise_not,
    "__lshift__": logic.left_shift,
    "__rlshift__": logic.reflected_left_shift,
    "__rshift__": logic.right_shift,
    "__rrshift__": logic.reflected_right_shift,
    "__iadd__": inplace.inplace(basis.add_op),
    "__isub__": inplace.inplace(basis.sub),
    "__imul__": inplace.inplace(basis.mul),
    "__itruediv__": inplace.inplace(arithmetic.div),
    "__ifloordiv__": inplace.inplace(arithmetic.floor_divide),
    "__imod__": inplace.inplace(arithmetic.remainder),
    "__ipow__": inplace.inplace(pointwise.pow),
    "__iand__": inplace.inplace(logic.bitwise_and),
    "__ior__": inplace.inplace(logic.bitwise_or),
    "__ixor__": inplace.inplace(logic.bitwise_xor),
    "__ilshift__": inplace.inplace(logic.left_shift),
    "__irshift__": inplace.inplace(logic.right_shift),
    "float_power_": inplace.inplace(pointwise.float_power_of_wide, "float_power"),
    "polygamma": special.polygamma_method,
    "polygamma_": inplace.inplace(special.polygamma_method, "polygamma"),
    "real": property(complexes.real, complexes.set_real),
    "imag": property(complexes.imag, complexes.set_imag),
    "__eq__": logic.equals,
    "__matmul__": contract.matmul,
    "cholesky": factorizations.cholesky_of,
    "lu": factorizations.lu_of,
    "lu_solve": factorizations.lu_solve_of,
    "qr": factorizations.qr_of,
    "svd": spectral.svd_of,
    "__rmatmul__": contract.rmatmul,
    "__ne__": logic.differs,
    "__lt__": basis.lt,
    "__le__": basis.le,
    "__gt__": basis.gt,
    "__ge__": basis.ge,
}

# Functions whose in-place variant `name_` is a method too.
INPLACE: dict[ModuleType, str] = {
    basis: "add sub mul neg eq ne lt le gt ge",
    complexes: "conj_physical",
    pointwise: """
        exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal pow sin cos tan asin acos atan sinh cosh tanh
        asinh acosh atanh arcsin arccos arctan arcsinh arccosh arctanh abs absolute sign sgn ceil floor trunc fix frac round
        deg2rad rad2deg sinc
    """,
    arithmetic: """
        div divide true_divide floor_divide remainder fmod multiply subtract negative clamp clip clamp_min clamp_max lerp addcmul
        addcdiv hypot atan2 arctan2 xlogy heaviside copysign nextafter nan_to_num gcd lcm ldexp
    """,
    logic: """
        logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift
        bitwise_right_shift not_equal less less_equal greater greater_equal
    """,
    activation: "sigmoid relu",
    scan: "cumsum cumprod",
    contract: "addbmm addmm addmv addr baddbmm",
    shape: "tril triu",
    index: "index_add index_copy index_fill masked_scatter",
    scatter: "scatter scatter_add scatter_reduce",
    special: "erf erfc erfinv lgamma digamma mvlgamma logit igamma igammac i0",
}

# Functions that return a view, whose in-place variant `name_` makes the tensor that view.
RETURNING_VIEWS: dict[ModuleType, str] = {basis: "transpose t", shape: "squeeze unsqueeze swapaxes swapdims"}


def backward(self: Tensor, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None) -> None:
    """Adds to `.grad` of every leaf the gradient of this tensor. See `autograd.backward`."""
    reverse.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def repr_html(self: Any) -> str:
    """How a notebook shows a tensor, or a node of the tape. What draws it is loaded when one is shown."""
    return importlib.import_module("retrograd.seeing.notebook").html_of(self)


def attach() -> None:
    """Puts the methods on Tensor."""
    for module, names in METHODS.items():
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for module, names in INPLACE.items():
        for name in names.split():
            setattr(Tensor, f"{name}_", inplace.inplace(getattr(module, name), name))
    for module, names in RETURNING_VIEWS.items():
        for name in names.split():
            setattr(Tensor, f"{name}_", inplace.becomes_view(getattr(module, name), name))
    for name, function in RENAMED.items():
        setattr(Tensor, name, function)
    Tensor.backward = backward  # type: ignore[attr-defined]
    Tensor._repr_html_ = Node._repr_html_ = repr_html  # type: ignore[attr-defined]


attach()
