"""Attention and the transformer: numbers, gradients, first weights, state, printing and errors are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import retrograd as torch
from tests.nn.test_recurrent import loss_of
from tests.oracle import error_in_both, needs_torch, same_in_both
from tests.oracle import torch as theirs

nn = torch.nn
attend = nn.functional.scaled_dot_product_attention

# ---------------------------------------------------------------- scaled dot products, against PyTorch

SHAPES = [
    ((4, 3), (5, 3), (5, 2)),
    ((2, 4, 3), (2, 5, 3), (2, 5, 3)),
    ((2, 2, 4, 3), (2, 2, 5, 3), (2, 2, 5, 6)),
    ((2, 4, 3), (5, 3), (5, 3)),
]
MASKS = ["none", "bool", "float", "rows", "causal", "scale", "nowhere", "nowhere float"]


def mask_of(t: Any, kind: str) -> Any:
    """A mask for 4 positions and 5 keys."""
    if kind in ("bool", "float"):
        chosen = t.tensor(
            [[True, True, False, True, False], [False, False, True, False, False], [True] * 5, [False, True, True, True, True]]
        )
        return chosen if kind == "bool" else t.where(chosen, 0.5, -math.inf).double().requires_grad_()
    if kind == "rows":
        return t.tensor([[True, False, True, True, True]])
    chosen = t.tensor([[True] * 5, [False] * 5, [False, True, False, False, True], [False] * 5])
    return chosen if kind == "nowhere" else t.where(chosen, 0.5, -math.inf).double().requires_grad_()


@needs_torch
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_scaled_dot_product(shapes: Any, mask: str):
    """The result and all gradients, of a floating mask too."""

    def program(t: Any) -> Any:
        q, k, v = (t.randn(*s, dtype=t.float64).requires_grad_() for s in shapes)
        options: dict[str, Any] = {"causal": {"is_causal": True}, "scale": {"scale": 0.3}, "none": {}}.get(mask, {})
        given = None if mask in ("none", "causal", "scale") else mask_of(t, mask)
        y = t.nn.functional.scaled_dot_product_attention(q, k, v, given, **options)
        loss_of(y).backward()
        return y, [x.grad for x in (q, k, v)], given.grad if given is not None and given.requires_grad else 0

    same_in_both(program, rtol=1e-9, atol=1e-11)


@needs_torch
def test_dropout_and_grouped_heads():
    """PyTorch's draws, and heads that serve several."""

    def program(t: Any) -> Any:
        q, k, v = t.randn(2, 6, 4, 3), t.randn(2, 2, 5, 3).requires_grad_(), t.randn(2, 2, 5, 3)
        y = t.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        loss_of(y).backward()
        dropped = t.nn.functional.scaled_dot_product_attention(q, q, q, dropout_p=0.4)
        return y, k.grad, dropped, t.rand(2)

    same_in_both(program, rtol=1e-4)


WRONG: list[tuple[str, Any]] = [
    ("to have the same dtype, but got query.dtype: float key.dtype: double", lambda t, f: f(t.ones(2, 3), t.ones(2, 3, dtype=t.float64), t.ones(2, 3))),
    ("at least 2 dimensional", lambda t, f: f(t.ones(3), t.ones(2, 3), t.ones(2, 3))),
    ("expected scalar type Float but found Long", lambda t, f: f(*[t.ones(2, 3, dtype=t.int64)] * 3)),
    ("attn_mask.dtype: long int", lambda t, f: f(*[t.ones(2, 3)] * 3, t.ones(2, 2, dtype=t.int64))),
    ("attn_mask.dtype: double", lambda t, f: f(*[t.ones(2, 3)] * 3, t.ones(2, 2, dtype=t.float64))),
    ("should not be set when is_causal", lambda t, f: f(*[t.ones(2, 3)] * 3, t.ones(2, 2), is_causal=True)),
    ("dropout probability", lambda t, f: f(*[t.ones(2, 3)] * 3, dropout_p=1.5)),
    (r"The size of tensor a \(2\) must match the size of tensor b \(4\)", lambda t, f: f(*[t.ones(1, 2, 3)] * 3, t.ones(4, 4))),
    (r"output with shape \[2, 2\] doesn't match", lambda t, f: f(*[t.ones(2, 3)] * 3, t.ones(5, 2, 2))),
    ("Number of heads in key and value must divide", lambda t, f: f(t.ones(1, 3, 2, 3), *[t.ones(1, 2, 2, 3)] * 2, enable_gqa=True)),
    ("Dimension out of range", lambda t, f: f(*[t.ones(2, 3)] * 3, enable_gqa=True)),
    ("must be Tensor, not str", lambda t, f: f("a", t.ones(2, 3), t.ones(2, 3))),
    ("", lambda t, f: f(t.ones(1, 2, 3), t.ones(1, 2, 4), t.ones(1, 2, 4))),
    ("", lambda t, f: f(t.ones(1, 4, 2, 3), *[t.ones(1, 2, 2, 3)] * 2)),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize(("match", "program"), WRONG, ids=[f"{i}-{m[:30]}" for i, (m, _) in enumerate(WRONG)])
def test_errors(match: str, program: Any):
    """PyTorch's types, and its words."""
    error_in_both(lambda t: program(t, t.nn.functional.scaled_dot_product_attention), match)


# ---------------------------------------------------------------- scaled dot products, by themselves


def test_it_is_a_weighted_mean():
    """Equal scores give the mean of what may be seen; a scale of 0 makes all equal; nothing to see gives zeros."""
    q, v = torch.randn(3, 2), torch.tensor([[1.0], [2.0], [6.0]])
    assert attend(q, q, v, scale=0.0).tolist() == pytest.approx(np.full((3, 1), 3.0))
    assert attend(q, q, v, is_causal=True, scale=0.0).tolist() == pytest.approx(np.array([[1.0], [1.5], [3.0]]))
    seen = torch.tensor([[True, False, True], [False, False, False], [False, True, False]])
    assert attend(q, q, v, seen, scale=0.0).tolist() == pytest.approx(np.array([[3.5], [0.0], [2.0]]))
    assert attend(q, torch.ones(0, 2), torch.ones(0, 1)).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("mask", MASKS)
def test_gradients_of_both_orders(mask: str):
    """For query, key, value, and finite entries of a floating mask."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((4, 2), (5, 2), (5, 2)))
    if mask == "float":
        inputs = (q, k, v, torch.randn(4, 5, dtype=torch.float64, requires_grad=True))
        function: Any = attend
    else:
        given = None if mask in ("none", "causal", "scale") else mask_of(torch, mask)
        given = given if given is None else given.detach()
        inputs, function = (q, k, v), lambda q, k, v: attend(q, k, v, given, is_causal=mask == "causal", scale=0.3)
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_vmap_is_a_loop():
    """Over queries and masks."""
    q, k = torch.randn(3, 4, 2), torch.randn(5, 2)
    masks = torch.rand(3, 4, 5) < 0.5
    batched = torch.func.vmap(lambda q, m: attend(q, k, k, m))(q, masks)
    for i in range(3):
        np.testing.assert_allclose(batched[i].numpy(), attend(q[i], k, k, masks[i]).numpy(), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- several heads

HEADS: list[dict[str, Any]] = [
    {}, {"bias": False}, {"batch_first": True}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 3, "vdim": 5}, {"vdim": 5, "bias": False},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True, "kdim": 2},
]  # fmt: skip
PADDING = [None, "bool", "float"]


def masks_for(t: Any, kind: Any, mask: Any, batched: bool, length: int) -> dict[str, Any]:
    """Padding of the last of 3 keys, and a mask for each head or for all."""
    found: dict[str, Any] = {}
    if kind is not None:
        padding = t.tensor([[False, False, True], [False, False, False]])[: 2 if batched else 1]
        padding = padding if batched else padding[0]
        found["key_padding_mask"] = padding if kind == "bool" else t.where(padding, -2.0, 0.0).double()
    if mask is not None:
        allowed = t.arange(3) > t.arange(length).reshape(length, 1)
        allowed = allowed.expand(4 if batched else 2, length, 3) if mask == "heads" else allowed
        found["attn_mask"] = allowed if kind != "float" else t.where(allowed, -1.0, 0.0).double()
    return found


@needs_torch
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("mask", [None, "all", "heads"])
@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("options", HEADS, ids=str)
def test_multihead(options: dict[str, Any], padding: Any, mask: Any, batched: bool):
    """First weights, result, softmax and all gradients; for one tensor three times, and for three."""

    def program(t: Any) -> Any:
        layer = t.nn.MultiheadAttention(4, 2, **options).double()
        first = options.get("batch_first", False)

        def make(length: int, size: int) -> Any:
            shape = ((2, length) if first else (length, 2)) if batched else (length,)
            return t.randn(*shape, size, dtype=t.float64).requires_grad_()

        found: list[Any] = [list(layer.state_dict().items())]
        query, key, value = make(5, 4), make(3, layer.kdim), make(3, layer.vdim)
        calls = [(query, key, value)]
        if layer.kdim == layer.vdim == 4:
            calls += [(key, key, key), (query, key, key)]
        for q, k, v in calls:
            given = masks_for(t, padding, mask, batched, 3 if q is k else 5)
            for extra in ({}, {"need_weights": False}, {"average_attn_weights": False}):
                y, weights = layer(q, k, v, **given, **extra)
                loss_of(y if weights is None else [y, weights]).backward()
                found += [y, weights]
        return found, [x.grad for x in (query, key, value)], [p.grad for p in layer.parameters()]

    same_in_both(program, rtol=1e-8, atol=1e-10)


@needs_torch
def test_multihead_options():
    """Dropout with PyTorch's draws, the causal hint, eval mode without gradients, printing, names."""

    def program(t: Any) -> Any:
        x = t.randn(5, 3, 4)
        layer = t.nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=True)
        causal = t.nn.Transformer.generate_square_subsequent_mask(3)
        found = [layer(x, x, x)[0], layer(x, x, x, need_weights=False, attn_mask=causal, is_causal=True)[0], t.rand(2)]
        with t.no_grad():
            found += [layer.eval()(x, x, x, attn_mask=causal, is_causal=True), layer(x, x, x, need_weights=False)[0]]
        return found, repr(layer), list(t.nn.MultiheadAttention(4, 2, add_bias_kv=True, kdim=2).state_dict())

    same_in_both(program, rtol=1e-4)


@needs_torch
def test_static_keys():
    """Keys and values of the heads in place of projected ones."""

    def program(t: Any) -> Any:
        x, w = t.randn(5, 3, 4), t.randn(12, 4)
        given = {"static_k": t.randn(6, 5, 2), "static_v": t.randn(6, 5, 2)}
        return t.nn.functional.multi_head_attention_forward(x, x, x, 4, 2, w, None, None, None, True, 0.0, w[:4], None, **given)

    same_in_both(program)


def heads(t: Any, *shapes: tuple[int, ...], options: Any = None, **masks: Any) -> Any:
    """A call with tensors of ones."""
    return t.nn.MultiheadAttention(4, 2, **(options or {}))(*[t.ones(*s) for s in shapes], **masks)


X = (3, 2, 4)
BAD_HEADS: list[tuple[str, Any]] = [
    ("greater than 0", lambda t: t.nn.MultiheadAttention(0, 1)),
    ("must be divisible by num_heads", lambda t: t.nn.MultiheadAttention(4, 3)),
    ("expected `key` and `value` to be 3-D but found 2-D and 3-D", lambda t: heads(t, X, (3, 4), X)),
    ("but received 1-D query", lambda t: heads(t, (4,), X, X)),
    ("to be `None` or 2-D but found 1-D", lambda t: heads(t, X, X, X, key_padding_mask=t.zeros(3))),
    (r"key_padded_mask.shape\[0\] to be 2, but got 3", lambda t: heads(t, X, X, X, key_padding_mask=t.zeros(3, 2))),
    ("only bool and floating types of key_padding_mask", lambda t: heads(t, X, X, X, key_padding_mask=t.zeros(2, 3, dtype=t.int64))),
    ("The shape of the 2D attn_mask is", lambda t: heads(t, X, X, X, attn_mask=t.zeros(2, 2))),
    ("The shape of the 3D attn_mask is", lambda t: heads(t, X, X, X, attn_mask=t.zeros(3, 3, 3))),
    ("expected `attn_mask` to be `None`, 2-D or 3-D", lambda t: heads(t, X, X, X, attn_mask=t.zeros(1, 1, 3, 3))),
    ("Expected `attn_mask` shape to be", lambda t: heads(t, (3, 4), (3, 4), (3, 4), attn_mask=t.zeros(1, 3, 3))),
    ("Need attn_mask", lambda t: heads(t, X, X, X, is_causal=True)),
    ("was expecting embedding dimension of 4, but got 5", lambda t: heads(t, (3, 2, 5), X, X)),
    ("does not match value shape", lambda t: heads(t, X, X, (2, 2, 4))),
    ("do not match value's", lambda t: heads(t, X, (3, 2, 3), (2, 2, 5), options={"kdim": 3, "vdim": 5})),
    ("expecting key weights shape", lambda t: heads(t, X, (3, 2, 4), (3, 2, 5), options={"kdim": 3, "vdim": 5})),
    ("activation should be relu/gelu, not sin", lambda t: t.nn.TransformerEncoderLayer(4, 2, activation="sin")),
    ("the batch number of src and tgt", lambda t: t.nn.Transformer(4, 2, 1, 1, 8)(t.ones(3, 2, 4), t.ones(3, 3, 4))),
    ("the feature number of src and tgt", lambda t: t.nn.Transformer(4, 2, 1, 1, 8)(t.ones(3, 2, 5), t.ones(3, 2, 4))),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize(("match", "program"), BAD_HEADS, ids=[f"{i}-{m[:30]}" for i, (m, _) in enumerate(BAD_HEADS)])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_wrong_use(match: str, program: Any):
    """PyTorch's types and words."""
    with pytest.raises(Exception, match=match):
        program(theirs)
    error_in_both(program, match)


def test_masks_of_two_kinds_warn():
    """As PyTorch warns."""
    x = torch.randn(3, 2, 4)
    with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask"):
        nn.MultiheadAttention(4, 2)(x, x, x, torch.zeros(2, 3), attn_mask=torch.zeros(3, 3, dtype=torch.bool))


# ---------------------------------------------------------------- the transformer

STACKS: list[dict[str, Any]] = [
    {}, {"norm_first": True, "batch_first": True}, {"activation": "gelu", "bias": False}, {"dropout": 0.3, "layer_norm_eps": 1e-3}, {"dropout": 0.3, "batch_first": True},
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", STACKS, ids=str)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_transformer(options: dict[str, Any], masked: bool):
    """First weights, results with masks of all kinds, and all gradients; dropout with PyTorch's draws."""

    def program(t: Any) -> Any:
        net = t.nn.Transformer(4, 2, 2, 2, 8, **{"dropout": 0.0, **options}).double()
        first = options.get("batch_first", False)
        src, tgt = (t.randn(*((2, n) if first else (n, 2)), 4, dtype=t.float64).requires_grad_() for n in (5, 3))
        masks: dict[str, Any] = {}
        if masked:
            padding = t.tensor([[False, False, False, False, True], [False] * 5])
            masks = {
                "src_mask": t.eye(5).roll(1, 0).bool(), "tgt_mask": net.generate_square_subsequent_mask(3, dtype=t.float64),
                "memory_mask": t.eye(3, 5, dtype=t.float64), "src_key_padding_mask": padding, "memory_key_padding_mask": padding.double() * -3,
            }  # fmt: skip
        y = net(src, tgt, **masks)
        loss_of(y).backward()
        found = [list(net.state_dict().items()), y, src.grad, tgt.grad, [p.grad for p in net.parameters()], repr(net), t.rand(2)]
        if masked:
            causal = masks["tgt_mask"]
            found.append(net.decoder(tgt, src, tgt_mask=causal, tgt_is_causal=True))
        return [*found, net.eval()(src, tgt)]

    same_in_both(program, rtol=1e-7, atol=1e-9)


@needs_torch
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_layers_by_themselves():
    """One example without a batch, other activations, and a stack without a last norm."""

    def program(t: Any) -> Any:
        x = t.randn(5, 4)
        layer = t.nn.TransformerEncoderLayer(4, 2, 8, 0.0, t.nn.GELU())
        mask = t.nn.Transformer.generate_square_subsequent_mask(5)
        stack = t.nn.TransformerEncoder(layer, 2)
        decoder = t.nn.TransformerDecoderLayer(4, 2, 8, 0.0, t.nn.functional.gelu)
        return (
            layer(x, mask),
            stack(x, mask, is_causal=True),
            stack(x, mask),
            decoder(x, x[:3], mask),
            repr(stack),
            repr(decoder),
            list(stack.state_dict()),
        )

    same_in_both(program, rtol=1e-4)


# As PyTorch gives them, for weights that are sines: the softmax's last row, the result's, and gradients of the sum of the result.
RECORDED = [
    [0.6209311093, 0.1570506004, 0.2220182903],
    [-0.1639355621, -0.8296296235, -0.0816022699, -2.2654877031],
    [0.1336612372, -0.3294762772, -0.6376559502, -0.6459360661],
    [-1.1697071407, -1.2525418883, -0.1837954002, 1.0539317313],
]


def test_recorded_numbers():
    """Attention of two heads with a causal mask."""
    layer = nn.MultiheadAttention(4, 2).double()
    for i, p in enumerate(layer.parameters()):
        p.data = torch.from_numpy(np.sin(np.arange(p.numel()) * 0.7 + i).reshape(tuple(p.shape)))
    x = torch.from_numpy(np.cos(np.arange(12.0)).reshape(3, 1, 4)).requires_grad_()
    y, weights = layer(x, x, x, attn_mask=torch.ones(3, 3, dtype=torch.bool).triu(1))
    y.sum().backward()
    for mine, recorded in zip((weights[0, 2], y[2, 0], x.grad[0, 0], layer.in_proj_weight.grad.sum(0)), RECORDED, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), recorded, rtol=1e-8, atol=1e-10)


def test_gradients_of_an_encoder_layer():
    """Of both orders, for the input and the weights of attention."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu").double()
    weights = {n: p for n, p in layer.named_parameters() if "attn" in n}

    def function(x: Any, *values: Any) -> Any:
        return torch.func.functional_call(layer, dict(zip(weights, values, strict=True)), (x,))

    inputs = (torch.randn(2, 1, 4, dtype=torch.float64, requires_grad=True), *[w.detach().requires_grad_() for w in weights.values()])
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(lambda x: function(x, *inputs[1:]), inputs[:1])


def test_transforms():
    """Gradients of each example by vmap, with a padding mask of its own."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True).double()
    params = {n: p.detach() for n, p in layer.named_parameters()}
    xs, masks = torch.randn(3, 5, 4, dtype=torch.float64), torch.tensor([[False] * 4 + [True]] * 2 + [[False] * 5])

    def loss(params: Any, x: Any, mask: Any) -> Any:
        return torch.func.functional_call(layer, params, (x,), {"src_key_padding_mask": mask}).sin().sum()

    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(params, xs, masks)
    for i in range(3):
        for name, g in torch.func.grad(loss)(params, xs[i], masks[i]).items():
            np.testing.assert_allclose(grads[name][i].numpy(), g.numpy(), rtol=1e-8, atol=1e-11)


def test_what_is_masked_is_not_seen():
    """A causal encoder's output does not depend on what comes later; padded keys do not matter."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True), 2)
    x = torch.randn(1, 5, 4)
    other = torch.cat([x[:, :3], torch.randn(1, 2, 4)], 1)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    for hint in (None, True, False):
        np.testing.assert_array_equal(
            encoder(x, causal, is_causal=hint)[:, :3].detach().numpy(), encoder(other, causal, is_causal=hint)[:, :3].detach().numpy()
        )
    padding = torch.tensor([[False] * 3 + [True] * 2])
    seen, hidden = (encoder(z, src_key_padding_mask=padding)[:, :3].detach().numpy() for z in (x, other))
    np.testing.assert_allclose(seen, hidden, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("options", [{"need_weights": False}, {"average_attn_weights": False}], ids=str)
def test_the_result_does_not_depend_on_what_else_is_wanted(options: dict[str, Any]):
    """With the softmax of each head, or without any, the result is one; averaged over heads, the softmax is the mean."""
    x = torch.randn(3, 2, 4)
    layer = nn.MultiheadAttention(4, 2)
    mask = torch.ones(3, 3, dtype=torch.bool).triu(1)
    expected, mean = layer(x, x, x, attn_mask=mask)
    y, weights = layer(x, x, x, attn_mask=mask, **options)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    if options.get("need_weights", True):
        np.testing.assert_allclose(weights.mean(1).detach().numpy(), mean.detach().numpy(), rtol=1e-6)
    else:
        assert weights is None
