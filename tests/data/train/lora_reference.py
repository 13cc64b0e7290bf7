#!/usr/bin/env python3
"""Makes the reference values of training with adapters: lora.json, lora.safetensors.

A case is a few steps of PEFT's adapters on the model "llama" of families/ under torch's AdamW, in float64: the losses,
the tensors before the first step where PEFT drew no random numbers for them (DoRA's magnitudes), and all of them after
the last. A and B begin with numbers computed from their names on both sides. Dropout is drawn here from scratch by the
rule that src/model/dropout.hpp states, at PEFT's own places. Needs torch, transformers 5.23 and peft 0.21.2; run it with
HF_HUB_OFFLINE=1. The tests need none of them.
"""
import json
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModel
from transformers.models.llama import modeling_llama

OUT = Path(__file__).resolve().parent
sys.path.append(str(OUT.parent))
from adapters_reference import ALL, write_base  # noqa: E402
from families_reference import cases as families, weight  # noqa: E402

STEPS, RATE, DECAY, CLIP, TEMPERATURE = 4, 1e-2, 0.1, 0.5, 0.1
QUERIES, DOCUMENTS = [1, 2], [3, 0, 4]  # of the sequences; documents 0 and 1 are query 0's, 0 and 2 right answers
SOME = ["q_proj", "v_proj", "down_proj"]
MASK = 2**64 - 1


def cases():
    """name -> (LoraConfig's keys, hidden dropout)."""
    return {
        "lora": (dict(r=2, lora_alpha=6, target_modules=SOME), 0),
        "rslora": (dict(r=3, lora_alpha=6, target_modules=["o_proj", "up_proj"], use_rslora=True), 0),
        "dora": (dict(r=2, lora_alpha=4, target_modules=ALL, use_dora=True), 0),
        "lora_dropout": (dict(r=2, lora_alpha=6, target_modules=SOME, lora_dropout=0.3), 0.2),
        "dora_dropout": (dict(r=2, lora_alpha=6, target_modules=SOME, use_dora=True, lora_dropout=0.3), 0),
    }


# ------------------------------------------------------------------------------------- keyed numbers, from scratch


def mix(x):
    x = x + 0x9E3779B97F4A7C15 & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def key(seed, *parts):
    value = mix(seed)
    for part in parts:
        if isinstance(part, int):
            value = mix(value ^ mix(part))
        else:
            value = mix(value ^ mix(MASK - len(part)))
            for byte in part.encode():
                value = mix(value ^ byte)
    return value


def kept(sequence_key, length, layer, part, columns, rate, *more):
    place = key(0, layer, part, *more)
    rows = []
    for position in range(length):
        token = mix(key(sequence_key, position))
        row = mix(mix(token ^ place)) & 0xFFFFFFFF
        lots = []
        for column in range(columns):
            x = row ^ column * 0x9E3779B9 & 0xFFFFFFFF
            x = (x ^ x >> 16) * 0x7FEB352D & 0xFFFFFFFF
            x = (x ^ x >> 15) * 0x846CA68B & 0xFFFFFFFF
            x ^= x >> 16
            signed = x - 2**32 if x >= 2**31 else x
            lots.append(signed >= int(rate * 2**32) - 2**31)
        rows.append(lots)
    return torch.tensor(rows).double() / (1 - rate)


# ------------------------------------------------------------------------------------------------------- training


def exact_norm(self, x):
    """transformers normalises in float32, whatever the model's type."""
    return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)


def exact_rotary(self, x, position_ids):
    """Float32 angles as in transformers, and their cosines rounded once."""
    angles = (position_ids[..., None].float() * self.inv_freq.float()).repeat(1, 1, 2).double()
    return tuple((f(angles).float() * self.attention_scaling).to(x.dtype) for f in (torch.cos, torch.sin))


modeling_llama.LlamaRMSNorm.forward = exact_norm
modeling_llama.LlamaRotaryEmbedding.forward = exact_rotary


class KeyedDropout(torch.nn.Module):
    """At one place of the model; `sequence` is the key of the text that runs through it."""

    sequence = None

    def __init__(self, rate, *place):
        super().__init__()
        self.rate, self.place = rate, place

    def forward(self, x):
        layer, part, *more = self.place
        lots = kept(KeyedDropout.sequence, x.shape[1], layer, part, x.shape[2], self.rate, *more)
        return x * lots


def place_dropout(model, adapter_rate, hidden_rate, config):
    fused = {"q_proj": ("qkv", 0), "o_proj": ("attention_out", 0), "gate_proj": ("gate_up", 0), "down_proj": ("down", 0)}
    fused["k_proj"] = ("qkv", config["num_attention_heads"] * config["head_dim"])
    fused["v_proj"] = ("qkv", fused["k_proj"][1] + config["num_key_value_heads"] * config["head_dim"])
    fused["up_proj"] = ("gate_up", config["intermediate_size"])
    for index, layer in enumerate(model.layers):
        for name, module in layer.named_modules():
            if adapter_rate and hasattr(module, "lora_dropout"):
                module.lora_dropout["default"] = KeyedDropout(adapter_rate, index, *fused[name.split(".")[-1]])
        if hidden_rate:
            attention, feed_forward = (KeyedDropout(hidden_rate, index, part) for part in ("attention", "feed_forward"))
            layer.self_attn.register_forward_hook(lambda m, i, out, drop=attention: (drop(out[0]), *out[1:]))
            layer.mlp.register_forward_hook(lambda m, i, out, drop=feed_forward: drop(out))


def embed(model, ids, sequence_key):
    KeyedDropout.sequence = sequence_key
    mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
    return mean / mean.norm()


def run(name, keys, hidden_rate, sequences):
    config = families()["llama"]
    with tempfile.TemporaryDirectory() as folder:
        write_base(Path(folder), config, False)
        base = AutoModel.from_pretrained(folder, dtype=torch.float64)
    peft = get_peft_model(base, LoraConfig(**keys)).train()
    model = peft.get_base_model()
    place_dropout(model, keys.get("lora_dropout", 0), hidden_rate, config)
    trained = {}
    for path, parameter in peft.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = path.removeprefix("base_model.model.").replace(".default", "")
        plain = plain.removesuffix(".weight") if "magnitude" in plain else plain
        assert parameter.dtype == torch.float64
        if "magnitude" not in plain:
            parameter.data.copy_(weight(plain, list(parameter.shape), 2**-3, 0.0))
        trained[plain] = parameter
    tensors = {f"{name}.start.{path}": p.detach().clone() for path, p in trained.items() if "magnitude" in path}
    matrices = [p for p in trained.values() if p.dim() > 1]
    vectors = [p for p in trained.values() if p.dim() == 1]
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=DECAY), dict(params=vectors, weight_decay=0.0)],
                                  lr=RATE)
    losses, norms = [], []
    for step in range(1, STEPS + 1):
        texts = [embed(model, sequences[s], key(9, step, i)) for i, s in enumerate(QUERIES + DOCUMENTS)]
        queries, documents = torch.stack(texts[:2]), torch.stack(texts[2:])
        loss = torch.nn.functional.cross_entropy(queries @ documents.T / TEMPERATURE, torch.tensor([0, 2]))
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(trained.values()), CLIP).item())
        optimizer.step()
        losses.append(loss.item())
    print(name, losses, norms)
    tensors.update({f"{name}.end.{path}": p.detach() for path, p in trained.items()})
    row = dict(rank=keys["r"], alpha=keys["lora_alpha"], targets=keys["target_modules"], dropout=keys.get("lora_dropout", 0),
               rslora=keys.get("use_rslora", False), dora=keys.get("use_dora", False), hidden_dropout=hidden_rate,
               losses=losses, norms=norms)
    return row, tensors


def main():
    torch.set_num_threads(1)
    sequences = json.loads((OUT.parent / "families/cases.json").read_text())["sequences"]
    rows, tensors = {}, {}
    for name, (keys, hidden_rate) in cases().items():
        rows[name], more = run(name, keys, hidden_rate, sequences)
        tensors.update(more)
    settings = dict(learning_rate=RATE, weight_decay=DECAY, clip=CLIP, temperature=TEMPERATURE, queries=QUERIES,
                    documents=DOCUMENTS)
    (OUT / "lora.json").write_text(json.dumps({**settings, "cases": rows}, indent=1) + "\n")
    save_file({name: value.contiguous() for name, value in tensors.items()}, OUT / "lora.safetensors")


if __name__ == "__main__":
    main()
