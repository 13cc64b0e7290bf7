"""Reference values for the optimizers, gradient clipping and learning-rate schedules.

torch.optim.AdamW and SGD, torch.nn.utils.clip_grad_norm_, transformers' schedules; writes optimizer.json beside itself.
"""

import json
import pathlib

import torch
from transformers import optimization

STEPS = 6
LR, WEIGHT_DECAY, CLIP = 0.03, 0.1, 1.5


def values(tensor):
    return tensor.detach().double().flatten().tolist()


def run(kind, dtype):
    """Weights after each step; a matrix with weight decay, a vector without; gradients in `dtype`."""
    torch.manual_seed(3)
    start = [torch.randn(3, 4), torch.randn(4)]
    scales = [2.0, 0.1] * (STEPS // 2)  # clipped and not
    gradients = [[torch.randn(3, 4) * s, torch.randn(4) * s] for s in scales]
    master_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    start = [w.to(dtype) for w in start]
    gradients = [[g.to(dtype) for g in step] for step in gradients]
    masters = [torch.nn.Parameter(w.to(master_dtype, copy=True)) for w in start]
    groups = [{"params": [masters[0]], "weight_decay": WEIGHT_DECAY}, {"params": [masters[1]], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR) if kind == "adamw" else torch.optim.SGD(groups, lr=LR)
    steps = []
    for step in gradients:
        for master, gradient in zip(masters, step):
            master.grad = gradient.to(master_dtype, copy=True)
        norm = torch.nn.utils.clip_grad_norm_(masters, CLIP)
        optimizer.step()
        steps.append({
            "gradients": [values(g) for g in step],
            "norm": float(norm),
            "masters": [values(m) for m in masters],
            "weights": [values(m.to(dtype)) for m in masters],
        })
    return {"start": [values(w) for w in start], "steps": steps}


def schedule(kind, warmup, steps):
    if kind == "linear":
        factor = lambda t: optimization._get_linear_schedule_with_warmup_lr_lambda(
            t, num_warmup_steps=warmup, num_training_steps=steps)
    elif kind == "cosine":
        factor = lambda t: optimization._get_cosine_schedule_with_warmup_lr_lambda(
            t, num_warmup_steps=warmup, num_training_steps=steps, num_cycles=0.5)
    else:
        factor = lambda t: optimization._get_constant_schedule_with_warmup_lr_lambda(t, num_warmup_steps=warmup)
    return {"kind": kind, "warmup": warmup, "steps": steps, "factors": [factor(t) for t in range(1, steps + 1)]}


reference = {
    "learning_rate": LR,
    "weight_decay": WEIGHT_DECAY,
    "clip": CLIP,
    "adamw_float64": run("adamw", torch.float64),
    "adamw_float32": run("adamw", torch.float32),
    "adamw_bfloat16": run("adamw", torch.bfloat16),
    "sgd_float64": run("sgd", torch.float64),
    "schedules": [schedule(kind, warmup, steps)
                  for kind in ("linear", "cosine", "constant") for warmup, steps in ((0, 5), (3, 9), (6, 4))],
}
path = pathlib.Path(__file__).with_name("optimizer.json")
path.write_text(json.dumps(reference) + "\n")
