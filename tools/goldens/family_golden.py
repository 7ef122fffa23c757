"""Writes a shape's checkpoint and what transformers computes with it; refuses numbers that hang on a rounding or show nothing.

Weights come from a seed. A seed is passed over when the best two tokens of a greedy step, the last kept and first dropped beam, or an
expert that is just taken and one that is just not, are nearly equal: there another order of summation may choose otherwise.
"""

import copy
import inspect
import json
import platform
import shutil
import zlib

import torch
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig
from transformers.pytorch_utils import Conv1D

from . import family_shapes, golden_file
from .golden_file import numbers

LENGTHS, FIRST_TOKEN = (20, 14, 7), 3  # of the rows; ids below are special tokens
GREEDY, BEAMS, BEAM_TOKENS = 12, 3, 10
MASKED = 5  # labels of row 0 that do not count
MARGIN, SHOWS, SAME = 1e-3, 1e-2, 1e-4  # least distance of a choice, least effect of a setting, most rounding between two ways to compute
ATTEMPTS = 40
MADE_WITH = {"python": platform.python_version(), **golden_file.MADE_WITH}
ROUTERS = ("block_sparse_moe.gate", "mlp.gate")


class NearTie(Exception):
    """A choice that rounding may change."""


def load(source, config=None):
    """The checkpoint in float32 with eager attention, as if just opened: dynamic frequencies remember the longest text they have seen."""
    return AutoModelForCausalLM.from_pretrained(source, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def fill(model, seed):
    """Random weights under which every part of the model tells: maps that keep the size of what they get, clear routers and logits, norm
    weights away from 1 and biases from 0, where they start."""
    torch.manual_seed(seed)
    head, filled = model.get_output_embeddings(), set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in filled:
                continue
            filled.add(id(parameter))
            with torch.no_grad():
                if parameter.dim() == 1 and name == "weight":
                    assert parameter.min() == parameter.max(), f"{path}.weight does not start as a norm's"
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
                elif parameter.dim() == 1:
                    parameter.normal_(std=0.3)
                elif isinstance(module, torch.nn.Embedding):
                    parameter.normal_(std=1.6 / parameter.shape[1] ** 0.5)
                else:
                    inputs = parameter.shape[0] if isinstance(module, Conv1D) else parameter.shape[1]
                    gain = 2.0 if module is head else 3.0 if path.endswith(ROUTERS) else 1.2
                    parameter.normal_(std=gain / inputs ** 0.5)


def save(shape, seed, folder):
    config = copy.deepcopy(shape.config)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fill(model, seed)
    model.generation_config = GenerationConfig(**family_shapes.TOKENS)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    path = folder / "config.json"
    saved = json.loads(path.read_text())
    for key in shape.forget:
        *outer, last = key.split(".")
        inner = saved[outer[0]] if outer else saved
        inner.pop(last, None)
    saved.update(shape.say)
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")


def rope_type(config):
    scaling = getattr(config, "rope_scaling", None) or {}
    return scaling.get("rope_type", scaling.get("type"))


def make_batch(config):
    """Three rows, left-padded: ids, mask and position ids [3, 20]."""
    width, pad = max(LENGTHS), config.pad_token_id
    rows = [torch.randint(FIRST_TOKEN, config.vocab_size, (length,)).tolist() for length in LENGTHS]
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return rows, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


class Search:
    """Greedy and beam search written out on texts that run alone, to check transformers' own and to measure how near its choices are.

    Each step computes the whole text anew; with dynamic frequencies it goes through a cache, whose older keys keep the frequencies
    that they were made with, as they do in transformers."""

    def __init__(self, folder):
        self.model = load(folder)
        self.cached = rope_type(self.model.config) == "dynamic"
        self.eos = self.model.config.eos_token_id
        for path, module in self.model.named_modules():
            if path.endswith(ROUTERS):
                module.register_forward_hook(self.check_router)

    def check_router(self, _, inputs, output):
        config = self.model.config
        taken = config.num_experts_per_tok
        if taken < output.shape[-1]:
            ranked = output.flatten(0, -2).sort(descending=True).values
            if (ranked[:, taken - 1] - ranked[:, taken]).min() < MARGIN:
                raise NearTie("experts")

    def run(self, tokens, state=None):
        """Tokens behind those of `state` -> the state with them: (all tokens, cache, log-probabilities of the next one)."""
        with torch.no_grad():
            if self.cached:
                seen, cache = (state[0], copy.deepcopy(state[1])) if state else ([], DynamicCache())
                output = self.model(input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True)
                tokens, cache = seen + tokens, output.past_key_values
            else:
                tokens, cache = (state[0] if state else []) + tokens, None
                output = self.model(input_ids=torch.tensor([tokens]), use_cache=False)
        return tokens, cache, output.logits[0, -1].log_softmax(-1)

    def greedy(self, prompt):
        state = self.run(prompt)
        for _ in range(GREEDY):
            (best, second), (token, _) = state[2].topk(2)
            if best - second < MARGIN or token == self.eos:
                raise NearTie("greedy")
            state = self.run([token.item()], state)
        return state[0]

    def beams(self, prompt):
        """The sequences and their scores, the mean log-probability of their new tokens; never near an end of sequence."""
        beams = [(0.0, self.run(prompt))]
        for step in range(BEAM_TOKENS):
            candidates = sorted(((score + log_prob, beam, token) for beam, (score, state) in enumerate(beams)
                                 for token, log_prob in enumerate(state[2].tolist())), reverse=True)
            first = 0 if step + 1 == BEAM_TOKENS else BEAMS - 1  # the order of the beams tells only at the end
            if min(candidates[i][0] - candidates[i + 1][0] for i in range(first, BEAMS)) < MARGIN:
                raise NearTie("beams")
            if any(token == self.eos for _, _, token in candidates[:2 * BEAMS]):
                raise NearTie("end of sequence")
            beams = [(score, self.run([token], beams[beam][1])) for score, beam, token in candidates[:BEAMS]]
        return [state[0] for _, state in beams], [score / BEAM_TOKENS for score, _ in beams]


def forward(model, ids, mask=None, positions=None, **arguments):
    if positions is not None and "position_ids" in inspect.signature(model.forward).parameters:
        arguments["position_ids"] = positions
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, use_cache=False, **arguments)


def generate(folder, ids, mask, **arguments):
    return load(folder).generate(ids, attention_mask=mask, do_sample=False, return_dict_in_generate=True, output_scores=True, **arguments)


def expect(same, what):
    if not same:
        raise SystemExit(f"transformers contradicts itself: {what}")


def gradients(folder, row):
    """Loss of a row whose first labels do not count, and the L2 norm of each parameter's gradient; 0 where none arrives."""
    model = load(folder)
    ids = torch.tensor([row])
    labels = ids.clone()
    labels[:, :MASKED] = -100
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    norm = lambda gradient: 0.0 if gradient is None else numbers(gradient.norm().item())
    return numbers(loss.item()), {name: norm(parameter.grad) for name, parameter in model.named_parameters()}


def measure(folder, seed):
    """Everything that golden.json says of the checkpoint in `folder`; raises NearTie."""
    model, search = load(folder), Search(folder)
    config = model.config
    torch.manual_seed(seed + 1)
    rows, ids, mask, positions = make_batch(config)
    greedy = [Search(folder).greedy(row) for row in rows]
    sequences, scores = search.beams(rows[0])

    batch = forward(model, ids, mask, positions).logits[:, -1]
    first = forward(load(folder), ids[:1], output_hidden_states=True)
    alone = torch.stack([forward(load(folder), torch.tensor([row])).logits[0, -1] for row in rows])
    continued = generate(folder, ids, mask, max_new_tokens=GREEDY).sequences
    found = generate(folder, ids[:1], mask[:1], max_new_tokens=BEAM_TOKENS, num_beams=BEAMS, num_return_sequences=BEAMS)
    if rope_type(config) == "longrope" and len(rows[0]) <= config.original_max_position_embeddings < len(rows[0]) + BEAM_TOKENS:
        # In the step in which a text passes the original positions, `generate` computes something else than a forward of the same text
        # does. The search that is written out on whole forwards tells what the model says.
        found.sequences, found.sequences_scores = torch.tensor(sequences), torch.tensor(scores)
    expect(found.sequences.tolist() == sequences, f"beam search finds {found.sequences.tolist()}, written out it finds {sequences}")
    expect((found.sequences_scores - torch.tensor(scores)).abs().max() < SAME, f"beams score {found.sequences_scores}, written out {scores}")
    expect((first.logits[0, -1] - alone[0]).abs().max() < SAME, "row 0 alone")

    loss, norms = gradients(folder, rows[0])
    has_positions = "position_ids" in inspect.signature(model.forward).parameters
    golden = {
        "made_with": MADE_WITH,
        "seed": seed,
        "input_ids": ids.tolist(),
        "attention_mask_left_pad": mask.tolist(),
        "position_ids": positions.tolist() if has_positions else None,
        "logits_last_pos": numbers(batch),
        "row0_logits_all_pos_first8": numbers(first.logits[0, :, :8]),
        "hidden_states_row0_last_pos_first8": [numbers(state[0, -1, :8]) for state in first.hidden_states],
        "hidden_states_row0_last_pos_norm": [numbers(state[0, -1].norm().item()) for state in first.hidden_states],
        "greedy_12_left_padded": continued.tolist(),
        "beam3_10_row0": {"sequences": found.sequences.tolist(), "scores": numbers(found.sequences_scores)},
        "loss_row0_labels_first5_masked": loss,
        "grad_l2": norms,
    }
    padded = [[config.pad_token_id] * (max(LENGTHS) - length) + tokens for length, tokens in zip(LENGTHS, greedy)]
    if rope_type(config) in ("dynamic", "longrope"):
        # transformers takes the frequencies that suit the longest row of a batch for all of it; alone a row gets its own.
        golden |= {"logits_last_pos_alone": numbers(alone), "greedy_12_alone": padded}
    else:
        expect((batch - alone).abs().max() < SAME, "padding changes logits")
        expect(continued.tolist() == padded, "padding or the cache changes the greedy continuation")
    return golden


def check_flips(shape, folder, golden):
    """Changes each of the shape's settings and sees to it that the goldens would tell."""
    saved = json.loads((folder / "config.json").read_text())
    texts = [torch.tensor(golden["input_ids"][:1]), torch.tensor(golden["greedy_12_left_padded"][:1])]
    logits = lambda config: [forward(load(folder, config), text).logits for text in texts]
    before = logits(type(shape.config)(**saved))
    for flip in shape.flips:
        # A list of layer types that the file spells out would hide the settings it follows from.
        known = {key: value for key, value in saved.items() if key != "layer_types" or not {"sliding_window_pattern", "layer_types"} & set(flip)}
        after = logits(type(shape.config)(**{**known, **flip}))
        effect = max((a - b).abs().max().item() for a, b in zip(after, before))
        if not effect > SHOWS:
            raise SystemExit(f"{folder.name}: {flip} changes the logits by no more than {effect:.2g}")


def make(name, folder):
    """Writes config.json, generation_config.json, model.safetensors and golden.json of the shape `name` into `folder`."""
    shape = family_shapes.SHAPES[name]
    for attempt in range(ATTEMPTS):
        seed = zlib.crc32(name.encode()) % 100_000 * 100 + attempt
        save(shape, seed, folder)
        try:
            golden = measure(folder, seed)
        except NearTie:
            continue
        check_flips(shape, folder, golden)
        golden_file.write(folder / "golden.json", golden)
        return attempt
    raise SystemExit(f"{name}: no seed of {ATTEMPTS} without a near tie")
