#!/usr/bin/env python3
"""Makes the reference values of adapters: adapters/ (cases.json, expected.safetensors).

A case is a model of families/, adapters as PEFT saves them, and the last hidden states and gradients that PEFT computes
with them. Weights are not stored: both sides compute them from the tensor's name (families_reference.weight). Needs
torch, transformers 5.23 and peft 0.21.2; run it with HF_HUB_OFFLINE=1. The tests need none of them.
"""
import json
import shutil
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

from families_reference import LENGTHS, SIZES, cases as families, relative, spread, states, tensor_list, weight

OUT = Path(__file__).resolve().parent / "adapters"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]


def cases():
    """name -> (family case, whether the adapter is of the causal language model, the LoraConfigs in their order)."""
    def one(family, causal=False, **keys):
        return family, causal, [{"r": 4, "lora_alpha": 6, **keys}]

    patterns = dict(rank_pattern={r"layers\.0\.self_attn\.q_proj": 2, "q_proj": 3, "^layers.2.mlp.(up|down)_proj": 5},
                    alpha_pattern={"down_proj": 3, r"1\..*": 11})
    return {
        "lora": one("llama", True, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", lora_dropout=0.1),
        "lora_all": one("qwen2_both", target_modules=ALL),
        "lora_fused": one("phi3", target_modules=["qkv_proj", "down_proj"]),
        "lora_one_name": one("llama", target_modules=["layers.1.mlp.down_proj"]),
        "rslora": one("qwen3", target_modules="all-linear", use_rslora=True, fan_in_fan_out=True),
        "dora": one("qwen2_both", True, target_modules=ALL, use_dora=True),
        "dora_fused": one("phi3_both_window", target_modules="all-linear", use_dora=True, use_rslora=True),
        "patterns": one("qwen3", target_modules=ALL, use_rslora=True, **patterns),
        "expression": one("llama_both", True, target_modules=r".*layers\.(0|2)\.(self_attn\.(q|o)_proj|mlp\.up_proj)"),
        "layers": one("llama_both", True, target_modules=ALL, layers_to_transform=[0, 2]),
        "layers_list": one("llama_both", target_modules=ATTENTION, layers_to_transform=1, layers_pattern="layers"),
        "excluded": one("gemma2", target_modules=ALL, exclude_modules=["up_proj", "layers.1.self_attn.o_proj"]),
        "excluded_expression": one("gemma_both", target_modules=ATTENTION, exclude_modules=r"layers\.[01]\..*k_proj"),
        "saved_modules": one("qwen3", True, target_modules=["q_proj"], modules_to_save=["embed_tokens", "norm"]),
        "saved_mlp": one("llama", target_modules=ALL, modules_to_save=["1.mlp", "input_layernorm"]),
        "bias_all": one("llama_biases", target_modules=["v_proj", "down_proj"], bias="all"),
        "bias_own": one("qwen2", target_modules=["q_proj", "v_proj", "o_proj"], bias="lora_only", use_dora=True),
        "embedding": one("gemma2_both", True, target_modules=["embed_tokens", "o_proj"]),
        "embedding_dora": one("llama", target_modules=["embed_tokens"], use_dora=True),
        "stacked": ("llama_both", False, [dict(r=4, lora_alpha=8, target_modules=ALL),
                                          dict(r=2, lora_alpha=8, target_modules=["v_proj", "up_proj"], use_dora=True)]),
    }


GRADIENTS = ("lora", "dora", "dora_fused", "embedding", "embedding_dora")


def adapter_spread(name, norm_offset):
    if "lora_magnitude_vector" in name:
        return 2**-2, 1
    if "lora_embedding_A" in name:
        return 2**-3, 0
    return (2**-3, 0) if "lora_" in name else spread(name, norm_offset)


def load_base(folder, causal, dtype=torch.float32):
    return (AutoModelForCausalLM if causal else AutoModel).from_pretrained(folder, dtype=dtype).eval()


def write_base(folder, config, causal, dtype=torch.float32):
    prefix = "model." if causal else ""
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": causal}))
    save_file({prefix + w[0]: weight(*w).to(dtype) for w in tensor_list(config)}, folder / "model.safetensors",
              {"format": "pt"})


def write_adapter(folder, base, keys, norm_offset):
    """PEFT's own files with other values: adapter_config.json, and [name, shape, scale, shift] of the tensors."""
    get_peft_model(base, LoraConfig(**keys)).save_pretrained(folder)
    shapes = {name: list(value.shape) for name, value in load_file(folder / "adapter_model.safetensors").items()}
    tensors = [[name, shape, *adapter_spread(name, norm_offset)] for name, shape in sorted(shapes.items())]
    save_file({t[0]: weight(*t) for t in tensors}, folder / "adapter_model.safetensors", {"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    del config["base_model_name_or_path"]
    for key, value in config.items():  # PEFT keeps sets
        config[key] = sorted(value) if isinstance(value, list) else value
    return {"config": config, "weights": tensors}


def decoder(peft_model, causal):
    model = peft_model.get_base_model()
    return model.model if causal else model


def gradients(peft_model, causal, sequences):
    """Of sum(states * direction) with respect to every tensor of the adapter."""
    wanted = {name: p for name, p in peft_model.named_parameters() if "lora_" in name}
    with torch.enable_grad():
        for p in wanted.values():
            p.requires_grad_(True)
        result = states(decoder(peft_model, causal), sequences)
        direction = weight("direction", list(result.shape), 1.0, 0.0)
        (result * direction).sum().backward()
    names = {name: name.replace(".default", "") for name in wanted}
    return {names[name].removesuffix(".weight") if "magnitude" in name else names[name]: p.grad
            for name, p in wanted.items()}


def run(name, family, causal, configs, sequences, dtype=torch.float32, exact=False):
    """The case's row, and states of the last adapter beside the weights, of all merged, and of the base alone."""
    config = families()[family]
    offset = config["model_type"].startswith("gemma")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_base(folder, config, causal, dtype)
        compute = torch.float32 if exact else dtype
        base = load_base(folder, causal, compute)
        plain = states(base.model if causal else base, sequences)
        adapters = []
        for i, keys in enumerate(configs):
            adapters.append(write_adapter(folder / f"adapter{i}", load_base(folder, causal), keys, offset))
            model = PeftModel.from_pretrained(base, folder / f"adapter{i}").eval()
            if i + 1 < len(configs):
                base = model.merge_and_unload()
        beside = states(decoder(model, causal), sequences)
        grads = gradients(model, causal, sequences) if name in GRADIENTS else {}
        merged = model.merge_and_unload().eval()
        merged = states(merged.model if causal else merged, sequences)
    return {"name": name, "family": family, "adapters": adapters}, beside, merged, plain, grads


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    sequences = [torch.randint(3, SIZES["vocab_size"], (length,), generator=generator).tolist() for length in LENGTHS]
    tensors, rows = {}, []
    for name, (family, causal, configs) in cases().items():
        row, beside, merged, plain, grads = run(name, family, causal, configs, sequences)
        difference, effect = (beside - merged).abs().max().item(), (beside - plain).abs().max().item()
        print(f"{name}: merged differs by {difference:.1e}, the base by {effect:.1e}")
        assert beside.isfinite().all() and difference < 3e-5 and effect > 1e-2, name
        tensors[name], tensors[f"merged.{name}"] = beside, merged
        tensors.update({f"gradient.{name}.{key}": value for key, value in grads.items()})
        rows.append(row)
    # bfloat16 weights: how far PEFT's own runs are from exact ones (float32) of the same weights.
    bfloat16 = []
    for name in ("lora_all", "dora"):
        _, beside, merged, _, _ = run("", *cases()[name], sequences, torch.bfloat16)
        _, exact, _, _, _ = run("", *cases()[name], sequences, torch.bfloat16, exact=True)
        tensors[f"bfloat16.{name}"] = exact
        bfloat16.append({"name": name, "error_beside": relative(beside.float(), exact),
                         "error_merged": relative(merged.float(), exact)})
        print(bfloat16[-1])
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, OUT / "expected.safetensors")
    parts = {"cases": rows, "bfloat16": bfloat16}
    text = ",\n".join(f'"{name}": [\n' + ",\n".join(json.dumps(value, separators=(",", ":")) for value in values) + "\n]"
                      for name, values in parts.items())
    (OUT / "cases.json").write_text("{" + text + "}\n")


def write_old_file():
    """A case's adapter as versions before safetensors wrote it."""
    (row,) = [row for row in json.loads((OUT / "cases.json").read_text())["cases"] if row["name"] == "lora_one_name"]
    torch.save({t[0]: weight(*t) for t in row["adapters"][0]["weights"]}, OUT / "lora_one_name.bin")


if __name__ == "__main__":
    with torch.no_grad():
        main()
        write_old_file()
