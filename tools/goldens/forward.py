"""Golden numbers of a checkpoint: logits, hidden states, log-probabilities, losses, gradients and generations."""

import torch
from transformers import LogitsProcessorList, MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from . import golden_file, models
from .golden_file import numbers

LENGTHS = (6, 23, 1, 40, 13)  # of the rows; each is forwarded alone, without padding
PROMPT = (2, 9, 0, 25, 4)  # how many of a row's tokens carry no label
TOKENS, BEAM_TOKENS = 12, 10


def make_rows(vocab_size, folder_name):
    generator = torch.Generator().manual_seed(len(folder_name))
    rows = []
    for length, prompt in zip(LENGTHS, PROMPT):
        ids = torch.randint(4, vocab_size, (length,), generator=generator).tolist()
        ids[0] = 0  # so that the first eight entries of an embedding's gradient are not all zero
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def forward_golden(model, row, whole):
    """Everything that one row's forward pass gives; `whole` keeps all logits, else the first eight of each position."""
    with torch.no_grad():
        output = model(input_ids=torch.tensor([row["input_ids"]]), output_hidden_states=True)
    logits = output.logits[0]
    log_probs = torch.log_softmax(logits, dim=-1)
    golden = {
        **row,
        "logits_first8": numbers(logits[:, :8]),
        "logits_last": numbers(logits[-1]),
        "final_hidden_first8": numbers(output.hidden_states[-1][0, :, :8]),
        "hidden_last_position_first8": [numbers(state[0, -1, :8]) for state in output.hidden_states],
        "logprobs": [None] + [numbers(log_probs[i - 1, token].item()) for i, token in enumerate(row["input_ids"]) if i],
    }
    return golden | {"logits": numbers(logits)} if whole else golden


def gradient_golden(model, rows):
    """Loss over all labelled tokens of the rows, and each parameter's gradient: its L2 norm and first eight entries.

    Labels are shifted: logits at position i are scored against the label at i + 1."""
    model.zero_grad()
    labelled = sum(label != -100 for row in rows for label in row["labels"][1:])
    total = 0.0
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        labels = torch.tensor(row["labels"][1:], dtype=torch.long)
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / labelled
        loss.backward()
        total += loss.item()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {
        "loss": numbers(total), "labelled_tokens": labelled,
        "grad_norm": numbers(torch.stack([gradient.norm() for gradient in gradients.values()]).norm().item()),
        "parameters": {name: {"shape": list(gradient.shape), "l2": numbers(gradient.norm().item()),
                              "first8": numbers(gradient.flatten()[:8])} for name, gradient in gradients.items()},
    }


def generate(model, prompt, **arguments):
    """New tokens (an end-of-sequence token included, padding not) and the score of each returned sequence."""
    eos = arguments.get("eos_token_id", [])
    eos = eos if isinstance(eos, list) else [eos]
    output = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                            pad_token_id=model.config.vocab_size - 1, do_sample=False, return_dict_in_generate=True,
                            output_scores=True, **arguments)
    outputs = []
    for i, sequence in enumerate(output.sequences.tolist()):
        new = sequence[len(prompt):]
        end = next((at + 1 for at, token in enumerate(new) if token in eos), len(new))
        score = numbers(output.sequences_scores[i].item()) if arguments.get("num_beams", 1) > 1 else None
        reason = "stop" if new[end - 1] in eos else "length"
        outputs.append({"tokens": new[:end], "score": score, "finish_reason": reason})
    return {"prompt": prompt, "args": arguments, "outputs": outputs}


def choose_eos(model, prompts):
    """The token that, taken as end of sequence, ends the most beams after at least two tokens of their own."""
    beams = dict(max_new_tokens=BEAM_TOKENS, num_beams=3, num_return_sequences=3)
    candidates = sorted({token for prompt in prompts for output in generate(model, prompt, **beams)["outputs"] for token in output["tokens"]})

    def ended(token):
        outputs = [output for prompt in prompts for output in generate(model, prompt, **beams, eos_token_id=token)["outputs"]]
        return sum(output["finish_reason"] == "stop" and len(output["tokens"]) > 2 for output in outputs)

    return max(candidates, key=ended)


def generation_goldens(model, rows):
    short, long = rows[0]["input_ids"], rows[1]["input_ids"]
    eos = choose_eos(model, (short, long))
    cases = [generate(model, row["input_ids"], max_new_tokens=TOKENS) for row in rows]
    cases += [
        generate(model, short, max_length=len(short) + 3),
        generate(model, short, max_new_tokens=TOKENS, eos_token_id=cases[0]["outputs"][0]["tokens"][4]),
        generate(model, short, max_new_tokens=TOKENS, min_new_tokens=8, eos_token_id=cases[0]["outputs"][0]["tokens"][4]),
        generate(model, long, max_new_tokens=TOKENS, eos_token_id=[cases[1]["outputs"][0]["tokens"][at] for at in (7, 5)]),
        generate(model, short, max_new_tokens=TOKENS, repetition_penalty=1.7),
        generate(model, long, max_new_tokens=TOKENS, no_repeat_ngram_size=1),
        generate(model, short, max_new_tokens=TOKENS, bad_words_ids=[[cases[0]["outputs"][0]["tokens"][0]]]),
    ]
    for prompt in (short, long):
        for length_penalty in (1.0, 0.6):
            for early_stopping in (False, True, "never"):
                cases.append(generate(model, prompt, max_new_tokens=BEAM_TOKENS, num_beams=3, num_return_sequences=3,
                                      length_penalty=length_penalty, early_stopping=early_stopping, eos_token_id=eos))
    cases += [
        generate(model, long, max_new_tokens=BEAM_TOKENS, num_beams=3, num_return_sequences=3),
        generate(model, short, max_new_tokens=BEAM_TOKENS, num_beams=4, num_return_sequences=2, repetition_penalty=1.3),
        generate(model, short, max_new_tokens=BEAM_TOKENS, num_beams=4, num_return_sequences=1, eos_token_id=eos, min_new_tokens=6),
    ]
    ended = [case for case in cases if case["args"].get("num_beams") and any(o["finish_reason"] == "stop" for o in case["outputs"])]
    assert len(ended) >= 6, "no beam finishes early: the beam goldens would not test what they are for"
    return cases


def warper_goldens(model, row):
    """Which tokens temperature, top-k, top-p and min-p keep of a row's last logits, and their probabilities."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[:, -1]
    warpers = {"temperature": TemperatureLogitsWarper, "top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper, "min_p": MinPLogitsWarper}
    goldens = []
    for arguments in (dict(temperature=0.7), dict(top_k=5), dict(top_p=0.5), dict(top_p=0.9), dict(min_p=0.1), dict(top_p=0.001),
                      dict(temperature=0.7, top_k=20, top_p=0.8), dict(temperature=1.5, top_k=50, top_p=0.95)):
        chain = LogitsProcessorList([warpers[name](value) for name, value in arguments.items()])
        probabilities = torch.softmax(chain(None, logits.clone())[0], dim=-1)
        kept = probabilities.nonzero().flatten().tolist()
        goldens.append({"args": arguments, "kept": kept, "probabilities": numbers(probabilities[kept])})
    return goldens


def make_golden(folder):
    """Writes golden.json beside the checkpoint in `folder`."""
    model = models.load(folder)
    rows = make_rows(model.config.vocab_size, folder.name)
    golden_file.write(folder / "golden.json", {
        "made_with": golden_file.MADE_WITH,
        "rows": [forward_golden(model, row, whole=index == 0) for index, row in enumerate(rows)],
        "gradient_row0": gradient_golden(model, rows[:1]),
        "gradient_all_rows": gradient_golden(model, rows),
        "generate": generation_goldens(model, rows),
        "warpers_row": 0,
        "warpers": warper_goldens(model, rows[0]),
    })
