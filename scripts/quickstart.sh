#!/usr/bin/env bash
# From a fresh Debian 12 to an embedder trained on WordNet: set-up, build, data, two stages of training, a table of what
# each stage gained on held-out data, and a search to try it.
#
#   scripts/quickstart.sh            under 15 minutes on 2 cores
#   scripts/quickstart.sh --short    a few training steps, to see that all of it works, in build/quickstart/short
#
# Safe to run again: set-up and build do what is missing; build/quickstart is made anew, by --short its data and short/ alone.
set -euo pipefail
cd "$(dirname "$0")/.."

data=build/quickstart/data
output=build/quickstart
train_options=()
case "${1:-}" in
  "") rm -rf "$output" ;;
  --short)
    output=build/quickstart/short
    rm -rf "$data" "$output"
    train_options=(--set stage.retrieval.steps=5 --set stage.blend.steps=5
      --set "output=$PWD/$output/model" --set "stage.retrieval.output=$PWD/$output/model-after-retrieval")
    ;;
  *)
    echo "usage: scripts/quickstart.sh [--short]" >&2
    exit 2
    ;;
esac

recipe=recipes/quickstart.toml
program=build/release/decovec
times=()

# phase NAME COMMAND...: runs it and keeps its time.
phase() {
  local name=$1 start=$SECONDS
  shift
  echo
  echo "== $name"
  "$@"
  times+=("$(printf '%-10s %4d s' "$name" $((SECONDS - start)))")
}

build() {
  cmake --preset release ${DECOVEC_LIBTORCH:+-DDECOVEC_LIBTORCH="$DECOVEC_LIBTORCH"} >"$output/cmake.log" || { cat "$output/cmake.log"; return 1; }
  cmake --build --preset release --target decovec_program wordnet_data quickstart_table
}

# The folder that the recipe starts from, or its random weights.
train() {
  local folder
  folder=$(sed -n 's/^model *= *"\(.*\)".*/\1/p' "$recipe")
  echo "starting from ${folder:-random weights} ($recipe)"
  "$program" train "$recipe" "${train_options[@]}"
}

mkdir -p "$output"
phase set-up scripts/setup.sh
phase build build
phase data build/release/examples/wordnet_data "$data"
phase training train
phase measuring build/release/examples/quickstart_table "$recipe" "$data/test" "${train_options[@]}" \
  --markdown "$output/table.md" --json "$output/table.json"

echo
printf '%s\n' "${times[@]}"
printf '%-10s %4d s\n' together "$SECONDS"
echo
echo "== search: $program search --model $output/model --corpus $data/concepts.txt"
exec "$program" search --model "$output/model" --corpus "$data/concepts.txt"
