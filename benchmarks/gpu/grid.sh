#!/usr/bin/env bash
# Runs (or goes on with) the grid of grid.toml and leaves report, store and log in OUT.
#   grid.sh MODEL.gguf LLAMA_SERVER OUT [SECONDS]
# Started again on the same OUT it resumes. SECONDS is the time after which it asks the run to stop between two trials.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
model=$1 server=$2 out=$3 seconds=${4:-540}
resume=()
[ -f "$out/kvassay.sqlite" ] && resume=(--resume)
timeout --signal=INT --kill-after=30 "$seconds" \
  python3 -m kvassay run "$model" --config "$here/grid.toml" --server "$server" --out "$out" --keep-going "${resume[@]}"
echo "exit code $?"
