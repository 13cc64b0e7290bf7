"""Each recipe of recipes/ trains a tiny model for two steps a stage, on data of its kinds.

Environment: DECOVEC_PROGRAM.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ["DECOVEC_PROGRAM"]).resolve()
BASE = f"""
output = "base"
[model.new]
tokenizer = "{ROOT}/tests/data/tokenizer/tokenizer.model"
hidden_size = 32
intermediate_size = 32
layers = 2
heads = 2
[embedder]
pooling = "mean"
[[data]]
name = "tiny"
files = ["retrieval.jsonl"]
[[stage]]
name = "one"
batch_size = 2
steps = 1
"""
WORDS = ["whale", "oak", "song", "boat", "bird", "noun"]
DATA = {
    "retrieval": [{"query": f"a {word}", "pos": [f"what a {word} is"], "neg": ["gravity", "a sound"]} for word in WORDS],
    "classification": [{"query": f"the {word} is here", "pos": ["things" if i % 2 else "beings"]} for i, word in enumerate(WORDS)],
    "sts": [{"query": f"a {word}", "pos": [f"one {word}"], "pos_scores": [i]} for i, word in enumerate(WORDS)],
}
DATA["clustering"] = DATA["classification"]


class Recipes(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        for kind, rows in DATA.items():
            (self.folder / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (self.folder / "task").mkdir()
        pairs = [{"sentence1": f"a {word}", "sentence2": "a bird", "score": i} for i, word in enumerate(WORDS)]
        (self.folder / "task/sts.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        (self.folder / "base.toml").write_text(BASE)
        self.train("base.toml")

    def train(self, recipe, *sets):
        more = [part for text in sets for part in ("--set", text)]
        result = subprocess.run([PROGRAM, "train", recipe, *more], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, f"{recipe}: {result.stderr}")

    def test_each_trains(self):
        # The quickstart's recipe starts without a folder, and runs by itself.
        names = sorted(path.name for path in (ROOT / "recipes").glob("*.toml") if path.name != "quickstart.toml")
        self.assertIn("nv_embed.toml", names)
        for name in names:
            with self.subTest(name):
                shutil.copyfile(ROOT / "recipes" / name, self.folder / name)
                recipe = tomllib.loads((self.folder / name).read_text())
                output = self.folder / name.removesuffix(".toml")
                sets = ["model=base", f"output={output}"]
                for data in recipe["data"]:
                    kind = data.get("kind", "retrieval")
                    sets.append(f"data.{data['name']}.files=['{kind}.jsonl']")
                for evaluation in recipe.get("evaluation", []):
                    task = "task=task" if "task" in evaluation else "files=['retrieval.jsonl']"
                    sets.append(f"evaluation.{evaluation['name']}.{task}")
                for stage in recipe["stage"]:
                    of = f"stage.{stage['name']}"
                    sets += [f"{of}.batch_size=4", f"{of}.steps=2", f"{of}.warmup_steps=0"]
                    if "output" in stage:
                        sets.append(f"{of}.output={output}-{stage['name']}")
                    if "matryoshka" in stage:
                        sets.append(f"{of}.matryoshka={{dimensions=[32,16],weights=[1.0,0.5]}}")
                self.train(name, *sets)
                log = (output.parent / f"{output.name}.log.jsonl").read_text().splitlines()
                steps = [report["step"] for report in map(json.loads, log) if "loss" in report]
                self.assertEqual(steps, [1, 2] * len(recipe["stage"]))
                texts = self.folder / "sts.jsonl"
                embed = [PROGRAM, "embed", "--model", output, "--input", texts, "--output", f"{output}.npy"]
                encoded = subprocess.run(embed, capture_output=True, text=True)
                self.assertEqual(encoded.returncode, 0, encoded.stderr)


if __name__ == "__main__":
    unittest.main()
