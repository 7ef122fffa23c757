"""Goldens of whole training runs: transformers.Trainer (with PEFT for adapters) on random rows of unequal length."""

import json
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from . import golden_file, models
from .golden_file import numbers

NAMES = ("llama-mha-untied", "qwen2-bias-tied")
ROWS = 24
ALL_LINEAR = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]

# name -> Trainer arguments, LoRA settings, standard deviation of lora_B at the start (0: PEFT's zeros)
RUNS = {
    "full_linear": (dict(per_device_train_batch_size=2, gradient_accumulation_steps=2, learning_rate=1e-3, warmup_steps=2,
                         lr_scheduler_type="linear", weight_decay=0.01), None, 0.0),
    "full_cosine": (dict(per_device_train_batch_size=5, gradient_accumulation_steps=1, learning_rate=5e-4, warmup_steps=3,
                         lr_scheduler_type="cosine", weight_decay=0.0), None, 0.0),
    "lora_qv": (dict(per_device_train_batch_size=2, gradient_accumulation_steps=2, learning_rate=1e-2, warmup_steps=2,
                     lr_scheduler_type="linear", weight_decay=0.01), dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]), 0.0),
    "rslora_all": (dict(per_device_train_batch_size=4, gradient_accumulation_steps=1, learning_rate=5e-3, warmup_steps=0,
                        lr_scheduler_type="constant", weight_decay=0.0),
                   dict(r=4, lora_alpha=8, target_modules=ALL_LINEAR, use_rslora=True), 0.0),
    "lora_all_continued": (dict(per_device_train_batch_size=4, gradient_accumulation_steps=1, learning_rate=5e-3, warmup_steps=2,
                                lr_scheduler_type="cosine", weight_decay=0.0, max_grad_norm=0.5),
                           dict(r=3, lora_alpha=6, target_modules=ALL_LINEAR), 0.1),
}


class ExactTrainer(Trainer):
    """The Trainer with rows in their order and an unrounded log.

    It logs the loss before the four-digit rounding and the learning rate that the step used (the Trainer logs the next
    step's). Norm weights are not decayed, for any architecture: 4.46.3 knows llama's norm class but not qwen2's, later
    versions go by name as this does."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.exact_log, self.step_loss, self.step_rate = [], 0.0, None

    def _get_train_sampler(self):
        return SequentialSampler(self.train_dataset)

    def get_decay_parameter_names(self, model):
        return [name for name, _ in model.named_parameters() if not name.endswith(("bias", "norm.weight"))]

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.step_rate = self.lr_scheduler.get_last_lr()[0]
        self.step_loss += self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch).item()
        return super().training_step(model, inputs, num_items_in_batch)

    def log(self, logs, *_):
        if "loss" not in logs:
            return
        assert abs(logs["loss"] - self.step_loss) < 1e-4, (logs["loss"], self.step_loss)
        self.exact_log.append({
            "step": self.state.global_step, "epoch": numbers(self.state.epoch, 12), "loss": numbers(self.step_loss, 9),
            "grad_norm": numbers(logs["grad_norm"], 9), "learning_rate": numbers(self.step_rate, 12),
            "learning_rate_next": numbers(logs["learning_rate"], 12)})
        self.step_loss = 0.0


def make_rows(vocab_size):
    """Random tokens of 5 to 40 in length; a third to two thirds of each row is a prompt without labels."""
    generator = torch.Generator().manual_seed(11)
    rows = []
    for _ in range(ROWS):
        length = int(torch.randint(5, 41, (1,), generator=generator))
        prompt = int(torch.randint(length // 3, 2 * length // 3 + 1, (1,), generator=generator))
        ids = torch.randint(4, vocab_size, (length,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def collate(rows):
    """Pads on the right; the padding is masked and carries no label."""
    longest = max(len(row["input_ids"]) for row in rows)
    padded = {"input_ids": ("input_ids", 0), "labels": ("labels", -100)}
    batch = {key: torch.tensor([row[source] + [fill] * (longest - len(row[source])) for row in rows])
             for key, (source, fill) in padded.items()}
    batch["attention_mask"] = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows])
    return batch


def row_losses(model, rows):
    model.eval()
    with torch.no_grad():
        return [numbers(model(**collate([row])).loss.item(), 9) for row in rows]


def save_adapter(model, folder, base):
    """As PEFT writes it, less its model card; the sets of names sorted, so that the file does not change from run to run."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"].sort()
    config["base_model_name_or_path"] = base
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def run(name, base, rows, folder):
    arguments, lora, b_std = RUNS[name]
    model = models.load(base)
    files = {}
    if lora:
        torch.manual_seed(sum(map(ord, name)))
        model = get_peft_model(model, LoraConfig(**lora, lora_dropout=0.0, task_type="CAUSAL_LM"))
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name and b_std:
                torch.nn.init.normal_(parameter, std=b_std)
        save_adapter(model, folder / name / "init", f"fixtures/models/{base.name}")
        files["initial"] = f"{name}/init"
    before = row_losses(model, rows[:8])
    with tempfile.TemporaryDirectory() as scratch:
        trainer = ExactTrainer(
            model=model, train_dataset=rows, data_collator=collate,
            args=TrainingArguments(output_dir=scratch, num_train_epochs=2, logging_steps=1, save_strategy="no", report_to=[],
                                   use_cpu=True, disable_tqdm=True, seed=0, remove_unused_columns=False, **arguments))
        trainer.train()
    after = row_losses(model, rows[:8])
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    decayed = set(trainer.get_decay_parameter_names(model))
    if lora:
        save_adapter(model, folder / name / "final", f"fixtures/models/{base.name}")
        files["final"] = f"{name}/final"
        merged = model.merge_and_unload()
        files["merged_row_losses_after"] = row_losses(merged, rows[:8])
    elif name == "full_linear":
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        if model.config.tie_word_embeddings:
            del state["lm_head.weight"]
        save_file(state, folder / f"{name}_final.safetensors", metadata={"format": "pt"})
        files["final"] = f"{name}_final.safetensors"
    return {
        "method": "lora" if lora else "full", "lora": lora,
        "args": {"num_train_epochs": 2, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_grad_norm": 1.0, **arguments},
        "trainable_parameters": trainable,
        "not_decayed": sorted(set(trained) - decayed),
        "log": trainer.exact_log, "row_losses_before_first8": before, "row_losses_after_first8": after, **files,
    }


def make(base, folder):
    """Writes golden.json, adapters and final weights of every run of the checkpoint `base` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = make_rows(models.load(base).config.vocab_size)
    golden_file.write(folder / "golden.json", {
        "made_with": golden_file.MADE_WITH, "model": base.name, "rows": rows,
        "runs": {name: run(name, base, rows, folder) for name in RUNS},
    })
