#!/usr/bin/env python3
"""Makes the reference values of the decoder families: families/ (cases.json, expected.safetensors).

A case is a config.json and the last hidden states that transformers computes from it, text by text, for tiny random
models. Weights are not stored: both sides compute them from the tensor's name (see `weight`). Needs torch and
transformers 5.23; run it with HF_HUB_OFFLINE=1. The tests need none of them.

To add a family, add rows to `cases()`.
"""
import copy
import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = Path(__file__).resolve().parent / "families"
LENGTHS = (1, 5, 9, 5, 30)  # past every window and original length below

# Sizes that no class default has; heads * head_dim is not the hidden size.
SIZES = dict(vocab_size=800, hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, head_dim=12, max_position_embeddings=64)
THETA = 100.0  # positions matter within few tokens


# ------------------------------------------------------------------------------------------------ weights


def weight(name, shape, scale, shift):
    """float32 values in shift + [-scale, scale), from a hash of name and index; scale is a power of two, so that
    each value is rounded once."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    x = numpy.uint64(key) + numpy.arange(math.prod(shape), dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    x = x ^ (x >> numpy.uint64(31))
    unit = (x >> numpy.uint64(40)).astype(numpy.float32) * numpy.float32(2**-23) - numpy.float32(1)
    return torch.from_numpy(unit * numpy.float32(scale) + numpy.float32(shift)).reshape(shape)


def spread(name, norm_offset):
    """scale and shift: every part matters, attention is far from uniform, norms far from one."""
    if name.endswith(".bias"):
        return 2**-2, 0
    if "norm" in name:
        return 2**-1, 0 if norm_offset else 1
    if "embed_tokens" in name:
        return 2**-4, 0
    return (2**-1, 0) if "q_proj" in name or "k_proj" in name or "qkv" in name else (2**-2, 0)


# -------------------------------------------------------------------------------------------------- cases


def v4(model_type, **keys):
    """config.json as transformers 4 writes it: rope_theta and rope_scaling, torch_dtype."""
    return {"model_type": model_type, "attention_dropout": 0.0, "initializer_range": 0.02, "rms_norm_eps": 1e-05,
            **SIZES, "rope_theta": THETA, "rope_scaling": None, "torch_dtype": "float32", "pad_token_id": None,
            "transformers_version": "4.46.2", "use_cache": True, **keys}


def v5(model_type, **keys):
    """config.json as transformers 5 writes it: what its own class makes of these keys."""
    given = {"rope_parameters": {"rope_type": "default", "rope_theta": THETA}, **SIZES, "rms_norm_eps": 1e-5,
             "pad_token_id": None, "dtype": "float32", **keys}
    with tempfile.TemporaryDirectory() as folder:
        AutoConfig.for_model(model_type, **given).save_pretrained(folder)
        return json.loads((Path(folder) / "config.json").read_text())


def rope(rope_type, **keys):
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": THETA, **keys}}


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
YARN = dict(factor=4.0, original_max_position_embeddings=16)
SHORT, LONG = [1.0, 1.25, 1.5, 2.0, 2.5], [1.0, 2.0, 4.5, 8.0, 13.0]
TWO_ROPES = {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1000.0},
                                 "sliding_attention": {"rope_type": "default", "rope_theta": 10.0}}}
FULL, SLIDING = "full_attention", "sliding_attention"
BOTH = {"is_causal": False}


def cases():
    """name -> config.json."""
    gemma2 = dict(sliding_window=6, query_pre_attn_scalar=20, attn_logit_softcapping=2.0)
    gemma3 = dict(sliding_window=6, query_pre_attn_scalar=20, **TWO_ROPES, layer_types=[SLIDING, FULL, SLIDING])
    phi3 = dict(hidden_size=48, original_max_position_embeddings=16)
    phi3_old = v4("phi3", **phi3, sliding_window=None, partial_rotary_factor=0.84,
                  rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG})
    return {
        "mistral": v5("mistral", sliding_window=None),
        "mistral_window": v5("mistral", sliding_window=6),
        "mistral_both": v5("mistral", sliding_window=None, **BOTH),
        "mistral_both_window": v5("mistral", sliding_window=6, **BOTH),
        "mistral_v4_yarn": v4("mistral", sliding_window=None, rope_scaling={"type": "yarn", **YARN}),
        "llama": v5("llama"),
        "llama_both": v5("llama", **BOTH),
        "llama_v4_llama3": v4("llama", rope_scaling={"rope_type": "llama3", **LLAMA3}),
        "llama_llama3_both": v5("llama", **rope("llama3", **LLAMA3), **BOTH),
        "llama_biases": v5("llama", attention_bias=True, mlp_bias=True),
        "llama_v4_no_groups": {**v4("llama", rope_scaling={"type": "linear", "factor": 3.0}),
                               "num_key_value_heads": None, "head_dim": None},
        "llama_dynamic": v5("llama", **{**rope("dynamic", factor=3.0), "max_position_embeddings": 16}),
        "llama_gelu": v5("llama", hidden_act="gelu"),
        "llama_relu": v5("llama", hidden_act="relu"),
        "llama_longrope": v5("llama", **rope("longrope", short_factor=[*SHORT, 3.0], long_factor=[*LONG, 20.0],
                                             factor=4.0, original_max_position_embeddings=16)),
        "qwen2": v5("qwen2"),
        "qwen2_v4_window": v4("qwen2", use_sliding_window=True, sliding_window=6, max_window_layers=1),
        "qwen2_v4_no_window": v4("qwen2", use_sliding_window=False, sliding_window=6, max_window_layers=1),
        "qwen2_both": v5("qwen2", **BOTH),
        "qwen2_both_window": v5("qwen2", use_sliding_window=True, sliding_window=6,
                                layer_types=[FULL, SLIDING, FULL], **BOTH),
        "qwen2_yarn": v5("qwen2", **rope("yarn", **YARN, attention_factor=1.3, beta_fast=16.0, beta_slow=2.0,
                                         truncate=False)),
        "qwen3": v5("qwen3"),
        "qwen3_v4_yarn": v4("qwen3", attention_bias=False, rope_scaling={"rope_type": "yarn", **YARN}),
        "qwen3_biases": v5("qwen3", attention_bias=True),
        "qwen3_both": v5("qwen3", **BOTH),
        "qwen3_window": v5("qwen3", use_sliding_window=True, sliding_window=6, max_window_layers=2),
        "qwen3_yarn_mscale": v5("qwen3", **rope("yarn", **YARN, mscale=0.7, mscale_all_dim=1.9)),
        "gemma": v5("gemma"),
        "gemma_v4": v4("gemma", hidden_act="gelu", hidden_activation=None),
        "gemma_both": v5("gemma", attention_bias=True, **BOTH),
        "gemma2": v5("gemma2", **gemma2),
        "gemma2_v4": v4("gemma2", hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh", **gemma2,
                        final_logit_softcapping=30.0, cache_implementation="hybrid"),
        "gemma2_both": v5("gemma2", **gemma2, **BOTH),
        "gemma2_no_cap": v5("gemma2", **{**gemma2, "attn_logit_softcapping": None}),
        "gemma3": v5("gemma3_text", **gemma3),
        "gemma3_both": v5("gemma3_text", **gemma3, use_bidirectional_attention=True),
        "gemma3_is_causal": v5("gemma3_text", **gemma3, **BOTH),
        "gemma3_v4": v4("gemma3_text", hidden_activation="gelu_pytorch_tanh", sliding_window=6,
                        query_pre_attn_scalar=20, sliding_window_pattern=2, rope_theta=1000.0,
                        rope_local_base_freq=10.0, rope_scaling={"rope_type": "linear", "factor": 8.0}),
        "phi3": v5("phi3", **phi3),
        "phi3_both_window": v5("phi3", **phi3, sliding_window=6, partial_rotary_factor=0.5, **BOTH),
        "phi3_v4_longrope": phi3_old,
        "phi3_longrope_both": v5("phi3", **phi3, partial_rotary_factor=0.84, **BOTH,
                                 **rope("longrope", short_factor=SHORT, long_factor=LONG)),
    }


def embedder_cases():
    """name -> (config.json of a published embedder's convention, the config that transformers runs for it)."""
    remote = {"AutoModel": "org/repo--modeling_qwen.Qwen2Model", "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}
    return {
        "llama_bidirec": ({**v4("llama", rope_scaling={"rope_type": "llama3", **LLAMA3}), "model_type": "llama_bidirec",
                           "pooling": "avg"}, v5("llama", **rope("llama3", **LLAMA3), **BOTH)),
        "gte_qwen2": ({**v4("qwen2", use_sliding_window=False), "auto_map": remote}, v5("qwen2", **BOTH)),
        "phi3_remote": ({**v4("phi3", hidden_size=48, original_max_position_embeddings=16),
                         "auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"}},
                        v5("phi3", hidden_size=48, original_max_position_embeddings=16)),
    }


# ----------------------------------------------------------------------------------------------- reference


def load(config, weights, dtype=torch.float32):
    """transformers' model of a folder with this config and these weights."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        save_file({name: tensor.to(dtype) for name, tensor in weights.items()}, Path(folder) / "model.safetensors",
                  {"format": "pt"})
        model, report = AutoModel.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    return model.eval()


def states(model, sequences):
    """Each text alone, and with fresh positions: transformers' dynamic rope remembers the texts before."""
    rows = []
    for ids in sequences:
        model.rotary_emb = type(model.rotary_emb)(model.config)
        rows.append(model(torch.tensor([ids])).last_hidden_state[0])
    return torch.cat(rows)


def tensor_list(config):
    """[name, shape, scale, shift] of every tensor."""
    own = copy.deepcopy(config)  # transformers writes into a config's dicts
    model = AutoModel.from_config(AutoConfig.for_model(**own), dtype=torch.float32)
    offset = config["model_type"].startswith("gemma")
    return [[name, list(value.shape), *spread(name, offset)] for name, value in model.state_dict().items()]


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def make(sequences):
    tensors, rows = {}, []
    all_cases = {name: (config, config) for name, config in cases().items()} | embedder_cases()
    for name, (config, run) in all_cases.items():
        weights = tensor_list(run)
        model = load(run, {w[0]: weight(*w) for w in weights})
        tensors[name] = states(model, sequences)
        assert tensors[name].isfinite().all() and tensors[name].std() > 0.3, name
        rows.append({"name": name, "config": config, "weights": weights})
    return tensors, rows


def make_bfloat16(rows, sequences, tensors):
    """The states of bfloat16 weights: exact (float32), and how far transformers' own bfloat16 run is from that."""
    cases16 = []
    for row in rows:
        if row["name"] not in ("mistral_both", "llama_v4_llama3", "qwen2_both", "qwen3", "gemma_both", "gemma2",
                               "gemma3_both", "phi3_v4_longrope"):
            continue
        weights = {w[0]: weight(*w).bfloat16() for w in row["weights"]}
        rounded = states(load(row["config"], weights, torch.bfloat16), sequences).float()
        # The embedding's factor is part of what bfloat16 rounds: keep the rounded one in the exact run.
        exact_model = load(row["config"], {name: value.float() for name, value in weights.items()})
        scale = getattr(exact_model.embed_tokens, "embed_scale", None)
        if scale is not None:
            scale.copy_(scale.bfloat16().float())
        exact = states(exact_model, sequences)
        tensors[f"bfloat16.{row['name']}"] = exact
        cases16.append({"name": row["name"], "transformers_error": relative(rounded, exact)})
        print(f"bfloat16 {row['name']}: relative error {cases16[-1]['transformers_error']:.2e}")
    return cases16


def check_sensitivity(tensors):
    """What two cases differ in moves the states by far more than the tests' tolerance."""
    for a, b in (("mistral", "mistral_window"), ("mistral", "mistral_both"), ("mistral_both", "mistral_both_window"),
                 ("mistral", "mistral_v4_yarn"), ("llama", "llama_both"), ("llama", "llama_v4_llama3"),
                 ("llama", "llama_biases"), ("llama", "llama_dynamic"), ("llama", "llama_gelu"), ("llama", "llama_relu"),
                 ("llama", "llama_longrope"), ("qwen2", "qwen2_v4_window"), ("qwen2", "qwen2_both"),
                 ("qwen2_both", "qwen2_both_window"), ("qwen2", "qwen2_yarn"), ("qwen3", "qwen3_v4_yarn"),
                 ("qwen3", "qwen3_biases"), ("qwen3", "qwen3_both"), ("qwen3", "qwen3_window"),
                 ("qwen3_v4_yarn", "qwen3_yarn_mscale"), ("gemma", "gemma_both"), ("gemma2", "gemma2_both"),
                 ("gemma2", "gemma2_no_cap"), ("gemma3", "gemma3_both"), ("gemma3_both", "gemma3_is_causal"),
                 ("gemma3", "gemma3_v4"), ("phi3", "phi3_both_window"), ("phi3", "phi3_v4_longrope")):
        difference = (tensors[a] - tensors[b]).abs().max().item()
        assert difference > 1e-2, (a, b, difference)
    for a, b in (("qwen2", "qwen2_v4_no_window"), ("gemma", "gemma_v4"), ("gemma2", "gemma2_v4"),
                 ("llama_bidirec", "llama_llama3_both"), ("gte_qwen2", "qwen2_both"), ("phi3", "phi3_remote")):
        assert torch.equal(tensors[a], tensors[b]), (a, b)


def frequencies():
    """Rotary frequencies of published configs: [config.json keys, length, scale, frequencies]."""
    factors = [1 + i * i / 60 for i in range(48)]
    rows = []
    for model_type, keys, lengths in (
            ("llama", dict(head_dim=128, max_position_embeddings=131072, rope_theta=5e5, rope_scaling={
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192}), (1,)),
            ("qwen3", dict(head_dim=128, max_position_embeddings=131072, rope_theta=1e6, rope_scaling={
                "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}), (1,)),
            ("mistral", dict(head_dim=128, max_position_embeddings=65536, rope_theta=1e4, rope_scaling={
                "type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "finetuned": True}), (1,)),
            ("llama", dict(head_dim=128, max_position_embeddings=4096, rope_theta=1e4, rope_scaling={
                "type": "dynamic", "factor": 2.0}), (1, 4096, 4097, 9000)),
            ("phi3", dict(hidden_size=3072, num_attention_heads=32, max_position_embeddings=131072,
                          original_max_position_embeddings=4096, rope_theta=1e4, rope_scaling={
                              "type": "longrope", "short_factor": factors, "long_factor": [2 * f for f in factors]}),
             (4096, 4097))):
        config = AutoConfig.for_model(model_type, **copy.deepcopy(keys))
        compute = ROPE_INIT_FUNCTIONS[config.rope_parameters["rope_type"]]
        for length in lengths:
            inverse, scale = compute(config, "cpu", seq_len=torch.tensor(length))
            rows.append({"config": {"model_type": model_type, **keys}, "length": length, "scale": scale,
                         "inverse": [float(f"{value:.9g}") for value in inverse.tolist()]})
    return rows


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    sequences = [torch.randint(3, SIZES["vocab_size"], (length,), generator=generator).tolist() for length in LENGTHS]
    tensors, rows = make(sequences)
    check_sensitivity(tensors)
    bfloat16 = make_bfloat16(rows, sequences, tensors)
    save_file({name: value.contiguous() for name, value in tensors.items()}, OUT / "expected.safetensors")
    # Cases of one architecture share their list of tensors.
    lists = []
    for row in rows:
        if row["weights"] not in lists:
            lists.append(row["weights"])
        row["weights"] = lists.index(row["weights"])
    parts = {"sequences": sequences, "weights": lists, "cases": rows, "bfloat16": bfloat16, "frequencies": frequencies()}
    text = ",\n".join(f'"{name}": [\n' + ",\n".join(json.dumps(value, separators=(",", ":")) for value in values) + "\n]"
                      for name, values in parts.items())
    (OUT / "cases.json").write_text("{" + text + "}\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
