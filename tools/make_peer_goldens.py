"""Makes fixtures/peer: instruction rows, an adapter as PEFT begins with it, and the losses of tools/peers/sft.py on them.

usage: make_peer_goldens.py     (with the Python of tools/peers/setup.sh)

The base is fixtures/models/qwen2-bias-tied with its tokenizer and chat template. A learning rate of 1e-2 makes the losses move.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "fixtures" / "peer"
TASKS = [("Name the colour.", "a ripe {}"), ("把這個詞重複一次。", "{}"), ("Say what follows.", "")]
WORDS = ["lamp", "紅燈", "a small boat", "山", "the river at night", "書", "seven kettles", "雨後"]


def rows():
    """24 rows of unequal length; some with an input, some without, in two scripts."""
    return [{"instruction": instruction, "input": given.format(word), "output": f"{word}{'。' if i % 2 else ''} " * (1 + i % 3) + word}
            for i, word in enumerate(WORDS) for instruction, given in TASKS]


def run(method, *options):
    command = [sys.executable, ROOT / "tools/peers/sft.py", "fixtures/models/qwen2-bias-tied", OUT / "rows.json", method, "--rows", "24",
               "--learning-rate", "1e-2", *options]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()[-1])
    return {key: done[key] for key in ("tokens", "labelled_tokens", "versions", "losses")}


def main():
    OUT.mkdir(exist_ok=True)
    (OUT / "rows.json").write_text(json.dumps(rows(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    init = OUT / "init"
    golden = {"lora": run("lora", "--save-init", init), "full": run("full")}
    (init / "README.md").unlink(missing_ok=True)
    config = json.loads((init / "adapter_config.json").read_text())
    config["target_modules"].sort()
    (init / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (OUT / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
