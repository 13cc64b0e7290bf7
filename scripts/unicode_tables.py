#!/usr/bin/env python3
"""Writes src/text/unicode_tables.cpp by asking the tokenizers library (pinned below) about every code point.

The library draws on several crates, each with a Unicode version of its own; so nothing here is read from Unicode's
files. Run it with the pinned version installed; it writes the same bytes every time.
"""
import bisect
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

VERSION = "0.23.3"
OUTPUT = Path(__file__).resolve().parent.parent / "src" / "text" / "unicode_tables.cpp"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
EVERY = "".join(map(chr, CODE_POINTS))
# Enough of them to see whether two names mean the same.
SOME = "".join(c for c in EVERY if ord(c) < 0x800 or ord(c) % 13 == 0)
HANGUL = range(0xAC00, 0xD7A4)

# The names of \p{...}, with the names that mean the same. Oniguruma ignores case, spaces, '-' and '_' in them.
CATEGORIES = """C=Other Cc=Control Cf=Format Cn=Unassigned Co=Private_Use L=Letter LC=Cased_Letter Ll=Lowercase_Letter
Lm=Modifier_Letter Lo=Other_Letter Lt=Titlecase_Letter Lu=Uppercase_Letter M=Mark=Combining_Mark Mc=Spacing_Mark
Me=Enclosing_Mark Mn=Nonspacing_Mark N=Number Nd=Decimal_Number Nl=Letter_Number No=Other_Number P=Punctuation=Punct
Pc=Connector_Punctuation Pd=Dash_Punctuation Pe=Close_Punctuation Pf=Final_Punctuation Pi=Initial_Punctuation
Po=Other_Punctuation Ps=Open_Punctuation S=Symbol Sc=Currency_Symbol Sk=Modifier_Symbol Sm=Math_Symbol
So=Other_Symbol Z=Separator Zl=Line_Separator Zp=Paragraph_Separator Zs=Space_Separator"""
PROPERTIES = """Alnum Alpha=Alphabetic Any ASCII Assigned Blank Cntrl Digit Emoji Extended_Pictographic Graph
Lower=Lowercase PosixPunct Print Space=White_Space Upper=Uppercase Word XDigit"""
SCRIPTS = """Arabic Armenian Bengali Bopomofo Common Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi
Han=Hani Hangul=Hang Hebrew Hiragana=Hira Inherited Kannada Katakana=Kana Khmer Lao Latin=Latn Malayalam Mongolian
Myanmar Oriya Sinhala Tamil Telugu Thai Tibetan"""


def matched(pattern, among=EVERY):
    """The code points that an Oniguruma pattern for one character matches."""
    rest = normalizers.Replace(Regex(f"(?:{pattern})+"), "").normalize_str(among)
    return frozenset(map(ord, among)) - frozenset(map(ord, rest))


def check(pattern, expected):
    assert matched(pattern, SOME) == expected & frozenset(map(ord, SOME)), pattern


def kept(pre_tokenizer):
    return frozenset(ord(c) for piece, _ in pre_tokenizer.pre_tokenize_str(EVERY) for c in piece)


def rust_sets():
    """What the library's other parts ask of a character, by the names of UnicodeSet in unicode.hpp."""
    every = frozenset(CODE_POINTS)
    digits = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str("".join(f"a{chr(c)}" for c in CODE_POINTS) + "a")
    words = pre_tokenizers.Whitespace().pre_tokenize_str("".join(f"a{chr(c)} " for c in CODE_POINTS))
    strip = normalizers.StripAccents()
    return {
        "white_space": every - kept(pre_tokenizers.WhitespaceSplit()),
        "numeric": frozenset(ord(piece) for piece, _ in digits if len(piece) == 1 and piece != "a"),
        "punctuation": every - kept(pre_tokenizers.Punctuation("removed")),
        "word": frozenset(ord(piece[1]) for piece, _ in words if len(piece) == 2 and piece[0] == "a"),
        "mark": every - frozenset(map(ord, strip.normalize_str(EVERY))),
    }


def check_whitespace(sets):
    """The Whitespace pre-tokenizer's \\s is the white_space of the others."""
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(" ".join(EVERY))
    assert frozenset(ord(c) for piece, _ in pieces for c in piece) == frozenset(CODE_POINTS) - sets["white_space"]


def check_case():
    """Matching without regard to case: what the parser of patterns holds for ASCII letters."""
    for c in map(chr, range(128)):
        expected = {c}
        if c.isalpha():
            expected = {c.lower(), c.upper()} | {"s": {"\u017f"}, "k": {"\u212a"}}.get(c.lower(), set())
        among = EVERY if c.islower() else SOME
        assert matched("(?i:\\x{%X})" % ord(c), among) == frozenset(map(ord, expected)) & frozenset(map(ord, among)), c


def check_names(by_name):
    """Which names and signs mean the same; in brackets only words and POSIX's punctuation are not what they are outside."""
    every = frozenset(CODE_POINTS)
    for row in (CATEGORIES + " " + PROPERTIES + " " + SCRIPTS).split():
        for name in row.split("="):
            inside = by_name["[word]" if name == "Word" else name]
            check(f"\\p{{{name}}}", by_name[name])
            check(f"[\\p{{{name}}}]", inside)
            check(f"[^\\p{{{name}}}]", every - inside)
    for letter, name in [("w", "Word"), ("s", "Space"), ("d", "Digit"), ("h", "XDigit")]:
        inside = by_name["[word]" if name == "Word" else name]
        check(f"\\{letter}", by_name[name])
        check(f"[\\{letter}]", inside)
        check(f"[\\{letter.upper()}]", every - inside)
    for name in "Alnum Alpha ASCII Blank Cntrl Digit Graph Lower Print Space Upper XDigit".split():
        check(f"[[:{name.lower()}:]]", by_name[name])
    check("[[:punct:]]", by_name["PosixPunct"])


def runs_of(value_of):
    """(first, value) wherever the value changes; surrogates take the value before them."""
    runs = []
    for c in CODE_POINTS:
        value = value_of(c)
        if not runs or runs[-1][1] != value:
            runs.append((c, value))
    return runs


def normalized_lines(form, strings):
    """Normalizes many strings at once; a line feed is a starter that composes with nothing."""
    return form.normalize_str("\n".join(strings)).split("\n")


def each(form):
    result = dict(zip(CODE_POINTS, normalized_lines(form, [chr(c) if c != 10 else "" for c in CODE_POINTS])))
    result[10] = "\n"
    return result


def hangul_decomposition(c):
    index = c - HANGUL.start
    jamo = [0x1100 + index // 588, 0x1161 + index % 588 // 28] + ([0x11A7 + index % 28] if index % 28 else [])
    return "".join(map(chr, jamo))


def combining_classes(nfd):
    """The canonical combining class of each character that has one and does not decompose.

    Two characters of different classes above 0 stand in the order of their classes after NFD, whichever way they came;
    so a character's class is found beside one known character of each class.
    """
    stable = [c for c in CODE_POINTS if nfd[c] == chr(c) and c != 10]

    def swaps(candidates, text):
        return {c for c, out in zip(candidates, normalized_lines(normalizers.NFD(), map(text, candidates))) if out != text(c)}
    lowest, highest = "\u0334", "\u0345"
    marks = sorted(swaps(stable, lambda c: "a" + highest + chr(c)) | swaps(stable, lambda c: "a" + chr(c) + lowest))
    known = {}
    for c in marks:
        known.setdefault(unicodedata.combining(chr(c)), chr(c))
    known.pop(0, None)
    classes = {}
    for value, mark in known.items():
        other = swaps(marks, lambda c: "a" + mark + chr(c)) | swaps(marks, lambda c: "a" + chr(c) + mark)
        for c in set(marks) - other:
            assert c not in classes
            classes[c] = value
    assert sorted(classes) == marks
    return classes


def compositions(nfc, nfd):
    """(first, second, composed) of every pair that NFC joins, without Hangul."""
    rows = []
    for c in CODE_POINTS:
        if nfc[c] != chr(c) or nfd[c] == chr(c) or c in HANGUL:
            continue
        first = normalizers.NFC().normalize_str(nfd[c][:-1])
        assert len(first) == 1 and normalizers.NFC().normalize_str(first + nfd[c][-1]) == chr(c)
        rows.append((ord(first), ord(nfd[c][-1]), c))
    return sorted(rows)


def array(name, kind, values):
    lines, line = [], ""
    for value in values:
        text = f"{value},"
        if len(line) + len(text) > 110:
            lines.append(line)
            line = ""
        line += text
    lines.append(line)
    return (f"constexpr {kind} {name}_values[] = {{\n" + "\n".join(lines) + "};\n"
            f"const std::span<const {kind}> {name}({name}_values);\n")


def code_points(text):
    return [ord(c) for c in text]


def main():
    assert tokenizers.__version__ == VERSION, f"expected tokenizers {VERSION}, got {tokenizers.__version__}"
    check_case()
    rust = rust_sets()
    check_whitespace(rust)
    names, sets = [], []
    for row in (CATEGORIES + " " + PROPERTIES + " " + SCRIPTS).split():
        first, *others = row.split("=")
        sets.append(matched(f"\\p{{{first}}}"))
        names += [(name, len(sets) - 1) for name in [first] + others]
    # In brackets, Oniguruma takes six characters of Latin-1 for no word characters that are ones outside.
    sets.append(matched("[[:word:]]"))
    names.append(("[word]", len(sets) - 1))
    by_name = {name: sets[i] for name, i in names}
    check_names(by_name)
    rust_begin = len(sets)
    sets += rust.values()

    cells = {}
    def cell_of(c):
        return cells.setdefault(tuple(c in s for s in sets), len(cells))
    runs = runs_of(cell_of)
    members = [[i for i, inside in enumerate(cell) if inside] for cell in cells]

    nfc, nfd = each(normalizers.NFC()), each(normalizers.NFD())
    nfkc, nfkd = each(normalizers.NFKC()), each(normalizers.NFKD())
    for c in HANGUL:
        assert nfd[c] == nfkd[c] == hangul_decomposition(c) and nfc[c] == nfkc[c] == chr(c)
    canonical = [v for c in CODE_POINTS if nfd[c] != chr(c) and c not in HANGUL for v in [c, len(nfd[c]), *code_points(nfd[c])]]
    compatible = [v for c in CODE_POINTS if nfkd[c] != nfd[c] for v in [c, len(nfkd[c]), *code_points(nfkd[c])]]
    classes = combining_classes(nfd)
    class_runs = runs_of(lambda c: classes.get(c, 0))
    lower = each(normalizers.Lowercase())

    text = f"""// Generated by scripts/unicode_tables.py from tokenizers {VERSION}; do not edit.
// clang-format off
#include "text/unicode_tables.hpp"

namespace decovec::unicode_tables {{

"""
    text += array("runs", "uint32_t", [v for run in runs for v in run])
    text += array("cells", "uint8_t", [v for cell in members for v in [len(cell), *cell]])
    key = lambda name: name.lower().replace("_", "")
    rows = sorted([(key(name), i) for name, i in names])
    assert len(dict(rows)) == len(rows)
    text += array("names", "std::pair<std::string_view, int>", [f'{{"{name}",{i}}}' for name, i in rows])
    text += "const int first_library_set = %d;\n" % rust_begin
    text += array("canonical_decompositions", "uint32_t", canonical)
    text += array("compatibility_decompositions", "uint32_t", compatible)
    text += array("combining_classes", "uint32_t", [v for run in class_runs for v in run])
    text += array("compositions", "uint32_t", [v for row in compositions(nfc, nfd) for v in row])
    text += array("lower_case", "uint32_t", [v for c in CODE_POINTS if lower[c] != chr(c) for v in [c, len(lower[c]), *code_points(lower[c])]])
    text += "\n}  // namespace decovec::unicode_tables\n"
    OUTPUT.write_text(text, encoding="ascii")
    print(f"{len(sets)} sets, {len(cells)} cells, {len(runs)} runs, {len(text)} bytes")


if __name__ == "__main__":
    main()
