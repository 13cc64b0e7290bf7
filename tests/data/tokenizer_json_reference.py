#!/usr/bin/env python3
"""Writes tokenizer_json/cases.json: small tokenizers of many kinds, texts, and the ids of the tokenizers library.

One case a line: {"name", "tokenizer": what its tokenizer.json holds, "rows": [[text, ids], ...]}; ids are null where the
library refuses the text. Models have random merges, which is harder on their order than trained ones. Needs tokenizers
0.23.3.
"""
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

HERE = Path(__file__).resolve().parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def random_bpe(draw, letters, merges, extra=(), **options):
    """A vocabulary of letters, extra tokens and what random merges of known tokens make; some pairs come twice."""
    vocab = {token: i for i, token in enumerate([*letters, *extra])}
    known, pairs = list(letters), []
    for _ in range(merges):
        left, right = draw.choice(known), draw.choice(known)
        if len(left + right) > 12:
            continue
        if left + right not in vocab:
            vocab[left + right] = len(vocab)
            known.append(left + right)
        pairs.append((left, right))
    for token in draw.sample(known, min(5, len(known))):  # other ways to the same token
        pairs += [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
    return BPE(vocab, pairs, **options)


def random_texts(draw, pieces, count, longest):
    return ["".join(draw.choices(pieces, k=draw.randint(0, longest))) for _ in range(count)]


def merges_cases(draw):
    for n in range(16):
        letters = "ab" if n < 4 else "abcd"
        tokenizer = Tokenizer(random_bpe(draw, letters, 24))
        yield f"merges {n}", tokenizer, random_texts(draw, letters, 12, 60) + random_texts(draw, letters, 3, 400)


def words_cases(draw):
    """Merges that lead over the beginning of a word, and merges that do not."""
    for n, letters in enumerate(["ab▁", "abc▁", "ab▁", "a▁", "ab▁é"]):
        tokenizer = Tokenizer(random_bpe(draw, letters, 20, ["<unk>"], unk_token="<unk>", fuse_unk=True, ignore_merges=n == 2))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        yield f"words {n}", tokenizer, random_texts(draw, letters + " x", 30, 30)
    vocab = {token: i for i, token in enumerate(["▁", "a", "b", "▁a", "▁b", "ab", "▁ab", "▁▁", "a▁b", "<0xC3>", "<0xA9>", "<0xA9>▁"])}
    tokenizer = Tokenizer(BPE(vocab, [("▁", "a"), ("<0xA9>", "▁"), ("▁", "b"), ("a", "b"), ("▁a", "b"), ("▁", "▁"), ("a", "▁b")], byte_fallback=True))
    yield "words and bytes", tokenizer, random_texts(draw, "ab▁é", 30, 20)


def unknown_cases(draw):
    some_bytes = [f"<0x{byte:02X}>" for byte in range(256) if byte not in (0xE5, 0x7A)]
    for n, options in enumerate([
            {"unk_token": "<unk>", "fuse_unk": True}, {"unk_token": "<unk>", "fuse_unk": False}, {},
            {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
            {"unk_token": "<unk>", "fuse_unk": False, "byte_fallback": True}, {"byte_fallback": True},
            {"unk_token": "<none>"}]):
        extra = ["<unk>"] + (some_bytes if "byte_fallback" in options else [])
        tokenizer = Tokenizer(random_bpe(draw, "ab", 8, extra, **options))
        # 中 begins with a byte that has a token, 北 with one that has none; the order of an unknown token and bytes.
        yield f"unknown {n}", tokenizer, ["z", "zz", "azb", "北a", "北é", "北éa", "é北é北a", "中北中"] + random_texts(
            draw, ["a", "b", "z", "é", "北", "中", "😀"], 20, 12)


def byte_level(draw, merges, ignore_merges):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = random_bpe(draw, ["t", "h", "e", "Ġ", "a", "Ã", "©", "1", "Ċ"], merges)
    vocab = json.loads(Tokenizer(model).to_str())["model"]
    for letter in alphabet:
        vocab["vocab"].setdefault(letter, len(vocab["vocab"]))
    vocab["vocab"]["the"] = vocab["vocab"].get("the", len(vocab["vocab"]))
    vocab["vocab"]["北京"] = len(vocab["vocab"])  # spells no bytes, so no piece is it
    return BPE(vocab["vocab"], [tuple(pair) for pair in vocab["merges"]], ignore_merges=ignore_merges)


def byte_level_cases(draw):
    pieces = ["t", "h", "e", " ", "the", " the", "a", "é", "1", "12345", "\n", "北京", "😀", "'s", "!", "\t"]
    for n in range(4):
        tokenizer = Tokenizer(byte_level(draw, 30, n % 2 == 1))
        if n < 2:
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=n == 1)
        else:
            tokenizer.normalizer = normalizers.NFC()
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.ByteLevel()
        yield f"byte level {n}", tokenizer, random_texts(draw, pieces, 30, 12)


ADDED = ["<s>", "</s>", "[A]", "[A][B]", "ab", "b a", "a", " ", "\n", "é", "É", "🎉", "_x", "B", "aa", "aab", "▁", "A B"]


def added_cases(draw):
    pieces = ADDED + ["a", "b", "x", " ", "  ", "\u3000", "\t", "\u00a0", "_", "1", "\u0301", "-", "\u200d", "北", "٣", "Ⅷ", "²", "ab", "C"]
    for n in range(14):
        tokenizer = Tokenizer(random_bpe(draw, "abx▁ <>s/[]AB", 10, ["<unk>"], unk_token="<unk>"))
        tokenizer.normalizer = [None, normalizers.Lowercase(), normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
                                normalizers.NFKC(), normalizers.Strip()][n % 5]
        tokenizer.pre_tokenizer = [None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)][n // 5 % 2] if n % 5 != 2 else None
        for content in draw.sample(ADDED, 7):
            token = AddedToken(content, single_word=draw.random() < 0.3, lstrip=draw.random() < 0.3, rstrip=draw.random() < 0.3,
                               normalized=draw.random() < 0.5, special=draw.random() < 0.5)
            before = tokenizer.to_str()
            try:
                tokenizer.add_tokens([token])
                Tokenizer.from_str(tokenizer.to_str())
            except Exception:  # two that are the same when normalized
                tokenizer = Tokenizer.from_str(before)
        yield f"added {n}", tokenizer, random_texts(draw, pieces, 40, 12)


def encode(tokenizer, text):
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except Exception:
        return None


def main():
    draw = random.Random(7)
    lines = []
    for cases in (merges_cases, words_cases, unknown_cases, byte_level_cases, added_cases):
        for name, tokenizer, texts in cases(draw):
            tokenizer = Tokenizer.from_str(tokenizer.to_str())
            rows = [[text, encode(tokenizer, text)] for text in texts]
            lines.append(json.dumps({"name": name, "tokenizer": json.loads(tokenizer.to_str()), "rows": rows}, separators=(",", ":")))
    (HERE / "tokenizer_json" / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii")
    print(len(lines), "cases")


if __name__ == "__main__":
    main()
