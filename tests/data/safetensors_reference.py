"""Writes io/*.safetensors and io/sharded/ with the format's own Python library; run from any folder."""

import json
from pathlib import Path

import torch
from mixed_tensors import mixed
from safetensors.torch import save_file

folder = Path(__file__).parent / "io"
sharded = folder / "sharded"
sharded.mkdir(parents=True, exist_ok=True)

save_file(mixed, folder / "mixed.safetensors", metadata={"format": "pt", "note": "größer"})

others = {
    "uint16": torch.tensor([1, 2, 3], dtype=torch.uint16),
    "float8": torch.tensor([1.0, 2.0], dtype=torch.float8_e4m3fn),
    "complex64": torch.tensor([1j], dtype=torch.complex64),
    "float32": torch.tensor([1.5]),
}
save_file(others, folder / "unsupported.safetensors")

shards = {
    "model-00001-of-00002.safetensors": {"a": torch.arange(4.0), "ignored": torch.zeros(2)},
    "model-00002-of-00002.safetensors": {"b": torch.arange(6.0).reshape(2, 3).to(torch.bfloat16)},
}
for name, content in shards.items():
    save_file(content, sharded / name, metadata={"format": "pt"})
index = {
    "metadata": {"total_size": 28, "source": "test"},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
}
(sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
