#!/usr/bin/env python3
"""Tests scripts/check_layers.py on small trees; run with python3."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "scripts" / "check_layers.py"


def run(root):
    result = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True)
    return result.returncode, result.stdout.splitlines()


def check(files):
    """The exit status and the lines printed for a tree of {path: text}."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "include" / "decovec").mkdir(parents=True)
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return run(folder)


class CheckLayersTest(unittest.TestCase):
    def passes(self, path, text):
        self.assertEqual(check({path: text}), (0, []))

    def breaks(self, path, text, line, reason):
        status, printed = check({path: text})
        self.assertEqual((status, len(printed)), (1, 1), printed)
        self.assertTrue(printed[0].startswith(f"{path}:{line}: "), printed)
        self.assertIn(reason, printed[0])

    def test_same_and_earlier_layers_pass(self):
        self.passes("src/model/a.cpp", '#include "decovec/model/a.hpp"\n#include "io/json.hpp"\n#include <vector>\n')
        self.passes("include/decovec/text/a.hpp", '#pragma once\n#include "decovec/io/lines.hpp"\n')
        self.passes("tests/train/a_test.cpp", '#include "model/model_folder.hpp"\n#include "decovec/train/train.hpp"\n')

    def test_later_layers_break(self):
        self.breaks("src/io/a.cpp", '\n#include "decovec/text/tokenizer.hpp"\n', 2, "layer io includes")
        self.breaks("src/loss/a.cpp", '#include "data/a.hpp"\n', 1, "of the later data")
        self.breaks("include/decovec/eval/a.hpp", "#include <decovec/train/train.hpp>\n", 1, "of the later train")
        self.breaks("tests/model/a_test.cpp", ' # include "search/bm25.hpp"\n', 1, "of the later search")
        self.breaks("src/train/a.cpp", '#include "cli/a.hpp"\n', 1, "of the later programs")
        self.breaks("src/train/a.cpp", '#include "decovec/decovec.hpp"\n', 1, "of the later programs")

    def test_programs_include_everything(self):
        for path in ("src/cli/a.cpp", "examples/a.cpp", "benchmarks/a.cpp", "tests/install/a.cpp", "tests/cli/a.cpp"):
            self.passes(path, '#include "decovec/decovec.hpp"\n#include "train/a.hpp"\n#include "b.hpp"\n')
        self.passes("include/decovec/decovec.hpp", '#pragma once\n#include "decovec/train/train.hpp"\n')

    def test_paths_name_a_layer(self):
        self.breaks("src/text/a.cpp", '#include "a.hpp"\n', 1, "names no layer")
        self.breaks("src/text/a.cpp", '#include "../train/a.hpp"\n', 1, "names no layer")
        self.breaks("src/text/a.cpp", "#include HEADER\n", 1, "cannot read this include")
        self.breaks("src/other/a.cpp", "int a;\n", 1, "the folder src/other is no layer")

    def test_comments_do_not_count(self):
        self.passes("src/io/a.cpp", '// #include "train/a.hpp"\n/*\n#include "train/a.hpp"\n*/ const char* a = "/*";\n')
        self.breaks("src/io/a.cpp", '/* a\n */ const char* a = "//";\n#include "text/a.hpp"  // b\n', 3, "later text")

    def test_public_headers_are_plain(self):
        header = "include/decovec/io/a.hpp"
        self.passes(header, "#pragma once\n#include <vector>\n\n#include <ATen/core/Tensor.h>\n// #define A\n")
        self.breaks(header, "#pragma once\n#include <ATen/ATen.h>\n", 2, "of LibTorch only")
        self.breaks(header, "#include <torch/types.h>\n", 1, "of LibTorch only")
        self.breaks(header, "#include <nlohmann/json.hpp>\n", 1, "JSON stays in the sources")
        self.breaks(header, "void a(const nlohmann::json&);\n", 1, "JSON stays in the sources")
        self.breaks(header, '#include "io/error.hpp"\n', 1, "not installed")
        self.breaks(header, "#define A 1\n", 1, "has #define")
        self.breaks(header, "#pragma pack(1)\n", 1, "has #pragma")
        status, printed = check({header: "#ifdef A\n#endif\n"})
        self.assertEqual((status, len(printed)), (1, 2))
        self.passes("src/io/a.hpp", "#ifdef A\n#endif\n#include <nlohmann/json.hpp>\n#include <ATen/ATen.h>\n")

    def test_every_break_is_printed(self):
        status, printed = check({"src/io/a.cpp": '#include "text/a.hpp"\n', "src/world/b.cpp": '#include "text/a.hpp"\n'})
        self.assertEqual((status, [line.split(":")[0] for line in printed]), (1, ["src/io/a.cpp", "src/world/b.cpp"]))

    def test_a_wrong_root_breaks(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(run(folder), (1, []))


if __name__ == "__main__":
    unittest.main()
