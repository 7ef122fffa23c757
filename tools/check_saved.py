"""Loads what luthier saved in transformers (and PEFT) and compares it with what luthier computed, or with golden files.

usage: check_saved.py (--model DIR | --base DIR --adapter DIR) --scores FILE.jsonl [--tolerance 1e-4]
       check_saved.py --families DIR [--goldens DIR]... [--tolerance 1e-4]

--scores takes the lines of `luthier score --json`: {"tokens": [...], "logprobs": [...], ...}; nulls at the start are not compared
(the first token, the tokens of a prompt). --families takes a folder of saved models and compares the logits of each with the
golden.json of the folder of the same name under --goldens (fixtures/families of this repository by default); the models are saved by

    LUTHIER_SAVED=DIR cargo test -p luthier-model --test families saved

and the Python is that of setup-family-venv.sh, which needs no PEFT. Exit code 1 when a tensor is missing or left over, when there is
no golden, or when a number differs by more than the tolerance; the largest difference is printed either way.
"""

import argparse
import inspect
import json
import sys
from pathlib import Path

import torch
import transformers
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
    from peft import PeftModel, get_peft_model_state_dict

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


def golden_difference(folder, golden):
    """Largest difference from the last logits of the golden's left-padded batch and from the first logits of its first row."""
    model = load_full(folder)
    ids, mask = torch.tensor(golden["input_ids"]), torch.tensor(golden["attention_mask_left_pad"])
    more = {} if golden["position_ids"] is None else {"position_ids": torch.tensor(golden["position_ids"])}
    if more and "position_ids" not in inspect.signature(model.forward).parameters:
        more = {}
    with torch.no_grad():
        batch = model(input_ids=ids, attention_mask=mask, **more).logits[:, -1]
        first = load_full(folder)(input_ids=ids[:1]).logits[0, :, :8]
    pairs = ((batch, golden["logits_last_pos"]), (first, golden["row0_logits_all_pos_first8"]))
    return torch.stack([(ours - torch.tensor(reference)).abs().max() for ours, reference in pairs]).max().item()  # NaN stays


def compare_families(saved, goldens, tolerance):
    """Compares every folder of `saved` and says how near it comes; whether all are within the tolerance."""
    folders = sorted(folder for folder in saved.iterdir() if folder.is_dir())
    if not folders:
        sys.exit(f"{saved}: no folder to compare")
    good = True
    for folder in folders:
        path = next((path for path in (root / folder.name / "golden.json" for root in goldens) if path.exists()), None)
        if path is None:
            print(f"{folder.name}: no golden under {', '.join(map(str, goldens))}")
            good = False
            continue
        difference = golden_difference(folder, json.loads(path.read_text()))
        good &= difference <= tolerance
        print(f"{folder.name}: largest difference {difference:.3g}{'' if difference <= tolerance else ', too large'}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a full model folder written by luthier")
    parser.add_argument("--base", type=Path, help="the base model of --adapter")
    parser.add_argument("--adapter", type=Path, help="a PEFT folder written by luthier")
    parser.add_argument("--scores", type=Path, help="output of luthier score --json")
    parser.add_argument("--families", type=Path, help="a folder of model folders written by luthier, named as their goldens")
    parser.add_argument("--goldens", type=Path, action="append", help="a folder of golden folders; may be repeated")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    given = (bool(arguments.model), bool(arguments.base and arguments.adapter), bool(arguments.families))
    if sum(given) != 1:
        parser.error("give one of --model, --base with --adapter, and --families")
    if bool(arguments.scores) == bool(arguments.families):
        parser.error("--scores goes with --model and with --adapter")

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if arguments.families:
        goldens = arguments.goldens or [Path(__file__).parent.parent / "fixtures/families"]
        sys.exit(0 if compare_families(arguments.families, goldens, arguments.tolerance) else 1)
    model = load_full(arguments.model) if arguments.model else load_adapter(arguments.base, arguments.adapter)
    worst, where, compared = compare(model, arguments.scores)
    print(f"{compared} log-probabilities compared, largest difference {worst:.3g} ({where})")
    sys.exit(0 if worst <= arguments.tolerance else 1)


if __name__ == "__main__":
    main()
