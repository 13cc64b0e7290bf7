"""Writes pieces.json: what the tokenizers library's normalizers and pre-tokenizers make of random texts.

The components are those of tests/text/differential, and patterns that show how Oniguruma reads its syntax.

    python pieces_reference.py
"""

import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "text" / "differential"))
from differential import Library, components, random_text, regex, split  # noqa: E402

SYNTAX = [
    r"a{1,2}+b", r"a{2}?b", r"a{2,2}?b", r"a{1,2}?b", r"a{,2}b", r"a{2,}?b", r"a{b", r"a{,}b", r"{", r"a++b?+", r"(?>a|ab)c",
    r"a(?i)b|c", r"(?i:ab(?-i:c))a", r"(?i)k", r"(?i:s)", r"(?i:[a-c]1)", r"(?i:[^a]b)", r"a.b", r"(?m:a.b)", r"a(?m)." r"|b",
    r"^a", r"a$", r"\Aa", r"a\z", r"a\Z", r"^", r"$", r"\bab", r"a\B", r"(?<=a)b", r"(?<!a)b", r"(?<=a|bc)b", r"a(?=b|$)",
    r"a(?!b)", r"(a)(?:b)(?<name>c)?", r"a(?#b)c", r"[a\]b]", r"[a\-c]", r"[a-]", r"[-a]", r"[^-a]", r"[a&&b]", r"[a-c&&[^b]]",
    r"[^a-c&&[b]]", r"[[a-b][1-2]]", r"[[:alpha:]&&[^a]]", r"[[:^space:]]+", r"[\s\d]+", r"[\n\t ]", r"[\x41-\x{43}\u00e9]",
    r"[^\n]+", r"[.]", r"[(]", r"[$^]", r"\.", r"\-", r"\x{e9}|\x61", r"é+", r"[é中]", r"\p{Han}+", r"\P{L}+", r"\p{^L}+",
    r"\p{letter}", r"\p{Lower-case Letter}", r"\h+", r"\H+", r"", r"|a", r"a|", r"a*", r"a??", r"(?=a)", r"(?:a|ab)(?:c|bcd)?",
    r"'(?i:[sdmt]|ll|ve|re)", r"\w+|[^\w\s]+", r"\s+(?!\S)|\s+", r"&&", r"#.*", r"\ ", r"[\b]", r"\t|\v|\f|\e|\a",
]
ALPHABET = "aaabbcABCkKſsS12² \n\t'é中-{}].(&#\u212a\x0b\x08"


def rows():
    draw = random.Random(2)
    for name, kind, component in components():
        yield name, kind, component, [random_text(draw) for _ in range(12)]
    for pattern in SYNTAX:
        texts = ["".join(draw.choice(ALPHABET) for _ in range(draw.randint(1, 12))) for _ in range(10)]
        texts += ["aabc", "ab\nabc\n", "aaab", "ABab", "a\nb"]
        yield f"pattern {pattern}", "pre_tokenizer", split(regex(pattern)), texts


def main():
    lines = []
    for name, kind, component, texts in rows():
        library = Library(kind, component)
        cases = [[text, library.ask(text)] for text in ["", *texts]]
        lines.append(json.dumps({"name": name, kind: component, "cases": cases}, ensure_ascii=False, separators=(",", ":")))
    (HERE / "pieces.json").write_text("[" + ",\n".join(lines) + "]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
