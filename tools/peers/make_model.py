"""Makes a checkpoint of a real shape with seeded random weights, and a real tokenizer beside them.

usage: make_model.py SHAPE OUT [--tokenizer DIR] [--chat-template FILE] [--dtype float32|bfloat16|float16] [--seed N]

SHAPE: qwen05 (Qwen2.5-0.5B, 494 M parameters), smol135 (a body of 106 M with the vocabulary of Qwen2, 194 M in all), smollm135
(SmolLM-135M), tiny (10 M, nearly all of it the vocabulary). DIR is a folder of Qwen2's or another tokenizer: tokenizer.json, or
vocab.json and merges.txt of a byte-level BPE with Qwen2's special tokens. FILE is the chat template to use in place of DIR's own.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

QWEN2 = dict(vocab_size=151936, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=1000000.0, max_position_embeddings=4096,
             bos_token_id=151643, eos_token_id=151645)
SMOL = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3)
SHAPES = {
    "qwen05": (Qwen2ForCausalLM, Qwen2Config, dict(
        hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, **QWEN2)),
    "smol135": (Qwen2ForCausalLM, Qwen2Config, dict(**SMOL, **QWEN2)),
    "smollm135": (LlamaForCausalLM, LlamaConfig, dict(
        **SMOL, vocab_size=49152, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=2048,
        bos_token_id=0, eos_token_id=0)),
    "tiny": (Qwen2ForCausalLM, Qwen2Config, dict(
        hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **QWEN2)),
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def add_tokenizer(source, out, chat_template):
    """Copies a tokenizer beside the weights; one that has only vocab.json and merges.txt is Qwen2's and gets a tokenizer.json."""
    if (source / "tokenizer.json").exists():
        for file in TOKENIZER_FILES:
            if (source / file).exists():
                shutil.copyfile(source / file, out / file)
        if chat_template:
            shutil.copyfile(chat_template, out / "chat_template.jinja")
        return
    if not ((source / "vocab.json").exists() and (source / "merges.txt").exists()):
        sys.exit(f"{source}: neither tokenizer.json nor vocab.json with merges.txt")
    merges = (source / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [tuple(line.split(" ")) for line in merges if line and not line.startswith("#version")]
    tokenizer = Qwen2Tokenizer(vocab=json.loads((source / "vocab.json").read_text(encoding="utf-8")), merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL_TOKENS})
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    settings = source / "tokenizer_config.json"
    if chat_template:
        tokenizer.chat_template = chat_template.read_text(encoding="utf-8")
    elif settings.exists():
        tokenizer.chat_template = json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
    tokenizer.save_pretrained(out)


def check_vocabulary(out, vocab_size):
    contents = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    greatest = max([*contents["model"]["vocab"].values(), *(token["id"] for token in contents["added_tokens"])])
    if greatest >= vocab_size:
        sys.exit(f"{out}: token id {greatest} does not fit a vocabulary of {vocab_size}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, help="a folder whose tokenizer goes beside the weights")
    parser.add_argument("--chat-template", type=Path, help="a Jinja file to use in place of the tokenizer's own template")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    model_class, config_class, settings = SHAPES[arguments.shape]
    torch.manual_seed(arguments.seed)
    model = model_class(config_class(**settings)).to(getattr(torch, arguments.dtype))
    model.save_pretrained(arguments.out)
    if arguments.tokenizer:
        add_tokenizer(arguments.tokenizer, arguments.out, arguments.chat_template)
        check_vocabulary(arguments.out, settings["vocab_size"])
    print(f"{arguments.out}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
