#!/usr/bin/env python3
"""Checks that #include lines follow the layers, and that public headers stay plain.

    check_layers.py [ROOT]      ROOT: the project's folder, by default the one above this script's

- A file of a layer (include/decovec/<layer>, src/<layer>, tests/<layer>) includes the same layer or an earlier one.
  Programs (src/cli, examples, benchmarks, other tests, the header that includes all) may include everything.
- A public header has no directives but #pragma once and #include, no JSON, of LibTorch <ATen/core/Tensor.h> alone,
  and of the project public headers alone.

Prints file:line: reason for each break and exits with 1 if there is one.
"""

import re
import sys
from pathlib import Path

LAYERS = ["io", "world", "text", "model", "loss", "data", "search", "eval", "train", "serve"]
PROGRAMS = len(LAYERS)  # the rank of what comes after all layers
SUFFIXES = {".hpp", ".h", ".cpp", ".cc", ".cu", ".cuh", ".inc"}
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)[ \t]*(.*?)[ \t]*$")
INCLUDE = re.compile(r'^(["<])([^">]+)[">]$')
LIBTORCH = re.compile(r"^(ATen|c10|c10d|caffe2|torch)/")


def without_comments(text):
    """The text with comments blanked; strings and line numbers stay."""

    def blank(match):
        part = match.group()
        return part if part.startswith('"') else re.sub(r"[^\n]", " ", part)

    return COMMENT.sub(blank, text)


def rank_of_file(path):
    """The place in the order of a file, by its path from the root; None where its folder is in no table."""
    parts = path.parts
    if parts[0] in ("src", "tests"):
        folder = parts[1] if len(parts) > 2 else ""
        if folder in LAYERS:
            return LAYERS.index(folder)
        return PROGRAMS if parts[0] == "tests" or folder in ("", "cli") else None
    if parts[:2] == ("include", "decovec"):
        if len(parts) == 3:
            return PROGRAMS  # decovec.hpp, which includes all
        return LAYERS.index(parts[2]) if parts[2] in LAYERS else None
    return PROGRAMS


def rank_of_include(target):
    """The place of an included path; None where it belongs to no layer."""
    parts = target.split("/")
    if parts[0] == "decovec":
        parts = parts[1:]
        if len(parts) == 1:
            return PROGRAMS
    if parts[0] in LAYERS and len(parts) > 1:
        return LAYERS.index(parts[0])
    return PROGRAMS if parts[0] == "cli" and len(parts) > 1 else None


def name_of(rank):
    return "programs" if rank == PROGRAMS else LAYERS[rank]


def check_include(own, public, quote, target):
    """The reasons against one include line."""
    project = quote == '"' or target.startswith("decovec/")
    if public:
        if LIBTORCH.match(target) and target != "ATen/core/Tensor.h":
            yield f"a public header includes <{target}>, of LibTorch only <ATen/core/Tensor.h> is allowed"
        if target.startswith("nlohmann/"):
            yield f"a public header includes <{target}>; JSON stays in the sources"
        if project and not target.startswith("decovec/"):
            yield f"a public header includes \"{target}\", which is not installed"
    if not project or own is None:
        return
    rank = rank_of_include(target)
    if rank is None:
        if own != PROGRAMS:
            yield f'"{target}" names no layer; write "decovec/<layer>/..." or "<layer>/..."'
    elif rank > own:
        yield f'layer {name_of(own)} includes "{target}" of the later {name_of(rank)}'


def check_file(root, path):
    """(line, reason) for each break in one file."""
    relative = path.relative_to(root)
    own = rank_of_file(relative)
    public = relative.parts[0] == "include"
    if own is None:
        yield 1, f"the folder {relative.parent} is no layer; add it to the order in check_layers.py"
    lines = without_comments(path.read_text(encoding="utf-8")).split("\n")
    for number, line in enumerate(lines, 1):
        if public and "nlohmann" in line and "#" not in line:
            yield number, "a public header speaks of nlohmann; JSON stays in the sources"
        directive = DIRECTIVE.match(line)
        if not directive:
            continue
        word, rest = directive.groups()
        if public and (word, rest) != ("pragma", "once") and word != "include":
            yield number, f"a public header has #{word}; only #pragma once and #include are allowed"
        include = INCLUDE.match(rest) if word == "include" else None
        if include:
            for reason in check_include(own, public, *include.groups()):
                yield number, reason
        elif word == "include":
            yield number, f"cannot read this include: {rest}"


def check(root):
    """All breaks below a root as lines of text."""
    for folder in ("include", "src", "tests", "examples", "benchmarks"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                for number, reason in check_file(root, path):
                    yield f"{path.relative_to(root)}:{number}: {reason}"


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith("-")):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    root = Path(sys.argv[1] if len(sys.argv) == 2 else Path(__file__).parent.parent).resolve()
    if not (root / "include" / "decovec").is_dir():
        print(f"{root}: expected the project's folder, which holds include/decovec", file=sys.stderr)
        return 1
    breaks = list(check(root))
    for line in breaks:
        print(line)
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())
