"""Goldens of the ops that families other than llama and qwen2 need, as `ops.py` makes them. Functions of transformers are used
where it has them apart from a model: GemmaRMSNorm, ACT2FN, build_alibi_tensor."""

import torch
from transformers.activations import ACT2FN
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from . import golden_file
from .golden_file import numbers
from .ops import Inputs


def layer_norm(biased):
    inputs = Inputs(21)
    x, weight = inputs.leaf("x", 3, 8), inputs.leaf("weight", 8)
    bias = inputs.leaf("bias", 8) if biased else None
    return inputs.golden(torch.nn.functional.layer_norm(x, (8,), weight, bias, eps=1e-5), eps=1e-5)


def gemma_norm():
    inputs = Inputs(22)
    x, norm = inputs.leaf("x", 3, 8), GemmaRMSNorm(8, eps=1e-6)
    norm.weight = torch.nn.Parameter(torch.randn(8, generator=inputs.generator))
    inputs.leaves["weight"] = norm.weight
    return inputs.golden(norm(x), eps=1e-6)


def head_norm():
    """Queries [N, H, D] normed over D with one weight for all heads, as qwen3 does."""
    inputs = Inputs(23)
    x, weight = inputs.leaf("x", 4, 3, 6), inputs.leaf("weight", 6)
    return inputs.golden(weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)), eps=1e-6, heads=3)


def activation(name):
    inputs = Inputs(24)
    x = inputs.leaf("x", 6, 9)
    return inputs.golden(ACT2FN[name](3.0 * x), factor=3.0)


def gated(name):
    inputs = Inputs(25)
    gate, up = inputs.leaf("gate", 3, 7), inputs.leaf("up", 3, 7)
    return inputs.golden(ACT2FN[name](gate) * up)


def partial_rope():
    """The first 4 of 10 entries of a head are turned, as under gpt_neox's rotary_pct."""
    inputs, positions, turned = Inputs(26), [0, 1, 2, 0, 50], 4
    x = inputs.leaf("x", len(positions), 2, 10)
    frequencies = 1.0 / 500.0 ** (torch.arange(0, turned, 2).float() / turned)
    angles = torch.tensor(positions).float()[:, None] * frequencies
    cos, sin = (torch.cat((f, f), dim=-1)[:, None] for f in (angles.cos(), angles.sin()))
    head, rest = x[..., :turned], x[..., turned:]
    rotated = torch.cat((-head[..., turned // 2 :], head[..., : turned // 2]), dim=-1)
    output = torch.cat((head * cos + rotated * sin, rest), dim=-1)
    return inputs.golden(output, positions=positions, inverse_frequencies=numbers(frequencies, 9))


def split():
    """gpt_neox's query_key_value: [N, heads * 3 * D]; y = q + 2 k - 3 v."""
    inputs, heads, size = Inputs(27), 2, 4
    x = inputs.leaf("x", 3, heads * 3 * size)
    q, k, v = x.view(3, heads, 3 * size).chunk(3, dim=-1)
    return inputs.golden((q + 2.0 * k - 3.0 * v).reshape(3, heads * size), heads=heads, size=size)


def attention(heads, kv_heads, window=None, softcap=None, alibi=False):
    """Two rows packed; within each a token sees earlier ones and itself, as far as the window reaches."""
    inputs, lengths, size = Inputs(28), [7, 4], 6
    count = sum(lengths)
    q, k, v = inputs.leaf("q", count, heads, size), inputs.leaf("k", count, kv_heads, size), inputs.leaf("v", count, kv_heads, size)
    outputs, start = [], 0
    for length in lengths:
        rows = slice(start, start + length)
        keys, values = (t[rows].repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q[rows], keys) / size**0.5
        if alibi:
            scores = scores + build_alibi_tensor(torch.ones(1, length), heads, torch.float32)
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        distance = torch.arange(length)[:, None] - torch.arange(length)
        visible = (distance >= 0) & (distance < (window or length))
        weights = torch.softmax(scores.masked_fill(~visible, float("-inf")), dim=-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, values))
        start += length
    settings = {"heads": heads, "kv_heads": kv_heads, "lengths": lengths, "window": window, "softcap": softcap, "alibi": alibi}
    return inputs.golden(torch.cat(outputs), **settings)


def experts(renormalise):
    """Linear experts, mixed as Mixtral's (or, not renormalised, Qwen-MoE's) sparse block does."""
    inputs, count, width, outs, total, chosen = Inputs(29), 7, 5, 4, 4, 2
    x, router = inputs.leaf("x", count, width), inputs.leaf("router", total, width)
    maps = [inputs.leaf(f"expert{e}", outs, width) for e in range(total)]
    weights, indices = torch.topk(torch.softmax(x @ router.T, dim=-1), chosen, dim=-1)
    if renormalise:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    rows = [sum(weights[n, s] * (maps[indices[n, s]] @ x[n]) for s in range(chosen)) for n in range(count)]
    return inputs.golden(torch.stack(rows), experts=total, chosen=chosen, renormalise=renormalise)


def head_loss():
    """Scaled logits, capped as gemma2 caps its last ones; the sum over the rows."""
    inputs, labels = Inputs(30), [3, 0, 8]
    x, weight = inputs.leaf("x", len(labels), 5), inputs.leaf("weight", 9, 5)
    logits = 0.5 * (x @ weight.T)
    capped = 1.5 * torch.tanh(logits / 1.5)
    loss = torch.nn.functional.cross_entropy(capped, torch.tensor(labels), reduction="sum")
    return inputs.golden(loss, labels=labels, scale=0.5, softcap=1.5)


def make(path):
    golden_file.write(path, {
        "made_with": golden_file.MADE_WITH,
        "layer_norm": layer_norm(False),
        "layer_norm_bias": layer_norm(True),
        "gemma_norm": gemma_norm(),
        "head_norm": head_norm(),
        "gelu_new": activation("gelu_new"),
        "gelu_pytorch_tanh": activation("gelu_pytorch_tanh"),
        "gelu": activation("gelu"),
        "relu": activation("relu"),
        "quick_gelu": activation("quick_gelu"),
        "gated_gelu_pytorch_tanh": gated("gelu_pytorch_tanh"),
        "partial_rope": partial_rope(),
        "split": split(),
        "attention_window": attention(4, 2, window=3),
        "attention_softcap": attention(4, 2, softcap=0.7),
        "attention_alibi": attention(4, 4, alibi=True),
        "attention_alibi_6_heads": attention(6, 6, alibi=True),
        "experts": experts(False),
        "experts_renormalised": experts(True),
        "head_loss": head_loss(),
    })
