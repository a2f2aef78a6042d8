"""Attention of several heads as a layer. What it computes stands at `nn.functional.multi_head_attention_forward`."""

from __future__ import annotations

from typing import Any

from retrograd.core.tensor import Tensor
from retrograd.nn import init
from retrograd.nn.module import Module
from retrograd.nn.modules.linear import NonDynamicallyQuantizableLinear
from retrograd.nn.parameter import Parameter
from retrograd.ops.attention import multi_head_attention_forward
from retrograd.ops.create import empty


class MultiheadAttention(Module):
    """Each head attends with its share of linear projections of query, key and value; their results are projected once more.

    Args:
        embed_dim: E, the size of query and result, shared by the heads.
        num_heads: how many heads there are.
        dropout: the probability of dropout on the softmax, while training.
        bias: whether the projections have biases.
        add_bias_kv: one more key and value, learned.
        add_zero_attn: one more key and value, zeros.
        kdim, vdim: the sizes of key and value; E by default.
        batch_first: inputs have shape (batch, length, size) in place of (length, batch, size).

    Attributes:
        in_proj_weight: the three projections, shape (3 E, E); None if key or value have another size, and instead:
        q_proj_weight, k_proj_weight, v_proj_weight: shapes (E, E), (E, kdim), (E, vdim).
        in_proj_bias: shape (3 E), or None.
        bias_k, bias_v: shape (1, 1, E), or None.
        out_proj: the last projection, a linear layer.

    Raises:
        ValueError: if sizes are not positive.
        AssertionError: if the heads cannot share E equally.

    >>> import retrograd as torch
    >>> y, weights = torch.nn.MultiheadAttention(4, 2)(*[torch.zeros(5, 3, 4)] * 3)
    >>> y.shape, weights.shape
    (torch.Size([5, 3, 4]), torch.Size([3, 5, 5]))
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead")
        super().__init__()
        self.embed_dim, self.kdim, self.vdim = embed_dim, embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        if embed_dim % num_heads:
            raise AssertionError(f"embed_dim must be divisible by num_heads, but got {embed_dim} and {num_heads}")

        def reserve(name: str, wanted: bool, *shape: int) -> None:
            self.register_parameter(name, Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None)

        for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            reserve(f"{name}_proj_weight", not self._qkv_same_embed_dim, embed_dim, size)
        reserve("in_proj_weight", self._qkv_same_embed_dim, 3 * embed_dim, embed_dim)
        reserve("in_proj_bias", bias, 3 * embed_dim)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            reserve(name, add_bias_kv, 1, 1, embed_dim)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Xavier's weights (Glorot & Bengio 2010), no biases."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """(result, softmax or None).

        Args:
            query, key, value: shapes (L, N, E), (S, N, kdim), (S, N, vdim); N comes first with `batch_first`, and is left out for
                one example.
            key_padding_mask: keys to be ignored, shape (N, S): true, or added to the scores if floating.
            need_weights: whether to return the softmax, shape (N, L, S), or with heads before L unless `average_attn_weights`.
            attn_mask: where attention may not fall, shape (L, S) or (N · heads, L, S): true, or added if floating.
            is_causal: says that `attn_mask` is the causal one.

        Raises:
            AssertionError, RuntimeError: if shapes or dtypes do not fit.
        """
        return multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k, self.bias_v,
            self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask, need_weights,
            attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal, batch_first=self.batch_first,
        )  # fmt: skip
