#!/usr/bin/env bash
# Installs what decovec builds with: Debian's packages, and LibTorch from PyPI's torch wheel into .deps/libtorch.
# Safe to run again; it does nothing where everything is in place.
#
# DECOVEC_LIBTORCH=<folder with include/ and lib/>: use that LibTorch, download none.
# DECOVEC_FUZZ=1: also what scripts/fuzz.sh needs, clang and its libraries.
# DECOVEC_CUDA=0|1: LibTorch without or with the CUDA libraries; by default with them where nvidia-smi finds a device.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

torch_version=2.11.0
cpu_wheels=("torch==$torch_version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
packages=(g++ cmake ninja-build ccache ca-certificates python3 python3-pip libsentencepiece-dev libpcre2-dev
  nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libeigen3-dev libopenmpi-dev openmpi-bin
  libgtest-dev libgmock-dev wordnet-base)
if [ "${DECOVEC_FUZZ:-0}" = 1 ]; then packages+=(clang libclang-rt-14-dev libomp-14-dev); fi

stop() {
  echo "setup: $*" >&2
  exit 1
}

[ "$(uname -m)" = x86_64 ] || stop "this needs an x86-64 machine, and this one is $(uname -m)"
command -v apt-get >/dev/null || stop "this needs Debian 12 (apt-get is not here); on other systems install ${packages[*]} or their like and pass -DDECOVEC_LIBTORCH to cmake"
[ -w . ] || stop "the folder $PWD must be writable"

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || stop "the Debian packages ${missing[*]} are missing, and installing them needs root or sudo"
    as_root=(sudo)
  fi
  echo "setup: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || stop "apt-get update failed; is the network there?"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >/dev/null || stop "apt-get could not install ${missing[*]}"
fi

if [ -n "${DECOVEC_LIBTORCH:-}" ]; then
  [ -e "$DECOVEC_LIBTORCH/lib/libtorch_cpu.so" ] || stop "DECOVEC_LIBTORCH: no lib/libtorch_cpu.so in '$DECOVEC_LIBTORCH'"
  exit 0
fi

cuda=${DECOVEC_CUDA:-}
if [ -z "$cuda" ]; then
  if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then cuda=1; else cuda=0; fi
fi
wanted="$torch_version cuda=$cuda"
if [ "$(cat .deps/libtorch/wanted 2>/dev/null || true)" != "$wanted" ]; then
  need_kb=$((cuda ? 16000000 : 3000000))
  free_kb=$(df -Pk . | awk 'NR == 2 {print $4}')
  [ "$free_kb" -ge "$need_kb" ] || stop "LibTorch needs $((need_kb / 1000000)) GB of disk in $PWD, and $((free_kb / 1000000)) GB are free"
  echo "setup: fetching LibTorch $torch_version ($([ "$cuda" = 1 ] && echo with || echo without) CUDA libraries)"
  rm -rf .deps/libtorch.new
  # Without its dependencies the wheel still wants two small NVIDIA libraries, but no CUDA toolkit.
  if [ "$cuda" = 1 ]; then wheels=("torch==$torch_version"); else wheels=(--no-deps "${cpu_wheels[@]}"); fi
  python3 -m pip install -q --no-compile --disable-pip-version-check --root-user-action=ignore --only-binary=:all: \
    --target .deps/libtorch.new "${wheels[@]}" || stop "pip could not fetch the torch wheel; is PyPI reachable?"
  echo "$wanted" >.deps/libtorch.new/wanted
  rm -rf .deps/libtorch
  mv .deps/libtorch.new .deps/libtorch
fi
