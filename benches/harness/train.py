"""W1 to W3: fine-tuning on instruction rows, against transformers' Trainer with PEFT."""

import json
import shutil

from . import process

ROWS, ROWS_PER_STEP = 64, 8
NTU, ALPACA = "ntu-adl2023-hw3/train.json", "stanford-alpaca/alpaca_data.json"

# case -> model, rows, method, options of the peer, how Luthier holds frozen weights
CASES = {
    "w1": ("qwen05", NTU, "lora", [], ["f32", "bf16"]),
    "w1-group": ("qwen05", NTU, "lora", ["--group"], ["f32"]),
    "w2": ("qwen05", ALPACA, "lora", [], ["f32", "bf16"]),
    "w3-ntu": ("smol135", NTU, "full", [], ["f32"]),
    "w3-alpaca": ("smol135", ALPACA, "full", [], ["f32"]),
}


def recipe(arguments, case, store):
    """The recipe that does what the peer does: same rows in their order, same labels, same hyper-parameters, from its adapter."""
    model, rows, method, _, _ = CASES[case]
    lora = f'lora          = {{ init = "{init(arguments, case)}" }}\n' if method == "lora" else ""
    # Where memory is what is asked for, a step goes through in passes about as large as the peer's.
    passes = "micro_batch_tokens = 640\n" if store != "f32" else ""
    store = f'store = "{store}"\n' if store != "f32" else ""
    return f'''name = "{case}"
seed = 0

[data]
sources    = [{{ path = "{(arguments.data / rows).resolve()}", format = "alpaca" }}]
template   = "model"
train_on   = "completion"
max_length = 4096
shuffle    = false
split      = {{ test = 0 }}
dedup      = "none"
limit      = {ROWS}

[model]
base  = "{(arguments.models / model).resolve()}"
{store}
[train]
method        = "{method}"
recompute     = "cheap"
{lora}{passes}epochs        = 1
rows_per_step = {ROWS_PER_STEP}
learning_rate = 2e-4
weight_decay  = 0.0
max_grad_norm = 1.0
schedule      = {{ kind = "constant" }}
'''


def init(arguments, case):
    """The peer's adapter before its first step; one for all cases of a model, since it draws it from the same seed."""
    return arguments.work / "init" / CASES[case][0]


def peer(arguments, case):
    model, rows, method, options, _ = CASES[case]
    saved = ["--save-init", init(arguments, case)] if method == "lora" else []
    command = [arguments.python, arguments.root / "tools/peers/sft.py", arguments.models / model, arguments.data / rows, method, "--rows", ROWS,
               "--batch", ROWS_PER_STEP // 2, "--accumulation", 2, "--threads", arguments.threads, *options, *saved]
    text, wall, memory = process.run(command, arguments.threads)
    found = json.loads(text.splitlines()[-1])
    kept = ("seconds", "step_seconds", "tokens", "labelled_tokens", "losses", "versions")
    return {**{key: found[key] for key in kept}, "wall_seconds": wall, "peak_memory_bytes": memory}


def luthier(arguments, case, store, *options):
    out = arguments.work / f"{case}-{store}"
    shutil.rmtree(out, ignore_errors=True)
    path = arguments.work / f"{case}-{store}.toml"
    path.write_text(recipe(arguments, case, store))
    _, wall, memory = process.run([arguments.target / "luthier", "train", path, "--out", out, *options], arguments.threads)
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    step_seconds = [step["tokens"] / step["tokens_per_second"] for step in steps]
    found = {
        "seconds": sum(step_seconds), "step_seconds": step_seconds, "tokens": sum(step["tokens"] for step in steps),
        "labelled_tokens": sum(step["labelled_tokens"] for step in steps), "losses": [step["loss"] for step in steps],
        "wall_seconds": wall, "peak_memory_bytes": memory,
    }
    if "--profile" in options:
        profile = json.loads((out / "profile.json").read_text())
        found["product_operations"] = sum(row["product_operations"] for row in profile["rows"])
    shutil.rmtree(out)
    return found


def sides(arguments, case):
    return [side for side in ("peer", *CASES[case][4]) if not arguments.sides or side in arguments.sides]


def measure(arguments, book):
    for case in arguments.cases or CASES:
        for pair in range(1, arguments.pairs + 1):
            for side in sides(arguments, case):
                once = (lambda: peer(arguments, case)) if side == "peer" else (lambda: luthier(arguments, case, side))
                book.once("train", case, side, pair, once)


def count(arguments, book):
    """The operations of the products, from a run with --profile: not timed, so it may run on a busy machine."""
    for case in arguments.cases or CASES:
        for store in (side for side in sides(arguments, case) if side != "peer"):
            book.once("operations", case, store, 1, lambda: luthier(arguments, case, store, "--profile"))
