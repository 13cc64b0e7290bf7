"""Runs benchmark_tokenize, the tokenizers library and sentencepiece in turn on one folder and one text file, and prints ratios.

usage: compare_tokenizers.py BENCHMARK_TOKENIZE MODEL_FOLDER TEXT_FILE [ROUNDS]

Each line is a text. One thread, then all cores; sentencepiece where the folder has a tokenizer.model. Times are those of
tokenizing alone, each in a fresh process, without loading. Take the median ratio: machines drift, neighbours drift together.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path


def worker(kind, folder, file, threads):
    """Prints the seconds that another tokenizer takes; in a process of its own, as its threads are counted at the start."""
    texts = [line for line in Path(file).read_text(encoding="utf-8").split("\n")]
    if kind == "tokenizers":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        begin = time.perf_counter()
        tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    else:
        from sentencepiece import SentencePieceProcessor

        tokenizer = SentencePieceProcessor(model_file=str(Path(folder) / "tokenizer.model"))
        begin = time.perf_counter()
        tokenizer.encode(texts, num_threads=threads)
    print(time.perf_counter() - begin)


def other(kind, folder, file, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}
    command = [sys.executable, __file__, "--worker", kind, folder, file, str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def main():
    if sys.argv[1] == "--worker":
        return worker(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    program, folder, file = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    kinds = ["tokenizers"] + (["sentencepiece"] if (Path(folder) / "tokenizer.model").exists() else [])
    for threads in (1, os.cpu_count()):
        ratios = {kind: [] for kind in kinds}
        for _ in range(rounds):
            output = subprocess.run([program, folder, file, str(threads)], check=True, capture_output=True, text=True).stdout
            ours = float(re.search(r"tokenized in ([0-9.e+-]+) s", output)[1])
            times = {kind: other(kind, folder, file, threads) for kind in kinds}
            for kind, seconds in times.items():
                ratios[kind].append(seconds / ours)
            print(f"{threads} threads: {output.strip()}; " + ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in times.items()))
        print(f"{threads} threads: " + ", ".join(f"{statistics.median(values):.2f} times {kind}" for kind, values in ratios.items()))


if __name__ == "__main__":
    main()
