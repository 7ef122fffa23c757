"""Goldens of the learning-rate schedules, AdamW and gradient clipping."""

import torch
from transformers import get_scheduler

from . import golden_file
from .golden_file import numbers

SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")
STEPS_AND_WARMUP = ((10, 0), (10, 3), (7, 7), (1, 0), (5, 8), (25, 1))


def schedule_golden(kind, steps, warmup):
    """The learning rate of every optimiser step for a peak of 1, and of one step past the end."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(kind, optimiser, num_warmup_steps=warmup, num_training_steps=steps)
    rates = []
    for _ in range(steps + 1):
        rates.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return {"kind": kind, "steps": steps, "warmup": warmup, "rates": numbers(rates, 12)}


def adamw_golden(weight_decay, generator):
    """Five steps; the first gradient has a zero and the third a very small entry, where eps decides."""
    settings = dict(lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    parameter = torch.nn.Parameter(torch.randn(7, generator=generator))
    initial, optimiser, steps = parameter.detach().clone(), torch.optim.AdamW([parameter], **settings), []
    for step in range(5):
        gradient = torch.randn(7, generator=generator)
        gradient[0] = 0.0 if step < 2 else gradient[0]
        gradient[1] *= 1e-8 if step == 2 else 1.0
        parameter.grad = gradient
        optimiser.step()
        state = optimiser.state[parameter]
        steps.append({"gradient": numbers(gradient, 9), "parameter": numbers(parameter, 9), "exp_avg": numbers(state["exp_avg"], 9),
                      "exp_avg_sq": numbers(state["exp_avg_sq"], 9)})
    return {**settings, "initial": numbers(initial, 9), "steps": steps}


def clip_golden(max_norm, generator):
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (5, 3)]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    gradients = [numbers(parameter.grad, 9) for parameter in parameters]
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return {"max_norm": max_norm, "gradients": gradients, "norm": numbers(norm.item(), 9),
            "clipped": [numbers(parameter.grad, 9) for parameter in parameters]}


def make(path):
    generator = torch.Generator().manual_seed(5)
    golden_file.write(path, {
        "made_with": golden_file.MADE_WITH,
        "schedules": [schedule_golden(kind, *pair) for kind in SCHEDULES for pair in STEPS_AND_WARMUP],
        "adamw": [adamw_golden(decay, generator) for decay in (0.0, 0.1)],
        "clip": [clip_golden(max_norm, generator) for max_norm in (1.0, 100.0)],
    })
