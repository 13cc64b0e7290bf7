"""Writes io/torch/ with torch.save: files that are read, and files that are refused by name; and models/plain/*.bin and
folders/dense_2.bin from the safetensors files of the same weights. Run from any folder."""

import io
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from mixed_tensors import mixed
from safetensors.torch import load_file

folder = Path(__file__).parent / "io" / "torch"
folder.mkdir(parents=True, exist_ok=True)


def save(name, value, **options):
    # Through memory, so that the entries' folder is "archive" and the bytes are the same in every run.
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    (folder / name).write_bytes(buffer.getvalue())


save("mixed.bin", mixed)

# Views of one storage: 0, 1, ... 23.
whole = torch.arange(24.0).reshape(4, 6)
views = {
    "whole": whole,
    "transposed": whole.t(),
    "rows": whole[1:3],
    "columns": whole[:, 2:5],
    "every_other": whole[::2, 1::2],
    "diagonal": whole.diagonal(),
    "parameter": torch.nn.Parameter(whole[0]),
    "none_of_it": whole[4:],
}
save("views.bin", views)

# A module's state dict, an OrderedDict with attributes, of more values than one byte counts.
torch.manual_seed(1)
module = torch.nn.Sequential(*[torch.nn.Linear(2, 1) for _ in range(40)])
with torch.no_grad():
    for i, parameter in enumerate(module.parameters()):
        parameter.fill_(i)
save("module.bin", module.state_dict())

for number, part in enumerate([{"a": torch.arange(4.0), "ignored": torch.zeros(2)}, {"b": torch.arange(6).reshape(2, 3).bfloat16()}]):
    save(f"pytorch_model-0000{number + 1}-of-00002.bin", part)
index = {
    "metadata": {"total_size": 28},
    "weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"},
}
(folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


class Command:
    def __reduce__(self):
        return os.system, ("touch ran",)


one = {"a": torch.ones(2)}
save("refused_legacy.bin", one, _use_new_zipfile_serialization=False)
save("refused_protocol.bin", one, pickle_protocol=4)
save("refused_nested.bin", {"state_dict": one, "epoch": 3})
save("refused_number.bin", {"a": torch.ones(2), "epoch": 3})
save("refused_list.bin", [torch.ones(2)])
save("refused_key.bin", {1: torch.ones(2)})
save("refused_code.bin", {"a": torch.ones(2), "b": Command()})
save("refused_module.bin", torch.nn.Linear(1, 1))
save("refused_float8.bin", {"a": torch.ones(2).to(torch.float8_e4m3fn)})
save("refused_complex.bin", {"a": torch.ones(2, dtype=torch.complex64)})
save("refused_conjugate.bin", {"a": torch.ones(2, dtype=torch.complex64).conj()})
save("refused_negative.bin", {"a": torch.ones(2, dtype=torch.complex64).conj().imag})
save("refused_sparse.bin", {"a": torch.eye(2).to_sparse()})
save("refused_expanded.bin", {"a": torch.ones(1).expand(1000, 1000)})
attributes = OrderedDict(one)
attributes.note = "x"
save("refused_attribute.bin", attributes)
scripted = io.BytesIO()
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), scripted)
(folder / "refused_script.pt").write_bytes(scripted.getvalue())

buffer = io.BytesIO()
torch.save(one, buffer)
with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(folder / "refused_compressed.bin", "w", zipfile.ZIP_DEFLATED) as target:
    for entry in source.infolist():
        target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry.filename), zipfile.ZIP_DEFLATED)
with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(folder / "stored_again.bin", "w", zipfile.ZIP_STORED) as target:
    for entry in source.infolist():
        target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry.filename))

data = folder.parent.parent
weights = load_file(data / "models/plain/model.safetensors")
state = OrderedDict((f"model.{name}", tensor) for name, tensor in weights.items())
state["lm_head.weight"] = state["model.embed_tokens.weight"]  # tied: one storage
torch.save(state, data / "models/plain/pytorch_model.bin")
torch.save(load_file(data / "folders/dense_2.safetensors"), data / "folders/dense_2.bin")
# Every weight is the beginning of the same values.
values = torch.zeros(max(tensor.numel() for tensor in weights.values()))
shared = {name: values[: tensor.numel()].view(tensor.shape) for name, tensor in weights.items()}
torch.save(shared, data / "models/plain/shared.bin")
