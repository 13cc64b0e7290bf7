#!/usr/bin/env python3
"""Compares ids of tokenize_framed with those of the tokenizers library, text by text.

    compare_ids.py PROGRAM TOKENIZERS DATA [--random N] [--seed S] [--names a,b] [--kinds lines,files,long,random]

TOKENIZERS: what build_tokenizers.py wrote; each folder in it is compared. DATA: a folder of text, every line of which is a
text (as are all of WordNet's under /usr/share/wordnet). Kinds: lines, every line; files, the lines and the whole of source
files (this project's and Python's own); long, hostile texts of a megabyte; random, N strings of mixed scripts, emoji, control
characters, combining marks, long runs, and every added token of the tokenizers inside text.

Prints the number of texts and of differences for each tokenizer and kind, and the first differences. Exits with 1 if there
is one. Needs tokenizers 0.23.3.
"""
import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import numpy
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [(0x20, 0x7F), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F),
           (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2100, 0x214F),
           (0x2460, 0x24FF), (0x2580, 0x25FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
           (0xFB00, 0xFB4F), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F64F), (0x1F1E6, 0x1F1FF),
           (0, 0x1F), (0x7F, 0x9F), (0, 0x10FFFF)]
WORDS = ["the", "of", " the", "The", "ing", "don't", "I'LL", "we've", "'s", " 's", "'ſ", "ǆ", "ß", "İ", "ﬁn", "Å", "e\u0301", "が", "か\u3099",
         "각", "\u1112\u1161\u11ab", "北京", "नमस्ते", "Привет", "مرحبا", "ไทย", "👩‍👩‍👧‍👦", "🇨🇳", "👍🏽", "½", "²", "Ⅷ", "٣", "123", "1234567", "3.14", "a_b",
         "x", "  ", "   ", " ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\u200d", "\ufeff", "▁", "▁▁",
         "<0x41>", "<s", "</", "<|im_", "[", "]", "...", "!!", "--", "==", "\\", "\"", "`", "\x00", "\x1c", "\x7f", "\ufffd", "\uffff",
         "New York", "new york", "ANGSTROM", "ÅNGSTRÖM", "ångström", "the end", "cat", "cats", "[X]"]


def lines(data):
    files = sorted(Path("/usr/share/wordnet").glob("*")) + sorted(data.rglob("*"))
    for file in files:
        if file.is_file():
            yield from file.read_bytes().decode("utf-8", errors="replace").split("\n")


def sources():
    files = [file for folder in ("src", "include", "tests") for file in sorted((ROOT / folder).rglob("*.[ch]pp"))]
    files += sorted((Path(os.__file__).parent).glob("*.py"))
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        yield text
        yield from text.split("\n")


def long_texts():
    million = 1_000_000
    for unit in ("a", " ", "\n", "▁", "é", "北", "ab", "a ", "1", "!", "\u0301", "😀", "\x00", "<s>", "<", "\r\n", "'s", "\ufb01 "):
        yield unit * (million // len(unit))
    draw = random.Random(1)
    yield "".join(draw.choices("abcdefghij", k=million))
    yield "".join(draw.choices("ab ", k=million))
    yield "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(million // 3))


def character(draw):
    first, last = draw.choice(SCRIPTS)
    while True:
        point = draw.randint(first, last)
        if not 0xD800 <= point < 0xE000:
            return chr(point)


def random_texts(count, seed, tokens):
    draw = random.Random(seed)
    pieces = WORDS + tokens
    for _ in range(count):
        kind = draw.random()
        if kind < 0.45:
            yield "".join(draw.choices(pieces, k=draw.randint(1, 12)))
        elif kind < 0.7:
            yield "".join(draw.choice(pieces) if draw.random() < 0.5 else character(draw) for _ in range(draw.randint(1, 20)))
        elif kind < 0.8:
            first, last = draw.choice(SCRIPTS[:-1])
            yield "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 40)))
        elif kind < 0.9:
            yield "".join(character(draw) * draw.choice((1, 1, 2, 3, 17, 70, 300)) for _ in range(draw.randint(1, 4)))
        elif kind < 0.95:
            text = "".join(draw.choices(WORDS, k=draw.randint(1, 10)))
            yield unicodedata.normalize(draw.choice(("NFC", "NFD", "NFKC", "NFKD")), text).title()
        else:
            yield "".join(character(draw) for _ in range(draw.randint(0, 30)))


def ours(program, folder, texts):
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        for text in texts:
            data = text.encode("utf-8")
            source.write(struct.pack("<I", len(data)) + data)
        source.seek(0)
        subprocess.run([program, folder], stdin=source, stdout=target, check=True)
        target.seek(0)
        values = numpy.frombuffer(target.read(), dtype=numpy.uint32)
    at = 0
    for _ in texts:
        yield values[at + 1:at + 1 + int(values[at])].tolist()
        at += 1 + int(values[at])
    assert at == len(values)


def batches(texts, size=100_000):
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def compare(program, folder, library, batch, name):
    """The number of texts of the batch whose ids differ."""
    differing = 0
    theirs = library.encode_batch_fast(batch, add_special_tokens=False)
    for text, mine, other in zip(batch, ours(program, folder, batch), theirs):
        if mine != other.ids:
            differing += 1
            if differing <= 5:
                at = next((i for i, (a, b) in enumerate(zip(mine, other.ids)) if a != b), min(len(mine), len(other.ids)))
                print(f"  {folder.name}, {name}: {text[:200]!r}: at id {at}: got {mine[at:at + 8]}, "
                      f"expected {other.ids[at:at + 8]}", flush=True)
    return differing


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tokenizers", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--random", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--names")
    parser.add_argument("--kinds", default="lines,files,long,random")
    arguments = parser.parse_args()

    folders = [folder for folder in sorted(arguments.tokenizers.iterdir()) if (folder / "tokenizer.json").exists()]
    tokens = sorted({token.content for folder in folders
                     for token in Tokenizer.from_file(str(folder / "tokenizer.json")).get_added_tokens_decoder().values()
                     if not token.content.startswith("<SPECIAL_")})
    libraries = {}
    for folder in folders:
        if arguments.names and folder.name not in arguments.names.split(","):
            continue
        libraries[folder] = Tokenizer.from_file(str(folder / "tokenizer.json"))
        libraries[folder].no_truncation()
        libraries[folder].no_padding()
    kinds = {"lines": lambda: lines(arguments.data), "files": sources, "long": long_texts,
             "random": lambda: random_texts(arguments.random, arguments.seed, tokens)}
    failed = False
    for kind in arguments.kinds.split(","):
        total, differing = 0, dict.fromkeys(libraries, 0)
        for batch in batches(kinds[kind]()):
            total += len(batch)
            for folder, library in libraries.items():
                differing[folder] += compare(arguments.program, folder, library, batch, kind)
        for folder, count in differing.items():
            print(f"{folder.name}, {kind}: {total} texts, {count} differ", flush=True)
        failed = failed or any(differing.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
