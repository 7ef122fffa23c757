"""W4: decoding 64 new tokens after 32, against transformers' generate and llama.cpp."""

import json

from . import process

MODEL = "smollm135"
CASES = ("greedy1", "beam4", "greedy8")
STORES = ("f32", "bf16", "int8", "nf4")
TRANSFORMERS = {"transformers-f32": "float32", "transformers-bf16": "bfloat16"}
LLAMA_CPP = {"llama.cpp-f32": "f32", "llama.cpp-bf16": "bf16", "llama.cpp-q8_0": "q8_0"}
SIDES = (*TRANSFORMERS, *LLAMA_CPP, *STORES)


def gguf(arguments, kind):
    path = arguments.work / f"{MODEL}.{kind}.gguf"
    if not path.exists():
        script = arguments.root / "tools/peers/make_gguf.py"
        process.run([arguments.python, script, arguments.models / MODEL, path, "--type", kind], arguments.threads)
    return path


def command(arguments, case, side):
    script = arguments.root / "tools/peers/generate.py"
    options = ["--cases", case, "--repeat", 2, "--threads", arguments.threads]
    if side in TRANSFORMERS:
        return [arguments.python, script, arguments.models / MODEL, "--dtype", TRANSFORMERS[side], *options]
    if side in LLAMA_CPP:
        return [arguments.python, script, gguf(arguments, LLAMA_CPP[side]), *options]
    return [arguments.target / "examples/decode", arguments.models / MODEL, case, 2, side]


def once(arguments, case, side):
    text, wall, memory = process.run(command(arguments, case, side), arguments.threads)
    return {**json.loads(text.splitlines()[-1]), "wall_seconds": wall, "peak_memory_bytes": memory, "case": case}


def measure(arguments, book):
    sides = [side for side in SIDES if not arguments.sides or side in arguments.sides]
    for case in arguments.cases or CASES:
        for pair in range(1, arguments.pairs + 1):
            # The package of llama.cpp has no beams and no batch of prompts in its plain interface.
            for side in (side for side in sides if case == "greedy1" or side not in LLAMA_CPP):
                book.once("decode", case, side, pair, lambda: {
                    key: value for key, value in once(arguments, case, side).items() if key not in ("case", "side")})
