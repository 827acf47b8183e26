#!/usr/bin/env bash
# Runs (or goes on with) one measurement and leaves report, store and log in OUT.
#   measure.sh SETTINGS.toml MODEL.gguf LLAMA_SERVER OUT [SECONDS]
# Started again on the same OUT it resumes. SECONDS is the time after which it asks the run to stop between two trials.
set -uo pipefail
settings=$1 model=$2 server=$3 out=$4 seconds=${5:-540}
resume=()
[ -f "$out/kvassay.sqlite" ] && resume=(--resume)
timeout --signal=INT --kill-after=30 "$seconds" \
  python3 -m kvassay run "$model" --config "$settings" --server "$server" --out "$out" --keep-going "${resume[@]}"
echo "exit code $?"
