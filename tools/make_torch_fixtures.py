"""Makes the files of torch.save that the readers of weights are tested with, and the numbers that torch finds in them.

usage: make_torch_fixtures.py [OUT]      (OUT: fixtures/torch of this repository by default)

The models are those of fixtures/models, saved anew. Old containers carry addresses of the process, so their bytes
differ from run to run; all else is the same. Needs torch, safetensors and numpy of setup-venv.sh.
"""

import argparse
import json
import os
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file

FIXTURES = Path(__file__).parent.parent / "fixtures"


def tensors():
    """One tensor of each kind that a pickle can hold, and things that are no tensors."""
    random = torch.Generator().manual_seed(7)

    def normal(*shape):
        return torch.randn(*shape, generator=random)

    tied = normal(3, 2)
    noted = torch.nn.Parameter(normal(2, 2))
    noted.note = "somebody's"
    state = OrderedDict()
    state["f32"] = normal(3, 4)
    state["f64"] = normal(2, 3).double() / 3
    state["f16"] = normal(2, 5).half()
    state["bf16"] = normal(4, 4).bfloat16()
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 4)
    state["transposed"] = normal(4, 3).t()
    state["transposed.bf16"] = normal(4, 6).bfloat16().t()
    state["permuted"] = normal(2, 3, 4).permute(2, 0, 1)
    state["slice"] = normal(5, 6)[1:4, 2:5]
    state["offset"] = normal(8)[3:]
    state["expanded"] = normal(1, 3).expand(4, 3)
    state["tied.a"] = tied
    state["tied.b"] = tied
    state["parameter"] = torch.nn.Parameter(normal(2, 3))
    state["parameter.noted"] = noted
    state["i64"] = torch.arange(6).reshape(2, 3)
    state["i32"] = torch.arange(5, dtype=torch.int32)
    state["u8"] = torch.arange(4, dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False, True])
    state["step"] = 70000
    state["large"] = 1 << 70
    state["settings"] = {"rate": 1e-3, "names": ["a", "b"], "pair": (1, -2), "on": True, "off": None}
    state["size"] = torch.Size([2, 3])
    state["device"] = torch.device("cpu")
    state["dtype"] = torch.float16
    state._metadata = OrderedDict([("", {"version": 1}), ("layer", {"version": 2})])
    return state


def golden(state):
    floats = {torch.float32, torch.float64, torch.float16, torch.bfloat16}
    found = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            numbers = value.detach().float().flatten().tolist() if value.dtype in floats else None
            found[name] = {"shape": list(value.shape), "numbers": numbers}
    return found


class CallsSystem:
    def __reduce__(self):
        return os.system, ("true",)


def make_tensors(out):
    out.mkdir(parents=True, exist_ok=True)
    state = tensors()
    torch.save(state, out / "zip.bin")
    torch.save(state, out / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(state, out / "zip-protocol-4.bin", pickle_protocol=4)
    torch.save(state, out / "zip-protocol-5.bin", pickle_protocol=5)
    torch.save(state, out / "legacy-protocol-4.bin", pickle_protocol=4, _use_new_zipfile_serialization=False)
    wrapped = {"epoch": 3, "loss": torch.tensor(0.5), "model": {"state_dict": dict(state)}, "optimizer": {"lr": 0.1}}
    torch.save(wrapped, out / "wrapped.bin")
    torch.save(OrderedDict(w=torch.ones(2), bad=CallsSystem()), out / "calls-system.bin")
    (out / "golden.json").write_text(json.dumps(golden(state), indent=1) + "\n")


def make_models(out):
    name = "llama-gqa-tied-llama3-rope"
    state = load_file(FIXTURES / "models" / name / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    (out / name).mkdir(parents=True, exist_ok=True)
    torch.save(OrderedDict(sorted(state.items())), out / name / "pytorch_model.bin")

    name = "llama-linear-rope-headdim"
    state = load_file(FIXTURES / "models" / name / "model.safetensors")
    names = sorted(state)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    weight_map = {}
    for shard, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"pytorch_model-{shard:05}-of-00002.bin"
        weight_map |= {tensor: file for tensor in part}
        kept = OrderedDict((tensor, state[tensor]) for tensor in part)
        if shard == 1:
            kept["model.layers.0.self_attn.rotary_emb.position"] = torch.arange(8)
        torch.save(kept, folder / file, _use_new_zipfile_serialization=False)
    size = sum(tensor.nbytes for tensor in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=FIXTURES / "torch")
    out = parser.parse_args().out
    make_tensors(out / "tensors")
    make_models(out / "models")


if __name__ == "__main__":
    main()
