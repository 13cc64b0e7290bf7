#!/usr/bin/env python3
"""Compares decovec's normalizers and pre-tokenizers with the tokenizers library on random texts.

    differential.py PROGRAM [--texts N] [--seed S] [--only WORD]

PROGRAM is the build's text_differential. Prints for each component the texts compared and the differences, and ends
with status 1 if there is one. A pattern that decovec refuses is told apart: it is counted, not compared.
"""
import argparse
import json
import random
import subprocess
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
          r"|\s+(?!\S)|\s")
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
        r"|\s+")
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "qwen": QWEN, "llama3": LLAMA3, "deepseek": DEEPSEEK, "o200k": O200K,
            "kimi": KIMI, "cjk": "[一-龥\u3040-ゟ゠-ヿ]+", "digits3": r"\p{N}{1,3}", "newlines": "[\r\n]"}
BEHAVIORS = {"Removed": "removed", "Isolated": "isolated", "MergedWithPrevious": "merged_with_previous",
             "MergedWithNext": "merged_with_next", "Contiguous": "contiguous"}

POOLS = [
    "abcdefstrvmlABCSTDLK", " \t\n\r", "0123456789", "'’!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~", "▁éßſKİıǰﬅﬁΣσςÅ",
    "\u00a0\u1680\u2003\u200b\u2028\u3000\u0085\u180e", "的中文字日本語ひらがなカタカナ々〇", "안녕가각힣\u1100\u1161\u11a8\u11a7\u1112",
    "привет мир", "नमस्ते\u093c\u0915", "กำลัง", "١٢٣٤५६Ⅷⅷ½²①", "\u0300\u0301\u0308\u0323\u0327\u0345\u0334\u05b0\u05b4\u064b\u0651\u0344\u0f71\u0f72\u0f73",
    "😀👩\u200d👩\u200d👧🇩🇪❤\ufe0f", "\x00\x01\x7f\x9f\ufeff\ufffd\U0010ffff\ue000", "ﷺﬃ㎏ﾊﾞ㍍ⓐⒶ",
]


def random_text(draw):
    kind = draw.random()
    length = draw.choice([1, 2, 3, 5, 8, 13, 30, 80])
    if kind < 0.15:
        return "".join(chr(c) for c in (draw.randrange(0x110000) for _ in range(length)) if not 0xD800 <= c < 0xE000)
    if kind < 0.3:
        low = draw.randrange(0, 0x3100 if kind < 0.25 else 0x1F000)
        return "".join(chr(c) for c in (low + draw.randrange(160) for _ in range(length)) if not 0xD800 <= c < 0xE000)
    pools = draw.sample(POOLS, draw.randint(1, 4))
    if kind < 0.7:
        return "".join(draw.choice(draw.choice(pools)) for _ in range(length))
    text = ""
    while len(text) < length:
        text += draw.choice(draw.choice(pools)) * draw.choice([1, 1, 1, 2, 3, 7])
    return text


def regex(pattern):
    return {"Regex": pattern}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def byte_level(prefix=False, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def metaspace(scheme, cut=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def components():
    """name, kind, JSON of a component."""
    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "ByteLevel"]:
        yield form, "normalizer", {"type": form}
    for left in [True, False]:
        for right in [True, False]:
            yield f"Strip {left} {right}", "normalizer", {"type": "Strip", "strip_left": left, "strip_right": right}
    yield "Prepend", "normalizer", {"type": "Prepend", "prepend": "▁"}
    for pattern, content in [({"String": " "}, "▁"), ({"String": "''"}, '"'), ({"String": "a"}, ""), (regex(" {2,}"), " "),
                             (regex(r"\s+"), " "), (regex(r"[^\p{L}]|s"), "<x>"), (regex(r"\p{M}"), "")]:
        yield f"Replace {pattern}", "normalizer", {"type": "Replace", "pattern": pattern, "content": content}
    llama = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    yield "Llama", "normalizer", {"type": "Sequence", "normalizers": llama}
    mixed = [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
             {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFC"},
             {"type": "Replace", "pattern": regex(r"\s"), "content": "_-"}, *llama]
    yield "mixed", "normalizer", {"type": "Sequence", "normalizers": mixed}

    for name, pattern in PATTERNS.items():
        yield f"Split {name}", "pre_tokenizer", split(regex(pattern))
    for behavior in BEHAVIORS:
        for invert in [False, True]:
            for pattern in [{"String": " "}, {"String": "''"}, {"String": ""}, regex(r"\s"), regex(r"\p{N}|'"),
                            regex(r"\p{L}+"), regex(r"(?=\p{Lu})"), regex(r"a*"), regex(r"\b"), regex("$|^")]:
                yield f"Split {pattern} {behavior} {invert}", "pre_tokenizer", split(pattern, behavior, invert)
    for prefix in [False, True]:
        for use_regex in [False, True]:
            yield f"ByteLevel {prefix} {use_regex}", "pre_tokenizer", byte_level(prefix, use_regex)
    for scheme in ["first", "always", "never"]:
        for cut in [False, True]:
            yield f"Metaspace {scheme} {cut}", "pre_tokenizer", metaspace(scheme, cut)
            yield f"words, Metaspace {scheme} {cut}", "pre_tokenizer", sequence(
                {"type": "WhitespaceSplit"}, metaspace(scheme, cut))
            yield f"spaces, Metaspace {scheme} {cut}", "pre_tokenizer", sequence(
                split({"String": " "}, "MergedWithPrevious"), metaspace(scheme, cut), metaspace(scheme, cut))
    for single in [False, True]:
        yield f"Digits {single}", "pre_tokenizer", {"type": "Digits", "individual_digits": single}
    for behavior in BEHAVIORS:
        yield f"Punctuation {behavior}", "pre_tokenizer", {"type": "Punctuation", "behavior": behavior}
    for kind in ["Whitespace", "WhitespaceSplit"]:
        yield kind, "pre_tokenizer", {"type": kind}
    yield "DeepSeek", "pre_tokenizer", sequence(split(regex(r"\p{N}{1,3}")), split(regex(PATTERNS["cjk"])),
                                                split(regex(DEEPSEEK)), byte_level(False, False))
    yield "StarCoder", "pre_tokenizer", sequence({"type": "Digits", "individual_digits": True}, byte_level())
    yield "bytes first", "pre_tokenizer", sequence(byte_level(True), {"type": "Punctuation", "behavior": "Isolated"},
                                                   {"type": "Digits", "individual_digits": True}, byte_level())


def random_patterns(draw, count):
    """Patterns of whatever the syntax has, for where Oniguruma's meaning is easily mistaken."""
    atoms = [r"\p{L}", r"\p{Lu}", r"\P{N}", r"\p{^L}", r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", r"\h", ".", "a", "s", "1", " ",
             "é", "中", "[a-c]", "[^a-c]", r"[^\s\p{L}]", r"[\w&&[^a-s]]", r"[^\w&&[a]]", "[[:punct:]]", "[[:^alpha:]b]",
             r"[\]\-a]", "[a-]", "[-a]", r"[\b\n]", "[.]", "(?:ab|a)", "(a|b)", "(?<n>b)", "(?>a|ab)", "{", "}", "a{,2}",
             "{a}", r"\x{301}", r"\u00e9", r"\x41", r"\n", r"\v", r"\-", r"\ ", r"\é", "-", "/", "#", r"\<", r"\'", r"\`", "&&"]
    places = [r"\b", r"\B", "^", "$", r"\A", r"\z", r"\Z", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"(?=\S)", r"(?!\S)",
              "(?<=a|bb)", "(?#note)"]
    repeats = ["", "", "", "", "?", "*", "+", "??", "*?", "+?", "?+", "*+", "++", "{2}", "{1,2}", "{2,}", "{,1}", "{2}?",
               "{1,2}?", "{2,2}?", "{1,2}+", "{2}+", "{2,}+", "{2,}?", "{0}", "{ 1}", "{,}", "{1,2", "{x}"]
    def term(depth):
        kind = draw.random()
        if kind < 0.15:
            return draw.choice(places)
        if kind < 0.35 and depth < 3:
            opening = draw.choice(["(?:", "(?:", "(?>", "(?i:", "(?-i:", "(?m:", "(?=", "(?!", "("])
            return f"{opening}{pattern(depth + 1)})" + (draw.choice(repeats) if opening not in ("(?=", "(?!") else "")
        if kind < 0.4:
            return draw.choice(["(?i)", "(?-i)", "(?m)"])
        return draw.choice(atoms) + draw.choice(repeats)
    def pattern(depth=0):
        return "|".join("".join(term(depth) for _ in range(draw.randint(1, 3))) for _ in range(draw.choice([1, 1, 2, 3])))
    return [pattern() for _ in range(count)]


class Program:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def ask(self, kind, component, texts):
        self.process.stdin.write(json.dumps({kind: component, "texts": texts}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the program ended on {component}"
        return json.loads(line)


class Library:
    """The tokenizers library's own reading of a component's JSON."""
    def __init__(self, kind, component):
        self.kind = kind
        state = json.dumps(component).encode()
        self.object = (normalizers.Sequence([]) if kind == "normalizer" else pre_tokenizers.Sequence([]))
        self.object.__setstate__(state)

    def ask(self, text):
        if self.kind == "normalizer":
            return self.object.normalize_str(text)
        return [piece for piece, _ in self.object.pre_tokenize_str(text)]


def mapped(component, pieces):
    """A last ByteLevel leaves the mapping of bytes to the model; here it is made up for."""
    last = component
    while last["type"] == "Sequence":
        last = last["pretokenizers"][-1]
    if last["type"] != "ByteLevel":
        return pieces
    return ["".join(BYTES[byte] for byte in piece.encode()) for piece in pieces]


def byte_characters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


BYTES = byte_characters()


def compare(program, name, kind, component, texts):
    """Differences, or None where decovec refuses the component."""
    got = program.ask(kind, component, texts)
    if "error" in got:
        return got["error"]
    library = Library(kind, component)
    differences = 0
    for text, mine in zip(texts, got):
        mine = mine if kind == "normalizer" else mapped(component, mine)
        try:
            theirs = library.ask(text)
        except BaseException as error:  # a panic of the library: it gave up on this text
            if isinstance(error, KeyboardInterrupt):
                raise
            continue
        if mine != theirs:
            differences += 1
            if differences <= 3:
                print(f"  {name}: {component}\n    text {text!r}\n    got {mine!r}\n    expected {theirs!r}", flush=True)
    return differences


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--texts", type=int, default=2000, help="random texts for each component")
    parser.add_argument("--patterns", type=int, default=2000, help="random patterns, each on 40 texts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="components whose name begins so")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    program = Program(options.program)
    total = failed = refused = compared = 0
    for name, kind, component in components():
        if not name.startswith(options.only):
            continue
        texts = [random_text(draw) for _ in range(options.texts)]
        differences = compare(program, name, kind, component, texts)
        print(f"{name}: {len(texts)} texts, {differences} differences", flush=True)
        total += len(texts)
        failed += differences if isinstance(differences, int) else 1
    for pattern in random_patterns(draw, options.patterns):
        try:
            pre_tokenizers.Split(Regex(pattern), "isolated")
        except Exception:  # what the library cannot read, decovec may read or not
            continue
        component = split(regex(pattern), draw.choice(list(BEHAVIORS)), draw.random() < 0.2)
        texts = ["".join(draw.choice("aabbcsſSk1² \n\t'éÉ中-{}") for _ in range(draw.randint(1, 12))) for _ in range(40)]
        differences = compare(program, pattern, "pre_tokenizer", component, texts)
        if isinstance(differences, str):
            refused += 1
            continue
        compared += 1
        total += len(texts)
        failed += differences
    print(f"random patterns: {compared} compared, {refused} refused")
    print(f"{total} texts, {failed} differences")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
