#!/usr/bin/env bash
# The pretrained networks of ST-GCN's authors: says which are in models/ and how to come by the others.
# The servers that this script downloaded from are gone, so it downloads nothing.
# Runs from any folder. Exit code 0 if all of them are there, else 2.
set -euo pipefail
models=$(cd "$(dirname "$0")/.." && pwd)/models
missing=()
for name in kinetics ntu-xview ntu-xsub; do
  if [ -f "$models/st_gcn.$name.pt" ]; then
    echo "$models/st_gcn.$name.pt is there"
  else
    missing+=("st_gcn.$name.pt")
  fi
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "error: ${missing[*]} cannot be downloaded, the published addresses are gone; put copies of yours into $models," \
    "or name them wherever they are: --weights PATH" >&2
  exit 2
fi
