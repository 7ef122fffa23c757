"""Makes fixtures/families: a tiny checkpoint of every shape of every decoder family, and what transformers computes with it.

usage: make_family_goldens.py [--only TEXT]... [OUT]      (OUT: fixtures/families of this repository by default)

--only makes the shapes whose name begins with the text. Versions are those of setup-family-venv.sh. Float32, eager attention, one thread,
seeds from the names: a second run on the same machine writes the same bytes. goldens/family_shapes.py has the configurations,
goldens/family_golden.py computes; fixtures/README.md describes what is written. Every switch below is turned once with the same
weights, and the shape is refused unless the logits change: what a golden is for, it shows.

D is the head size, K the key-value heads; the texts have 20, 14 and 7 tokens and grow to 32.

| shape | what it exercises |
|---|---|
| llama-biases-head-size | attention_bias, mlp_bias; D 10 of width 24 / 3 heads; K 1; rms_norm_eps, rope_theta |
| llama-tied-wide-heads | heads wider than the stream (2 x 14 of 20), no grouping, tied head |
| llama-rope-linear | linear scaling, its kind under the old key `type` alone |
| llama-rope-dynamic | dynamic NTK scaling, the longest text beyond max_position_embeddings, the others reach it while they grow |
| llama-rope-dynamic-crossing | dynamic NTK scaling that begins while the text grows |
| llama-rope-llama3 | llama3 scaling with all three ranges in use |
| llama-rope-yarn | YaRN as Qwen and Llama files have it: factor and original_max_position_embeddings |
| llama-rope-yarn-attention-factor | YaRN with attention_factor, beta_fast, beta_slow, no original_max_position_embeddings |
| llama-rope-yarn-mscale | YaRN with mscale and mscale_all_dim, truncate false |
| mistral-window-head-size | sliding_window 5, D 10 of width 28 / 4 heads, K 1, tied head |
| mistral-no-window | sliding_window null, three heads each with its own keys |
| qwen2-window-upper-layers | use_sliding_window from max_window_layers on, config.json without layer_types as on the Hub |
| qwen2-layer-types | layer_types spelled out against max_window_layers, untied head |
| qwen2-head-size-no-window | head_dim other than width / heads; use_sliding_window false beside a sliding_window that must not count |
| qwen3-grouped | norms of queries and keys, 2 queries a key, heads wider than the stream, no layer_types |
| qwen3-biases-tied | attention_bias on q, k, v and o; K 1; tied head |
| qwen3-window-yarn | sliding windows from layer 1 on, YaRN |
| gemma-biases | attention_bias, D 14 of width 20 / 3 heads; norms of 1 + weight, scaled embeddings |
| gemma-gelu-untied | exact GELU (hidden_act), untied head, K 1 |
| gemma2-soft-caps | both soft caps where they bend much, query_pre_attn_scalar, windows in every second layer without layer_types, biases |
| gemma2-no-caps-untied | no soft caps, layer_types out of the usual order, exact GELU, untied head |
| gemma3-local-global | sliding_window_pattern 2 in place of layer_types, two rope bases |
| gemma3-linear-biases | linear scaling of the global layers alone, query_pre_attn_scalar, biases, layer_types |
| gemma3-untied-final-cap | final_logit_softcapping, untied head, D 14, no grouping |
| gemma3-default-pattern | 7 layers that say nothing of their types: the sixth is global |
| opt-pre-norm | ReLU, learned positions with their offset, tied head |
| opt-post-norm-projected | do_layer_norm_before false, word_embed_proj_dim below the width (as opt-350m) |
| opt-gelu-no-bias-untied | word_embed_proj_dim above the width, GELU, enable_bias false, untied head |
| olmo2-plain | norms behind attention and MLP; norms over all heads of q and k together |
| olmo2-biases-one-kv | attention_bias, K 1 |
| olmo2-tied-head-size-linear | D 8 of width 22 / 3 heads, tied head, linear scaling |
| granite-multipliers | all four multipliers, tied head |
| granite-biases | attention_bias, mlp_bias, K 1, multipliers on the other side of 1, untied head |
| granite-defaults-linear | multipliers left at 1 (attention is then not scaled by the head size), D 8 of width 18 / 3 heads, linear scaling |
| mixtral-two-of-four | 2 of 4 experts, K 1 |
| mixtral-one-of-three-window | 1 of 3 experts (its weight is always 1), sliding_window, D 10 of width 18 / 3 heads, tied head |
| mixtral-three-of-five | 3 of 5 experts, no grouping |
| qwen3-moe-normed | 2 of 4 experts with norm_topk_prob |
| qwen3-moe-every-second-layer | decoder_sparse_step 2, 3 of 5 experts, norm_topk_prob off |
| qwen3-moe-dense-layers-window | mlp_only_layers, 1 of 4 experts with its own weight, sliding_window, biases, tied head |
| phi3-window-partial | sliding_window, partial_rotary_factor 0.4, tied head; q, k and v in one weight, gate and up in one |
| phi3-longrope-short | longrope, texts never beyond original_max_position_embeddings |
| phi3-longrope-long | longrope, all texts beyond it |
| phi3-longrope-crossing | longrope, texts cross it while they grow; partial_rotary_factor 0.75 |
| gpt2-inverse-layer | scale_attn_by_inverse_layer_idx, n_inner |
| gpt2-unscaled-relu-untied | scale_attn_weights false, ReLU, n_inner null, untied head |
| gpt2-upcast-odd-head-size | reorder_and_upcast_attn, exact GELU, odd width and head size (15 / 3 heads), layer_norm_epsilon |
| gpt-neox-sequential | use_parallel_residual false, rotary_pct 1, attention_bias false |
| gpt-neox-tied-gelu-new | rotary_pct 0.5 of 12, rotary_emb_base, tanh GELU, tied head |
| gpt-neox-linear-relu | linear scaling of partial rotation, ReLU |
| bloom-three-heads | slopes of a number of heads that is no power of two |
| bloom-post-layernorm-five-heads | apply_residual_connection_post_layernorm, five heads |
| bloom-untied-six-heads | untied head, six heads |
"""

import argparse
import re
from pathlib import Path

import torch
import transformers

from goldens import family_golden, family_shapes


def check_table():
    described = re.findall(r"^\| ([a-z0-9-]+) \|", __doc__, re.MULTILINE)[1:]
    if described != list(family_shapes.SHAPES):
        raise SystemExit(f"the table above and goldens/family_shapes.py differ: {set(described) ^ set(family_shapes.SHAPES) or 'in their order'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent.parent / "fixtures/families")
    parser.add_argument("--only", action="append", help="make the shapes whose name begins so; may be repeated")
    arguments = parser.parse_args()

    check_table()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    wanted = [name for name in family_shapes.SHAPES if name.startswith(tuple(arguments.only or [""]))]
    if not wanted:
        raise SystemExit(f"no shape begins with {' or '.join(arguments.only)}")
    for name in wanted:
        passed_over = family_golden.make(name, arguments.out / name)
        size = sum(file.stat().st_size for file in (arguments.out / name).iterdir())
        print(f"{name}: {size / 1024:.0f} KiB, {passed_over} seeds passed over", flush=True)


if __name__ == "__main__":
    main()
