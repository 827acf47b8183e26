#!/usr/bin/env bash
# Quantises a Hugging Face folder with ExLlamaV3's own converter and tries the back end on the EXL3 folder that comes of it.
#   exl3.sh FOLDER OUT [BITS]     after: source SITE_DIR/env.sh (exl.sh)
# Few calibration rows: what is tried is reading, not the quality of the weights.
set -euo pipefail
folder=$1 out=$2 bits=${3:-4}
here=$(realpath "$(dirname "$0")")
mkdir -p "$out.work"
python3 - --in_dir "$folder" --out_dir "$out" --work_dir "$out.work" --bits "$bits" --head_bits "$bits" --cal_rows 16 --cal_cols 1024 <<'PY'
import sys

from exllamav3.conversion.convert_model import main, parser, prepare

in_args, job_state, ok, error = prepare(parser.parse_args())
sys.exit(error) if not ok else main(in_args, job_state)
PY
python3 "$here/exl_smoke.py" "$out"
