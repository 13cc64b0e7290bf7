#!/usr/bin/env python3
"""Compares what PEFT, transformers and sentence-transformers make of adapter folders that decovec saved with the states
of tests/data/adapters.

    check_adapter_folders.py SAVED DATA

SAVED holds an adapter folder for each case of DATA/adapters/cases.json that has one adapter, DATA is tests/data. Prints the
largest difference of each and exits 1 where one is above 1e-5. Needs peft 0.21.2 and sentence-transformers 6.
"""
import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForCausalLM

TOLERANCE = 1e-5


def models(folder, causal):
    """name -> the decoder with the adapter, by each library that loads such a folder."""
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    base = (AutoModelForCausalLM if causal else AutoModel).from_pretrained(base, dtype=torch.float32)
    beside = PeftModel.from_pretrained(base, folder).get_base_model()
    yield "peft", beside.model if causal else beside
    yield "transformers", AutoModel.from_pretrained(folder, dtype=torch.float32)
    yield "sentence-transformers", SentenceTransformer(str(folder), device="cpu",
                                                       model_kwargs={"dtype": torch.float32})[0].auto_model


def main():
    saved, data = Path(sys.argv[1]), Path(sys.argv[2])
    expected = load_file(data / "adapters/expected.safetensors")
    sequences = json.loads((data / "families/cases.json").read_text())["sequences"]
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("error", message=".*missing adapter keys.*")
    worst = 0
    for case in json.loads((data / "adapters/cases.json").read_text())["cases"]:
        name, adapters = case["name"], case["adapters"]
        if len(adapters) > 1:
            continue
        causal = adapters[0]["weights"][0][0].startswith("base_model.model.model.")
        with torch.no_grad():
            for library, model in models(saved / name, causal):
                states = torch.cat([model.eval()(torch.tensor([ids])).last_hidden_state[0] for ids in sequences])
                difference = (states - expected[name]).abs().nan_to_num(nan=float("inf")).max().item()
                print(f"{name}, {library}: largest difference {difference:.2e}")
                worst = max(worst, difference)
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
