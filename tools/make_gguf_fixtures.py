"""Makes the GGUF fixtures of the Rust tests with the Python package gguf.

usage: make_gguf_fixtures.py [OUT]      (OUT: fixtures/gguf of this repository by default)

Needs numpy, torch, safetensors and gguf (setup-venv.sh). A second run writes the same bytes. fixtures/README.md describes what
is written.
"""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parent.parent
SHAPE = (3, 256)

# What the package can quantise, and what it can only read: those are made of random bytes.
QUANTISED = [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1]
RANDOM = {
    # Where the scales, f16 numbers, stand in a block.
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
    Type.IQ4_NL: [0], Type.IQ4_XS: [0],
}


def random_blocks(kind, scales, random):
    """Rows of blocks of random bytes, whose scales are numbers of the size that weights have."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (SHAPE[0] * SHAPE[1] // block, size), dtype=np.uint8)
    for at in scales:
        numbers = random.uniform(-0.01, 0.01, len(blocks)).astype(np.float16)
        blocks[:, at:at + 2] = numbers.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(SHAPE[0], -1)


def make_types(out):
    """One tensor of each type, and the numbers that the package reads in it."""
    random = np.random.default_rng(7)
    numbers = (random.standard_normal(SHAPE) * np.exp(random.standard_normal(SHAPE))).astype(np.float32)
    # A block of zeros, one of equal numbers, and one whose numbers are halfway between two steps of Q8_0.
    numbers[0, :32] = 0
    numbers[0, 32:64] = -2.5
    numbers[0, 64:96] = (np.arange(32) - 15.5) * 0.5
    numbers[0, 64] = 63.5
    writer = gguf.GGUFWriter(out / "types.gguf", "none")
    writer.add_string("fixture.text", "字 \U0001f409")
    writer.add_array("fixture.numbers", [1, -2, 3])
    writer.add_array("fixture.texts", ["one", "", "二"])
    writer.add_float64("fixture.float", -0.1)
    read = {"numbers": torch.from_numpy(numbers.copy())}
    stored = {kind: gguf.quants.quantize(numbers, kind) for kind in QUANTISED}
    stored |= {kind: random_blocks(kind, scales, random) for kind, scales in RANDOM.items()}
    for kind, data in stored.items():
        name = kind.name.lower()
        raw = None if kind in (Type.F32, Type.F16) else kind
        writer.add_tensor(name, data, raw_dtype=raw)
        read[name] = torch.from_numpy(gguf.quants.dequantize(data, kind).astype(np.float32).reshape(SHAPE).copy())
    writer.add_tensor("f64", numbers.astype(np.float64))
    read["f64"] = read["numbers"].clone()
    write(writer)
    save_file(read, out / "types.safetensors")


def permute(weight, heads):
    """Rows of each head from halves to pairs: llama.cpp rotates neighbours, transformers a row with the one half a head on."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def make_llama(model, out):
    """A whole model, with its tensors renamed and permuted here by hand."""
    config = json.loads((model / "config.json").read_text())
    tensors = load_file(model / "model.safetensors")
    heads, kv_heads, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    writer = gguf.GGUFWriter(out / "llama.gguf", "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("none")
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_tensor("rope_freqs.weight", rope_factors(config))
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }
    for name, tensor in tensors.items():
        stem = name.removesuffix(".weight")
        block = ""
        if stem.startswith("model.layers."):
            _, _, number, stem = stem.split(".", 3)
            block = f"blk.{number}."
        data = tensor.float().numpy()
        if stem in ("self_attn.q_proj", "self_attn.k_proj"):
            data = permute(data, heads if stem == "self_attn.q_proj" else kv_heads)
        if data.ndim == 1:
            writer.add_tensor(f"{block}{names[stem]}.weight", data)
        else:
            data = gguf.quants.quantize(np.ascontiguousarray(data), Type.BF16)
            writer.add_tensor(f"{block}{names[stem]}.weight", data, raw_dtype=Type.BF16)
    write(writer)


def rope_factors(config):
    """By what each frequency is divided (rope_type llama3 of transformers)."""
    scaling, size = config["rope_scaling"], config["head_dim"]
    frequencies = 1.0 / config["rope_theta"] ** (np.arange(0, size, 2) / size)
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32)


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "fixtures/gguf")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    make_types(out)
    make_llama(ROOT / "fixtures/models/llama-gqa-tied-llama3-rope", out)


if __name__ == "__main__":
    main()
