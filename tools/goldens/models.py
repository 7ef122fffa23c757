"""Five tiny random checkpoints, as save_pretrained writes them: every switch of the llama and qwen2 decoders is in one of them."""

import shutil

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from . import tokenizer

SEED = 20240
COMMON = dict(num_hidden_layers=2, initializer_range=0.2, max_position_embeddings=256, attn_implementation="eager")

# name -> (class, configuration, save options, generation_config, tokenizer folder or None)
CHECKPOINTS = {
    "llama-mha-untied": (
        LlamaForCausalLM,
        LlamaConfig(**COMMON, hidden_size=32, intermediate_size=88, num_attention_heads=4, num_key_value_heads=4,
                    vocab_size=tokenizer.VOCAB_SIZE, tie_word_embeddings=False, rms_norm_eps=1e-5, rope_theta=10000.0,
                    bos_token_id=0, eos_token_id=2),
        dict(dtype=torch.float32),
        dict(bos_token_id=0, eos_token_id=2, pad_token_id=3),
        "tokenizer-bos",
    ),
    "llama-gqa-tied-llama3-rope": (
        LlamaForCausalLM,
        LlamaConfig(**COMMON, hidden_size=48, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2,
                    vocab_size=304, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_theta=5000.0,
                    rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                      original_max_position_embeddings=32),
                    bos_token_id=1, eos_token_id=2),
        dict(dtype=torch.bfloat16),
        dict(bos_token_id=1, eos_token_id=[2, 7]),
        None,
    ),
    "llama-linear-rope-headdim": (
        LlamaForCausalLM,
        LlamaConfig(**COMMON, hidden_size=40, intermediate_size=100, num_attention_heads=4, num_key_value_heads=1,
                    head_dim=16, vocab_size=300, tie_word_embeddings=False, rms_norm_eps=1e-6, rope_theta=10000.0,
                    rope_scaling=dict(rope_type="linear", factor=2.0), bos_token_id=1, eos_token_id=2),
        dict(dtype=torch.float16),
        dict(bos_token_id=1, eos_token_id=2),
        None,
    ),
    "qwen2-bias-tied": (
        Qwen2ForCausalLM,
        Qwen2Config(**COMMON, hidden_size=32, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2,
                    vocab_size=tokenizer.VOCAB_SIZE, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=1000000.0,
                    bos_token_id=3, eos_token_id=2),
        dict(dtype=torch.float32),
        dict(bos_token_id=3, eos_token_id=[2, 3], pad_token_id=3, do_sample=True, temperature=0.7, top_p=0.8, top_k=20,
             repetition_penalty=1.05),
        "tokenizer",
    ),
    "qwen2-untied-odd": (
        Qwen2ForCausalLM,
        Qwen2Config(**COMMON, hidden_size=48, intermediate_size=72, num_attention_heads=3, num_key_value_heads=1,
                    vocab_size=307, tie_word_embeddings=False, rms_norm_eps=1e-6, rope_theta=10000.0,
                    bos_token_id=1, eos_token_id=2),
        dict(dtype=torch.float32, max_shard_size="100KB"),
        dict(bos_token_id=1, eos_token_id=2),
        None,
    ),
}
NAMES = tuple(CHECKPOINTS)


def randomise_vectors(model):
    """Norm weights away from 1 and biases away from 0, where they start: a decoder that forgot them would otherwise pass."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
            elif name.endswith(".bias"):
                parameter.normal_(std=0.3)


def make(name, folder, fixtures):
    """Writes the checkpoint `name` into `folder`, with the tokenizer of `fixtures` that fits its vocabulary."""
    model_class, config, save, generation, tokenizer_folder = CHECKPOINTS[name]
    torch.manual_seed(SEED + NAMES.index(name))
    model = model_class(config)
    randomise_vectors(model)
    model.generation_config = GenerationConfig(**generation)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(save["dtype"]).save_pretrained(folder, max_shard_size=save.get("max_shard_size", "5GB"))
    if tokenizer_folder:
        for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
            if (fixtures / tokenizer_folder / file).exists():
                shutil.copy(fixtures / tokenizer_folder / file, folder / file)
    return folder


def load(folder):
    """The checkpoint in float32 with eager attention, whatever it is stored in, and no end-of-sequence id of its own."""
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()
    model.generation_config = GenerationConfig()
    return model
