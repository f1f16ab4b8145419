#!/bin/sh
# Runs while an image is built: lays the repository's files out in /image as they will stand in /workspace.
# Usage: arrange.sh ROOM [FOLDER...]      the room's folder, and further folders of the repository that the image has
set -eu
lab=$(cd "$(dirname "$0")/.." && pwd)
out=/image
mkdir -p "$out/scripts"

cp -R "$lab/skeleton_lab" "$out"
for folder in "$@"; do
  [ ! -d "$lab/$folder" ] || cp -R "$lab/$folder" "$out"
done
# `./work_dir/...` of a configuration is the same place as `../work_dir/...`, the folder that people mount.
ln -s ../work_dir "$out/$1/work_dir"

# The scripts that people run: /workspace/scripts and /workspace.
for script in "$lab"/*.py "$lab"/baselines/*.py; do
  case $script in */\*.py | */smoke_test.py) continue ;; esac
  cp "$script" "$out/scripts"
  cp "$script" "$out"
done
[ ! -d "$lab/dataset_tools" ] || cp -R "$lab/dataset_tools" "$out/scripts"

# Modules are compiled here because the user of the image cannot write beside them. Mounting other sources over them
# works: the compiled files are checked against the text, not against its date.
python -m compileall -q --invalidation-mode checked-hash -s "$out" -p /workspace "$out"
chmod -R u=rwX,go=rX "$out"
