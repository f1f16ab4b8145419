#!/usr/bin/env bash
# What the lab does on a GPU, in under nine minutes: fixtures, memory, speed, out of memory, feeders, a published training.
#   bash tools/gpu_evidence.sh --out FOLDER      and again: goes on where it stopped
#   bash tools/gpu_evidence.sh --dry             every part on the CPU with tiny sizes
# PYTHON=FILE instead of .venv/bin/python; NW_UCLA_ROOT is the folder all_sqe of NW-UCLA (without it no published training).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$PWD
python=$(realpath -s "${PYTHON:-$root/.venv/bin/python}")
[ -x "$python" ] || { echo "error: $python is not there: make setup makes it, or name one: PYTHON=FILE" >&2; exit 2; }
cd "$root"
exec "$python" -m benchmarks.gpu_evidence --from "$here" "$@"
