"""PyTorch's API on NumPy: tensors that remember how they were computed, and differentiate it.

>>> import retrograd as torch
>>> x = torch.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

import importlib as _importlib
from math import e, inf, nan, pi
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from retrograd import autograd, backends, cuda, func, linalg, methods, nn, optim, random, special, utils
from retrograd.autograd import enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from retrograd.autograd.batching import vmap
from retrograd.compile import compile
from retrograd.config import get_default_dtype, get_num_threads, set_default_dtype, set_num_threads
from retrograd.core.printing import set_printoptions
from retrograd.core.random import default_generator
from retrograd.core.tensor import Tensor
from retrograd.device import device
from retrograd.dtypes import (
    bfloat16,
    bool,
    can_cast,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float,
    float16,
    float32,
    float64,
    half,
    iinfo,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    short,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip
from retrograd.legacy import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    are_deterministic_algorithms_enabled,
    channels_last,
    channels_last_3d,
    contiguous_format,
    layout,
    memory_format,
    preserve_format,
    strided,
    use_deterministic_algorithms,
)  # fmt: skip
from retrograd.ops import return_types
from retrograd.ops.activation import celu, hardshrink, prelu, relu, selu, sigmoid, threshold
from retrograd.ops.arithmetic import (
    addcdiv,
    addcmul,
    arctan2,
    atan2,
    clamp,
    clamp_max,
    clamp_min,
    clip,
    copysign,
    div,
    divide,
    floor_divide,
    fmax,
    fmin,
    fmod,
    frexp,
    gcd,
    heaviside,
    hypot,
    lcm,
    ldexp,
    lerp,
    logaddexp,
    logaddexp2,
    maximum,
    minimum,
    multiply,
    nan_to_num,
    negative,
    nextafter,
    remainder,
    rsub,
    subtract,
    true_divide,
    xlogy,
)  # fmt: skip
from retrograd.ops.basis import add, clone, eq, ge, gt, le, lt, mul, ne, neg, permute, reshape, select, sub, sum, t, transpose, where
from retrograd.ops.complexes import (
    angle,
    complex,
    conj,
    conj_physical,
    imag,
    polar,
    real,
    resolve_conj,
    view_as_complex,
    view_as_real,
)  # fmt: skip
from retrograd.ops.contract import (
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    bmm,
    chain_matmul,
    cross,
    dot,
    ger,
    matmul,
    mm,
    mv,
    outer,
    trace,
    vdot,
)  # fmt: skip
from retrograd.ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from retrograd.ops.convert import (
    get_device,
    is_complex,
    is_floating_point,
    is_inference,
    is_nonzero,
    is_same_size,
    is_signed,
    is_tensor,
    numel,
    result_type,
)  # fmt: skip
from retrograd.ops.counting import bincount, bucketize, histc, isin, searchsorted, unique, unique_consecutive
from retrograd.ops.create import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)  # fmt: skip
from retrograd.ops.differences import cumulative_trapezoid, diff, trapezoid, trapz
from retrograd.ops.einsum import bilinear, einsum, inner, kron, tensordot
from retrograd.ops.embed import embedding, embedding_bag
from retrograd.ops.factorizations import cholesky_inverse, cholesky_solve, lu_unpack
from retrograd.ops.factorizations import cholesky_of as cholesky
from retrograd.ops.factorizations import lu_of as lu
from retrograd.ops.factorizations import lu_solve_of as lu_solve
from retrograd.ops.factorizations import qr_of as qr
from retrograd.ops.index import (
    argwhere,
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_select,
    masked_fill,
    masked_scatter,
    masked_select,
    nonzero,
    repeat_interleave,
    take,
)
from retrograd.ops.inplace import zero_
from retrograd.ops.join import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cartesian_prod,
    cat,
    column_stack,
    combinations,
    concat,
    concatenate,
    dstack,
    hstack,
    meshgrid,
    row_stack,
    stack,
    vstack,
)  # fmt: skip
from retrograd.ops.linalg import det, inverse, logdet, matrix_exp, matrix_power, slogdet, triangular_solve
from retrograd.ops.logic import (
    allclose,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    isclose,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    isreal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)  # fmt: skip
from retrograd.ops.loss import cosine_similarity, pairwise_distance
from retrograd.ops.norm import cdist, dist, norm
from retrograd.ops.normalize import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from retrograd.ops.pad import pixel_shuffle, pixel_unshuffle
from retrograd.ops.pointwise import (
    abs,
    absolute,
    acos,
    acosh,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    deg2rad,
    exp,
    exp2,
    expm1,
    fix,
    float_power,
    floor,
    frac,
    log,
    log1p,
    log2,
    log10,
    positive,
    pow,
    rad2deg,
    reciprocal,
    round,
    rsqrt,
    sgn,
    sign,
    signbit,
    sin,
    sinc,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    trunc,
)  # fmt: skip
from retrograd.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    avg_pool1d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)  # fmt: skip
from retrograd.ops.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from retrograd.ops.reduce import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    count_nonzero,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    std,
    std_mean,
    var,
    var_mean,
)  # fmt: skip
from retrograd.ops.sample import (
    Generator,
    alpha_dropout,
    bernoulli,
    dropout,
    feature_alpha_dropout,
    feature_dropout,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)  # fmt: skip
from retrograd.ops.scan import cummax, cummin, cumprod, cumsum, logcumsumexp, prod
from retrograd.ops.scatter import (
    diagonal_scatter,
    gather,
    scatter,
    scatter_add,
    scatter_reduce,
    select_scatter,
    slice_scatter,
    take_along_dim,
)  # fmt: skip
from retrograd.ops.shape import (
    adjoint,
    broadcast_tensors,
    broadcast_to,
    chunk,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    dsplit,
    flatten,
    flip,
    fliplr,
    flipud,
    hsplit,
    moveaxis,
    movedim,
    narrow,
    ravel,
    roll,
    rot90,
    split,
    split_with_sizes,
    squeeze,
    swapaxes,
    swapdims,
    tensor_split,
    tile,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    vsplit,
)  # fmt: skip
from retrograd.ops.softmax import log_softmax, softmax
from retrograd.ops.sort import argsort, kthvalue, median, mode, msort, nanmedian, nanquantile, quantile, sort, topk
from retrograd.ops.special import (
    digamma,
    erf,
    erfc,
    erfinv,
    i0,
    igamma,
    igammac,
    lgamma,
    logit,
    mvlgamma,
    polygamma,
)  # fmt: skip
from retrograd.ops.spectral import pinverse
from retrograd.ops.spectral import svd_of as svd
from retrograd.serialization import load, save
from retrograd.shapes import Size, broadcast_shapes

if _TYPE_CHECKING:
    from retrograd.seeing import see

newaxis = None


def __getattr__(name: str) -> _Any:
    """`see`, which programs that do not ask for it need not load."""
    if name == "see":
        globals()[name] = found = _importlib.import_module("retrograd.seeing").see
        return found
    raise AttributeError(f"module 'retrograd' has no attribute {name!r}")


__version__ = "0.1.0"
