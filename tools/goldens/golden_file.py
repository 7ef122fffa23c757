"""How golden numbers are written: plain JSON, one top-level key a line, float32 values with eight significant digits."""

import json

import torch
import transformers

MADE_WITH = {"torch": torch.__version__, "transformers": transformers.__version__}


def numbers(values, digits=8):
    """A tensor, or nested lists of floats, as nested lists rounded to significant digits."""
    if isinstance(values, torch.Tensor):
        values = values.detach().tolist()
    if isinstance(values, list):
        return [numbers(value, digits) for value in values]
    return float(f"{values:.{digits}g}") if isinstance(values, float) else values


def write(path, golden):
    """Writes one JSON object, a line for each top-level key and each entry of a top-level list, so that diffs stay readable."""
    lines = []
    for key, value in golden.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            entries = ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            lines.append(f"{json.dumps(key)}: [\n  {entries}\n ]")
        elif isinstance(value, dict) and any(isinstance(entry, dict) for entry in value.values()):
            entries = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
            lines.append(f"{json.dumps(key)}: {{\n  {entries}\n }}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n " + ",\n ".join(lines) + "\n}\n", encoding="utf-8")
