"""Attention (Vaswani et al. 2017): of one set of heads, and with the projections into and out of several.

Everything is made of other operations, so that derivatives of any order, batching and recording need nothing here. No number of a
mask is looked at. Knows nothing of modules.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from retrograd import dtypes
from retrograd.core.tensor import Tensor
from retrograd.dtypes import dtype
from retrograd.ops.basis import eq, expand, permute, reshape, swap_last, transpose
from retrograd.ops.contract import CPP_NAMES, check_tensors, linear, matmul
from retrograd.ops.create import ones, zeros
from retrograd.ops.index import masked_fill, repeat_interleave
from retrograd.ops.join import cat
from retrograd.ops.logic import logical_not
from retrograd.ops.pad import pad
from retrograd.ops.reduce import all as all_of
from retrograd.ops.sample import dropout
from retrograd.ops.shape import chunk, triu, unbind, unflatten, unsqueeze
from retrograd.ops.softmax import softmax

# ---------------------------------------------------------------- of one set of heads


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """softmax(scale Q Kᵀ + mask) V, with scale 1/√E by default. A position that may look nowhere gets zeros.

    Args:
        query: Q, shape (..., L, E).
        key: K, shape (..., S, E).
        value: V, shape (..., S, Ev).
        attn_mask: added if floating, or true where attention may fall; broadcasts to (..., L, S).
        dropout_p: elements of the softmax are zeroed with this probability.
        is_causal: a position sees itself and those before it.
        enable_gqa: there are fewer heads (dim -3) in key and value, each serving several of the query's.

    Returns:
        shape (..., L, Ev).

    Raises:
        RuntimeError: if shapes or dtypes do not fit, or both a mask and `is_causal` are given.

    >>> from retrograd import tensor, zeros
    >>> scaled_dot_product_attention(zeros(2, 1), zeros(2, 1), tensor([[1.], [3.]]), is_causal=True)
    tensor([[1.],
            [2.]])
    """
    check_operands(query, key, value, attn_mask, dropout_p, is_causal)
    if enable_gqa:
        key, value = (repeated_heads(x, query) for x in (key, value))
    scores = matmul(query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale), swap_last(key))
    nowhere = None
    if is_causal:
        scores = masked_fill(scores, triu(ones(query.shape[-2], key.shape[-2], dtype=dtypes.bool), 1), -math.inf)
    elif attn_mask is not None:
        check_broadcast(attn_mask, scores)
        blocked = logical_not(attn_mask) if attn_mask.dtype is dtypes.bool else eq(attn_mask, -math.inf)
        nowhere = all_of(blocked, -1, keepdim=True)
        if attn_mask.dtype is dtypes.bool:
            scores = masked_fill(scores, blocked & logical_not(nowhere), -math.inf)
        else:
            scores = scores + masked_fill(attn_mask, nowhere, 0.0)
    weights = softmax(scores, -1)
    y = matmul(dropout(weights, dropout_p, True) if dropout_p > 0 else weights, value)
    return y if nowhere is None else masked_fill(y, nowhere, 0.0)


def check_operands(query: Any, key: Any, value: Any, attn_mask: Any, dropout_p: float, is_causal: bool) -> None:
    """Raises TypeError for what is no tensor, RuntimeError for dtypes, dims and options that do not fit."""
    name = "scaled_dot_product_attention"
    check_tensors(name, query=query, key=key, value=value)
    kinds = [CPP_NAMES.get(x.dtype.name, x.dtype.name) for x in (query, key, value)]
    if len(set(kinds)) > 1:
        raise RuntimeError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {kinds[0]} key.dtype: {kinds[1]} and "
            f"value.dtype: {kinds[2]} instead."
        )
    if query.dtype.category < dtypes.FLOATING:
        raise RuntimeError(f"expected scalar type Float but found {dtypes.scalar_name(query.dtype)}")
    dims = [x.ndim for x in (query, key, value)]
    if min(dims) < 2:
        raise RuntimeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {dims[0]} key.dim: {dims[1]} and "
            f"value.dim: {dims[2]} instead."
        )
    if attn_mask is not None and attn_mask.dtype not in (dtypes.bool, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{CPP_NAMES.get(attn_mask.dtype.name, attn_mask.dtype.name)} and  query.dtype: {kinds[0]} instead."
        )
    if attn_mask is not None and is_causal:
        raise RuntimeError(f"_{name}: Explicit attn_mask should not be set when is_causal=True")
    if dropout_p > 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")


def check_broadcast(mask: Tensor, scores: Tensor) -> None:
    """Raises RuntimeError if a mask does not broadcast to the scores' shape."""
    lead = scores.ndim - mask.ndim
    for d, n in enumerate(mask.shape):
        if lead >= 0 and n not in (1, scores.shape[d + lead]) and scores.shape[d + lead] != 1:
            raise RuntimeError(
                f"The size of tensor a ({scores.shape[d + lead]}) must match the size of tensor b ({n}) at non-singleton dimension {d + lead}"
            )
        if lead < 0 or n not in (1, scores.shape[d + lead]):
            raise RuntimeError(f"output with shape {list(scores.shape)} doesn't match the shape of the mask {list(mask.shape)}")


def repeated_heads(x: Tensor, query: Tensor) -> Tensor:
    """Each head (dim -3) several times, so that there are as many as the query's. Raises RuntimeError if that cannot be."""
    dims = min(x.ndim, query.ndim)
    if dims < 3:
        raise IndexError(f"Dimension out of range (expected to be in range of [-{dims}, {dims - 1}], but got -3): there is no dim of heads")
    heads, wanted = x.shape[-3], query.shape[-3]
    if wanted % heads:
        raise RuntimeError(f"Number of heads in key and value must divide the number of heads in query, but got {heads} and {wanted}")
    return repeat_interleave(x, wanted // heads, -3)


# ---------------------------------------------------------------- with projections


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int, in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float,
    out_proj_weight: Tensor, out_proj_bias: Tensor | None, training: bool = True, key_padding_mask: Tensor | None = None,
    need_weights: bool = True, attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None, k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None, static_v: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    *, batch_first: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention of several heads, each with its share of the projected query, key and value. See `nn.MultiheadAttention`.

    Args:
        query, key, value: shapes (L, N, E), (S, N, Ek), (S, N, Ev), or without N for one example.
        in_proj_weight: the three projections, one under the other, shape (3 E, E); or, with `use_separate_proj_weight`,
            `q_proj_weight`, `k_proj_weight` and `v_proj_weight`, shapes (E, E), (E, Ek), (E, Ev).
        in_proj_bias: shape (3 E), or None.
        bias_k, bias_v: one more key and value for every example, shape (1, 1, E), or None.
        add_zero_attn: one more key and value, both zeros.
        key_padding_mask: keys to be ignored, shape (N, S): true, or added if floating.
        attn_mask: where attention may not fall, shape (L, S) or (N · heads, L, S): true, or added if floating.
        static_k, static_v: keys and values of the heads in place of projected ones, shape (N · heads, S, E / heads).
        is_causal: says that `attn_mask` is the causal one, which then need not be looked at.
        batch_first: N comes before L and S.

    Returns:
        the result, in the query's shape, and with `need_weights` the softmax, shape (N, L, S), or (N, heads, L, S) for each head.

    Raises:
        AssertionError, RuntimeError: if shapes or dtypes do not fit.
    """
    is_batched = check_dims(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not is_batched:
        batch_first, same = False, query is key and key is value
        query, key, value = [unsqueeze(query, 1)] * 3 if same else [unsqueeze(x, 1) for x in (query, key, value)]
        key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
    n, length, size = query.shape[1 - batch_first], query.shape[batch_first], query.shape[2]
    padding = additive_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    is_causal = is_causal and padding is None and not need_weights
    mask = None if is_causal else additive_mask(attn_mask, "attn_mask", query.dtype)
    check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight
    q, k, v = projected_heads((query, key, value), weights, in_proj_bias, num_heads, batch_first)
    k = k if static_k is None else static_heads("k", static_k, n, num_heads, size // num_heads)
    v = v if static_v is None else static_heads("v", static_v, n, num_heads, size // num_heads)
    mask = None if mask is None else mask_of_heads(mask, n, num_heads, length, key.shape[batch_first])
    k, v, added = with_more_keys(k, v, bias_k, bias_v, add_zero_attn, static_k is not None or static_v is not None)
    mask, padding = (m if m is None or not added else pad(m, (0, added)) for m in (mask, padding))
    if padding is not None:
        padding = padding_of_heads(padding, n, k.shape[2])
        mask = padding if mask is None else mask + padding
    p = dropout_p if training else 0.0
    if need_weights:
        y, shares = attention_and_weights(q, k, v, mask, p)
        shares = shares.mean(1) if average_attn_weights else shares
    else:
        y, shares = scaled_dot_product_attention(q, k, v, mask, p, is_causal), None
    y = linear(reshape(permute(y, (2, 0, 1, 3)), (length, n, size)), out_proj_weight, out_proj_bias)
    if is_batched:
        return (transpose(y, 0, 1) if batch_first else y), shares
    return y.squeeze(1), None if shares is None else shares.squeeze(0)


def attention_and_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float) -> tuple[Tensor, Tensor]:
    """The result, and how much of it each key has. A position that may look nowhere gets nan."""
    scores = matmul(q * math.sqrt(1 / q.shape[-1]), swap_last(k))
    weights = softmax(scores if mask is None else scores + mask, -1)
    weights = dropout(weights, dropout_p, True) if dropout_p > 0 else weights
    return matmul(weights, v), weights


def projected_heads(inputs: tuple[Tensor, Tensor, Tensor], weights: Any, bias: Tensor | None, heads: int, batch_first: bool) -> Any:
    """Query, key and value of each head, shape (N, heads, L or S, E / heads): views of one product, where the inputs are one."""
    order = (0, 2, 1, 3) if batch_first else (1, 2, 0, 3)
    query, key, value = inputs
    if isinstance(weights, Tensor) and query is key and key is value:
        together = unflatten(linear(query, weights, bias), -1, (3, heads, -1))
        return unbind(permute(together, (2, *(d if d < 2 else d + 1 for d in order))), 0)
    biases = (None, None, None) if bias is None else chunk(bias, 3)
    each = chunk(weights, 3) if isinstance(weights, Tensor) else weights
    parts = zip(("query", "key", "value"), inputs, each, biases, strict=True)
    return [permute(unflatten(projection(*part, query.shape[2]), -1, (heads, -1)), order) for part in parts]


def projection(name: str, x: Tensor, weight: Tensor, bias: Tensor | None, size: int) -> Tensor:
    """x Wᵀ + b. Raises AssertionError if W does not fit."""
    if tuple(weight.shape) != (size, x.shape[2]):
        raise AssertionError(f"expecting {name} weights shape of {(size, x.shape[2])}, but got {weight.shape}")
    return linear(x, weight, bias)


def with_more_keys(
    k: Tensor, v: Tensor, bias_k: Tensor | None, bias_v: Tensor | None, add_zero_attn: bool, static: bool
) -> tuple[Tensor, Tensor, int]:
    """Keys and values of the heads with those that are the same for every example, and how many these are."""
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k is set but bias_v is None" if bias_v is None else "bias_v is set but bias_k is None")
    n, heads, _, size = k.shape
    added = 0
    if bias_k is not None and bias_v is not None:
        if static:
            raise AssertionError("bias cannot be added to static key or value.")
        k, v = (cat([x, expand(reshape(b, (1, heads, 1, size)), (n, heads, 1, size))], 2) for x, b in ((k, bias_k), (v, bias_v)))
        added += 1
    if add_zero_attn:
        k, v = (cat([x, zeros(n, heads, 1, size, dtype=x.dtype)], 2) for x in (k, v))
        added += 1
    return k, v, added


def static_heads(name: str, x: Tensor, n: int, heads: int, size: int) -> Tensor:
    """Given keys or values of the heads, with a dim for the examples."""
    for dim, expected in ((0, n * heads), (2, size)):
        if x.shape[dim] != expected:
            raise AssertionError(f"expecting static_{name}.size({dim}) of {expected}, but got {x.shape[dim]}")
    return unflatten(x, 0, (n, heads))


# ---------------------------------------------------------------- masks and shapes


def additive_mask(mask: Any, name: str, target: dtype, other: Any = None, other_name: str = "") -> Any:
    """A mask as what is added to the scores: -inf where it was true. Raises AssertionError if it is neither bool nor floating."""
    if mask is None:
        return None
    if mask.dtype is not dtypes.bool and mask.dtype.category != dtypes.FLOATING:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype is not other.dtype:
        warnings.warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.", stacklevel=3)
    return masked_fill(zeros(mask.shape, dtype=target), mask, -math.inf) if mask.dtype is dtypes.bool else mask


def mask_of_heads(mask: Tensor, n: int, heads: int, length: int, keys: int) -> Tensor:
    """A mask of shape (L, S) or (N · heads, L, S) with dims for examples and heads. Raises RuntimeError for another shape."""
    expected = (length, keys) if mask.ndim == 2 else (n * heads, length, keys)
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask if mask.ndim == 2 else unflatten(mask, 0, (n, heads))


def padding_of_heads(padding: Tensor, n: int, keys: int) -> Tensor:
    """A mask of shape (N, S) with dims for heads and the query's positions. Raises AssertionError for another shape."""
    for dim, expected in enumerate((n, keys)):
        if padding.shape[dim] != expected:
            raise AssertionError(f"Expected key_padded_mask.shape[{dim}] to be {expected}, but got {padding.shape[dim]}")
    return reshape(padding, (n, 1, 1, keys))


def check_dims(query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None, heads: int) -> bool:
    """Whether there is a dim for examples. Raises AssertionError if not all agree."""
    if query.ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor")
    dims, kind = query.ndim, "batched (3-D)" if query.ndim == 3 else "unbatched (2-D)"
    if key.ndim != dims or value.ndim != dims:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {dims}-D but found {key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if padding is not None and padding.ndim != dims - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {dims - 1}-D but found {padding.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead")
    if mask is not None and (dims, mask.ndim) == (2, 3):
        expected = (heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {mask.shape}")
    return dims == 3


def check_sizes(query: Tensor, key: Tensor, value: Tensor, size: int, heads: int, separate: bool) -> None:
    """Raises AssertionError if the sizes of query, key and value do not fit the projections or each other."""
    if query.shape[2] != size:
        raise AssertionError(f"was expecting embedding dimension of {size}, but got {query.shape[2]}")
    if size % heads:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {heads}")
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    if not separate and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
