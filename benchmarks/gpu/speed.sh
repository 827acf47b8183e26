#!/usr/bin/env bash
# Prompt and generation speed of each K/V pair by llama-bench, one pair at a time on one GPU.
#   speed.sh LLAMA_BENCH MODEL.gguf OUT.jsonl [DEPTH]
set -uo pipefail
bench=$1 model=$2 out=$3 depth=${4:-8192}
for pair in f16/f16 q8_0/q8_0 q8_0/f16 f16/q8_0 q8_0/q4_0 q5_1/q5_1 q5_0/f16 q4_1/q4_1 q4_0/f16 f16/q4_0 q4_0/q4_0; do
  "$bench" -m "$model" -ngl 99 -fa 1 -ctk "${pair%/*}" -ctv "${pair#*/}" -d "$depth" -p 512 -n 64 -r 3 -o jsonl >> "$out" ||
    echo "{\"type_k\": \"${pair%/*}\", \"type_v\": \"${pair#*/}\", \"failed\": true}" >> "$out"
done
