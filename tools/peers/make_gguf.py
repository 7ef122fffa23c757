"""Writes a llama or qwen2 checkpoint as GGUF for llama.cpp, without a vocabulary: what is measured are tokens, not text.

usage: make_gguf.py MODEL OUT.gguf [--type f32|f16|bf16|q8_0]

Matrices get the type asked for (f16 in place of q8_0 where rows do not divide by 32), norms and biases stay f32, as llama.cpp's own converter has it.
"""

import argparse
import json
import re
from pathlib import Path

import gguf
import torch
from safetensors import safe_open

TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def name_in_gguf(name):
    if block := re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
        layer, module, kind = block.groups()
        return f"blk.{layer}.{NAMES[module]}.{kind}"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
            "lm_head.weight": "output.weight"}[name]


def rotate_in_pairs(weight, heads):
    """Llama's rotary pairs are neighbours in GGUF and half a head apart in transformers; qwen2's are the same in both."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def add_shape(writer, config):
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or config
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("none")


def add_tensors(writer, source, config, matrix_type):
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():
                data = tensors.get_tensor(name).to(torch.float32).numpy()
                if config["model_type"] == "llama" and ("q_proj" in name or "k_proj" in name):
                    heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
                    data = rotate_in_pairs(data, heads)
                kind = matrix_type if data.ndim == 2 else TYPES["f32"][0]
                if matrix_type == TYPES["q8_0"][0] and data.shape[-1] % 32:
                    kind = TYPES["f16"][0]
                data = gguf.quants.quantize(data, kind)
                writer.add_tensor(name_in_gguf(name), data, raw_dtype=kind)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=TYPES, default="f32")
    arguments = parser.parse_args()
    config = json.loads((arguments.model / "config.json").read_text())
    matrix_type, file_type = TYPES[arguments.type]
    writer = gguf.GGUFWriter(arguments.out, config["model_type"])
    writer.add_file_type(file_type)
    add_shape(writer, config)
    add_tensors(writer, arguments.model, config, matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
