#!/bin/sh
# Runs while an image is built: lays the repository's files out in /image as they will stand in /workspace.
# Usage: arrange.sh ROOM [FOLDER...] -- MOUNT...   the room's folder, further folders of the repository that the image
# has, and the folders, below /workspace, that people mount data to
set -eu
lab=$(cd "$(dirname "$0")/.." && pwd)
out=/image
room=$1
mkdir -p "$out/scripts"

cp -R "$lab/skeleton_lab" "$out"
while [ "$1" != -- ]; do
  [ ! -d "$lab/$1" ] || cp -R "$lab/$1" "$out"
  shift
done
shift
# `./work_dir/...` of a configuration is the same place as `../work_dir/...`, the folder that people mount.
ln -s ../work_dir "$out/$room/work_dir"
# ST-GCN's guide works in a folder of this name.
[ "$room" != ST-GCN ] || ln -s ST-GCN "$out/st-gcn"
[ "$room" != MS-G3D ] || cp "$lab/convert_ctr_npz_to_msg3d.py" "$out/MS-G3D"

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

# Whoever runs the image with `--user "$(id -u):$(id -g)"`, so that results belong to them on the host, is unknown here:
# what a run writes to is therefore open to everyone, as /tmp is.
cd "$out"
mkdir -p work_dir "$@"
chmod 1777 work_dir "$@"
