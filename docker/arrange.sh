#!/bin/sh
# Runs while an image is built: lays the repository's files out in /image as they will stand in /workspace.
# Usage: arrange.sh ROOM [FOLDER...] -- MOUNT...   the room's folder, further folders of the repository that the image
# has, and the folders, below /workspace, that people mount data to
set -eu
lab=$(cd "$(dirname "$0")/.." && pwd)
out=/image
room=$1
mkdir -p "$out/scripts"

cp -R "$lab/skeleton_lab" "$lab/dataset_tools" "$lab/docs" "$lab/README.md" "$lab/LICENSE" "$lab/pyproject.toml" "$out"
while [ "$1" != -- ]; do
  cp -R "$lab/$1" "$out"
  shift
done
shift
# `./work_dir/...` of a configuration is the same place as `../work_dir/...`, the folder that people mount.
ln -s ../work_dir "$out/$room/work_dir"
if [ "$room" = ST-GCN ]; then  # its guide works in a folder of this name, and installs what is here already
  ln -s ST-GCN "$out/st-gcn"
  sed -i 's/^-e \.\./skeleton-lab/' "$out/ST-GCN/requirements.txt"
fi

for script in "$lab"/*.py "$lab"/baselines/*.py; do
  [ "${script##*/}" = smoke_test.py ] || cp "$script" "$out"
done

# Modules are compiled here because the user of the image cannot write beside them. Mounting other sources over them
# works: the compiled files are checked against the text, not against its date.
python -m compileall -q --invalidation-mode checked-hash -s "$out" -p /workspace "$out"
chmod -R u=rwX,go=rX "$out"

# The scripts that people run stand in /workspace, and are found in /workspace/scripts and in the room as well.
for script in "$out"/*.py "$out/dataset_tools"; do
  name=${script##*/}
  ln -s "../$name" "$out/scripts/$name"
  [ -e "$out/$room/$name" ] || ln -s "../$name" "$out/$room/$name"
done

# Whoever runs the image with `--user "$(id -u):$(id -g)"`, so that results belong to them on the host, is unknown here:
# what a run writes to is therefore open to everyone, as /tmp is.
cd "$out"
mkdir -p work_dir "$@"
chmod 1777 work_dir "$room" "$@"
# So is what people edit, its files as well: an editor may write a file anew or in place.
for folder in config model feeders feeder net graph; do
  [ ! -d "$room/$folder" ] || chmod -R a+rwX "$room/$folder"
done
