"""Times transformers.Trainer (+ PEFT) on instruction rows, as fine-tuning scripts use it: padded batches, labels on the answer only.

usage: sft.py MODEL ROWS.json lora|full [--rows 64] [--batch 4] [--accumulation 2] [--threads 2] [--rank 8] [--alpha 16]
              [--learning-rate 2e-4] [--group] [--gc] [--save-init DIR]

ROWS.json is a JSON array of alpaca rows; MODEL a folder with tokenizer and chat template (make_model.py). --group lets the Trainer put
rows of like length together; --gc recomputes activations (gradient checkpointing); --save-init writes the adapter before its first
step as PEFT does. Prints one JSON line: `seconds` of trainer.train(), `step_seconds` of each step, the unrounded loss of each step.
Tokens are those of the rows as rendered: padding is work that the peer does, not work that was asked for.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import peft
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments


class Measured(Trainer):
    """Keeps the unrounded loss and the seconds of every step."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.losses, self.step_seconds, self.open_loss, self.last = [], [], 0.0, None

    def training_step(self, *arguments, **options):
        loss = super().training_step(*arguments, **options)
        self.open_loss += loss.item()
        return loss

    def log(self, logs, *_):
        if "loss" in logs:
            assert abs(logs["loss"] - self.open_loss) < 1e-3, (logs["loss"], self.open_loss)
            self.losses.append(self.open_loss)
            now = time.perf_counter()
            self.step_seconds.append(now - self.last)
            self.open_loss, self.last = 0.0, now


def token_ids(tokenizer, turns, **options):
    """The tokens of a conversation in the model's chat template; a dictionary in newer versions, a list in older ones."""
    ids = tokenizer.apply_chat_template(turns, **options)
    return ids if isinstance(ids, list) else ids["input_ids"]


def render(tokenizer, row):
    """One alpaca row; the prompt's tokens carry no label, all that follows does."""
    asked = row["instruction"] + ("\n" + row["input"] if row.get("input") else "")
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
    prompt = token_ids(tokenizer, turns[:1], add_generation_prompt=True)
    whole = token_ids(tokenizer, turns)
    assert whole[:len(prompt)] == prompt, "the row does not begin with its own prompt"
    return {"input_ids": whole, "attention_mask": [1] * len(whole), "labels": [-100] * len(prompt) + whole[len(prompt):]}


def load(arguments):
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    if arguments.method == "lora":
        model = peft.get_peft_model(model, peft.LoraConfig(
            r=arguments.rank, lora_alpha=arguments.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"))
        if arguments.save_init:
            model.save_pretrained(arguments.save_init)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("method", choices=("lora", "full"))
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--accumulation", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--group", action="store_true", help="group rows by length")
    parser.add_argument("--gc", action="store_true", help="gradient checkpointing")
    parser.add_argument("--save-init", type=Path, metavar="DIR", help="where to write the adapter before its first step")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = load(arguments)
    rows = json.loads(arguments.data.read_text(encoding="utf-8"))[:arguments.rows]
    rows = [render(tokenizer, row) for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Measured(
            model=model, train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
            args=TrainingArguments(
                output_dir=scratch, per_device_train_batch_size=arguments.batch, gradient_accumulation_steps=arguments.accumulation,
                num_train_epochs=1, learning_rate=arguments.learning_rate, lr_scheduler_type="constant", weight_decay=0.0,
                max_grad_norm=1.0, logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, seed=0,
                train_sampling_strategy="group_by_length" if arguments.group else "sequential", gradient_checkpointing=arguments.gc))
        start = trainer.last = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    tokens = sum(len(row["input_ids"]) for row in rows)
    print(json.dumps({
        "peer": "transformers + peft" if arguments.method == "lora" else "transformers", "method": arguments.method,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "rows": len(rows), "batch": arguments.batch, "accumulation": arguments.accumulation, "group": arguments.group, "gc": arguments.gc,
        "threads": arguments.threads, "tokens": tokens, "labelled_tokens": sum(label != -100 for row in rows for label in row["labels"]),
        "seconds": seconds, "step_seconds": trainer.step_seconds, "rows_per_second": len(rows) / seconds,
        "tokens_per_second": tokens / seconds, "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": trainer.losses,
    }))


if __name__ == "__main__":
    main()
