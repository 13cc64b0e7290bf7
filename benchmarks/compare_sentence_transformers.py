"""Runs benchmark_encode and sentence-transformers in turn on one folder and one text file, and prints the ratios.

usage: compare_sentence_transformers.py BENCHMARK_ENCODE MODEL_FOLDER TEXT_FILE [ROUNDS]

The folder is one that both load: a sentence-transformers folder. Needs sentence-transformers 6. Times are those of encoding
alone, without loading. Take the median ratio: machines drift, pairs drift together.
"""

import re
import statistics
import subprocess
import sys
import time

from sentence_transformers import SentenceTransformer


def main():
    program, folder, file = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    texts = open(file, encoding="utf-8").read().splitlines()
    model = SentenceTransformer(folder, device="cpu")
    model.encode(texts[:64])
    ratios = []
    for round_ in range(rounds):
        output = subprocess.run([program, folder, file], check=True, capture_output=True, text=True).stdout
        ours = float(re.search(r"of ([0-9.e+-]+) s", output)[1])
        begin = time.perf_counter()
        model.encode(texts, batch_size=32)
        theirs = time.perf_counter() - begin
        ratios.append(theirs / ours)
        print(f"round {round_ + 1}: {ours:.2f} s, sentence-transformers {theirs:.2f} s, ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
