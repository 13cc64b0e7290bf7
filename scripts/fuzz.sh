#!/usr/bin/env bash
# Runs each fuzz target (tests/fuzz) for some seconds on its kept inputs and what it makes of them.
#
# Usage: scripts/fuzz.sh [seconds [target...]]. What it finds new stays in build/fuzz/corpus; what fails is left as
# build/fuzz/found/<target>-*, and belongs into tests/fuzz/corpus/<target> once it is mended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-5}
shift || true

if ! command -v clang++ >/dev/null || [ ! -e "$(clang++ -print-file-name=libclang_rt.fuzzer-x86_64.a)" ]; then
  echo "fuzz: skipped: clang with libFuzzer is not installed (DECOVEC_FUZZ=1 scripts/setup.sh)"
  [ "${DECOVEC_FUZZ:-0}" = 1 ] && exit 1  # setup.sh was to install it
  exit 0
fi
cmake --preset fuzz ${DECOVEC_LIBTORCH:+-DDECOVEC_LIBTORCH="$DECOVEC_LIBTORCH"} >/dev/null
cmake --build build/fuzz --target fuzz

export ASAN_OPTIONS=detect_odr_violation=0:detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
if [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi  # the targets write small files, thousands a second
mkdir -p build/fuzz/found
if [ $# -eq 0 ]; then set -- $(ls tests/fuzz/corpus); fi
failed=()
for target in "$@"; do
  mkdir -p "build/fuzz/corpus/$target"
  log=build/fuzz/$target.log
  if build/fuzz/tests/fuzz/fuzz_"$target" -seed="${DECOVEC_FUZZ_SEED:-0}" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=3000 -malloc_limit_mb=1000 \
    -max_len=20000 -artifact_prefix="build/fuzz/found/$target-" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" 2>"$log"; then
    echo "fuzz: $target: $(grep -o 'Done [0-9]* runs' "$log" || echo done)"
  else
    echo "fuzz: $target: failed, see $log and build/fuzz/found" >&2
    tail -n 30 "$log" >&2
    failed+=("$target")
  fi
done
[ ${#failed[@]} -eq 0 ]
