"""Goldens of single ops: inputs, outputs and the gradients of the inputs for a given output gradient, by torch autograd."""

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from . import golden_file
from .golden_file import numbers


class Inputs:
    """Seeded leaf tensors that remember their names."""

    def __init__(self, seed):
        self.generator, self.leaves = torch.Generator().manual_seed(seed), {}

    def leaf(self, name, *shape):
        self.leaves[name] = torch.randn(shape, generator=self.generator).requires_grad_()
        return self.leaves[name]

    def golden(self, output, **settings):
        """Backpropagates a random gradient from `output`: x and dx for every leaf x, plus y and dy; all row-major, flat."""
        gradient = torch.randn(output.shape, generator=self.generator)
        output.backward(gradient)
        arrays = {name: leaf for name, leaf in self.leaves.items()} | {f"d{name}": leaf.grad for name, leaf in self.leaves.items()}
        arrays |= {"y": output, "dy": gradient}
        shapes = {name: list(leaf.shape) for name, leaf in self.leaves.items()} | {"y": list(output.shape)}
        return {**settings, "shapes": shapes, **{name: numbers(array.flatten(), 9) for name, array in arrays.items()}}


def rms_norm():
    inputs = Inputs(1)
    x, weight = inputs.leaf("x", 3, 8), inputs.leaf("weight", 8)
    return inputs.golden(weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)), eps=1e-5)


def rope(seed, scaling=None):
    """x: [N, H, D]; positions restart, as in packed rows."""
    inputs, positions = Inputs(seed), [0, 1, 2, 3, 0, 1, 50]
    x = inputs.leaf("x", len(positions), 2, 8)
    config = LlamaConfig(hidden_size=16, num_attention_heads=2, rope_theta=500.0, rope_scaling=scaling, max_position_embeddings=256)
    embedding = LlamaRotaryEmbedding(config=config)
    cos, sin = embedding(x, torch.tensor([positions]))
    heads_first = x.transpose(0, 1)[None]
    rotated, _ = apply_rotary_pos_emb(heads_first, heads_first, cos, sin)
    return inputs.golden(rotated[0].transpose(0, 1), positions=positions, theta=500.0, rope_scaling=scaling,
                         inverse_frequencies=numbers(embedding.inv_freq, 9))


def swiglu():
    inputs = Inputs(3)
    gate, up = inputs.leaf("gate", 3, 7), inputs.leaf("up", 3, 7)
    return inputs.golden(torch.nn.functional.silu(gate) * up)


def linear():
    """y = x W^T + b + scale (x A^T) B^T"""
    inputs = Inputs(4)
    x, weight, bias = inputs.leaf("x", 5, 6), inputs.leaf("weight", 4, 6), inputs.leaf("bias", 4)
    a, b = inputs.leaf("lora_a", 2, 6), inputs.leaf("lora_b", 4, 2)
    return inputs.golden(x @ weight.T + bias + 0.5 * (x @ a.T) @ b.T, scale=0.5)


def embed():
    inputs, tokens = Inputs(5), [2, 0, 2, 4]
    return inputs.golden(inputs.leaf("table", 5, 3)[torch.tensor(tokens)], tokens=tokens)


def cross_entropy():
    """Mean over the labelled tokens; labels are already those of the next token."""
    inputs, labels = Inputs(6), [3, -100, 0, 8, -100]
    logits = inputs.leaf("logits", len(labels), 9)
    loss = torch.nn.functional.cross_entropy(logits * 3.0, torch.tensor(labels))
    return inputs.golden(loss, labels=labels, logits_multiplier=3.0)


def attention(segments):
    """q: [N, H, D], k and v: [N, K, D]; a token sees its segment's earlier tokens, itself, and all of the segment's parent."""
    inputs, count, heads, kv_heads, size = Inputs(7), sum(s["length"] for s in segments), 4, 2, 6
    q, k, v = inputs.leaf("q", count, heads, size), inputs.leaf("k", count, kv_heads, size), inputs.leaf("v", count, kv_heads, size)
    visible = torch.zeros(count, count, dtype=torch.bool)
    for segment in segments:
        start, end = segment["start"], segment["start"] + segment["length"]
        visible[start:end, start:end] = torch.ones(segment["length"], segment["length"]).tril().bool()
        if segment["parent"] is not None:
            parent = segments[segment["parent"]]
            visible[start:end, parent["start"]:parent["start"] + parent["length"]] = True
    keys, values = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, keys) / size**0.5
    weights = torch.softmax(scores.masked_fill(~visible, float("-inf")), dim=-1)
    return inputs.golden(torch.einsum("hqk,khd->qhd", weights, values), segments=segments, scale=numbers(size**-0.5, 9))


def segment(start, length, parent=None):
    return {"start": start, "length": length, "parent": parent}


def make(path):
    golden_file.write(path, {
        "made_with": golden_file.MADE_WITH,
        "rms_norm": rms_norm(),
        "rope": rope(2),
        "rope_linear": rope(2, {"rope_type": "linear", "factor": 2.0}),
        "rope_llama3": rope(2, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                "original_max_position_embeddings": 64}),
        "swiglu": swiglu(),
        "linear": linear(),
        "embed": embed(),
        "cross_entropy": cross_entropy(),
        "attention": attention([segment(0, 4), segment(4, 1), segment(5, 6)]),
        "attention_shared_prefix": attention([segment(0, 3), segment(3, 2, 0), segment(5, 4, 0), segment(9, 2)]),
    })
