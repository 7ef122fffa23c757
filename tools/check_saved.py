"""Loads what luthier saved in transformers (and PEFT) and compares token log-probabilities with those luthier computed.

usage: check_saved.py (--model DIR | --base DIR --adapter DIR) --scores FILE.jsonl [--tolerance 1e-4]

--scores takes the lines of `luthier score --json`: {"tokens": [...], "logprobs": [...], ...}; nulls at the start are not compared
(the first token, the tokens of a prompt). Exit code 1 when a tensor is missing or left over, or when a log-probability
differs by more than the tolerance; the largest difference is printed either way.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoModelForCausalLM


def load_full(folder):
    """The model in float32; refuses a checkpoint that transformers would silently complete with random weights."""
    model, loading = AutoModelForCausalLM.from_pretrained(
        folder, torch_dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = {key: sorted(loading[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs") if loading[key]}
    if problems:
        sys.exit(f"{folder}: transformers does not load every tensor: {json.dumps(problems)}")
    return model.eval()


def load_adapter(base, folder):
    """The base with the adapter on top; refuses tensors that PEFT would leave aside or leave at their start."""
    model = PeftModel.from_pretrained(load_full(base), folder).eval()
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        saved = set(file.keys())
    wanted = set(get_peft_model_state_dict(model))
    if saved != wanted:
        sys.exit(f"{folder}: tensors PEFT misses: {sorted(wanted - saved)}; tensors PEFT does not know: {sorted(saved - wanted)}")
    return model


def log_probabilities(model, tokens):
    """Natural log-probability of every token given those before it; none for the first."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens])).logits[0].float()
    log_probs = torch.log_softmax(logits[:-1], dim=-1)
    return [None] + log_probs.gather(1, torch.tensor(tokens[1:])[:, None]).flatten().tolist()


def compare(model, path):
    """Largest difference over the file, where it is, and how many log-probabilities were compared."""
    worst, where, compared = 0.0, "nowhere", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        row = json.loads(line)
        if len(row["tokens"]) != len(row["logprobs"]):
            sys.exit(f"{path}:{number}: {len(row['tokens'])} tokens but {len(row['logprobs'])} logprobs")
        if len(row["tokens"]) < 2:
            continue
        unscored = next((index for index, value in enumerate(row["logprobs"]) if value is not None), len(row["logprobs"]))
        if None in row["logprobs"][unscored:]:
            sys.exit(f"{path}:{number}: a null after the first log-probability (not a number?)")
        for index, (ours, reference) in enumerate(zip(row["logprobs"], log_probabilities(model, row["tokens"]))):
            if index < max(unscored, 1):
                continue
            compared += 1
            if abs(ours - reference) > worst:
                worst, where = abs(ours - reference), f"{path}:{number}, token {index}: {ours} here, {reference} in transformers"
    if not compared:
        sys.exit(f"{path}: no log-probability to compare")
    return worst, where, compared


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a full model folder written by luthier")
    parser.add_argument("--base", type=Path, help="the base model of --adapter")
    parser.add_argument("--adapter", type=Path, help="a PEFT folder written by luthier")
    parser.add_argument("--scores", type=Path, required=True, help="output of luthier score --json")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    if bool(arguments.model) == bool(arguments.base and arguments.adapter):
        parser.error("give either --model or both --base and --adapter")

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = load_full(arguments.model) if arguments.model else load_adapter(arguments.base, arguments.adapter)
    worst, where, compared = compare(model, arguments.scores)
    print(f"{compared} log-probabilities compared, largest difference {worst:.3g} ({where})")
    sys.exit(0 if worst <= arguments.tolerance else 1)


if __name__ == "__main__":
    main()
