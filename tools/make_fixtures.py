"""Makes the golden fixtures of the Rust tests with the Python reference (torch, transformers, peft).

usage: make_fixtures.py [--only PART]... [OUT]      (OUT: fixtures/ of this repository by default)

Everything is seeded and computed on a CPU in float32 with one thread, so a second run on the same machine writes the same
bytes. Versions are those of setup-venv.sh. fixtures/README.md describes what is written.
"""

import argparse
import os
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
import transformers

from goldens import family_ops, forward, models, ops, optimisation, tokenizer, training

PARTS = ("tokenizer", "models", "training", "optimisation", "ops", "family_ops")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent.parent / "fixtures")
    parser.add_argument("--only", action="append", choices=PARTS, help="make this part alone; may be repeated")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    out, only = arguments.out, arguments.only or PARTS
    if "tokenizer" in only:
        tokenizer.make(out / "tokenizer")
        tokenizer.make_with_bos(out / "tokenizer-bos")
    if "models" in only:
        for name in models.NAMES:
            folder = models.make(name, out / "models" / name, out)
            forward.make_golden(folder)
    if "training" in only:
        for name in training.NAMES:
            training.make(out / "models" / name, out / "training" / name)
    if "optimisation" in only:
        optimisation.make(out / "optimisation.json")
    if "ops" in only:
        ops.make(out / "ops.json")
    if "family_ops" in only:
        family_ops.make(out / "family_ops.json")


if __name__ == "__main__":
    main()
