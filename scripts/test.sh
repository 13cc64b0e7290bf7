#!/usr/bin/env bash
# Sets up, builds and tests decovec. Usage: scripts/test.sh [release|debug|sanitizers]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-release}

begin=$SECONDS
scripts/setup.sh
echo "test: set-up took $((SECONDS - begin)) s"
begin=$SECONDS
cmake --preset "$preset" ${DECOVEC_LIBTORCH:+-DDECOVEC_LIBTORCH="$DECOVEC_LIBTORCH"} >/dev/null
cmake --build --preset "$preset"
echo "test: the build took $((SECONDS - begin)) s"
begin=$SECONDS
ctest --preset "$preset" -j "$(nproc)"
echo "test: the tests took $((SECONDS - begin)) s"
