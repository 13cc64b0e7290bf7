"""Writes unicode.json: checksums of what the tokenizers library says of every code point.

Each row holds, for 32 blocks of code points (the BMP in sixteenths, then the other planes), the CRC-32 of
- a property: a byte 0 or 1 for each code point;
- a normalizer: the UTF-8 of each code point's result, alone and between other characters, each ended by a line feed.

    python unicode_reference.py
"""

import json
import pathlib
import sys
import zlib

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))
from unicode_tables import CATEGORIES, PROPERTIES, SCRIPTS, VERSION  # noqa: E402  (names alone, no values)

BLOCKS = [range(i * 0x1000, (i + 1) * 0x1000) for i in range(16)] + [range(i << 16, (i + 1) << 16) for i in range(1, 17)]
CONTEXTS = ["{}", "e{}\u0301", "\u1100{}\u11a8", "{}\u0323\u0327", "a\u0345{}\u0334"]


def characters(block):
    return [chr(c) for c in block if not 0xD800 <= c < 0xE000]


def member_rows(isolate):
    """isolate: a pre-tokenizer that keeps the members alone."""
    for block in BLOCKS:
        text = "".join(characters(block))
        members = {c for piece, _ in isolate.pre_tokenize_str(text) for c in piece}
        yield zlib.crc32(bytes(c in members for c in text))


def outside_rows(drop):
    """The same for a pre-tokenizer that drops the members."""
    for block in BLOCKS:
        text = "".join(characters(block))
        rest = {c for piece, _ in drop.pre_tokenize_str(text) for c in piece}
        yield zlib.crc32(bytes(c not in rest for c in text))


def beside_rows(pre_tokenizer, context, member):
    """The same by the piece that a character is in beside others."""
    for block in BLOCKS:
        text = characters(block)
        pieces = {piece for piece, _ in pre_tokenizer.pre_tokenize_str("".join(map(context.format, text)))}
        yield zlib.crc32(bytes(member.format(c) in pieces for c in text))


def normalizer_rows(normalizer, contexts):
    for block in BLOCKS:
        # One call for a block: none of these looks across the line feeds.
        texts = [context.format(c) + "\n" for c in characters(block) for context in contexts]
        yield zlib.crc32(normalizer.normalize_str("".join(texts)).encode())


def pattern_rows(pattern):
    return member_rows(pre_tokenizers.Split(Regex(pattern), "removed", invert=True))


def main():
    assert tokenizers.__version__ == VERSION
    names = [name for row in (CATEGORIES + " " + PROPERTIES + " " + SCRIPTS).split() for name in row.split("=")]
    patterns = [f"\\p{{{name}}}" for name in names] + ["\\w", "\\s", "\\d", "\\h", "\\W", "\\S", "[\\w]", "[^\\w]", "[[:punct:]]",
                                                       "[^\\s\\p{L}\\p{N}]", "(?i:k)", "(?i:[s-t])", "[\\p{L}&&[^a-z]]"]
    rows = {
        "patterns": {pattern: list(pattern_rows(pattern)) for pattern in patterns},
        "sets": {
            "white_space": list(outside_rows(pre_tokenizers.WhitespaceSplit())),
            # The context's own 'a' and space are their own neighbours' pieces, and told by the library itself.
            "numeric": list(beside_rows(pre_tokenizers.Digits(individual_digits=True), "a{}a", "{}")),
            "word": list(beside_rows(pre_tokenizers.Whitespace(), " a{} ", "a{}")),
            "punctuation": list(outside_rows(pre_tokenizers.Punctuation("removed"))),
        },
        "contexts": CONTEXTS,
        "normalizers": {
            form: list(normalizer_rows(getattr(normalizers, form)(), CONTEXTS))
            for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]
        },
    }
    text = ",\n".join(f"{json.dumps(key)}: " + ("{\n" + ",\n".join(
        f" {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in value.items()) + "}"
        if isinstance(value, dict) else json.dumps(value)) for key, value in rows.items())
    (HERE / "unicode.json").write_text("{" + text + "}\n", encoding="ascii")


if __name__ == "__main__":
    main()
