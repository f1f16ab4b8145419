#!/bin/sh
# Runs while an image is built: the user, what it writes to beside the work dir (arrange.sh tells why it is open to
# everyone), and a small editor.
set -eu
groupadd --non-unique --gid 1000 lab
useradd --non-unique --uid 1000 --gid 1000 --home-dir "$HOME" --no-create-home --shell /bin/bash lab
mkdir -p "$HOME" "$MPLCONFIGDIR" "$SKELETON_LAB_CACHE"
python -c 'import matplotlib.font_manager'  # its font list, once and not at every start
chmod 1777 "$HOME" "$MPLCONFIGDIR" "$SKELETON_LAB_CACHE"
chmod a+r "$MPLCONFIGDIR"/*

# A login shell (bash -l, su) begins with the system's PATH, in which the image's Python is not.
echo "export PATH=$PATH" >/etc/profile.d/skeleton-lab.sh

if ! command -v nano >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends nano >/dev/null
  apt-get clean
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
fi
