#!/usr/bin/env python3
"""Compares what transformers makes of folders that decovec saved with the states of tests/data/families.

    check_family_folders.py SAVED FAMILIES

SAVED holds a model folder for each case of FAMILIES/cases.json. Prints the largest difference of each and exits 1 where
one is above 1e-5. Runs with transformers 5 and 4. 4 does not know is_causal, so there the cases that need it are left out,
and it caps scores in its eager attention alone.
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModel

TOLERANCE = 1e-5


def main():
    saved, families = Path(sys.argv[1]), Path(sys.argv[2])
    cases = json.loads((families / "cases.json").read_text())
    expected = load_file(families / "expected.safetensors")
    knows_is_causal = int(transformers.__version__.split(".")[0]) >= 5
    worst = 0
    for name in (case["name"] for case in cases["cases"]):
        config = json.loads((saved / name / "config.json").read_text())
        if not knows_is_causal and not config.get("is_causal", True):
            continue
        eager = {"attn_implementation": "eager"} if "attn_logit_softcapping" in config else {}
        model, report = AutoModel.from_pretrained(saved / name, dtype=torch.float32, output_loading_info=True, **eager)
        if report["missing_keys"] or report["unexpected_keys"]:
            sys.exit(f"{name}: {report}")
        rows = []
        with torch.no_grad():
            for ids in cases["sequences"]:
                model.rotary_emb = type(model.rotary_emb)(config=model.config)  # dynamic rope remembers other texts
                rows.append(model.eval()(torch.tensor([ids])).last_hidden_state[0])
        difference = (torch.cat(rows) - expected[name]).abs().nan_to_num(nan=float("inf")).max().item()
        print(f"{name}: largest difference {difference:.2e}")
        worst = max(worst, difference)
    return 1 if worst > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
