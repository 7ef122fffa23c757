"""Times decoding of transformers, or of llama.cpp where the model is a .gguf file: 64 new tokens after a prompt of 32, or after 64 prompts of
8 to 128 tokens, padded on the left, all to the same length or (answers64) to lengths as answers have them.

usage: generate.py MODEL|FILE.gguf [--dtype float32|bfloat16] [--cases greedy1,beam4,greedy8] [--repeat 3] [--threads 2]

Prints one JSON line a case: `seconds` from the prompt to the last token and, where each pass over the model can be timed, `prefill_seconds` and
`step_seconds` of the 63 passes behind it; the best of the repetitions. `tokens` are the first row's, to compare with another program's.
benches/decode.rs does the same with Luthier.
"""

import argparse
import importlib.metadata
import json
import resource
import time

PROMPT, NEW = 32, 64
# name -> rows, beams
CASES = {"greedy1": (1, 1), "beam4": (1, 4), "greedy8": (8, 1), "mixed64": (64, 1), "mixed64beam4": (64, 4), "answers64": (64, 1)}

# As in benches/decode.rs: the quantiles of the outputs of stanford-alpaca in tokens, shuffled; and the token that ends an answer.
ANSWERS = [
    1, 57, 9, 84, 18, 123, 37, 4, 65, 11, 93, 22, 153, 46, 7, 73, 14, 104, 27, 287, 54, 8, 81, 16, 118, 34, 3, 63, 10, 90, 20, 140, 43,
    6, 70, 13, 100, 25, 210, 52, 8, 78, 15, 113, 32, 2, 60, 10, 87, 19, 131, 40, 5, 68, 12, 96, 23, 172, 49, 7, 76, 14, 108, 29,
]
END = 2


def prompts(case, vocab_size):
    """The same arithmetic as in benches/decode.rs."""
    length = (lambda row: 8 + row * 53 % 121) if CASES[case][0] == 64 else (lambda row: PROMPT)
    return [[1000 + (row * 7919 + i * 104729) % (vocab_size - 2000) for i in range(length(row))] for row in range(CASES[case][0])]


def transformers_runs(arguments):
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=getattr(torch, arguments.dtype)).eval()
    passes = []
    forward = model.forward

    def timed(*positional, **named):
        start = time.perf_counter()
        result = forward(*positional, **named)
        passes.append((start, time.perf_counter()))
        return result

    model.forward = timed
    for case in arguments.cases:
        rows, beams = CASES[case]
        texts = prompts(case, model.config.vocab_size)
        width = max(map(len, texts))
        ids = torch.tensor([[0] * (width - len(text)) + text for text in texts])
        mask = torch.tensor([[0] * (width - len(text)) + [1] * len(text) for text in texts])

        lengths = ANSWERS if case == "answers64" else [NEW] * rows
        limits = {"max_new_tokens": NEW, "min_new_tokens": NEW}
        if case == "answers64":
            due = torch.tensor(lengths)

            def ends(so_far, scores):
                over = so_far.shape[1] - width >= due
                scores[:, END] = torch.where(over, 0.0, -torch.inf)
                scores[over, :END] = scores[over, END + 1:] = -torch.inf
                return scores

            limits = {"max_new_tokens": max(lengths) + 1, "eos_token_id": END,
                      "logits_processor": transformers.LogitsProcessorList([ends])}

        def once():
            passes.clear()
            start = time.perf_counter()
            out = model.generate(ids, attention_mask=mask, num_beams=beams, do_sample=False, pad_token_id=0, **limits)
            end = time.perf_counter()
            return out[0, width:width + lengths[0]].tolist(), end - start, passes[0][1] - start, end - passes[0][1]

        yield case, rows, sum(lengths), once


def llama_cpp_runs(arguments):
    import llama_cpp
    import numpy

    model = llama_cpp.Llama(arguments.model, n_threads=arguments.threads, n_threads_batch=arguments.threads, n_ctx=1024, n_batch=512,
                            verbose=False)

    def once():
        model.reset()
        start = time.perf_counter()
        model.eval(prompts("greedy1", model.n_vocab())[0])
        prefilled, new = time.perf_counter(), []
        while True:
            logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)
            new.append(int(numpy.ctypeslib.as_array(logits, shape=(model.n_vocab(),)).argmax()))
            if len(new) == NEW:
                break
            model.eval(new[-1:])
        end = time.perf_counter()
        return new, end - start, prefilled - start, end - prefilled

    yield "greedy1", 1, NEW, once


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--cases", default="greedy1,beam4,greedy8", type=lambda text: text.split(","))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    is_gguf = arguments.model.endswith(".gguf")
    runs = llama_cpp_runs if is_gguf else transformers_runs
    versions = {name: importlib.metadata.version(name) for name in (["llama-cpp-python"] if is_gguf else ["torch", "transformers"])}
    for case, rows, new, once in runs(arguments):
        tokens, seconds, prefill, steps = min((once() for _ in range(arguments.repeat)), key=lambda run: run[1])
        print(json.dumps({
            "program": "llama.cpp" if is_gguf else "transformers", "versions": versions, "store": arguments.model.split(".")[-2] if is_gguf else arguments.dtype,
            "case": case, "rows": rows, "threads": arguments.threads, "new_tokens": new, "seconds": seconds,
            "prefill_seconds": prefill, "step_seconds": steps, "tokens_per_second": new / seconds,
            "step_tokens_per_second": (new - rows) / steps,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "tokens": tokens,
        }), flush=True)


if __name__ == "__main__":
    main()
