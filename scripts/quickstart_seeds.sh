#!/usr/bin/env bash
# The quickstart's training with three seeds, and the mean of their tables. Needs what scripts/quickstart.sh leaves.
#
#   scripts/quickstart_seeds.sh [dev|test] [--set key=value]...
#
# Settings are tuned on dev; test is for the figures that are reported.
set -euo pipefail
cd "$(dirname "$0")/.."

split=${1:-test}
shift || true
recipe=recipes/quickstart.toml
output=$PWD/build/quickstart/seeds
data=build/quickstart/data/$split
if [[ ! -x build/release/decovec || ! -d $data ]]; then
  echo "build/release/decovec or $data is not there; run scripts/quickstart.sh first" >&2
  exit 1
fi

rm -rf "$output"
mkdir -p "$output"
for seed in 1 2 3; do
  settings=(--set "seed=$seed" --set "output=$output/$seed" --set "stage.retrieval.output=$output/$seed-retrieval" "$@")
  build/release/decovec train "$recipe" "${settings[@]}"
  echo "seed $seed"
  build/release/examples/quickstart_table "$recipe" "$data" "${settings[@]}" --markdown "$output/$seed.md"
done

echo "mean of three seeds"
awk -F'|' '
  FNR <= 2 { if (NR == FNR) print; next }
  { name[FNR] = $2; last = FNR; for (i = 3; i < NF; ++i) { sum[FNR, i] += $i; text[FNR, i] = $i }; fields = NF }
  END {
    for (row = 3; row <= last; ++row) {
      printf "|%s|", name[row]
      for (i = 3; i < fields; ++i) printf text[row, i] ~ /[0-9]/ ? " %10.1f |" : " %10s |", text[row, i] ~ /[0-9]/ ? sum[row, i] / 3 : "-"
      print ""
    }
  }' "$output"/[123].md
