"""Makes a checkpoint of a real shape with seeded random weights.

usage: make_model.py SHAPE OUT [--tokenizer DIR] [--dtype float32|bfloat16|float16] [--seed N]

SHAPE: smol135 (llama, 135 M parameters), qwen05 (qwen2, 494 M), tiny-qwen2 (10 M, nearly all of it the vocabulary of 151,936).
The tokenizer files of DIR (tokenizer.json, or vocab.json and merges.txt, with their configuration and chat template) are copied
beside the weights; vocab.json and merges.txt are turned into tokenizer.json.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2TokenizerFast

QWEN2 = dict(vocab_size=151936, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=1000000.0, max_position_embeddings=32768,
             bos_token_id=151643, eos_token_id=151645)
SHAPES = {
    "smol135": (LlamaForCausalLM, LlamaConfig, dict(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152,
        tie_word_embeddings=True, rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=2048, bos_token_id=0, eos_token_id=0)),
    "qwen05": (Qwen2ForCausalLM, Qwen2Config, dict(
        hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, **QWEN2)),
    "tiny-qwen2": (Qwen2ForCausalLM, Qwen2Config, dict(
        hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **QWEN2)),
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "chat_template.jinja")


def add_tokenizer(source, out, vocab_size):
    """Copies a tokenizer beside the weights; one that has only vocab.json and merges.txt is Qwen2's and gets a tokenizer.json."""
    if (source / "tokenizer.json").exists():
        for file in TOKENIZER_FILES:
            if (source / file).exists():
                shutil.copyfile(source / file, out / file)
    elif (source / "vocab.json").exists() and (source / "merges.txt").exists():
        Qwen2TokenizerFast.from_pretrained(source).save_pretrained(out)
    else:
        sys.exit(f"{source}: neither tokenizer.json nor vocab.json with merges.txt")
    contents = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = list(contents["model"]["vocab"].values()) + [token["id"] for token in contents["added_tokens"]]
    if max(tokens) >= vocab_size:
        sys.exit(f"{source}: token id {max(tokens)} does not fit a vocabulary of {vocab_size}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, help="a folder whose tokenizer files are copied")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    model_class, config_class, settings = SHAPES[arguments.shape]
    torch.manual_seed(arguments.seed)
    model = model_class(config_class(**settings)).to(getattr(torch, arguments.dtype))
    model.save_pretrained(arguments.out)
    if arguments.tokenizer:
        add_tokenizer(arguments.tokenizer, arguments.out, settings["vocab_size"])
    print(f"{arguments.out}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
