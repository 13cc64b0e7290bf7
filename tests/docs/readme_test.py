"""The documents' snippets are the examples' code, and their commands run.

Environment: DECOVEC_BUILD, a build folder with the program and the examples.
"""

import json
import math
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["DECOVEC_BUILD"])


def blocks(document, language):
    """(comment before the block, its text) for each fenced block of a language."""
    text = (ROOT / document).read_text()
    pattern = rf"(?:<!-- ([^>]*) -->\n)?```{language}\n(.*?)```"
    return [(match[1] or "", match[2]) for match in re.finditer(pattern, text, re.S)]


def words(code):
    return "".join(code.split())


def read_safetensors(path):
    """Name to flat values of a file of float32 tensors."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    begin, tensors = 8 + size, {}
    for name, entry in header.items():
        first, last = (begin + offset for offset in entry["data_offsets"])
        tensors[name] = struct.unpack(f"<{(last - first) // 4}f", data[first:last])
    return tensors


def write_safetensors(path, tensors):
    """(name, shape, values) as float32."""
    header, data = {}, b""
    for name, shape, values in tensors:
        values = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def hashed_weight(name, shape, scale, shift):
    """families_reference.py's `weight`."""
    mask, key = (1 << 64) - 1, 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & mask
    values = []
    for i in range(math.prod(shape)):
        x = key + i * 0x9E3779B97F4A7C15 & mask
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
        x ^= x >> 31
        values.append(((x >> 40) * 2.0**-23 - 1) * scale + shift)
    return values


class Documents(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.model()
        (self.folder / "texts.txt").write_text("a cat\nthe sea\nto run\n")
        (self.folder / "queries.txt").write_text("an animal\n")
        task = self.folder / "retrieval-task"
        (task / "qrels").mkdir(parents=True)
        (task / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "a cat"}\n{"_id": "d2", "text": "the sea"}\n')
        (task / "queries.jsonl").write_text('{"_id": "q1", "text": "an animal"}\n')
        (task / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
        (self.folder / "similarity-task").mkdir()
        (self.folder / "similarity-task/sts.jsonl").write_text(
            '{"sentence1": "a cat", "sentence2": "the cat", "score": 5}\n'
            '{"sentence1": "a cat", "sentence2": "the sea", "score": 1}\n'
            '{"sentence1": "to run", "sentence2": "to walk", "score": 3}\n')
        (self.folder / "definitions.jsonl").write_text(
            '{"query": "an animal", "pos": ["a cat"], "neg": ["the sea"]}\n{"query": "water", "pos": ["the sea"]}\n')
        (self.folder / "topics.jsonl").write_text(
            "".join(f'{{"query": "{text}", "pos": ["{label}"]}}\n' for text, label in (
                ("the sea is deep", "nature"), ("the forest is green", "nature"),
                ("they sing", "music"), ("she plays the violin", "music"))))
        (self.folder / "pairs.jsonl").write_text(
            '{"query": "a cat", "pos": ["the cat"], "pos_scores": [5]}\n'
            '{"query": "a cat", "pos": ["the sea"], "pos_scores": [1]}\n')
        ((_, recipe),) = (block for block in blocks("docs/training.md", "toml") if "loaded" in block[0])
        recipe = recipe.replace('"my-decoder"', '"my-model"').replace('"my-embedder"', '"trained"')
        (self.folder / "recipe.toml").write_text(recipe)

    def test_evaluation_of_the_recipe(self):
        ((_, block),) = (block for block in blocks("docs/training.md", "toml") if "added" in block[0])
        keys, tables = block.split("[[evaluation]]", 1)
        recipe = (self.folder / "recipe.toml").read_text().replace("steps = 1000", "steps = 3")
        (self.folder / "recipe.toml").write_text(keys + re.sub("warmup_steps = .*", "", recipe) + "[[evaluation]]" + tables)
        result = self.run_shell("decovec train recipe.toml")
        self.assertEqual(result.returncode, 0, result.stderr)
        log = [json.loads(line) for line in (self.folder / "trained.log.jsonl").read_text().splitlines()]
        measured = [line["evaluation"] for line in log if "evaluation" in line]
        self.assertEqual([list(sets) for sets in measured], [["similar", "held-out"]] * 2)
        self.assertEqual(list(measured[0]["held-out"]), ["accuracy", "negatives_above", "margin"])
        self.assertTrue((self.folder / "trained.best/config.json").exists())

    def model(self):
        """A folder of a tiny model with the prompts query and document, trained for one step."""
        (self.folder / "tiny.jsonl").write_text('{"query": "an animal", "pos": ["a cat"]}\n')
        (self.folder / "tiny.toml").write_text(textwrap.dedent(f"""
            output = "my-model"
            [model.new]
            tokenizer = "{ROOT}/tests/data/tokenizer/tokenizer.model"
            hidden_size = 32
            intermediate_size = 32
            layers = 1
            heads = 2
            [embedder]
            pooling = "mean"
            [[data]]
            name = "tiny"
            files = ["tiny.jsonl"]
            query_prompt = "query: "
            [[stage]]
            name = "one"
            batch_size = 1
            steps = 1
            """))
        result = self.run_shell("decovec train tiny.toml")
        self.assertEqual(result.returncode, 0, result.stderr)

    def run_shell(self, command):
        environment = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=self.folder, env=environment,
                              capture_output=True, text=True)

    def test_snippets_are_the_examples(self):
        found = 0
        for comment, code in blocks("README.md", "cpp"):
            name = comment.removeprefix("example: ")
            self.assertTrue((ROOT / name).is_file(), f"no example for a snippet: {comment!r}")
            source = (ROOT / name).read_text().split("// [README]")
            self.assertEqual(len(source), 3, f"{name}: expected two [README] marks")
            self.assertEqual(words(code), words(source[1]), f"README.md and {name} differ")
            found += 1
        self.assertEqual(found, 2)

    def test_commands_run(self):
        ran = 0
        for comment, text in blocks("README.md", "sh"):
            if "readme_test" not in comment or "mpirun" in comment:
                continue  # the two scripts, which CI runs
            for command in text.splitlines():
                result = self.run_shell(command)
                self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout}{result.stderr}")
                ran += 1
        self.assertEqual(ran, 8)
        self.assertTrue((self.folder / "vectors.npy").is_file())
        self.assertTrue((self.folder / "trained/config.json").is_file())

    def test_kinds_train(self):
        ((_, kinds),) = (block for block in blocks("docs/training.md", "toml") if "trained" in block[0])
        (self.folder / "kinds.toml").write_text(f'model = "my-model"\noutput = "of-kinds"\n{kinds}')
        result = self.run_shell("decovec train kinds.toml")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_commands_for_examples_before_queries(self):
        """docs/models.md's, on the folder of that layout in tests/data/layouts and with its words in theirs."""
        layouts = ROOT / "tests/data/layouts"
        cases = json.loads((layouts / "cases.json").read_text())
        (case,) = [one for one in cases["cases"] if one["name"] == "bge_en_icl"]
        model = self.folder / "bge-en-icl"
        for name, content in case["contents"].items():
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_text(json.dumps(content))
        tokenizer = json.loads((layouts.parent / case["tokenizer"]["base"]).read_text())
        (model / "tokenizer.json").write_text(json.dumps(tokenizer | case["tokenizer"]["set"]))
        write_safetensors(model / "model.safetensors", [
            (name, shape, hashed_weight(name, shape, scale, shift)) for name, shape, scale, shift in case["weights"][""]])

        expected = read_safetensors(layouts / "vectors.safetensors")
        (self.folder / "queries.txt").write_text("".join(text + "\n" for text in cases["texts"]))
        ((_, block),) = blocks("docs/models.md", "sh")
        commands = block.replace("\\\n", "").splitlines()
        self.assertEqual(len(commands), 2)
        for call, command in enumerate(commands, 1):
            for mark, words in [("{t}", "Given a web search query, retrieve relevant passages that answer the query."),
                                ("an example", "what is a virtual interface"),
                                ("its answer", "A virtual interface is a software-defined one.")]:
                command = command.replace(mark, words)
            result = self.run_shell(f"{command} --truncate right < queries.txt")
            self.assertEqual(result.returncode, 0, result.stderr)
            got = [value for line in result.stdout.splitlines() for value in json.loads(line)["embedding"]]
            reference = expected[f"bge_en_icl.{call}"]
            self.assertEqual(len(got), len(reference))
            self.assertLess(max(abs(a - b) for a, b in zip(got, reference)), 1e-5)

    def test_an_adapter_trains(self):
        ((_, lora),) = (block for block in blocks("docs/training.md", "toml") if "beside" in block[0])
        recipe = (self.folder / "recipe.toml").read_text()
        (self.folder / "lora.toml").write_text(recipe + lora)
        result = self.run_shell("decovec train lora.toml --set output=by-lora --set stage.retrieval.steps=2")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((self.folder / "by-lora/adapter_model.safetensors").is_file())
        self.assertFalse((self.folder / "by-lora/model.safetensors").exists())
        result = self.run_shell("decovec embed --model by-lora --input texts.txt --output vectors.npy")
        self.assertEqual(result.returncode, 0, result.stderr)

    @unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
    def test_ranks_train(self):
        ((_, text),) = [block for block in blocks("README.md", "sh") if "mpirun" in block[0]]
        command = next(line for line in text.splitlines() if line.startswith("mpirun"))
        result = self.run_shell(f"export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; {command}")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((self.folder / "by-two/config.json").is_file())

    def test_scripts_exist(self):
        text = (ROOT / "README.md").read_text()
        for script in re.findall(r"^(scripts/\S+)", text, re.M):
            self.assertTrue(os.access(ROOT / script, os.X_OK), script)
        prose = re.sub(r"```.*?```", "", text, flags=re.S)
        for link in re.findall(r"\]\(([^)#]+)\)", prose):
            self.assertTrue((ROOT / link).exists(), link)

    def test_examples_run(self):
        result = self.run_shell(f"{BUILD}/examples/example_embed my-model")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("[ CPUFloatType{2,2} ]", result.stdout)
        recipe = (self.folder / "recipe.toml").read_text().replace("steps = 1000", "steps = 3")
        (self.folder / "recipe.toml").write_text(re.sub("warmup_steps = .*", "", recipe))
        result = self.run_shell(f"{BUILD}/examples/example_train recipe.toml")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("retrieval 3: loss", result.stdout)


if __name__ == "__main__":
    unittest.main()
