#!/usr/bin/env bash
# The whole claim in one lease of a bare GPU host: everything is built while the pieces arrive, then llama.cpp and
# ExLlamaV3 are measured at the same time, each boot a share of a card. In the checkout there, one call after another:
#   lease.sh feed PIECE_FOLDER [exl | SETTINGS.toml]   a piece of kit.sh's, in order; the first one starts both runs,
#                          or ExLlamaV3's alone, or llama.cpp's alone with other settings than claim.toml
#   lease.sh wait SECONDS  until both runs have ended, or so long after the first piece; at once where a piece is missing
#   lease.sh stop          Ctrl-C to what still runs: it finishes its trials
#   lease.sh ship N OUT    the Nth four pieces of the stores, from 0: cat claim.sqlite.xz.* | xz -d > claim.sqlite
# All lies under KVASSAY_LEASE, /tmp/lease by default: claim and exl (store, report), and each step's log.
set -euo pipefail
root=${KVASSAY_LEASE:-/tmp/lease}
repo=$(realpath "$(dirname "$0")/../..")
export KVASSAY_HOME=$root/home PYTHONUNBUFFERED=1

# A step, or a stage of the stream, is done when NAME.here stands; NAME.failed says that it never will.
arrived() {
  until [ -e "$root/$1.here" ]; do
    [ ! -e "$root/$1.failed" ] || return 1
    sleep 0.3
  done
}

step() {
  local name=$1
  shift
  if "$@" > "$root/$name.log" 2>&1 < /dev/null; then
    touch "$root/$name.here"
  else
    echo "$name: exit code $?" > "$root/$name.failed"
    return 1
  fi
}

site() { # what the kit's wheels were installed to, as soon as they are
  until [ -e "$root/site/env.sh" ]; do
    [ ! -e "$root/exl.failed" ] || return 1
    sleep 0.3
  done
  # shellcheck disable=SC1091
  source "$root/site/env.sh"
}

start_ray() {
  site || return 1
  python3 -m pip install --quiet --no-index --no-deps --target "$root/site" "$root"/ray/ray-*.whl || return 1
  setsid python3 -m ray.scripts.scripts start --head --block --num-gpus="$(cards)" --num-cpus=$((3 * $(nproc))) \
    --disable-usage-stats --include-dashboard=false > "$root/ray_head.log" 2>&1 < /dev/null &
  for _ in $(seq 60); do
    grep -q 'Ray runtime started' "$root/ray_head.log" && return 0
    sleep 1
  done
  return 1
}

cards() { nvidia-smi --list-gpus | wc -l; }

# assay NAME SHARE CPUS MODEL SETTINGS [MORE]: each boot takes SHARE of all the cards. Ray fills one card before the next:
# .04 and .095 leave room on both for one ExLlamaV3 boot beside 21 of llama.cpp, and lay ten of it evenly; .15, six.
assay() {
  local name=$1 share=$2 cpus=$3 model=$4 settings=$5
  shift 5
  site || return 1
  python3 -m kvassay run "$model" --config "$repo/benchmarks/gpu/$settings" --out "$root/$name" --keep-going \
    --executor ray --gpus-per-boot "$(awk "BEGIN { print $share * $(cards) }")" --cpus-per-boot "$cpus" "$@"
}

convert() {
  site || return 1
  nice -n 5 python3 "$repo/benchmarks/gpu/gguf_to_safetensors.py" "$root/model.gguf" "$root/hf" --tokenizer "$root/tokenizer"
}

llama() { # SHARE SETTINGS
  step llama nice -n 5 bash "$repo/benchmarks/gpu/build_llama.sh" "$root/llama.tar.gz" "$root/llama" &&
    arrived model && arrived ray &&
    step claim assay claim "$1" 1 "$root/model.gguf" "$2" --server "$root/llama/out/bin/llama-server"
  touch "$root/claim.ended"
}

exl() {
  step exl bash "$repo/benchmarks/gpu/exl.sh" "$root/wheels" "$root/site" && arrived convert && arrived ray &&
    step exl_run assay exl 0.095 2 "$root/hf" exllamav3.toml
  touch "$root/exl.ended"
}

installed() { # the wheels alone, for a run that needs no kernels
  step exl bash "$repo/benchmarks/gpu/exl.sh" "$root/wheels" "$root/site" install
  touch "$root/exl.ended"
}

all() {
  arrived sources
  case $1 in
    exl)
      touch "$root/claim.ended"
      exl &
      ;;
    *.toml)
      llama 0.15 "$1" &
      installed &
      ;;
    *)
      llama 0.04 claim.toml &
      exl &
      ;;
  esac
  arrived wheel
  step ray start_ray &
  arrived model
  [[ $1 == *.toml ]] || step convert convert
  wait
}

feed() {
  local piece=$1 only=$2 next
  if [ ! -p "$root/stream" ]; then
    mkdir -p "$root"
    mkfifo "$root/stream"
    echo 0 > "$root/fed"
    date +%s > "$root/began"
    cp "$piece/of" "$root/of"
    mkdir "$root/repo" # each call brings the checkout anew, under the feet of what runs from it
    cp -r "$repo/src" "$repo/benchmarks" "$root/repo/"
    # The pipe is held open for as long as tar reads: it sees no end between two pieces.
    setsid bash -c "exec 3<>'$root/stream'; tar -x -C '$root' < '$root/stream'" > "$root/unpack.log" 2>&1 < /dev/null &
    setsid bash "$root/repo/benchmarks/gpu/lease.sh" all "$only" > "$root/all.log" 2>&1 < /dev/null &
  fi
  next=$(cat "$root/fed")
  [ "$((10#$(basename "$piece")))" -eq "$next" ] || { echo "piece $next is next, not $(basename "$piece")" >&2; exit 1; }
  cat "$piece/piece" > "$root/stream"
  echo "$((next + 1))" > "$root/fed"
}

ended() { [ -e "$root/claim.ended" ] && [ -e "$root/exl.ended" ]; }

wait_until() {
  local fed of began
  fed=$(cat "$root/fed") of=$(cat "$root/of") began=$(cat "$root/began")
  [ "$fed" -eq "$of" ] || { echo "piece $fed of 0 to $((of - 1)) is missing" >&2; exit 1; }
  until ended || [ "$(($(date +%s) - began))" -ge "$1" ]; do sleep 1; done
  echo "$(($(date +%s) - began)) s since the first piece"
  for log in "$root"/*.log; do echo "$(basename "$log" .log): $(tail -n 1 "$log")"; done
  cat "$root"/*.failed 2> /dev/null || true
}

stop() {
  pkill -INT -f "[k]vassay run.*$root/" || true
  for _ in $(seq 15); do ended && break; sleep 1; done
}

pack() { # the store NAME as it stands
  python3 - "$root/$1/kvassay.sqlite" "$root/$1.sqlite" <<'PY'
import sqlite3
import sys

store, copy = sqlite3.connect(sys.argv[1]), sqlite3.connect(sys.argv[2])
store.backup(copy)
copy.execute("vacuum")
copy.close()
PY
  xz -T0 -3 -c "$root/$1.sqlite" | split --bytes=15M --numeric-suffixes - "$root/ship/$1.sqlite.xz."
}

ship() {
  mkdir -p "$root/ship"
  for name in claim exl; do
    [ ! -e "$root/$name/kvassay.sqlite" ] || [ -e "$root/ship/$name.sqlite.xz.00" ] || pack "$name"
  done
  find "$root/ship" -type f | sort | sed -n "$((4 * $1 + 1)),$((4 * $1 + 4))p" | xargs -r -I{} cp {} "$2/"
  [ "$1" -ne 0 ] || (cd "$root" && tar -cJf "$2/logs.tar.xz" ./*.log)
  ls "$root/ship"
}

case ${1:-} in
  feed) feed "${2:?a folder of kit.sh}" "${3:-}" ;;
  all) all "${2:-}" ;;
  wait) wait_until "${2:?seconds}" ;;
  stop) stop ;;
  ship) ship "${2:?a number from 0}" "${3:?a folder}" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
