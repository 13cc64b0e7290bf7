"""Writes a model folder of a 7B Mistral's shapes, float16, for benchmark_load.

usage: make_folder.py FOLDER TOKENIZER_MODEL [LAYERS] [--bin]

TOKENIZER_MODEL is any tokenizer.model of at most 32,000 pieces. 32 layers (the default) make 14 GB. The weights of
model.safetensors are a hole in the file and take no space on the disk; with --bin, torch.save writes pytorch_model.bin
(needs torch), whole.
"""

import json
import shutil
import struct
import sys
from pathlib import Path

HIDDEN, INNER, HEADS, KV_HEADS, HEAD, VOCABULARY = 4096, 14336, 32, 8, 128, 32000


def shapes(layers):
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for i in range(layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (HIDDEN,)
        yield layer + "post_attention_layernorm.weight", (HIDDEN,)
        for name, rows in (("q", HEADS * HEAD), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)):
            yield f"{layer}self_attn.{name}_proj.weight", (rows, HIDDEN)
        yield layer + "self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD)
        for name in ("gate", "up"):
            yield f"{layer}mlp.{name}_proj.weight", (INNER, HIDDEN)
        yield layer + "mlp.down_proj.weight", (HIDDEN, INNER)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def write_safetensors(file, tensors):
    header, end = {}, 0
    for name, shape in tensors:
        begin, end = end, end + 2 * (shape[0] if len(shape) == 1 else shape[0] * shape[1])
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + end)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--bin"]
    folder, tokenizer = Path(arguments[0]), arguments[1]
    layers = int(arguments[2]) if len(arguments) > 2 else 32
    folder.mkdir()
    shutil.copyfile(tokenizer, folder / "tokenizer.model")
    config = {
        "model_type": "mistral",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "torch_dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if "--bin" in sys.argv:
        import torch

        torch.save({name: torch.rand(shape).half() for name, shape in shapes(layers)}, folder / "pytorch_model.bin")
    else:
        write_safetensors(folder / "model.safetensors", shapes(layers))


if __name__ == "__main__":
    main()
