"""Compares what the crate luthier-gguf writes and reads with the Python package gguf, with llama.cpp and with transformers.

usage: check_gguf.py --convert PATH [--only FAMILY]...

PATH is the example `convert` of the crate (cargo build -p luthier-gguf --example convert). For each family a small model with
random weights is made with transformers. `convert` turns it into a GGUF file: llama.cpp must compute the logits that
transformers computes. `convert` turns that file into a folder again: its parameters must be those of the model, and its
config.json must make a model with the same logits. Then the tensors of a llama, stored as F16, BF16 and Q8_0, must have the
bytes that the Python package makes; and of files that llama.cpp quantised, the numbers read must be those that the package reads.

Needs torch, transformers, gguf and llama-cpp-python. Exit code 1 when anything differs.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS = [1, 17, 3, 88, 42, 42, 5, 60, 71, 2, 9, 33, 14, 90, 27, 8, 55, 6, 19, 77, 31, 64, 12, 48]

LLAMA = dict(vocab_size=99, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=1, eos_token_id=2, pad_token_id=None,
             tie_word_embeddings=False)
GEMMA = LLAMA | dict(head_dim=16, query_pre_attn_scalar=16, tie_word_embeddings=True)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
FACTORS = {"long_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.1, 3.8], "short_factor": [1.0, 1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5]}

QUANTISED = ["Q4_K_M", "Q5_K_M", "Q6_K", "Q3_K_M", "Q2_K", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]

# model_type and settings
MODELS = {
    # Rows of whole super-blocks.
    "llama-wide": ("llama", LLAMA | dict(hidden_size=256, intermediate_size=512, vocab_size=256)),
    "llama": ("llama", LLAMA | dict(head_dim=24, rope_theta=5000.0)),
    "llama-bias": ("llama", LLAMA | dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "llama-llama3": ("llama", LLAMA | dict(rope_scaling=LLAMA3)),
    "llama-linear": ("llama", LLAMA | dict(rope_scaling={"rope_type": "linear", "factor": 2.0})),
    "mistral": ("mistral", LLAMA | dict(sliding_window=None)),
    "mixtral": ("mixtral", LLAMA | dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=None)),
    "qwen2": ("qwen2", LLAMA),
    "qwen2-yarn": ("qwen2", LLAMA | dict(rope_scaling={
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32})),
    "qwen3": ("qwen3", LLAMA | dict(head_dim=24)),
    "qwen3_moe": ("qwen3_moe", LLAMA | dict(head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32,
                                           norm_topk_prob=True)),
    "gemma": ("gemma", GEMMA),
    "gemma2": ("gemma2", GEMMA | dict(sliding_window=8)),
    "gemma3": ("gemma3_text", GEMMA | dict(num_hidden_layers=7, sliding_window=8)),
    "phi3": ("phi3", LLAMA),
    # llama.cpp takes the long factors by the size of its context (256 at least), transformers by the length of the text.
    "phi3-short": ("phi3", LLAMA | dict(original_max_position_embeddings=256, rope_scaling={"type": "longrope"} | FACTORS)),
    "phi3-long": ("phi3", LLAMA | dict(original_max_position_embeddings=16, rope_scaling={"type": "longrope"} | FACTORS)),
    "gpt2": ("gpt2", dict(vocab_size=99, n_embd=64, n_layer=2, n_head=4, n_positions=128)),
    "gpt_neox": ("gpt_neox", dict(vocab_size=99, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                                  num_attention_heads=4, max_position_embeddings=128, rotary_pct=0.5, hidden_act="gelu")),
    "gpt_neox-sequential": ("gpt_neox", dict(
        vocab_size=99, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, use_parallel_residual=False, hidden_act="gelu")),
    "bloom": ("bloom", dict(vocab_size=99, hidden_size=64, n_layer=2, n_head=4)),
    "olmo2": ("olmo2", LLAMA),
    "granite": ("granite", LLAMA | dict(attention_multiplier=0.2, embedding_multiplier=6.0, residual_multiplier=0.3,
                                        logits_scaling=3.0)),
}


def make_model(name, folder):
    """A model whose weights are all far enough from their usual first values to be told from one another."""
    kind, settings = MODELS[name]
    torch.manual_seed(sum(map(ord, name)))
    config = AutoConfig.for_model(kind, **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder)
    return model


def logits_of(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor([TOKENS])).logits[0].float().numpy()


def logits_of_llama_cpp(path):
    model = llama_cpp.Llama(str(path), n_ctx=64, n_batch=64, n_threads=1, logits_all=True, verbose=False,
                            type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32)
    model.eval(TOKENS)
    logits = np.array(model.scores[:len(TOKENS)], copy=True)
    model.close()
    return logits


def worst(one, other):
    """Largest difference, in standard deviations of the logits."""
    if one.shape != other.shape:
        sys.exit(f"shapes {one.shape} and {other.shape}")
    return float(np.abs(one - other).max() / one.std())


def parameters_differ(folder, back):
    """Names that are only on one side, or the largest difference."""
    one, other = (
        {name: tensor.float() for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}
        for folder in (folder, back))
    one.pop("lm_head.weight", None) if "lm_head.weight" not in other else None
    if one.keys() != other.keys():
        return f"names differ: {sorted(one.keys() ^ other.keys())}"
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def check_family(name, convert, temporary):
    folder, path, back = temporary / name, temporary / f"{name}.gguf", temporary / f"{name}-back"
    model = make_model(name, folder)
    subprocess.run([convert, "to-gguf", folder, path, "F32"], check=True)
    subprocess.run([convert, "to-hugging-face", path, back], check=True)
    due = logits_of(model)
    llama, again = worst(due, logits_of_llama_cpp(path)), parameters_differ(folder, back)
    # Not from_pretrained's defaults: what config.json says must be enough.
    returned = worst(due, logits_of(AutoModelForCausalLM.from_pretrained(back, attn_implementation="eager").float().eval()))
    # llama.cpp looks GELU up in a table of f16 numbers.
    tolerance = 5e-3 if MODELS[name][0] in ("gpt2", "gpt_neox", "bloom") or "gemma" in name else 1e-3
    right = llama < tolerance and not isinstance(again, str) and again < 1e-7 and returned < 1e-4
    print(f"{name:20} llama.cpp {llama:.1e}   parameters {again if isinstance(again, str) else f'{again:.1e}'}   "
          f"and back {returned:.1e}   {'ok' if right else 'WRONG'}", flush=True)
    return right


def check_bytes(kind, convert, temporary):
    """Every tensor has the bytes that the package makes of its numbers, and the metadata can be read."""
    folder, plain, path = temporary / "stored", temporary / "stored-f32.gguf", temporary / f"stored-{kind}.gguf"
    if not folder.is_dir():
        make_model("llama", folder)
    subprocess.run([convert, "to-gguf", folder, plain, "F32"], check=True)
    subprocess.run([convert, "to-gguf", folder, path, kind], check=True)
    numbers = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(plain).tensors}
    reader, wrong, types = gguf.GGUFReader(path), [], set()
    for tensor in reader.tensors:
        due = gguf.quants.quantize(numbers[tensor.name], tensor.tensor_type)
        types.add(tensor.tensor_type.name)
        if due.tobytes() != tensor.data.tobytes():
            wrong.append(tensor.name)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    right = not wrong and fields["general.architecture"] == "llama" and fields["llama.block_count"] == 2 and kind in types
    print(f"stored as {kind:10} {len(reader.tensors)} tensors of {sorted(types)}, {len(fields)} fields: "
          f"{'ok' if right else f'WRONG {wrong}'}", flush=True)
    return right


def check_quantised(kind, convert, temporary):
    """A file that llama.cpp quantised: read by `convert`, and stored in F32 again, it has the numbers that the package reads."""
    plain, quantised = temporary / "large.gguf", temporary / f"large-{kind}.gguf"
    folder, back, again = temporary / "large", temporary / f"large-{kind}", temporary / f"large-{kind}-again.gguf"
    if not plain.is_file():
        make_model("llama-wide", folder)
        subprocess.run([convert, "to-gguf", folder, plain, "F32"], check=True)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    if llama_cpp.llama_model_quantize(str(plain).encode(), str(quantised).encode(), ctypes.byref(parameters)):
        sys.exit(f"llama.cpp does not quantise to {kind}")
    subprocess.run([convert, "to-hugging-face", quantised, back], check=True)
    subprocess.run([convert, "to-gguf", back, again, "F32"], check=True)
    found = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(again).tensors}
    wrong, types = [], set()
    for tensor in gguf.GGUFReader(quantised).tensors:
        types.add(tensor.tensor_type.name)
        due = gguf.quants.dequantize(np.array(tensor.data), tensor.tensor_type)
        if due.tobytes() != found.pop(tensor.name).tobytes():
            wrong.append(tensor.name)
    right = not wrong and not found
    print(f"quantised to {kind:7} {sorted(types)}: {'ok' if right else f'WRONG {wrong} {sorted(found)}'}", flush=True)
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--convert", type=Path, required=True, help="the example of the crate, built")
    parser.add_argument("--only", action="append", choices=MODELS, help="this family alone; may be repeated")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        right = [check_family(name, arguments.convert, temporary) for name in arguments.only or MODELS]
        right += [check_bytes(kind, arguments.convert, temporary) for kind in ("F32", "F16", "BF16", "Q8_0")]
        right += [check_quantised(kind, arguments.convert, temporary) for kind in QUANTISED]
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
