"""The tensors of io/mixed.safetensors and io/torch/mixed.bin."""

import torch

values = [0.5, -1.25, 3.0, 40.0, -5.5, 0.0]  # exact in every float type below
integers = [1, -2, 3, 100, -128, 127]
mixed = {
    "float32": torch.tensor(values).reshape(2, 3),
    "float64": torch.tensor(values, dtype=torch.float64).reshape(3, 2),
    "float16": torch.tensor(values, dtype=torch.float16),
    "bfloat16": torch.tensor(values, dtype=torch.bfloat16).reshape(1, 6),
    "bool": torch.tensor([True, False, True]),
    "uint8": torch.tensor([0, 7, 255], dtype=torch.uint8),
    "int8": torch.tensor(integers, dtype=torch.int8),
    "int16": torch.tensor(integers, dtype=torch.int16),
    "int32": torch.tensor(integers, dtype=torch.int32),
    "int64": torch.tensor([2**62, -(2**62)], dtype=torch.int64),
    "empty": torch.empty(0, 4),
    "scalar": torch.tensor(2.5),
    "名前.weight": torch.ones(1, 1, 1),
}
