#!/usr/bin/env python3
"""The program `decovec` as a user meets it: options, files, messages, exit status, signals.

Needs DECOVEC_PROGRAM (the program) and DECOVEC_TEST_DATA (tests/data), and Python's standard library alone.
"""

import array
import ast
import json
import math
import os
import pathlib
import pty
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ["DECOVEC_PROGRAM"]
TOKENIZER = pathlib.Path(os.environ["DECOVEC_TEST_DATA"]) / "tokenizer" / "tokenizer.model"

RECIPE = """
output = "tuned"
seed = 3
checkpoint_every = 20
[model.new]
tokenizer = "%s"
hidden_size = 32
intermediate_size = 48
layers = 2
heads = 2
[embedder]
attention = "bidirectional"
pooling = "%s"
max_length = 32
latents = 4
latent_heads = 2
[[data]]
name = "animals"
files = ["animals.jsonl"]
query_prompt = "find: "
document_prompt = "text: "
[[stage]]
name = "retrieval"
batch_size = 4
steps = %d
learning_rate = 1e-3
"""

ANIMALS = [
    {"query": f"animal {i}", "pos": [f"the creature of kind {i}"], "neg": [f"a plant of kind {i}"]}
    for i in range(12)
]

folder = None  # of this run: recipes, data and the model `tuned`


def decovec(*arguments, stdin=b"", **more):
    """Runs the program to its end: (status, stdout, stderr), bytes decoded."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=300, **more
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def write_recipe(name, pooling="mean", steps=3):
    recipe = folder / name
    recipe.write_text(RECIPE % (TOKENIZER, pooling, steps))
    return recipe


def read_npy(path):
    data = path.read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (size,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10 : 10 + size].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    rows, columns = header["shape"]
    values = array.array("f", data[10 + size :])
    assert len(values) == rows * columns
    return [list(values[i * columns : (i + 1) * columns]) for i in range(rows)], columns


def rows_of(lines):
    return [json.loads(line)["embedding"] for line in lines.splitlines()]


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.005)


def setUpModule():
    global folder
    folder = pathlib.Path(tempfile.mkdtemp(prefix="decovec-cli-test-"))
    (folder / "animals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ANIMALS))
    status, out, err = decovec("train", write_recipe("recipe.toml"))
    assert (status, out) == (0, ""), (status, out, err)


def tearDownModule():
    shutil.rmtree(folder)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.model = folder / "tuned"

    def embed(self, *arguments, stdin=b"", model=None, **more):
        return decovec("embed", "--model", model or self.model, *arguments, stdin=stdin, **more)

    def refused(self, result, *words):
        """A failure: status 1, nothing on stdout, one line on stderr that holds the words."""
        status, out, err = result
        self.assertEqual((status, out), (1, ""), err)
        self.assertEqual(err.count("\n"), 1, err)
        self.assertTrue(err.startswith("decovec: error: "), err)
        for word in words:
            self.assertIn(str(word), err)

    def only(self, *names):
        """Nothing but these lies in the test's folder: no half-written or staged file."""
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(names))


class Usage(Case):
    def test_wrong_usage_is_status_2_and_one_line(self):
        model = ["--model", self.model]
        for arguments in [
            [],
            ["frobnicate"],
            ["--frobnicate"],
            ["embed"],
            ["embed", "--model", ""],
            ["embed", *model, "--frobnicate"],
            ["embed", *model, "extra"],
            ["embed", *model, "--output", "vectors.txt"],
            ["embed", *model, "--output", ""],
            ["embed", *model, "--dense", ""],
            ["embed", *model, "--base", ""],
            ["embed", *model, "--adapter", ""],
            ["embed", *model, "--dtype", "int8"],
            ["embed", *model, "--device", "tpu"],
            ["embed", *model, "--max-length", "0"],
            ["embed", *model, "--max-length", "-3"],
            ["embed", *model, "--max-length", "many"],
            ["embed", *model, "--max-length", "0x20"],
            ["embed", *model, "--batch-tokens", "0"],
            ["embed", *model, "--truncate", "left"],
            ["embed", *model, "--attention", "sideways"],
            ["embed", *model, "--pooling", "average"],
            ["embed", *model, "--prompt", "a", "--prompt-name", "query"],
            ["embed", *model, "--model"],
            ["tokenize"],
            ["train"],
            ["train", "a.toml", "b.toml"],
            ["train", "a.toml", "--set", "novalue"],
            ["evaluate", *model],
            ["evaluate", "tasks"],
            ["search", *model],
            ["search", *model, "--corpus", "c.txt", "--top", "0"],
            ["info"],
            ["embed", *model, "info", self.model],
            ["evaluate", *model, "tasks", "--json", ""],
        ]:
            with self.subTest(arguments=arguments):
                status, out, err = decovec(*arguments)
                self.assertEqual((status, out), (2, ""), err)
                self.assertEqual(err.count("\n"), 1, err)
                self.assertIn("--help'", err)

    def test_help_and_version(self):
        status, out, err = decovec("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^decovec \d+\.\d+\.\d+\n$")
        status, out, err = decovec("--help")
        self.assertEqual((status, err), (0, ""))
        for command in ["embed", "tokenize", "train", "evaluate", "search", "info"]:
            self.assertIn(command, out)
            status, text, err = decovec(command, "--help")
            self.assertEqual((status, err), (0, ""))
            self.assertIn("Example", text)
            self.assertIn(f"decovec {command} ", text)

    def test_set_takes_one_value_each(self):
        """--set before the recipe does not swallow it."""
        self.refused(decovec("train", "--set", "seed=1", self.folder / "none.toml"), "none.toml")


class Embed(Case):
    def test_rows_come_in_the_order_of_the_lines(self):
        texts = ["a cat", "", "a much longer text about a dog", "a cat", "ünïcödé ✓ \"quoted\" \\ \t tab"]
        status, out, err = self.embed(stdin="\n".join(texts) + "\n")
        self.assertEqual((status, err), (0, ""))
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line["text"] for line in lines], texts)
        self.assertEqual([list(line) for line in lines], [["text", "embedding"]] * 5)
        rows = rows_of(out)
        self.assertEqual(rows[0], rows[3])
        for text, row in zip(texts, rows):
            self.assertEqual(len(row), 32)
            self.assertAlmostEqual(math.hypot(*row), 1, places=5)
            self.assertEqual(rows_of(self.embed(stdin=text + "\n")[1]), [row])  # the same alone

    def test_line_ends(self):
        """CRLF and LF are the same, a last newline starts no text, empty lines are texts."""
        expected = rows_of(self.embed(stdin="one\n\ntwo\n")[1])
        self.assertEqual(len(expected), 3)
        self.assertEqual(rows_of(self.embed(stdin="one\r\n\r\ntwo\r\n")[1]), expected)
        self.assertEqual(rows_of(self.embed(stdin="one\n\ntwo")[1]), expected)
        self.assertEqual(len(rows_of(self.embed(stdin="\n")[1])), 1)

    def test_npy_and_jsonl_hold_the_same_floats(self):
        texts = self.folder / "texts.txt"
        texts.write_text("".join(f"text number {i}\n" for i in range(50)))
        for output in ["v.npy", "v.jsonl"]:
            result = self.embed("--input", texts, "--output", self.folder / output)
            self.assertEqual(result, (0, "", ""))
        rows, columns = read_npy(self.folder / "v.npy")
        self.assertEqual((len(rows), columns), (50, 32))
        lines = (self.folder / "v.jsonl").read_text()
        self.assertEqual([[float32(x) for x in row] for row in rows_of(lines)], rows)
        self.assertEqual(self.embed("--input", texts)[1], lines)
        self.assertEqual(self.embed("--input", "-", "--output", "-", stdin=texts.read_bytes())[1], lines)
        self.assertEqual(self.embed("--input", texts, "--batch-tokens", 1)[1], lines)
        self.only("texts.txt", "v.npy", "v.jsonl")

    def test_blocks_join_without_a_seam(self):
        """More lines than are read at once (8192)."""
        lines = [f"{i % 7}" for i in range(8192 + 9)]
        status, out, _ = self.embed(stdin="\n".join(lines))
        rows = rows_of(out)
        self.assertEqual((status, len(rows)), (0, len(lines)))
        self.assertEqual(rows[8190:8194], [rows[i % 7] for i in range(8190, 8194)])

    def test_no_lines_give_no_rows(self):
        self.assertEqual(self.embed(), (0, "", ""))
        self.assertEqual(self.embed("--output", self.folder / "v.npy"), (0, "", ""))
        self.assertEqual(read_npy(self.folder / "v.npy"), ([], 32))
        self.assertEqual(self.embed("--output", self.folder / "v.jsonl"), (0, "", ""))
        self.assertEqual((self.folder / "v.jsonl").read_bytes(), b"")

    def test_text_that_is_not_utf8_is_refused_by_line(self):
        self.refused(self.embed(stdin=b"fine\n\xff\xfe\n"), "standard input:2", "UTF-8")
        latin = self.folder / "latin1.txt"
        latin.write_bytes("a\nb\ncafé\n".encode("latin-1"))
        self.refused(
            self.embed("--input", latin, "--output", self.folder / "v.npy"), f"{latin}:3", "UTF-8"
        )
        self.only("latin1.txt")

    def test_a_line_without_end_is_refused(self):
        self.refused(self.embed("--input", "/dev/zero"), "/dev/zero:1", "at most")

    def test_a_prompt_that_leaves_no_room(self):
        latent = self.folder / "latent"
        status, _, err = decovec(
            "train", write_recipe("latent.toml", "latent_attention", 1), "--set", f"output={latent}")
        self.assertEqual(status, 0, err)
        options = ["--prompt", "one two three four five six seven eight nine ten", "--truncate", "right"]
        for model in [latent, self.model]:
            ids = json.loads(decovec("tokenize", "--model", model, *options, stdin="\n")[1])
            full = len(ids) - (1 if model == latent else 0)  # the EOS is part of the text
            for length in [6, full]:
                self.refused(self.embed(*options, "--max-length", length, model=model, stdin="cat\ndog"),
                             "no room", f"max_length = {length}", "--max-length")
            status, out, err = self.embed(*options, "--max-length", full + 1, model=model, stdin="cat\ndog")
            self.assertEqual(status, 0, err)
            self.assertNotEqual(*rows_of(out))
        status, out, err = self.embed(*options, "--max-length", 32, model=latent, stdin="a cat")
        self.assertEqual((status, err), (0, ""))
        (self.folder / "corpus.txt").write_text("a cat\n")
        self.refused(decovec("search", "--model", self.model, "--corpus", self.folder / "corpus.txt", *options,
                             "--max-length", 6, stdin="a dog"), "no room")

    def changed(self, **contents):
        """A copy of the model with other files, JSON or bytes, by their paths with / as __."""
        model = self.folder / "changed"
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(self.model, model)
        for path, content in contents.items():
            file = model / path.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return model

    def test_why_a_vector_is_zero(self):
        def zero(model, *words, stdin="a cat"):
            status, out, err = self.embed("--prompt-name", "query", model=model, stdin="a dog\n" + stdin)
            self.assertEqual((status, set(rows_of(out)[1]), err.count("\n")), (0, {0}, 1), err)
            for word in ["standard input", "the vector is zero", *words]:
                self.assertIn(word, err)

        pooling = json.loads((self.model / "1_Pooling/config.json").read_text())
        text_alone = {**pooling, "include_prompt": False}
        zero(self.changed(**{"1_Pooling__config.json": text_alone}), ":2:", "none of the text's tokens", stdin="\n")

        modules = json.loads((self.model / "modules.json").read_text())
        modules[2:2] = [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
        dense = {"in_features": 32, "out_features": 4, "bias": False,
                 "activation_function": "torch.nn.modules.linear.Identity"}

        def with_dense(value):
            header = json.dumps({"linear.weight": {"dtype": "F32", "shape": [4, 32], "data_offsets": [0, 512]}})
            weights = struct.pack("<Q", len(header)) + header.encode() + struct.pack("<f", value) * 128
            return self.changed(**{"modules.json": modules, "2_Dense__config.json": dense,
                                   "2_Dense__model.safetensors": weights})

        zero(with_dense(0.0), ":1:", "a Dense makes it zero")
        zero(with_dense(1e30), ":1:", "before they are normalised", "did the training diverge?")

    def test_text_over_max_length(self):
        text = "word " * 100
        self.refused(self.embed(stdin="short\n" + text), "standard input:2", "32", "--truncate right")
        self.refused(self.embed("--output", self.folder / "v.npy", stdin=text), "standard input:1")
        self.only()
        late = "\n".join(["short"] * 8192 + [text])
        status, out, err = self.embed(stdin=late)  # in the second block
        self.assertEqual((status, err.count("\n")), (1, 1), err)
        self.assertIn("standard input:8193", err)
        status, cut, err = self.embed("--truncate", "right", stdin=text)
        self.assertEqual(status, 0, err)
        self.assertEqual(json.loads(cut)["text"], text)
        self.assertIn("1 of 1 texts were longer than 32 ids and were cut", err)
        status, cut, err = self.embed("--truncate", "right", stdin=late + "\n" + text + "\nshort")
        self.assertIn("2 of 8195 texts were longer than 32 ids and were cut", err)
        self.assertEqual(self.embed("--truncate", "right", stdin="short")[2], "")
        self.assertEqual(self.embed("--max-length", 400, stdin=text)[0], 0)
        self.assertEqual(self.embed("--max-length", "0400", stdin=text)[0], 0)  # no octal number
        self.refused(self.embed("--max-length", 2, stdin="several words"), "standard input:1: instruction, text")

    def test_prompts(self):
        plain = rows_of(self.embed(stdin="cat")[1])
        query = rows_of(self.embed("--prompt-name", "query", stdin="cat")[1])
        self.assertNotEqual(plain, query)
        self.assertEqual(rows_of(self.embed("--prompt-name", "animals", stdin="cat")[1]), query)
        self.assertEqual(rows_of(self.embed("--prompt", "find: ", stdin="cat")[1]), query)
        self.assertEqual(rows_of(self.embed("--prompt", "", stdin="cat")[1]), plain)
        self.assertEqual(rows_of(self.embed("--prompt=", stdin="cat")[1]), plain)
        self.assertEqual(rows_of(self.embed("--prompt=-x [a,b]", stdin="cat")[1])[0][:0], [])
        self.refused(self.embed("--prompt-name", "nobody", stdin="cat"), "nobody", "animals", "query")

    def test_line_breaks_and_suffixes(self):
        embed = lambda *options, stdin="cat": rows_of(self.embed(*options, stdin=stdin)[1])
        broken = embed("--prompt", "find\nit: ")  # the shell's own line break
        self.assertEqual(embed("--prompt", r"find\nit: "), broken)
        self.assertNotEqual(embed("--prompt", r"find\\nit: "), broken)
        self.assertEqual(embed("--suffix", "fish"), embed(stdin="catfish"))
        self.assertEqual(embed("--suffix", r"\n\x", "--prompt", "a "), embed("--prompt", "a ", "--suffix", "\n\\x"))

    def test_attention_pooling_and_dtype(self):
        text = "one two three four"
        base = rows_of(self.embed(stdin=text)[1])[0]
        for option in [("--attention", "causal"), ("--pooling", "last_token")]:
            self.assertNotEqual(rows_of(self.embed(*option, stdin=text)[1])[0], base)
        self.assertEqual(rows_of(self.embed("--attention", "bidirectional", stdin=text)[1])[0], base)
        for dtype, tolerance in [("float32", 0), ("float16", 0.01), ("bfloat16", 0.1)]:
            row = rows_of(self.embed("--dtype", dtype, stdin=text)[1])[0]
            self.assertLessEqual(max(abs(a - b) for a, b in zip(row, base)), tolerance)
        # weights that the folder does not have are never made up
        self.refused(self.embed("--pooling", "latent_attention", stdin=text), "latent")

    def test_dimensions(self):
        whole = rows_of(self.embed(stdin="one\ntwo")[1])
        status, out, err = self.embed("--dimensions", 5, stdin="one\ntwo")
        self.assertEqual((status, err), (0, ""))
        for row, cut in zip(whole, rows_of(out), strict=True):
            norm = math.sqrt(sum(value * value for value in row[:5]))
            self.assertEqual(len(cut), 5)
            for value, expected in zip(cut, row):
                self.assertAlmostEqual(value, expected / norm, places=6)
        self.assertEqual(self.embed("--dimensions", 5, "--output", self.folder / "v.npy", stdin="")[0], 0)
        self.assertEqual(read_npy(self.folder / "v.npy"), ([], 5))
        self.refused(self.embed("--dimensions", 33, stdin="one"), "--dimensions", "32", "33")
        corpus = self.folder / "corpus.txt"
        corpus.write_text("one\ntwo\n")
        search = ["search", "--model", self.model, "--corpus", corpus, "--top", 1]
        side = lambda name: rows_of(self.embed("--dimensions", 5, "--prompt-name", name, stdin="one\ntwo")[1])
        cosines = [sum(q * d for q, d in zip(side("query")[0], row)) for row in side("document")]
        best = "one" if cosines[0] > cosines[1] else "two"
        status, out, err = decovec(*search, "--dimensions", 5, stdin="one")
        self.assertEqual((status, out.split()[:2], out.split()[3], err), (0, ["one", "1"], best, ""))
        self.assertAlmostEqual(float(out.split()[2]), max(cosines), places=3)
        self.refused(decovec(*search, "--dimensions", 33, stdin="one"), "--dimensions")

    def adapter(self, name, value):
        """A LoRA of rank 1 on q of the first layer."""
        names = [f"base_model.model.layers.0.self_attn.q_proj.lora_{part}.weight" for part in "AB"]
        header = json.dumps({names[0]: {"dtype": "F32", "shape": [1, 32], "data_offsets": [0, 128]},
                             names[1]: {"dtype": "F32", "shape": [32, 1], "data_offsets": [128, 256]}}).encode()
        data = struct.pack("<64f", *[(-1) ** i for i in range(32)], *[value] * 32)
        folder = self.folder / name
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
        (folder / "adapter_config.json").write_text(json.dumps({
            "peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["layers.0.self_attn.q_proj"],
            "base_model_name_or_path": str(self.model)}))
        return folder

    def test_adapters(self):
        text = "one two three four"
        vector = lambda *options, **model: rows_of(self.embed(*options, stdin=text, **model)[1])[0]
        nothing, some, more = self.adapter("nothing", 0), self.adapter("some", 0.5), self.adapter("more", 0.5)
        base, once = vector(), vector("--adapter", some)
        self.assertEqual(vector("--adapter", nothing), base)
        self.assertNotEqual(once, base)
        self.assertEqual(vector(model=some), once)
        twice = vector("--adapter", some, "--adapter", more)
        self.assertNotEqual(twice, once)
        self.assertEqual(vector("--adapter", more, model=some), twice)
        self.refused(self.embed("--adapter", some, model=some, stdin="x"), some, "applied already")
        facts = json.loads(decovec("info", some, "--json")[1])
        self.assertEqual(facts["adapters"], [f"{some} (LoRA, rank 1, alpha 2)"])
        config = json.loads((some / "adapter_config.json").read_text())
        (some / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "org/decoder"}))
        self.refused(self.embed(model=some, stdin="x"), "org/decoder", "--base")
        self.assertEqual(vector("--base", self.model, model=some), once)
        self.refused(self.embed("--base", self.model, stdin="x"), "--base")
        self.refused(self.embed("--adapter", self.folder / "none", stdin="x"), "none", "adapter_config.json")

    def test_a_plain_decoder_needs_a_pooling(self):
        decoder = self.folder / "decoder"
        shutil.copytree(self.model, decoder, ignore=shutil.ignore_patterns("1_*", "2_*", "modules.json", "*sentence*"))
        self.refused(self.embed(model=decoder, stdin="x"), decoder, "--pooling")
        self.assertEqual(self.embed("--pooling", "mean", model=decoder, stdin="x")[0], 0)


class Files(Case):
    def test_missing_and_wrong_folders(self):
        none = self.folder / "none"
        self.refused(self.embed(model=none, stdin="x"), none)
        self.refused(self.embed(model=folder / "recipe.toml", stdin="x"), "recipe.toml")
        none.mkdir()
        self.refused(self.embed(model=none, stdin="x"), none)

    def test_corrupt_weights(self):
        broken = self.folder / "broken"
        shutil.copytree(self.model, broken)
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        self.refused(self.embed(model=broken, stdin="x"), weights)

    def test_input_that_cannot_be_read(self):
        self.refused(self.embed("--input", self.folder / "none.txt"), "none.txt")
        self.refused(self.embed("--input", self.folder), self.folder)
        directory = os.open(self.folder, os.O_RDONLY)
        done = subprocess.run([PROGRAM, "embed", "--model", self.model], stdin=directory, capture_output=True)
        os.close(directory)
        self.refused((done.returncode, done.stdout.decode(), done.stderr.decode()), "standard input")

    def test_output_that_cannot_be_written(self):
        self.refused(self.embed("--output", self.folder / "none" / "v.npy", stdin="x"), "none/v.npy")
        self.refused(self.embed("--output", "/proc/v.npy", stdin="x"), "/proc/v.npy")
        (self.folder / "folder.npy").mkdir()
        self.refused(self.embed("--output", self.folder / "folder.npy", stdin="x"), "folder.npy")
        self.only("folder.npy")

    def test_input_and_output_are_two_files(self):
        lines = self.folder / "x.jsonl"
        lines.write_text("a\n")
        self.refused(self.embed("--input", lines, "--output", lines), "x.jsonl", "same file")
        self.assertEqual(lines.read_text(), "a\n")

    def test_too_little_memory_is_an_error(self):
        broken = self.folder / "huge"
        shutil.copytree(self.model, broken)
        config = json.loads((broken / "config.json").read_text())
        config["head_dim"] = config["intermediate_size"] = 1 << 34
        (broken / "config.json").write_text(json.dumps(config))
        self.refused(decovec("info", broken))

    def test_a_pipe_is_no_model_file(self):
        broken = self.folder / "piped"
        shutil.copytree(self.model, broken)
        (broken / "config.json").unlink()
        os.mkfifo(broken / "config.json")
        self.refused(decovec("info", broken), "config.json", "regular file")

    def test_a_full_disk_leaves_the_old_file(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for name in ["v.npy", "v.jsonl"]:
            (self.folder / name).write_text("old")
            result = self.embed("--output", self.folder / name, stdin="x\n" * 100, preexec_fn=limit)
            self.refused(result, name)
            self.assertEqual((self.folder / name).read_text(), "old")
        self.only("v.npy", "v.jsonl")

    def test_a_failure_leaves_the_old_file_and_success_replaces_it(self):
        output = self.folder / "v.jsonl"
        output.write_text("old")
        self.refused(self.embed("--output", output, stdin=b"x\n\xff"), "standard input:2")
        self.assertEqual(output.read_text(), "old")
        self.assertEqual(self.embed("--output", output, stdin="x")[0], 0)
        self.assertEqual(len(rows_of(output.read_text())), 1)
        self.only("v.jsonl")

    def test_full_and_closed_standard_output(self):
        for arguments in [["--help"], ["embed", "--model", self.model], ["info", self.model]]:
            for target in ["/dev/full", "&-"]:
                command = f'"$@" >{target}' if target == "&-" else f'"$@" > {target}'
                done = subprocess.run(
                    ["sh", "-c", command, "sh", PROGRAM, *map(str, arguments)], input=b"x", capture_output=True
                )
                self.refused((done.returncode, "", done.stderr.decode()), "standard output")

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        with open(self.folder / "errors", "wb") as errors:
            process = subprocess.Popen(
                [PROGRAM, "embed", "--model", self.model, "--input", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            texts = b"some text\n" * 8192  # one block is far more than a pipe holds
            process.stdin.write(texts)
            process.stdin.flush()
            self.assertTrue(process.stdout.readline().startswith(b'{"text":"some text"'))
            process.stdout.close()
            try:
                process.stdin.write(texts)
                process.stdin.flush()
            except BrokenPipeError:
                pass
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            self.assertEqual(process.wait(120), 0)
        self.assertEqual((self.folder / "errors").read_text(), "")


class Interrupts(Case):
    def test_embed_leaves_nothing(self):
        for name in ["v.npy", "v.jsonl"]:
            process = subprocess.Popen(
                [PROGRAM, "embed", "--model", self.model, "--output", self.folder / name],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            process.stdin.write(b"a text\n")
            process.stdin.flush()
            wait_for(lambda: os.listdir(self.folder))  # the staged file: it waits for more input
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(120), 130)
            self.assertEqual(process.stderr.read(), b"")
            process.stdin.close()
            process.stderr.close()
            self.only()

    def test_embed_from_a_pipe_that_waits(self):
        pipe = self.folder / "pipe"
        for writer in [False, True]:
            os.mkfifo(pipe)
            process = subprocess.Popen(
                [PROGRAM, "embed", "--model", self.model, "--input", pipe, "--output", self.folder / "v.npy"],
                stderr=subprocess.PIPE,
            )
            if writer:
                idle = open(pipe, "wb", buffering=0)
                idle.write(b"a text\n")
            wait_for(lambda: len(os.listdir(self.folder)) > 1)  # the staged file
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(120), 130)
            self.assertEqual(process.stderr.read(), b"")
            process.stderr.close()
            if writer:
                idle.close()
            pipe.unlink()
            self.only()

    def test_search_ends_at_once(self):
        corpus = self.folder / "corpus.txt"
        corpus.write_text("a cat\na dog\n")
        for number, status in [(signal.SIGINT, 130), (signal.SIGTERM, 143)]:
            process = subprocess.Popen(
                [PROGRAM, "search", "--model", self.model, "--corpus", corpus],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            process.stdin.write(b"cat\n")
            process.stdin.flush()
            process.stdout.readline()
            process.send_signal(number)
            process.stdin.flush()
            self.assertEqual(process.wait(120), status)
            self.assertEqual(process.stderr.read(), b"")
            for stream in [process.stdin, process.stdout, process.stderr]:
                stream.close()

    def test_train_leaves_a_checkpoint_and_resumes_to_the_same_model(self):
        write_recipe("long.toml", steps=150)
        output = {name: self.folder / name for name in ["whole", "broken"]}
        arguments = lambda name: ["train", folder / "long.toml", "--set", f"output='{output[name]}'"]
        self.assertEqual(decovec(*arguments("whole"))[0], 0)

        log = self.folder / "broken.log.jsonl"
        process = subprocess.Popen([PROGRAM, *arguments("broken")], stderr=subprocess.PIPE)
        wait_for(lambda: log.exists() and log.read_bytes().count(b"\n") > 2)
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(120), 130, err)
        self.assertIn("--resume", err)
        self.assertFalse(output["broken"].exists())
        checkpoints = os.listdir(self.folder / "broken.checkpoint")
        self.assertEqual(len(checkpoints), 1)
        step = int(checkpoints[0].removeprefix("step-"))
        self.assertLess(step, 150)
        self.assertEqual(self.embed(model=self.folder / "broken.checkpoint" / checkpoints[0] / "model", stdin="x")[0], 0)
        self.refused(decovec(*arguments("broken")), "broken.checkpoint", "--resume")

        with open(log, "a") as torn:  # steps past the checkpoint, as after a crash, and a torn line
            torn.write(log.read_text().splitlines()[-1].replace(f'"total_step":{step}', f'"total_step":{step + 1}'))
            torn.write('\n{"stage":"retr')
        status, out, err = decovec(*arguments("broken"), "--resume")
        self.assertEqual((status, out), (0, ""), err)
        steps = [json.loads(line)["total_step"] for line in log.read_text().splitlines()]
        self.assertEqual(steps, list(range(1, 151)))
        self.only(
            *(name + ending for name in output for ending in ["", ".log.jsonl", ".loss.svg"])
        )
        for file in output["whole"].rglob("*"):
            if file.is_file():
                self.assertEqual(
                    (output["broken"] / file.relative_to(output["whole"])).read_bytes(), file.read_bytes(), file
                )
        status, out, err = decovec(*arguments("broken"), "--resume")  # nothing left to do
        self.assertEqual((status, out), (0, ""), err)
        self.refused(decovec(*arguments("broken")), output["broken"], "exists")


class Tokenize(Case):
    def tokenize(self, *arguments, stdin):
        return decovec("tokenize", "--model", self.model, *arguments, stdin=stdin)

    def test_ids(self):
        status, out, err = self.tokenize(stdin="Hello\n\nHello world\r\n")
        self.assertEqual((status, err), (0, ""))
        ids = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(ids), 3)
        self.assertEqual(ids[1], [1])  # BOS alone
        self.assertEqual(ids[2][: len(ids[0])], ids[0])
        self.assertEqual(self.tokenize(stdin="")[:2], (0, ""))

    def test_prompt_and_length(self):
        self.assertEqual(
            self.tokenize("--prompt-name", "query", "--suffix", "!", stdin="cat")[1],
            self.tokenize(stdin="find: cat!")[1],
        )
        self.refused(self.tokenize(stdin="a\n" + "word " * 100), "standard input:2", "32")
        cut = json.loads(self.tokenize("--truncate", "right", stdin="word " * 100)[1])
        self.assertEqual(len(cut), 32)
        self.refused(self.tokenize(stdin=b"\xc3("), "standard input:1", "UTF-8")


class Train(Case):
    def test_what_it_wrote(self):
        log = (folder / "tuned.log.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["step"] for line in log], [1, 2, 3])
        self.assertTrue((folder / "tuned.loss.svg").read_text().lstrip().startswith(("<svg", "<?xml")))
        self.assertFalse((folder / "tuned.checkpoint").exists())

    def test_mistakes_in_recipes(self):
        self.refused(decovec("train", self.folder / "none.toml"), "none.toml")
        self.refused(decovec("train", self.folder), self.folder)
        recipe = write_recipe("mistakes.toml")
        good = recipe.read_text()
        line = good.splitlines().index("seed = 3") + 1
        for old, new, words in [
            ("seed = 3", "sede = 3", [f"mistakes.toml:{line}", "sede"]),
            ("seed = 3", "seed = ", [f"mistakes.toml:{line}"]),
            ("seed = 3", 'seed = "x"', [f"mistakes.toml:{line}", "seed"]),
            ('output = "tuned"', "", ["mistakes.toml", "output"]),
            ("animals.jsonl", "nothing.jsonl", ["nothing.jsonl"]),
        ]:
            recipe.write_text(good.replace(old, new))
            self.refused(decovec("train", recipe), *words)
        recipe.write_text(good)
        self.refused(decovec("train", recipe), "tuned", "exists")
        self.refused(decovec("train", recipe, "--set", "sede=4"), "sede")
        self.refused(decovec("train", recipe, "--set", "stage.nobody.steps=4"), "nobody")

    def test_mistakes_in_data(self):
        (folder / "wrong.jsonl").write_text(json.dumps(ANIMALS[0]) + '\n{"query": "x"}\n')
        recipe = write_recipe("data.toml")
        recipe.write_text(recipe.read_text().replace("animals.jsonl", "wrong.jsonl"))
        self.refused(decovec("train", recipe, "--set", f"output='{self.folder / 'new'}'"), "wrong.jsonl:2", "pos")
        self.only()

    def train(self, output, *sets, steps=3, resume=False):
        recipe = write_recipe(f"run{steps}.toml", steps=steps)
        more = [part for text in [f"output='{output}'", *sets] for part in ["--set", text]]
        return decovec("train", recipe, *more, *(["--resume"] if resume else []), cwd=self.folder)

    def test_the_best_model_is_kept_or_is_the_output(self):
        recipe = write_recipe("best.toml", steps=4)
        recipe.write_text(recipe.read_text() + '\n[[evaluation]]\nname = "held out"\nfiles = ["animals.jsonl"]\n')
        run = ["train", recipe, "--set", "evaluate_every=1", "--set", "best=held out.margin", "--set"]
        harm = ["--set", "stage.retrieval.learning_rate=30", "--set", "stage.retrieval.schedule=constant"]

        def evaluations(output):
            lines = (self.folder / f"{output}.log.jsonl").read_text().splitlines()
            return [line for line in map(json.loads, lines) if "evaluation" in line]

        for output, more in [("kept", []), ("chosen", ["--set", "output_best=true"])]:
            status, out, err = decovec(*run, f"output='{self.folder / output}'", *harm, *more)
            self.assertEqual((status, out), (0, ""), err)
            self.assertIn("before the first step: held out accuracy", err)
            measured = evaluations(output)
            self.assertEqual([line["total_step"] for line in measured], [0, 1, 2, 3, 4])
            figures = [line["evaluation"]["held out"]["margin"] for line in measured]
            best = max(line["total_step"] for line in measured if line["best"])
            self.assertEqual(figures[best], max(figures))
            self.assertFalse((self.folder / f"{output}.checkpoint").exists())
            self.assertIn("held out accuracy", (self.folder / f"{output}.loss.svg").read_text())
        self.assertLess(best, 4)
        weights = lambda name: (self.folder / name / "model.safetensors").read_bytes()
        self.assertEqual(weights("kept.best"), weights("chosen"))
        self.assertNotEqual(weights("kept"), weights("chosen"))
        self.assertFalse((self.folder / "chosen.best").exists())
        shutil.rmtree(self.folder / "kept")
        self.refused(decovec(*run, f"output='{self.folder / 'kept'}'"), "kept.best", "earlier run")

    def test_weights_that_are_not_finite_are_not_saved(self):
        sets = ["stage.retrieval.learning_rate=1e39", "stage.retrieval.schedule=constant"]
        words = ["stage 'retrieval'", "step 1", "lower learning_rate"]
        status, out, err = self.train(self.folder / "q", "checkpoint_every=1", *sets, steps=1)
        self.assertEqual((status, out), (1, ""), err)
        for word in words:
            self.assertIn(word, err.splitlines()[-1])
        self.assertFalse((self.folder / "q").exists())
        self.assertFalse((self.folder / "q.checkpoint").exists())

    def test_outputs_that_clash_are_refused_before_training(self):
        q = self.folder / "q"
        for output, stage_output in [
            (q, f"{q}/"),
            (q, f"{q}/stage"),
            (q, f"{self.folder}/x/../q"),
            (q, f"{q}.checkpoint"),
            (q, f"{q}.checkpoint/step-3"),
            (q, f"{q}.log.jsonl"),
            (q, f"{q}.lock"),
            (q / "out", q),
        ]:
            with self.subTest(output=output, stage_output=stage_output):
                self.refused(self.train(output, f"stage.retrieval.output='{stage_output}'"), "apart")
                self.only()
        q.symlink_to("nowhere")
        self.refused(self.train(q), q, "exists")
        q.unlink()
        for name in ["q.loss.svg", "q.log.jsonl"]:
            (self.folder / name).mkdir()
            self.refused(self.train(q), name)
            self.only(name)
            (self.folder / name).rmdir()

    def test_a_batch_without_bound_is_named(self):
        self.refused(self.train(self.folder / "q", "stage.retrieval.batch_size=1099511627776"), "'batch_size'")

    def test_resume_replaces_nothing_and_takes_no_other_model(self):
        q, precious = self.folder / "q", self.folder / "precious"
        process, log = self.start(q)
        wait_for(lambda: (self.folder / "q.checkpoint").exists() and any((self.folder / "q.checkpoint").glob("step-*")))
        self.refused(self.train(q, steps=20000), "q.lock", "another run")
        before = log.read_bytes()
        self.refused(self.train(q, steps=20000, resume=True), "q.lock", "another run")
        self.assertTrue(log.read_bytes().startswith(before))
        process.kill()
        process.wait()
        precious.mkdir()
        (precious / "config.json").write_text("{}")
        output = f"stage.retrieval.output='{precious}'"
        self.refused(self.train(q, output, steps=20000, resume=True), precious, "already there")
        self.assertEqual(os.listdir(precious), ["config.json"])
        self.refused(self.train(q, "model.new.heads=4", steps=20000, resume=True), "config.json.head_dim")
        self.refused(self.train(q, steps=20000), "q.checkpoint", "--resume")
        # A kill between a checkpoint and the removal of the one before it leaves both; the newest counts.
        newest = lambda file: int(file.parent.name.removeprefix("step-"))
        counters = max((self.folder / "q.checkpoint").glob("step-*/training.json"), key=newest)
        facts = json.loads(counters.read_text())
        facts["positions"] = [2**63 - 5]
        counters.write_text(json.dumps(facts))
        self.refused(self.train(q, steps=20000, resume=True), counters, "'positions'")

    def start(self, output):
        recipe = write_recipe("endless.toml", steps=20000)
        process = subprocess.Popen(
            [PROGRAM, "train", recipe, "--set", f"output='{output}'"], stderr=subprocess.DEVNULL
        )
        self.addCleanup(lambda: (process.kill(), process.wait()))
        log = pathlib.Path(f"{output}.log.jsonl")
        wait_for(log.exists)
        return process, log

    def test_a_run_killed_before_its_first_checkpoint_is_none(self):
        q = self.folder / "q"
        (self.folder / "q.checkpoint" / ".decovec-1-0.tmp" / "model").mkdir(parents=True)
        (self.folder / "q.lock").touch()
        self.refused(self.train(q, resume=True), "no checkpoint", "without --resume")
        self.assertEqual(self.train(q)[0], 0)
        self.only("q", "q.log.jsonl", "q.loss.svg")

    def test_plan_shows_the_memory_and_stops(self):
        recipe = write_recipe("plan.toml")
        plan = lambda *sets: decovec("train", recipe, "--plan", *(part for text in sets for part in ["--set", text]))
        status, out, err = plan()
        self.assertEqual((status, err), (0, ""))
        names, sizes = out.splitlines()
        self.assertIn("micro_batch_tokens", names)
        self.assertTrue(sizes.startswith("retrieval "), sizes)
        self.assertEqual(sizes.split()[-2], "4096")
        self.assertEqual(int(sizes.split()[-1]), 4 * 9 * 32)  # the whole batch: 4 queries with 8 documents, of 32 ids
        status, out, err = plan("stage.retrieval.batch_size=1048576", "embedder.max_length=100000", "stage.retrieval.micro_batch_tokens=1073741824")
        self.assertEqual(status, 0)
        self.assertIn("decovec: warning: stage 'retrieval' may take about", err)
        self.assertIn("micro_batch_tokens", err)

    def test_set_and_poolings(self):
        for pooling in ["last_token", "latent_attention"]:
            output = self.folder / pooling
            recipe = write_recipe(f"{pooling}.toml", pooling)
            result = decovec("train", recipe, "--set", "stage.retrieval.steps=2", "--set", f"output='{output}/'")
            self.assertEqual(result[0], 0, result[2])
            log = pathlib.Path(f"{output}.log.jsonl").read_text()
            self.assertEqual(log.count("\n"), 2)
            facts = json.loads(decovec("info", output, "--json")[1])
            self.assertEqual(facts["pooling"], pooling)
            status, out, err = self.embed(model=output, stdin="a cat\n\n")
            self.assertEqual((status, err, len(rows_of(out))), (0, "", 2))


class Evaluate(Case):
    def evaluate(self, *arguments):
        return decovec("evaluate", "--model", self.model, *arguments)

    def tasks(self):
        retrieval = self.folder / "retrieval"
        (retrieval / "qrels").mkdir(parents=True)
        lines = lambda rows: "".join(json.dumps(row) + "\n" for row in rows)
        (retrieval / "corpus.jsonl").write_text(
            lines({"_id": f"d{i}", "title": "", "text": f"creature {i}"} for i in range(6))
        )
        (retrieval / "queries.jsonl").write_text(lines({"_id": f"q{i}", "text": f"creature {i}"} for i in range(6)))
        (retrieval / "qrels" / "test.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\td{i}\t1\n" for i in range(6))
        )
        similarity = self.folder / "similarity"
        similarity.mkdir()
        (similarity / "sts.jsonl").write_text(
            lines({"sentence1": "a cat", "sentence2": f"a cat {'x' * i}", "score": 5 - i} for i in range(5))
        )
        labelled = [{"text": f"{word} {i}", "label": word} for word in ["tree", "fish"] for i in range(6)]
        for name, files in [("topics", ["train", "test"]), ("groups", ["test"])]:
            (self.folder / name).mkdir()
            for file in files:
                (self.folder / name / f"{file}.jsonl").write_text(lines(labelled))
        return [retrieval, similarity, self.folder / "topics", self.folder / "groups"]

    def test_table_and_json(self):
        tasks = self.tasks()
        figures = self.folder / "figures.json"
        status, out, err = self.evaluate(*tasks, "--json", figures)
        self.assertEqual((status, err), (0, ""))
        for task in tasks:
            self.assertIn(task.name, out)
        text = figures.read_text()
        json.loads(text)
        for kind in ["retrieval", "similarity", "classification", "clustering"]:
            self.assertIn(kind, text)

    def test_failures(self):
        task, *_ = self.tasks()
        none = self.folder / "none"
        self.refused(self.evaluate(task, none), none)
        none.mkdir()
        self.refused(self.evaluate(none), none)
        self.refused(self.evaluate(task, "--json", none / "no" / "figures.json"), "figures.json")
        (task / "corpus.jsonl").write_text('{"_id": "d0"}\n')
        self.refused(self.evaluate(task), "corpus.jsonl:1")


class Search(Case):
    def search(self, *arguments, stdin, corpus="a cat\na dog\na fish\n\na tree\n", name="corpus.txt"):
        (self.folder / name).write_text(corpus)
        return decovec("search", "--model", self.model, "--corpus", self.folder / name, *arguments, stdin=stdin)

    def test_answers_each_line_and_ends(self):
        status, out, err = self.search("--top", 2, "--prompt", "text: ", stdin="a dog\n\na tree\n")
        self.assertEqual((status, err), (0, ""))
        answers = [answer.splitlines() for answer in out.split("\n\n") if answer.strip()]
        found = [line.split(maxsplit=2) for answer in answers for line in answer if line.startswith("  1 ")]
        self.assertEqual([line[2] for line in found if len(line) > 2], ["a dog", "a tree"])
        self.assertEqual([float(line[1]) for line in found], [1, 1, 1])
        self.assertEqual(out.count("\n  2 "), 3)
        self.assertEqual(self.search(stdin="")[:2], (0, ""))

    def test_few_texts_and_json_lines(self):
        corpus = '{"_id": "1", "title": "Cats", "text": "they purr"}\n{"_id": "2", "text": "dogs"}\n'
        status, out, _ = self.search("--top", 9, stdin="x", corpus=corpus, name="corpus.jsonl")
        self.assertEqual(status, 0)
        self.assertIn("Cats they purr", out)
        self.assertEqual(len(out.strip().splitlines()), 3)
        wrong = '{"_id": "1", "title": "Cats"}\n'
        self.refused(self.search(stdin="x", corpus=wrong, name="corpus.jsonl"), "corpus.jsonl:1", "text")

    def test_failures(self):
        self.refused(self.search(stdin="x", corpus=""), "corpus.txt", "empty")
        self.refused(self.search(stdin="x", corpus="fine\n" + "word " * 100), "corpus.txt:2")
        status, out, err = self.search(stdin="fine\n" + "word " * 100)
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertIn("standard input:2", err)

    def test_a_person_at_a_terminal(self):
        (self.folder / "corpus.txt").write_text("a cat\na dog\n")
        command = [PROGRAM, "search", "--model", self.model, "--corpus", self.folder / "corpus.txt"]
        try:
            ours, theirs = pty.openpty()
        except OSError as error:
            self.skipTest(f"no terminal to be had here: {error}")
        process = subprocess.Popen(list(map(str, command)), stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""

        def read_until(word, times):
            nonlocal seen
            while seen.count(word) < times:
                seen += os.read(ours, 1000)

        read_until(b"search> ", 1)
        os.write(ours, b"\n")
        read_until(b"search> ", 2)
        os.write(ours, b"word " * 100 + b"\n")  # too long: she may try again
        read_until(b"search> ", 3)
        self.assertIn(b"error", seen)
        os.write(ours, b"a dog\n")
        read_until(b"search> ", 4)
        self.assertIn(b"a cat", seen)
        os.write(ours, b"\x04")
        self.assertEqual(process.wait(120), 0)
        os.close(ours)


class Verify(Case):
    """The folder's own vectors, moved by a known amount: what is compared, and what is said of it."""

    def reference(self, move=0.0, **changes):
        texts = ["one", "two three", "word " * 100]
        cases = []
        for name in [None, "query"]:
            options = ["--prompt-name", name] if name else []
            rows = rows_of(self.embed("--truncate", "right", *options, stdin="\n".join(texts))[1])
            rows[1][3] += move
            cases.append({"texts": texts, "vectors": rows, **({"prompt_name": name} if name else {})})
        content = {"dtype": "float32", "tolerance": 1e-4, "made_by": {"a library": "1.0"}, "cases": cases, **changes}
        file = self.folder / "reference.json"
        file.write_text(json.dumps(content))
        return file

    def verify(self, file):
        return decovec("verify", self.model, "--reference", file)

    def test_equal_and_moved_vectors(self):
        status, out, err = self.verify(self.reference())
        self.assertEqual((status, err), (0, ""))
        self.assertIn("a library 1.0", out)
        self.assertEqual([line.split()[0] for line in out.splitlines()[2:]], ["(none", "query"])
        self.assertEqual(self.verify(self.reference(move=9e-5))[0], 0)
        status, out, err = self.verify(self.reference(move=0.25))
        self.assertEqual((status, err.count("\n")), (1, 1), err)
        self.assertEqual(out.count("0.25"), 2, out)
        self.assertIn("0.25", err)

    def test_other_ids(self):
        cases = json.loads(self.reference().read_text())["cases"][:1]
        status, ids, _ = decovec("tokenize", "--model", self.model, "--truncate", "right",
                                 stdin="\n".join(cases[0]["texts"]))
        cases[0]["ids"] = [json.loads(line) for line in ids.splitlines()]
        status, out, err = self.verify(self.reference(cases=cases))
        self.assertEqual((status, err), (0, ""))
        self.assertIn("equal", out)
        cases[0]["ids"][1][0] += 1
        status, out, err = self.verify(self.reference(cases=cases))
        self.assertEqual(status, 1)
        self.assertIn("differ in text 1", out)

    def test_failures(self):
        self.refused(decovec("verify", self.model), "decovec_reference.json", "make_reference.py")
        self.refused(self.verify(self.folder / "none.json"), "none.json")
        for key, value in [("dtype", "int8"), ("tolerance", -1), ("cases", []), ("cases", {}), ("extra", 1),
                           ("cases", [{"texts": [], "vectors": []}]),
                           ("cases", [{"texts": ["a"], "vectors": [["x"]]}]),
                           ("cases", [{"texts": ["a"], "vectors": [[1.0], [2.0]]}])]:
            self.refused(self.verify(self.reference(**{key: value})), "reference.json")
        columns = [{"texts": ["a"], "vectors": [[1.0, 2.0]]}]
        self.refused(self.verify(self.reference(cases=columns)), "2 columns", "32")

    def test_another_dtype_is_told(self):
        file = self.reference(tolerance=1e-9)
        status, out, err = decovec("verify", self.model, "--reference", file, "--dtype", "bfloat16")
        self.assertEqual(status, 1)
        self.assertIn("computed in float32, the model in bfloat16", err)


class Info(Case):
    def test_facts(self):
        status, out, err = decovec("info", self.model)
        self.assertEqual((status, err), (0, ""))
        facts = json.loads(decovec("info", self.model, "--json")[1])
        expected = {
            "layout": "sentence_transformers",
            "family": "mistral",
            "attention": "bidirectional",
            "pooling": "mean",
            "dimensions": 32,
            "layers": 2,
            "heads": 2,
            "max_length": 32,
            "dtype": "float32",
            "prompts": {"animals": "find: ", "query": "find: ", "document": "text: "},
        }
        self.assertEqual({key: facts[key] for key in expected}, expected)
        # embedding, final norm, and two layers of qkv + out, gate + up + down, two norms
        vocabulary = facts["vocabulary"]
        self.assertEqual(facts["parameters"], vocabulary * 32 + 32 + 2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32))
        for key in expected:
            self.assertIn(key, out)
        self.assertEqual(json.loads(decovec("info", self.model, "--json", "--dtype", "bfloat16")[1])["dtype"], "bfloat16")
        self.refused(decovec("info", self.folder / "none"), "none")
        for command in ["info", "verify"]:
            status, out, err = decovec(command, "--model", self.model)
            self.assertEqual((status, out), (2, ""))
            self.assertIn(f"decovec {command} DIR", err)


if __name__ == "__main__":
    unittest.main()
