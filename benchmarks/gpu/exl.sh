#!/usr/bin/env bash
# Installs ExLlamaV3 and what kvassay needs beside it from a folder of wheels, and compiles its kernels for this card.
#   exl.sh WHEELS_DIR SITE_DIR [install]     install: without compiling
# Then: source SITE_DIR/env.sh. Needs torch with CUDA, transformers, nvcc, g++, Python's headers; no network. Wheels
# whose project is installed already are left out, so that nothing of the image is shadowed.
# The kernels go to SITE_DIR/extensions. Killed and started again with the same SITE_DIR it goes on where it was.
set -euo pipefail
wheels=$1 site=$(realpath -m "$2")
repo=$(realpath "$(dirname "$0")/../..")
cuda=${CUDA_HOME:-/usr/local/cuda}
arch=${KVASSAY_CUDA_ARCH:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)}
mkdir -p "$site/include"

anywhere() { # the folder of a header, wherever it lies
  local found
  found=$(find / -name "$1" -not -path '/proc/*' -not -path "$site/*" 2>/dev/null | head -n 1 || true)
  [ -n "$found" ] || { echo "no $1 anywhere: install $2" >&2; exit 1; }
  dirname "$found"
}

python3 - "$wheels" > "$site/install.txt" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for wheel in sorted(Path(sys.argv[1]).glob("*.whl")):
    name = wheel.name.split("-")[0].replace("_", "-")
    try:
        print(f"{name} {version(name)} is here already", file=sys.stderr)
    except PackageNotFoundError:
        print(wheel.resolve())
PY
if [ ! -d "$site/exllamav3" ] && [ -s "$site/install.txt" ]; then
  xargs -a "$site/install.txt" python3 -m pip install --quiet --no-index --no-deps --target "$site"
fi

python_headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -e "$python_headers/Python.h" ] || { echo "no $python_headers/Python.h: install python3-dev" >&2; exit 1; }
# Where the toolkit has the compiler only, the headers of cuBLAS and its like are those that torch brought.
for family in cublas_v2.h:cublas curand_kernel.h:curand cusparse.h:cusparse cusolverDn.h:cusolver; do
  if [ ! -e "$cuda/include/${family%:*}" ]; then
    folder=$(anywhere "${family%:*}" "the CUDA toolkit, or torch with CUDA")
    ln -sf "$folder/${family#*:}"*.h "$site/include/"
  fi
done

cat > "$site/env.sh" <<ENV
export CUDA_HOME='$cuda' PATH='$cuda/bin:$site/bin':"\$PATH"
export PYTHONPATH='$repo/src:$site'
export TORCH_CUDA_ARCH_LIST='$arch' TORCH_EXTENSIONS_DIR='$site/extensions' MAX_JOBS='$(nproc)'
export CPATH='$site/include:$python_headers'
ENV
# shellcheck disable=SC1091
source "$site/env.sh"
[ "${3:-}" != install ] || exit 0
mkdir -p "$TORCH_EXTENSIONS_DIR"
rm -f "$TORCH_EXTENSIONS_DIR/exllamav3_ext/lock" # of a build that was killed: torch would wait for it for ever
started=$(date +%s)
python3 -c 'import exllamav3, exllamav3.version; print("exllamav3", exllamav3.version.__version__, "is ready")'
echo "compiled and imported in $(($(date +%s) - started)) s for sm $arch with $(nproc) jobs"
