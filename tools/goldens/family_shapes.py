"""The tiny shapes of make_family_goldens.py: a configuration each, and the settings whose every change must show in the logits."""

from dataclasses import dataclass

from transformers import (
    BloomConfig, Gemma2Config, Gemma3TextConfig, GemmaConfig, GPT2Config, GPTNeoXConfig, GraniteConfig, LlamaConfig, MistralConfig,
    MixtralConfig, Olmo2Config, OPTConfig, Phi3Config, PretrainedConfig, Qwen2Config, Qwen3Config, Qwen3MoeConfig,
)

TOKENS = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)


@dataclass(frozen=True)
class Shape:
    """`flips`: settings that, changed one at a time with the same weights, must change the logits. `forget`, `say`: keys taken out of and
    put into the saved config.json, so that it reads as older versions of transformers (and files on the Hub) write it."""

    config: PretrainedConfig
    flips: tuple = ()
    forget: tuple = ()
    say: tuple = ()


def sizes(hidden, heads, kv_heads, ff, layers, vocab, positions=64, **more):
    """The sizes of the rotary families under their usual names."""
    return dict(hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=ff, num_hidden_layers=layers,
                vocab_size=vocab, max_position_embeddings=positions, **TOKENS, **more)


def opt(hidden, heads, ff, layers, vocab, **more):
    return OPTConfig(hidden_size=hidden, num_attention_heads=heads, ffn_dim=ff, num_hidden_layers=layers, vocab_size=vocab,
                     max_position_embeddings=36, dropout=0.0, attention_dropout=0.0, **TOKENS, **more)


def gpt2(width, heads, inner, layers, vocab, **more):
    return GPT2Config(n_embd=width, n_head=heads, n_inner=inner, n_layer=layers, vocab_size=vocab, n_positions=36,
                      resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **TOKENS, **more)


def gpt_neox(hidden, heads, ff, layers, vocab, **more):
    return GPTNeoXConfig(hidden_size=hidden, num_attention_heads=heads, intermediate_size=ff, num_hidden_layers=layers, vocab_size=vocab,
                         max_position_embeddings=64, **TOKENS, **more)


def bloom(hidden, heads, layers, vocab, **more):
    return BloomConfig(hidden_size=hidden, n_head=heads, n_layer=layers, vocab_size=vocab, **TOKENS, **more)


def rope(flips=(), forget=(), say=(), positions=64, kv_heads=1, theta=10000.0, tied=True, **scaling):
    """A llama with 16 numbers a head and this scaling; `flips` are changes inside the scaling."""
    config = LlamaConfig(**sizes(20, 2, kv_heads, 26, 2, 71, positions, head_dim=16, tie_word_embeddings=tied, rope_theta=theta),
                         rope_scaling=dict(scaling))
    return Shape(config, scalings(scaling, *flips), forget, say)


def scalings(scaling, *changes):
    """Flips of a rope scaling: none at all, and each change of its fields."""
    return (dict(rope_scaling=None), *(dict(rope_scaling={**scaling, **change}) for change in changes))


def longrope(short, long, positions, original, kv_heads, heads, tied, **more):
    scaling = dict(type="longrope", short_factor=short, long_factor=long)
    config = Phi3Config(**sizes(24, heads, kv_heads, 28, 2, 79, positions, tie_word_embeddings=tied),
                        original_max_position_embeddings=original, rope_scaling=scaling, **more)
    return config, scaling


LINEAR = dict(rope_type="linear", factor=4.0)
# Before transformers 4.43, and in OLMo 2 still.
OLD_LINEAR = dict(type="linear", factor=4.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=4096)
LONG_SHORT, SCALING_SHORT = longrope([1.0, 1.1, 1.3, 1.6, 2.0, 2.5], [1.5, 2.0, 3.0, 5.0, 7.0, 9.0], 128, 32, 1, 2, False)
LONG_LONG, SCALING_LONG = longrope([1.0, 1.05, 1.2, 1.4, 1.7, 2.2], [1.2, 1.9, 2.7, 4.0, 6.5, 9.5], 64, 6, 2, 2, True)
LONG_CROSSING, SCALING_CROSSING = longrope([1.1, 1.4, 2.0], [2.0, 4.5, 9.0], 96, 24, 1, 3, False, partial_rotary_factor=0.75)

SHAPES = {
    # llama
    "llama-biases-head-size": Shape(
        LlamaConfig(**sizes(24, 3, 1, 32, 2, 83, head_dim=10, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-3, rope_theta=500.0)),
        (dict(attention_bias=False), dict(mlp_bias=False), dict(rms_norm_eps=1e-1), dict(rope_theta=10000.0))),
    "llama-tied-wide-heads": Shape(
        LlamaConfig(**sizes(20, 2, 2, 28, 2, 101, head_dim=14, attention_bias=True, tie_word_embeddings=True)), (dict(attention_bias=False),)),
    # rope scalings
    "llama-rope-linear": rope(type="linear", factor=2.5, flips=(dict(factor=3.0),), forget=("rope_scaling.rope_type",)),
    "llama-rope-dynamic": rope(rope_type="dynamic", factor=2.0, positions=16, flips=(dict(factor=4.0),)),
    "llama-rope-dynamic-crossing": rope(rope_type="dynamic", factor=3.0, positions=22, kv_heads=2, tied=False, flips=(dict(factor=6.0),)),
    "llama-rope-llama3": rope(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64, positions=512,
        kv_heads=2, flips=(dict(factor=2.0), dict(low_freq_factor=2.0), dict(high_freq_factor=8.0), dict(original_max_position_embeddings=16))),
    "llama-rope-yarn": rope(**YARN, positions=16384, flips=(dict(attention_factor=1.0), dict(original_max_position_embeddings=64))),
    "llama-rope-yarn-attention-factor": rope(
        rope_type="yarn", factor=8.0, attention_factor=1.4, beta_fast=8.0, beta_slow=2.0, positions=1024, kv_heads=2, tied=False,
        flips=(dict(attention_factor=None), dict(beta_fast=32.0), dict(beta_slow=1.0), dict(factor=4.0))),
    "llama-rope-yarn-mscale": rope(
        rope_type="yarn", factor=40.0, mscale=0.7, mscale_all_dim=1.3, beta_fast=16.0, beta_slow=1.0, truncate=False,
        original_max_position_embeddings=512, positions=20480, theta=500.0,
        flips=(dict(mscale=None), dict(mscale_all_dim=0.7), dict(truncate=True))),
    # mistral
    "mistral-window-head-size": Shape(
        MistralConfig(**sizes(28, 4, 1, 30, 2, 67, head_dim=10, sliding_window=5, tie_word_embeddings=True)), (dict(sliding_window=None), dict(sliding_window=6))),
    "mistral-no-window": Shape(MistralConfig(**sizes(18, 3, 3, 34, 3, 61, sliding_window=None, rope_theta=100.0, rms_norm_eps=1e-5)), (dict(sliding_window=8),)),
    # qwen2
    "qwen2-window-upper-layers": Shape(
        Qwen2Config(**sizes(20, 2, 1, 24, 4, 73, use_sliding_window=True, sliding_window=6, max_window_layers=2, tie_word_embeddings=True)),
        (dict(use_sliding_window=False), dict(max_window_layers=1), dict(max_window_layers=3), dict(sliding_window=7)), forget=("layer_types",)),
    "qwen2-layer-types": Shape(
        Qwen2Config(**sizes(18, 3, 1, 26, 3, 89, use_sliding_window=True, sliding_window=4, max_window_layers=28,
                            layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
        (dict(layer_types=["full_attention", "sliding_attention", "sliding_attention"]), dict(layer_types=["full_attention"] * 3))),
    "qwen2-head-size-no-window": Shape(
        Qwen2Config(**sizes(20, 3, 3, 22, 2, 109, head_dim=12, use_sliding_window=False, sliding_window=4, max_window_layers=1, tie_word_embeddings=True)),
        (dict(use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=None),), say=(("sliding_window", 4),)),
    # qwen3
    "qwen3-grouped": Shape(Qwen3Config(**sizes(22, 4, 2, 26, 2, 67, head_dim=8)), (dict(rms_norm_eps=1e-1),), forget=("layer_types",)),
    "qwen3-biases-tied": Shape(
        Qwen3Config(**sizes(20, 3, 1, 24, 2, 79, head_dim=16, attention_bias=True, tie_word_embeddings=True, rope_theta=1000.0)), (dict(attention_bias=False),)),
    "qwen3-window-yarn": Shape(
        Qwen3Config(**sizes(24, 2, 2, 28, 3, 61, 16384, head_dim=10, use_sliding_window=True, sliding_window=7, max_window_layers=1,
                            tie_word_embeddings=True), rope_scaling=dict(YARN)),
        (*scalings(YARN), dict(layer_types=None, max_window_layers=2), dict(layer_types=None, use_sliding_window=False), dict(sliding_window=6))),
    # gemma
    "gemma-biases": Shape(
        GemmaConfig(**sizes(20, 3, 3, 28, 2, 83, head_dim=14, attention_bias=True, rms_norm_eps=1e-3)), (dict(attention_bias=False), dict(rms_norm_eps=1e-1))),
    "gemma-gelu-untied": Shape(
        GemmaConfig(**sizes(24, 2, 1, 26, 2, 97, head_dim=8, hidden_act="gelu", tie_word_embeddings=False)),
        (dict(hidden_act="relu"),)),
    # gemma2
    "gemma2-soft-caps": Shape(
        Gemma2Config(**sizes(20, 2, 1, 26, 3, 71, head_dim=12, query_pre_attn_scalar=5, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
                             sliding_window=5, attention_bias=True)),
        (dict(attn_logit_softcapping=None), dict(final_logit_softcapping=None), dict(query_pre_attn_scalar=12), dict(attention_bias=False),
         dict(sliding_window=6), dict(layer_types=["full_attention", "sliding_attention", "full_attention"])), forget=("layer_types",)),
    "gemma2-no-caps-untied": Shape(
        Gemma2Config(**sizes(18, 3, 3, 24, 3, 89, head_dim=8, query_pre_attn_scalar=24, attn_logit_softcapping=None, final_logit_softcapping=None,
                             sliding_window=9, layer_types=["full_attention", "sliding_attention", "sliding_attention"],
                             hidden_activation="gelu", tie_word_embeddings=False)),
        (dict(attn_logit_softcapping=2.0), dict(final_logit_softcapping=3.0), dict(hidden_activation="relu"),
         dict(layer_types=["sliding_attention", "full_attention", "sliding_attention"]))),
    # gemma3
    "gemma3-local-global": Shape(
        Gemma3TextConfig(**sizes(20, 2, 1, 24, 4, 71, head_dim=10, query_pre_attn_scalar=10, sliding_window=5, sliding_window_pattern=2,
                                 rope_local_base_freq=100.0, rope_theta=5000.0)),
        (dict(rope_local_base_freq=5000.0), dict(rope_theta=100.0), dict(sliding_window=6), dict(sliding_window_pattern=4)),
        forget=("layer_types", "_sliding_window_pattern"), say=(("sliding_window_pattern", 2),)),
    "gemma3-linear-biases": Shape(
        Gemma3TextConfig(**sizes(18, 3, 1, 22, 3, 97, head_dim=8, query_pre_attn_scalar=20, sliding_window=7, attention_bias=True,
                                 rope_local_base_freq=50.0, rope_theta=800.0, layer_types=["full_attention", "sliding_attention", "full_attention"]),
                         rope_scaling=dict(LINEAR)),
        (*scalings(LINEAR, dict(factor=8.0)), dict(query_pre_attn_scalar=8), dict(attention_bias=False),
         dict(layer_types=["sliding_attention", "full_attention", "full_attention"]))),
    "gemma3-untied-final-cap": Shape(
        Gemma3TextConfig(**sizes(22, 2, 2, 24, 2, 83, head_dim=14, query_pre_attn_scalar=14, sliding_window=4, final_logit_softcapping=3.0,
                                 layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=False)),
        (dict(final_logit_softcapping=None), dict(sliding_window=5))),
    "gemma3-default-pattern": Shape(
        Gemma3TextConfig(**sizes(12, 2, 1, 16, 7, 61, head_dim=6, query_pre_attn_scalar=6, sliding_window=6)),
        (dict(sliding_window_pattern=2), dict(sliding_window_pattern=7), dict(rope_theta=100.0), dict(rope_local_base_freq=100.0)),
        forget=("layer_types", "_sliding_window_pattern")),
    # opt
    "opt-pre-norm": Shape(opt(24, 3, 40, 2, 89), (dict(activation_function="gelu"), dict(do_layer_norm_before=False))),
    "opt-post-norm-projected": Shape(
        opt(24, 4, 36, 2, 79, do_layer_norm_before=False, word_embed_proj_dim=14), (dict(do_layer_norm_before=True),)),
    "opt-gelu-no-bias-untied": Shape(
        opt(20, 5, 28, 2, 71, word_embed_proj_dim=26, activation_function="gelu", enable_bias=False, tie_word_embeddings=False),
        (dict(activation_function="relu"),)),
    # olmo2
    "olmo2-plain": Shape(Olmo2Config(**sizes(24, 3, 3, 30, 2, 79, rms_norm_eps=1e-3)), (dict(rms_norm_eps=1e-1),)),
    "olmo2-biases-one-kv": Shape(Olmo2Config(**sizes(20, 2, 1, 26, 3, 67, attention_bias=True)), (dict(attention_bias=False),)),
    "olmo2-tied-head-size-linear": Shape(
        Olmo2Config(**sizes(22, 3, 1, 24, 2, 91, head_dim=8, tie_word_embeddings=True, rope_theta=300.0), rope_scaling=dict(OLD_LINEAR)), scalings(OLD_LINEAR)),
    # granite
    "granite-multipliers": Shape(
        GraniteConfig(**sizes(24, 4, 2, 28, 2, 79, embedding_multiplier=6.0, residual_multiplier=0.3, attention_multiplier=0.25,
                              logits_scaling=0.6, tie_word_embeddings=True)),
        (dict(embedding_multiplier=1.0), dict(residual_multiplier=1.0), dict(attention_multiplier=1.0), dict(logits_scaling=1.0))),
    "granite-biases": Shape(
        GraniteConfig(**sizes(20, 2, 1, 24, 3, 67, attention_bias=True, mlp_bias=True, embedding_multiplier=0.5, residual_multiplier=1.5,
                              attention_multiplier=0.4, logits_scaling=1.25)),
        (dict(attention_bias=False), dict(mlp_bias=False), dict(logits_scaling=1.0))),
    "granite-defaults-linear": Shape(
        GraniteConfig(**sizes(18, 3, 3, 26, 2, 101, head_dim=8, rope_theta=400.0), rope_scaling=dict(LINEAR)),
        (*scalings(LINEAR), dict(attention_multiplier=8 ** -0.5))),
    # mixtral
    "mixtral-two-of-four": Shape(
        MixtralConfig(**sizes(16, 2, 1, 14, 2, 71, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)), (dict(num_experts_per_tok=1),)),
    "mixtral-one-of-three-window": Shape(
        MixtralConfig(**sizes(18, 3, 1, 12, 2, 61, head_dim=10, num_local_experts=3, num_experts_per_tok=1, sliding_window=6, tie_word_embeddings=True)),
        (dict(num_experts_per_tok=2), dict(sliding_window=None))),
    "mixtral-three-of-five": Shape(
        MixtralConfig(**sizes(12, 2, 2, 10, 3, 89, num_local_experts=5, num_experts_per_tok=3, sliding_window=None, rope_theta=100.0)),
        (dict(num_experts_per_tok=5),)),
    # qwen3_moe
    "qwen3-moe-normed": Shape(
        Qwen3MoeConfig(**sizes(16, 2, 1, 20, 2, 73, head_dim=10, moe_intermediate_size=10, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True)),
        (dict(norm_topk_prob=False), dict(num_experts_per_tok=3))),
    "qwen3-moe-every-second-layer": Shape(
        Qwen3MoeConfig(**sizes(14, 2, 2, 22, 4, 67, head_dim=8, moe_intermediate_size=9, num_experts=5, num_experts_per_tok=3, norm_topk_prob=False,
                               decoder_sparse_step=2)),
        (dict(norm_topk_prob=True), dict(num_experts_per_tok=2))),
    "qwen3-moe-dense-layers-window": Shape(
        Qwen3MoeConfig(**sizes(18, 3, 1, 24, 3, 61, head_dim=8, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=1, norm_topk_prob=False,
                               mlp_only_layers=[0, 2], attention_bias=True, use_sliding_window=True, sliding_window=6, tie_word_embeddings=True)),
        (dict(attention_bias=False), dict(use_sliding_window=False), dict(norm_topk_prob=True))),
    # phi3
    "phi3-window-partial": Shape(
        Phi3Config(**sizes(20, 2, 2, 24, 3, 67, partial_rotary_factor=0.4, sliding_window=6, tie_word_embeddings=True)),
        (dict(sliding_window=None), dict(partial_rotary_factor=1.0))),
    "phi3-longrope-short": Shape(LONG_SHORT, scalings(SCALING_SHORT, dict(short_factor=SCALING_SHORT["long_factor"]))),
    "phi3-longrope-long": Shape(LONG_LONG, scalings(SCALING_LONG, dict(long_factor=SCALING_LONG["short_factor"]))),
    "phi3-longrope-crossing": Shape(
        LONG_CROSSING, scalings(SCALING_CROSSING, dict(short_factor=SCALING_CROSSING["long_factor"]), dict(long_factor=SCALING_CROSSING["short_factor"]))),
    # gpt2
    "gpt2-inverse-layer": Shape(gpt2(24, 3, 30, 2, 67, scale_attn_by_inverse_layer_idx=True), (dict(scale_attn_by_inverse_layer_idx=False),)),
    "gpt2-unscaled-relu-untied": Shape(
        gpt2(16, 2, None, 3, 83, scale_attn_weights=False, activation_function="relu", tie_word_embeddings=False),
        (dict(scale_attn_weights=True), dict(activation_function="gelu_new"))),
    "gpt2-upcast-odd-head-size": Shape(
        gpt2(15, 3, 36, 2, 101, reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True, activation_function="gelu", layer_norm_epsilon=1e-3),
        (dict(scale_attn_by_inverse_layer_idx=False), dict(layer_norm_epsilon=1e-1))),
    # gpt_neox
    "gpt-neox-sequential": Shape(
        gpt_neox(24, 3, 36, 2, 79, use_parallel_residual=False, rotary_pct=1.0, attention_bias=False, layer_norm_eps=1e-3),
        (dict(use_parallel_residual=True), dict(rotary_pct=0.25), dict(layer_norm_eps=1e-1))),
    "gpt-neox-tied-gelu-new": Shape(
        gpt_neox(24, 2, 28, 3, 61, rotary_pct=0.5, rotary_emb_base=500, hidden_act="gelu_new", tie_word_embeddings=True),
        (dict(use_parallel_residual=False), dict(rotary_pct=1.0), dict(rotary_emb_base=10000), dict(attention_bias=False))),
    "gpt-neox-linear-relu": Shape(
        gpt_neox(16, 2, 40, 3, 97, rotary_pct=0.5, hidden_act="relu", rope_scaling=dict(LINEAR)), (*scalings(LINEAR), dict(hidden_act="gelu"))),
    # bloom
    "bloom-three-heads": Shape(bloom(24, 3, 2, 61, layer_norm_epsilon=1e-3), (dict(layer_norm_epsilon=1e-1), dict(apply_residual_connection_post_layernorm=True))),
    "bloom-post-layernorm-five-heads": Shape(
        bloom(20, 5, 2, 103, apply_residual_connection_post_layernorm=True), (dict(apply_residual_connection_post_layernorm=False),)),
    "bloom-untied-six-heads": Shape(bloom(18, 6, 3, 67, tie_word_embeddings=False)),
}
