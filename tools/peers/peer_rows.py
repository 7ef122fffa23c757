"""Times transformers.Trainer (+ PEFT) on instruction rows, as fine-tuning scripts use it: padded batches, labels on the answer only.

usage: peer_rows.py MODEL ROWS.json lora|full [--rows 64] [--batch 4] [--accumulation 2] [--length 1024] [--threads 2] [--rank 8]
                    [--learning-rate 2e-4] [--group-by-length] [--recompute]

ROWS.json is a JSON array of alpaca rows; MODEL a folder with tokenizer and chat template (make_model.py). Prints one JSON line.
Tokens are those of the rows as rendered: padding is work that the peer does, not work that was asked for.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments


class InOrder(Trainer):
    """Reads the rows in their order unless asked to group them by length, and keeps the unrounded loss of every step."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.losses, self.open_loss = [], 0.0

    def _get_train_sampler(self):
        return super()._get_train_sampler() if self.args.group_by_length else SequentialSampler(self.train_dataset)

    def training_step(self, *arguments, **options):
        loss = super().training_step(*arguments, **options)
        self.open_loss += loss.item()
        return loss

    def log(self, logs, *_):
        if "loss" in logs:
            self.losses.append(round(self.open_loss, 6))
            self.open_loss = 0.0


def render(tokenizer, row, length):
    """One alpaca row in the model's chat template; the prompt's tokens carry no label."""
    asked = row["instruction"] + ("\n" + row["input"] if row.get("input") else "")
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
    prompt = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(turns)
    labels = [-100] * len(prompt) + whole[len(prompt):]
    return {"input_ids": whole[:length], "attention_mask": [1] * len(whole[:length]), "labels": labels[:length]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("method", choices=("lora", "full"))
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--accumulation", type=int, default=2)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, torch_dtype=torch.float32)
    model.config.use_cache = False
    if arguments.method == "lora":
        model.enable_input_require_grads()
        model = get_peft_model(model, LoraConfig(r=arguments.rank, lora_alpha=2 * arguments.rank, lora_dropout=0.0,
                                                 target_modules="all-linear", task_type="CAUSAL_LM"))
    rows = json.loads(arguments.data.read_text(encoding="utf-8"))[:arguments.rows]
    rows = [render(tokenizer, row, arguments.length) for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        collator = DataCollatorForSeq2Seq(tokenizer, padding=True)
        trainer = InOrder(model=model, train_dataset=rows, data_collator=collator, args=TrainingArguments(
            output_dir=scratch, per_device_train_batch_size=arguments.batch, gradient_accumulation_steps=arguments.accumulation,
            num_train_epochs=1, learning_rate=arguments.learning_rate, lr_scheduler_type="constant", logging_steps=1, save_strategy="no",
            report_to=[], use_cpu=True, disable_tqdm=True, seed=0, group_by_length=arguments.group_by_length,
            gradient_checkpointing=arguments.recompute))
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    tokens = sum(len(row["input_ids"]) for row in rows)
    print(json.dumps({
        "peer": "transformers + peft" if arguments.method == "lora" else "transformers", "method": arguments.method, "rows": len(rows),
        "batch": arguments.batch, "accumulation": arguments.accumulation, "threads": arguments.threads, "tokens": tokens,
        "labelled_tokens": sum(label != -100 for row in rows for label in row["labels"]), "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "losses": trainer.losses,
    }))


if __name__ == "__main__":
    main()
