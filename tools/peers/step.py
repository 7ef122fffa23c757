"""Times one optimiser step of transformers (+ PEFT) on dense random tokens: no padding, a label on every token.

usage: step.py lora|full [--shape smollm135|qwen05] [--rows 4] [--length 256] [--steps 5] [--threads 2] [--rank 8]

This is the arithmetic-bound case, the kindest one to the peer. Prints one JSON line: tokens/s of the best and of the median step,
the process's peak memory in bytes, and the loss of every step. The first step, which pays for allocation, is not timed.
"""

import argparse
import json
import resource
import time
from statistics import median

import torch
from peft import LoraConfig, get_peft_model

from make_model import SHAPES


def trained_model(method, shape, rank):
    """A random model in float32, with LoRA on every linear layer of the blocks where asked."""
    model_class, config_class, settings = SHAPES[shape]
    model = model_class(config_class(**settings, use_cache=False))
    if method == "lora":
        model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear",
                                                 task_type="CAUSAL_LM"))
    return model.train()


def step(model, optimiser, tokens):
    """Forward, backward, update; returns the loss and the seconds it took."""
    start = time.perf_counter()
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss.item(), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=("lora", "full"))
    parser.add_argument("--shape", choices=("smollm135", "qwen05"), default="smollm135")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank", type=int, default=8)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = trained_model(arguments.method, arguments.shape, arguments.rank)
    optimiser = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=1e-4)
    tokens = torch.randint(0, model.config.vocab_size, (arguments.rows, arguments.length))
    losses, seconds = zip(*(step(model, optimiser, tokens) for _ in range(arguments.steps + 1)))
    print(json.dumps({
        "peer": "transformers + peft" if arguments.method == "lora" else "transformers", **vars(arguments),
        "tokens_per_second_best": round(tokens.numel() / min(seconds[1:]), 1),
        "tokens_per_second_median": round(tokens.numel() / median(seconds[1:]), 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": [round(loss, 5) for loss in losses],
    }))


if __name__ == "__main__":
    main()
