#!/usr/bin/env bash
# Installs ExLlamaV3 and what kvassay needs beside it from a folder of wheels, and compiles its kernels for this card.
#   exl.sh WHEELS_DIR SITE_DIR
# Then: source SITE_DIR/env.sh. Needs torch with CUDA, transformers, nvcc, a C++ compiler; no network. Wheels whose
# project is installed already are left out, so that nothing of the image is shadowed.
# The kernels go to SITE_DIR/extensions (TORCH_EXTENSIONS_DIR): a later run with the same SITE_DIR compiles nothing.
set -euo pipefail
wheels=$1 site=$(realpath -m "$2")
repo=$(realpath "$(dirname "$0")/../..")
cuda=${CUDA_HOME:-/usr/local/cuda}
arch=${KVASSAY_CUDA_ARCH:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)}
mkdir -p "$site"
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
# Headers and libraries of cuBLAS, cuSPARSE … where the toolkit has only the compiler: those that torch brought.
includes=() libraries=()
for name in cublas_v2.h cusparse.h cusolverDn.h curand.h; do
  if [ ! -e "$cuda/include/$name" ]; then
    header=$(find / -name "$name" -not -path '/proc/*' 2>/dev/null | head -n 1 || true)
    [ -n "$header" ] || { echo "no $name anywhere: install the CUDA toolkit or torch with CUDA" >&2; exit 1; }
    includes+=("$(dirname "$header")")
    libraries+=("$(dirname "$(dirname "$header")")/lib")
  fi
done
cat > "$site/env.sh" <<ENV
export CUDA_HOME='$cuda' PATH='$cuda/bin:$site/bin':"\$PATH"
export PYTHONPATH='$repo/src:$site'
export TORCH_CUDA_ARCH_LIST='$arch' TORCH_EXTENSIONS_DIR='$site/extensions' MAX_JOBS='$(nproc)'
export CPATH='$(IFS=:; echo "${includes[*]-}")'\${CPATH:+:\$CPATH}
export LIBRARY_PATH='$(IFS=:; echo "${libraries[*]-}")'\${LIBRARY_PATH:+:\$LIBRARY_PATH}
ENV
# shellcheck disable=SC1091
source "$site/env.sh"
started=$(date +%s)
python3 -c '
from kvassay.backend.exllamav3 import import_engine
import_engine(lambda progress: print(progress.note, flush=True))
import exllamav3.version
print("exllamav3", exllamav3.version.__version__, "is ready")
'
echo "compiled and imported in $(($(date +%s) - started)) s for sm $arch with $(nproc) jobs"
